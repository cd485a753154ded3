"""Token source: a video's tokens from an encoder that sees one frame at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError, UnknownNameError
from stgraph.grid import TokenGrid
from stgraph.video.dump import Extracted
from stgraph.video.file import VideoInfo
from stgraph.video.patches import PatchEncoder


class FrameEncoder(Protocol):
    """Features of frames, each encoded separately."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON values that determine the features."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Metadata that a dump records about the encoder."""
        ...

    def encode(self, rgb: Array) -> tuple[Array, Mapping[str, Array]]:
        """[B, h, w, 3] uint8 to features [B, H, W, d] and signals [B, ...]."""
        ...


@dataclass(frozen=True)
class EncoderSource:
    """Makes tokens with ``encoder``, ``batch`` frames at a time."""

    encoder: FrameEncoder
    batch: int = 16

    @property
    def settings(self) -> Mapping[str, Any]:
        """The encoder's settings; the batch size has no effect."""
        return self.encoder.settings

    def extract(self, frames: Iterable[Array], times: Array, info: VideoInfo) -> Extracted:
        """See :class:`stgraph.video.dump.TokenSource`."""
        features: list[Array] = []
        signals: dict[str, list[Array]] = {}
        for rgb in _batches(frames, self.batch):
            encoded, found = self.encoder.encode(rgb)
            features.append(encoded)
            for name, values in found.items():
                signals.setdefault(name, []).append(values)
        x = np.concatenate(features)
        joined = {name: np.concatenate(parts) for name, parts in signals.items()}
        return Extracted(x, TokenGrid(*x.shape[:3]), joined, {}, self.encoder.metadata)


def frame_encoder(name: str, *, grid: tuple[int, int] | None = None, **options: Any) -> FrameEncoder:
    """The encoder named ``patches``, or ``hf:NAME_OR_PATH``.

    Parameters
    ----------
    grid : (H, W) of ``patches``; default 16 x 16
    options : of :func:`stgraph.vlm.encoders.load_encoder`, for ``hf:``; None where not given

    Raises
    ------
    UnknownNameError
        the name is unknown
    InputError
        the encoder does not accept an option
    """
    given = {key: value for key, value in options.items() if value is not None}
    if name == "patches":
        if given:
            raise InputError(
                f"{next(iter(given))!r} belongs to encoders with layers (hf:NAME_OR_PATH), not to 'patches'"
            )
        return PatchEncoder() if grid is None else PatchEncoder(grid=grid)
    kind, _, checkpoint = name.partition(":")
    if kind != "hf" or not checkpoint:
        raise UnknownNameError(
            f"no encoder {name!r}. Known: patches, and hf:NAME_OR_PATH with a checkpoint of DINOv2, SigLIP, CLIP or "
            "another vision backbone"
        )
    if grid is not None:
        raise InputError(f"'grid' is the checkpoint's own with {name!r}; leave it out")
    from stgraph.vlm.encoders import load_encoder

    return load_encoder(checkpoint, **given)


def _batches(frames: Iterable[Array], size: int) -> Iterator[Array]:
    each = iter(frames)
    while batch := list(islice(each, size)):
        yield np.stack(batch)
