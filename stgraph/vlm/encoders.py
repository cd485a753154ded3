"""Vision backbones of the Hugging Face hub as frame encoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from stgraph.aliases import Array
from stgraph.errors import InputError, MissingSignalError, UnavailableError, checkpoint_unread, missing_dependency
from stgraph.video.pixels import Preprocessing, preprocessing_of
from stgraph.video.tower import Tower, n_before_patches, tower_of
from stgraph.vlm.encoder_signals import ATTENTION_SIGNALS, without_first
from stgraph.vlm.tower_passes import TowerPass, watching

DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, eq=False)
class BackboneEncoder:
    """Patch tokens of a vision transformer; CLS and register tokens are dropped.

    Attributes
    ----------
    tower, preprocessing : the network and its preprocessing of frames
    name : of the checkpoint
    layer : hidden state, from 0 (embeddings) to n or -1 (last block); None for the tower's output, after its final norm
    signals : of the block that outputs this hidden state (the last one with None)
    dtype, device : of the network
    """

    tower: Tower
    preprocessing: Preprocessing
    name: str
    layer: int | None
    signals: tuple[str, ...]
    dtype: str
    device: str

    @property
    def settings(self) -> Mapping[str, Any]:
        """The values that determine the features."""
        return {
            "encoder": f"hf:{self.name}",
            "layer": self.layer,
            "dtype": self.dtype,
            "signals": list(self.signals),
        }

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Metadata that a dump records."""
        return {
            "encoder": f"hf:{self.name}",
            "architecture": type(self.tower.module).__name__,
            "layer": "output" if self.layer is None else self.layer,
            "attention_block": self.tower.block(self.layer) if self.signals else None,
            "dtype": self.dtype,
            "pooling": "none",
            "projector": "none",
        }

    def encode(self, rgb: Array) -> tuple[Array, Mapping[str, Array]]:
        """[B, h, w, 3] uint8 to features [B, H, W, d] in the network's dtype, and signals [B, ...] float32.

        Raises
        ------
        InputError
            the network's tokens are not a plain grid of patches
        """
        import torch

        pixels = self.preprocessing(rgb).to(device=self.device, dtype=getattr(torch, self.dtype))
        H, W = self.tower.grid(*pixels.shape[2:])
        passes: list[TowerPass] = []
        try:
            with torch.no_grad(), self._watching(passes.append):
                output = self.tower.module(pixel_values=pixels)
        except (ValueError, RuntimeError) as error:
            size = "x".join(map(str, pixels.shape[2:]))
            raise InputError(f"{self.name} cannot encode pictures of {size} pixels: {error}") from error
        hidden = output.last_hidden_state if self.layer is None else passes[-1].hidden
        n_first = hidden.shape[1] - H * W if hidden.ndim == 3 else -1
        expected = n_before_patches(self.tower.module)
        if n_first < 0 or (expected is not None and n_first != expected):
            raise InputError(
                f"{self.name} gives {list(hidden.shape[1:])} for {H}x{W} patches: no grid of one token a patch; give a "
                "plain vision transformer such as DINOv2, SigLIP or CLIP"
            )
        return _numpy(hidden[:, n_first:].reshape(-1, H, W, hidden.shape[2])), self._signals(passes[-1], n_first)

    def check(self) -> None:
        """Raise MissingSignalError for a signal that cannot be read from this tower, before any frame is encoded."""
        with self._watching(lambda seen: None):
            pass

    def _watching(self, done: Callable[[TowerPass], None]) -> AbstractContextManager[None]:
        tower = self.tower
        block, hidden = tower.block(self.layer), self.layer is not None
        return watching(tower.module, tower.layers, block, self.signals, done, hidden=hidden)

    def _signals(self, seen: TowerPass, n_first: int) -> dict[str, Array]:
        kind = type(self.tower.module).__name__
        missing = [name for name in self.signals if name not in seen.parts]
        if missing:
            raise MissingSignalError(
                f"{missing[0]} cannot be read from {kind}: it computes attention without transformers' attention "
                "interface"
            )
        found = {name: parts[0] for name, parts in seen.parts.items()}
        return {name: _numpy(x) for name, x in without_first(found, n_first, kind).items()}


def load_encoder(
    checkpoint: str,
    *,
    layer: int | None = None,
    dtype: str | None = None,
    device: str | None = None,
    signals: Sequence[str] = (),
) -> BackboneEncoder:
    """The vision backbone of a checkpoint on disk or the hub: its only network, or the tower of a larger model.

    Raises
    ------
    MissingDependencyError
        torch or transformers is not installed
    InputError
        the checkpoint cannot be read, or holds no plain vision transformer
    MissingSignalError
        a vision backbone cannot provide a signal
    """
    unknown = [name for name in signals if name not in ATTENTION_SIGNALS]
    if unknown:
        raise MissingSignalError(
            f"signal {unknown[0]!r} comes from no backbone alone; known are {', '.join(ATTENTION_SIGNALS)} "
            "(its features are enc_features already). Take it from a whole model with --model"
        )
    check_dtype(dtype)
    try:
        from transformers import AutoModel
    except ImportError:
        raise missing_dependency("encoding with a checkpoint", "transformers", "hf") from None
    preprocessing = preprocessing_of(checkpoint)
    try:
        model = AutoModel.from_pretrained(checkpoint, dtype=dtype or "auto").eval()
    except (OSError, ValueError, KeyError) as error:
        raise checkpoint_unread("load", checkpoint, error) from None
    tower = tower_of(model, checkpoint)
    tower.block(layer)
    place = on_device(tower.module, device)
    used = str(next(tower.module.parameters()).dtype).removeprefix("torch.")
    encoder = BackboneEncoder(tower, preprocessing, checkpoint, layer, tuple(signals), used, place)
    encoder.check()
    return encoder


def check_dtype(dtype: str | None) -> None:
    """Raise for a dtype in which networks do not run here."""
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}")


def on_device(module: Any, device: str | None) -> str:
    """Move a network to ``device``, or by default to a GPU if there is one; returns its device.

    Raises
    ------
    UnavailableError
        the device does not exist
    """
    import torch

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        module.to(place)
    except (RuntimeError, AssertionError) as error:
        raise UnavailableError(f"device {place!r} cannot be used: {str(error).splitlines()[0]}") from None
    return place


def _numpy(x: Any) -> Array:
    """A tensor as an array of its own dtype, including bfloat16."""
    from stgraph.arrays import to_numpy

    return to_numpy(x.contiguous().cpu())
