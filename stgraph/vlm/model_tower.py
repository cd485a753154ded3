"""Signals of the vision tower inside a running VLM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.arrays import to_numpy
from stgraph.errors import InputError, MissingSignalError
from stgraph.grid import TokenGrid
from stgraph.vlm.encoders import expected_first
from stgraph.vlm.families import Parts
from stgraph.vlm.tower import ATTENTION_SIGNALS, Seen, Tower, attention_signals, tower_of, watching

Array = np.ndarray[Any, Any]

ENCODER_SIGNALS = (*ATTENTION_SIGNALS, "enc_features")
_MERGED = "pixel-shuffle"  # neighbouring patches side by side in one longer vector


@dataclass
class EncoderRun:
    """What the vision tower of a VLM showed in one pass.

    Attributes
    ----------
    tower, layer : and the hidden state that goes to the projector (None: the tower's output)
    pooling : how the patches of a frame become fewer tokens
    asked : signals
    """

    tower: Tower
    layer: int | None
    pooling: str
    projector: str
    asked: tuple[str, ...]
    seen: Seen
    output: Any = None

    def signals(self, grid: TokenGrid) -> tuple[dict[str, Array], dict[str, Any]]:
        """The signals asked for, [T, ...], and what a dump records of the encoder.

        Raises
        ------
        InputError
            the tower's pictures are not the video's frames one by one
        """
        config = self.tower.module.config
        size = config.image_size
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        H, W = self.tower.grid(int(height), int(width))
        hidden = self.output if self.layer is None else self.seen.hidden
        n_first = hidden.shape[1] - H * W
        expected = expected_first(self.tower.module)
        if hidden.shape[0] != grid.T or n_first < 0 or n_first != (expected or 0):
            raise InputError(
                f"the vision tower gave {list(hidden.shape)} for {grid.T} frames of {H}x{W} patches; its signals have "
                "no place on them. Leave the enc_* signals out"
            )
        found = attention_signals(self.seen, H * W, n_first, self.asked) if self.seen.key is not None else {}
        if "enc_features" in self.asked:
            found["enc_features"] = to_numpy(hidden[:, n_first:].detach().contiguous().cpu())
        return found, {
            "encoder": type(self.tower.module).__name__,
            "layer": "output" if self.layer is None else self.layer,
            "attention_block": self.tower.block(self.layer),
            "encoder_grid": [H, W],
            "pooling": self.pooling,
            "projector": self.projector,
        }


@contextmanager
def watching_encoder(parts: Parts, signals: Sequence[str]) -> Iterator[EncoderRun | None]:
    """Watches the vision tower of a VLM while it runs; None where no signal of it is asked for.

    Raises
    ------
    MissingSignalError
        a model whose tower does not see frames one by one, or does not give this signal
    """
    asked = tuple(name for name in signals if name in ENCODER_SIGNALS)
    if not asked:
        yield None
        return
    config = parts.model.config
    layer, pooling = _layout(parts, config, asked[0])
    tower = tower_of(parts.vision, parts.model_type)
    projector = next(n for n in ("multi_modal_projector", "connector") if hasattr(parts.base, n))
    name = type(getattr(parts.base, projector)).__name__
    # The hidden state tells how many tokens stand before the patches, so it is noted for attention too.
    with watching(tower, layer, asked) as seen:
        run = EncoderRun(tower, layer, pooling, name, asked, seen)

        def note(module: Any, args: Any, output: Any) -> None:
            run.output = getattr(output, "last_hidden_state", output[0] if isinstance(output, tuple) else output)

        handle = tower.module.register_forward_hook(note)
        try:
            yield run
        finally:
            handle.remove()


def _layout(parts: Parts, config: Any, asked: str) -> tuple[int | None, str]:
    """(hidden state that goes on, how patches become tokens) of a family."""
    kind = parts.model_type
    layer = getattr(config, "vision_feature_layer", None)
    if isinstance(layer, (list, tuple)):
        raise MissingSignalError(
            f"{asked} cannot be read where several layers are joined (vision_feature_layer {layer})"
        )
    if kind == "llava_onevision":
        return layer, getattr(config, "mm_spatial_pool_mode", None) or "bilinear"
    if kind == "llava_next_video":
        return layer, str(config.spatial_pool_mode)
    if kind == "internvl":
        return (None if layer == -1 else layer), _MERGED
    if kind == "smolvlm":
        return None, _MERGED
    raise MissingSignalError(
        f"{asked} cannot be read from {kind}: known are llava_onevision, llava_next_video, internvl and smolvlm. Most "
        "other towers see all patches of a video in one sequence and rotate queries and keys by position"
    )
