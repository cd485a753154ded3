"""Signals of the vision tower inside a running VLM, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from stgraph.arrays import to_numpy
from stgraph.errors import MissingSignalError
from stgraph.video.tower import attention_of, block_of, blocks_of, n_before_patches, tower_of
from stgraph.vlm.encoder_signals import ATTENTION_SIGNALS, ENCODER_SIGNALS, OF_CLS, no_cls, without_first
from stgraph.vlm.families import Parts
from stgraph.vlm.grids import Video
from stgraph.vlm.patch_order import frames_of, sees_windows, units_of
from stgraph.vlm.pooling_head import POOL_SIGNALS, pooling_head
from stgraph.vlm.tower_passes import TowerPass, watching

MERGED = "pixel-shuffle"  # neighbouring patches side by side in one longer vector
Signals = dict[str, Any]

LIVE_SIGNALS = (*ENCODER_SIGNALS, *POOL_SIGNALS)

# Families whose tower gets the patches of all videos as one packed sequence, with attention inside each frame.
PACKED = frozenset(
    {
        *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen2_5_omni_thinker", "qwen3_omni_moe_thinker"),
        *("video_llama_3", "glm4v", "glm4v_moe", "glm46v", "glmga", "glm_ocr", "exaone4_5", "hyperclovax_vision_v2"),
        *("cosmos3_omni", "cosmos3_edge", "cohere_compass"),
    }
)


@dataclass(frozen=True)
class Layout:
    """``layer``: hidden state passed to the projector (None: the tower's output); ``pooling``: pooling of a frame's
    patches into tokens; ``packed``: whether the tower receives patches with a grid instead of pictures."""

    layer: int | None
    pooling: str
    packed: bool = False


@dataclass(frozen=True, eq=False)
class EncodedFrames:
    """Signals of a pass: (height, width) in patches of each frame, and one tensor per signal and frame."""

    sides: list[tuple[int, int]]
    signals: Mapping[str, list[Any]]


class EncoderReader:
    """Reads signals of the vision tower of one model while it runs.

    Parameters
    ----------
    signals : of :data:`LIVE_SIGNALS`, at least one
    needed_by : their user, for errors
    pool_head : SigLIP checkpoint whose pooling head is applied; None for the tower's own

    Attributes
    ----------
    asked : their user, and the first signal

    Raises
    ------
    MissingSignalError
        the tower does not process videos frame by frame, or lacks a signal
    """

    def __init__(self, parts: Parts, signals: Collection[str], needed_by: str, pool_head: str | None = None) -> None:
        self.signals = [name for name in LIVE_SIGNALS if name in signals]
        asked = f"{needed_by}: {self.signals[0]}"
        self.layout = _layout(parts, asked)
        self.called = parts.vision
        tower = None if self.layout.packed else tower_of(parts.vision, parts.model_type)
        self.tower = parts.vision if tower is None else tower.module
        self.kind = type(self.tower).__name__
        self._blocks = blocks_of(self.tower, parts.model_type) if tower is None else tower.layers
        self.block = block_of(self._blocks, self.layout.layer, self.kind)
        if sees_windows(self.tower, self.block):
            raise MissingSignalError(f"{asked} cannot be read from block {self.block}, which sees windows alone")
        # Where the modules do not say so, no token stands before the patches.
        self._n_first = n_before_patches(self.tower) or 0
        lacking = [name for name in self.signals if name in OF_CLS]
        if lacking and not self._n_first:
            raise no_cls(f"{needed_by}: {lacking[0]}", self.kind)
        if set(self.signals) & set(ATTENTION_SIGNALS) and attention_of(self._blocks[self.block]) is None:
            raise MissingSignalError(
                f"{asked} cannot be read from {self.kind}: its attention does not go through transformers' attention "
                "interface"
            )
        self._head = None
        if set(self.signals) & set(POOL_SIGNALS):
            if self.layout.packed or self._n_first:
                raise MissingSignalError(f"{asked} is read from SigLIP's towers, of which {self.kind} is not one")
            self._head = pooling_head(self.tower, pool_head, asked)
        self.asked = asked
        projector = projector_of(parts)
        self._projector = "model" if projector is None else type(projector).__name__

    def open(self, done: Callable[[EncodedFrames, Any], None]) -> AbstractContextManager[None]:
        """While open, pass the signals of each pass to ``done``, with the tower's output."""

        def ended(seen: TowerPass) -> None:
            done(self._frames(seen), seen.output)

        needed = "enc_features" in self.signals or self._head is not None
        hidden = needed and self.layout.layer is not None
        return watching(self.called, self._blocks, self.block, self.signals, ended, hidden=hidden)

    def modules(self) -> dict[str, Any]:
        """Modules that must not be compiled, by the names users would write."""
        block = self._blocks[self.block]
        name = f"block {self.block} of the vision tower"
        tower = {"the vision tower": self.called, "the transformer of the vision tower": self.tower}
        return {**tower, name: block, f"the attention of {name}": attention_of(block)}

    def of_videos(self, passes: Sequence[EncodedFrames], videos: Sequence[Video]) -> list[tuple[Signals, Signals]]:
        """(signals [T, ...] as arrays, metadata of the encoder for a dump) of each video, in order.

        Parameters
        ----------
        passes : in order, images before videos; the last ones hold the frames of all ``videos``, in the same order

        Raises
        ------
        MissingSignalError
            the tower's pictures are not the frames of these videos
        """
        wanted, held, last = sum(video.grid.T for video in videos), 0, list[EncodedFrames]()
        for seen in reversed(passes):
            if held < wanted:
                last.insert(0, seen)
                held += len(seen.sides)
        if held != wanted:
            raise MissingSignalError(
                f"{self.asked} is needed of {wanted} frames, but the vision tower was seen on {held} pictures that "
                "could be theirs: leave images out of the prompt where they go through the tower with the frames"
            )
        sides = [side for seen in last for side in seen.sides]
        frames = {name: [x for seen in last for x in seen.signals[name]] for name in self.signals}
        found, at = [], 0
        for video in videos:
            here = slice(at, at + video.grid.T)
            at += video.grid.T
            found.append(({name: _array(x[here]) for name, x in frames.items()}, self._metadata(sides[here])))
        return found

    def _metadata(self, sides: Sequence[tuple[int, int]]) -> dict[str, Any]:
        return {
            "encoder": self.kind,
            "layer": "output" if self.layout.layer is None else self.layout.layer,
            "attention_block": self.block,
            "encoder_grid": list(sides[0]),
            "pooling": self.layout.pooling,
            "projector": self._projector,
        }

    def _frames(self, seen: TowerPass) -> EncodedFrames:
        """The patches of each frame, in raster order."""
        missing = [name for name in self.signals if name in ATTENTION_SIGNALS and name not in seen.parts]
        if missing:
            raise MissingSignalError(
                f"{self.asked} cannot be read: {self.kind} did not call transformers' attention interface"
            )
        return self._packed(seen) if self.layout.packed else self._pictures(seen)

    def _pictures(self, seen: TowerPass) -> EncodedFrames:
        import torch

        found = {name: torch.cat(parts) for name, parts in seen.parts.items()}
        hidden = seen.output[0].detach() if self.layout.layer is None else seen.hidden
        if "enc_features" in self.signals:
            found["enc_features"] = hidden
        found = without_first(found, self._n_first, self.kind)
        side = self._side()
        for name, x in found.items():
            n = x.shape[2] if name == "enc_cls_attn" else x.shape[1]
            if n != side[0] * side[1]:
                raise MissingSignalError(
                    f"{self.asked}: the vision tower holds {n} patches a picture, expected {side[0]}x{side[1]}"
                )
        if self._head is not None:
            found |= self._head.signals(hidden)
        return EncodedFrames([side] * len(next(iter(found.values()))), {n: list(x) for n, x in found.items()})

    def _packed(self, seen: TowerPass) -> EncodedFrames:
        import torch

        thw, merge = seen.given["grid_thw"], seen.given.get("merge_sizes")
        rows = thw.tolist()
        merges = [int(self.tower.spatial_merge_size)] * len(rows) if merge is None else merge.tolist()
        lengths = [h * w for t, h, w in rows for _ in range(t)]
        found = {}
        for name, parts in seen.parts.items():
            if [part.shape[1] for part in parts] != lengths:
                raise MissingSignalError(f"{self.asked}: the attention of {self.kind} is not that inside each frame")
            found[name] = torch.cat([part[0] for part in parts])
        if "enc_features" in self.signals:
            found["enc_features"] = seen.hidden.reshape(-1, seen.hidden.shape[-1])
        units = units_of(self.tower, thw, seen.given)
        signals = {name: frames_of(x, rows, merges, units) for name, x in found.items()}
        return EncodedFrames([(h, w) for t, h, w in rows for _ in range(t)], signals)

    def _side(self) -> tuple[int, int]:
        config = self.tower.config
        height, width = (x if isinstance(x, (list, tuple)) else (x, x) for x in (config.image_size, config.patch_size))
        return int(height[0]) // int(width[0]), int(height[1]) // int(width[1])


def _array(frames: Sequence[Any]) -> Any:
    import torch

    return to_numpy(torch.stack(list(frames)).contiguous().cpu())


def projector_of(parts: Parts) -> Any:
    """The module between vision tower and language model; None if its name is unknown."""
    names = ("multi_modal_projector", "connector", "projector")
    holders = ((holder, name) for holder in (parts.base, parts.vision) for name in (*names, "merger"))
    found = (getattr(holder, name, None) for holder, name in holders)
    return next((module for module in found if module is not None), None)


def _layout(parts: Parts, asked: str) -> Layout:
    """Layout of a family's tower."""
    config, kind = parts.model.config, parts.model_type
    if parts.vision is not None and kind in PACKED:
        return Layout(-1, MERGED, packed=True)
    layer = getattr(config, "vision_feature_layer", None)
    if isinstance(layer, (list, tuple)):
        raise MissingSignalError(
            f"{asked} cannot be read where several layers are joined (vision_feature_layer {layer})"
        )
    if kind == "llava_onevision":
        return Layout(layer, getattr(config, "mm_spatial_pool_mode", None) or "bilinear")
    if kind == "nvila":
        return Layout(layer, _merged_by_nvila(config, asked))
    if kind == "llava":
        return Layout(layer, "none")
    if kind == "llava_next_video":
        return Layout(layer, str(config.spatial_pool_mode))
    if kind == "internvl":
        return Layout(None if layer == -1 else layer, MERGED)
    if kind == "smolvlm":
        return Layout(None, MERGED)
    known = ("llava", "llava_onevision", "nvila", "llava_next_video", "internvl", "smolvlm", *sorted(PACKED))
    raise MissingSignalError(f"{asked} cannot be read from the vision tower of {kind}; known are {', '.join(known)}")


def _merged_by_nvila(config: Any, asked: str) -> str:
    side, n = config.vision_config.image_size // config.vision_config.patch_size, config.nvila_downsample
    if side % n or tuple(config.nvila_pool) != (1, 1, 1):
        raise MissingSignalError(
            f"{asked} cannot be read where tokens are not {n}x{n} patches of one frame each: this checkpoint has "
            f"{side}x{side} patches and takes means over {list(config.nvila_pool)} (frames, rows, columns)"
        )
    return MERGED
