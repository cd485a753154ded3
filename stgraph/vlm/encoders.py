"""Vision backbones of the Hugging Face hub as frame encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.errors import InputError, MissingSignalError, UnavailableError, missing_dependency
from stgraph.vlm.pixels import Preprocessing, preprocessing_of
from stgraph.vlm.tower import ATTENTION_SIGNALS, Tower, attention_signals, tower_of, watching

Array = np.ndarray[Any, Any]

DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, eq=False)
class BackboneEncoder:
    """Patch tokens of a vision transformer; CLS and register tokens are dropped.

    Attributes
    ----------
    tower, preprocessing : the network and how frames reach it
    name : of the checkpoint
    layer : hidden state, 0 embeddings to n or -1 the last block's; None: the tower's output, after its final norm
    signals : of the block that makes this hidden state (the last one with None)
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
        """What decides the features."""
        return {
            "encoder": f"hf:{self.name}",
            "layer": self.layer,
            "dtype": self.dtype,
            "signals": list(self.signals),
        }

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What a dump records of it."""
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
        try:
            with torch.no_grad(), watching(self.tower, self.layer, self.signals) as seen:
                output = self.tower.module(pixel_values=pixels)
        except (ValueError, RuntimeError) as error:
            size = "x".join(map(str, pixels.shape[2:]))
            raise InputError(f"{self.name} cannot encode pictures of {size} pixels: {error}") from error
        hidden = output.last_hidden_state if self.layer is None else seen.hidden
        n_first = hidden.shape[1] - H * W if hidden.ndim == 3 else -1
        expected = expected_first(self.tower.module)
        if n_first < 0 or (expected is not None and n_first != expected):
            raise InputError(
                f"{self.name} gives {list(hidden.shape[1:])} for {H}x{W} patches: no grid of one token a patch; give a "
                "plain vision transformer such as DINOv2, SigLIP or CLIP"
            )
        signals = attention_signals(seen, H * W, n_first, self.signals) if self.signals else {}
        return _numpy(hidden[:, n_first:].reshape(-1, H, W, hidden.shape[2])), signals


def load_encoder(
    checkpoint: str,
    *,
    layer: int | None = None,
    dtype: str | None = None,
    device: str | None = None,
    signals: Sequence[str] = (),
) -> BackboneEncoder:
    """The vision backbone of a checkpoint on disk or on the hub: its only network, or the tower of a larger model.

    Raises
    ------
    MissingDependencyError
        torch or transformers is not installed
    InputError
        the checkpoint cannot be read, or holds no plain vision transformer
    MissingSignalError
        a signal that a vision backbone cannot give
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
        raise InputError(f"cannot load {checkpoint}: {str(error).splitlines()[0]}") from None
    tower = tower_of(model, checkpoint)
    tower.block(layer)
    place = on_device(tower.module, device)
    used = str(next(tower.module.parameters()).dtype).removeprefix("torch.")
    encoder = BackboneEncoder(tower, preprocessing, checkpoint, layer, tuple(signals), used, place)
    with watching(tower, layer, encoder.signals):
        pass  # what cannot be read is said before a video is
    return encoder


def check_dtype(dtype: str | None) -> None:
    """Raise for a dtype that networks do not run in here."""
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}")


def on_device(module: Any, device: str | None) -> str:
    """Move a network to ``device``, to a GPU where none is named and one is there; where it is then.

    Raises
    ------
    UnavailableError
        a device that is not there
    """
    import torch

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        module.to(place)
    except (RuntimeError, AssertionError) as error:
        raise UnavailableError(f"device {place!r} cannot be used: {str(error).splitlines()[0]}") from None
    return place


def expected_first(module: Any) -> int | None:
    """How many tokens stand before the patches, where the modules say it; else None."""
    config = module.config
    names = {name.rpartition(".")[2] for name, _ in module.named_parameters()}
    if not names & {"cls_token", "class_embedding"}:
        return None
    return 1 + int(getattr(config, "num_register_tokens", 0) or 0)


def _numpy(x: Any) -> Array:
    """A tensor as an array of its own dtype, bfloat16 included."""
    from stgraph.arrays import to_numpy

    return to_numpy(x.contiguous().cpu())
