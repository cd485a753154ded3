"""Images in a prompt: each is a video of one frame, or of several lattices if the family shows it more than once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import GridError, InputError, MissingSignalError
from stgraph.grid import TokenGrid
from stgraph.selection.base import Selector
from stgraph.vlm.encoded_grids import mismatch, split_encoded
from stgraph.vlm.families import FAMILIES, Parts
from stgraph.vlm.grids import Grids, Video, find_videos, newline_grid, placed
from stgraph.vlm.model_tower import LIVE_SIGNALS


def check_images(parts: Parts, selector: Selector, images: bool, grids: Grids | None) -> None:
    """Raise if images are to be compressed but cannot be for this model.

    Raises
    ------
    InputError
        the family's images are not supported; ``grids`` is given with ``images``; or the model takes only images, and
    they are left alone
    MissingSignalError
        the selector reads the vision encoder of a family whose tiles are joined after it
    """
    if not images:
        if parts.family.images_alone:
            raise InputError(f"{type(parts.model).__name__} takes no videos; pass images=True to compress its images")
        return
    if grids is not None:
        raise InputError("grids= says where everything is, images too; leave images=True out")
    if not parts.family.images or parts.image_id is None:
        known = ", ".join(name for name, family in FAMILIES.items() if family.images)
        raise InputError(f"images=True does not know the images of model type {parts.model_type!r}; known are {known}")
    signals = sorted(selector.requires & set(LIVE_SIGNALS))
    if signals and parts.family.images == "anyres":
        raise MissingSignalError(
            f"{selector.name} needs the signal {signals[0]!r} of the vision encoder, which is not read for images that "
            f"{parts.model_type} cuts into tiles and joins: leave images=True out, or take another selector"
        )


def find_pictures(
    ids: Array, parts: Parts, embeds: Any, encoded: Callable[[str], Sequence[TokenGrid] | None] | None
) -> list[Video]:
    """The videos and images of a batch, in prompt order. If images share the frames' placeholder, all of them are
    images.

    Parameters
    ----------
    ids, embeds : see :func:`find_images`
    encoded : returns the grids the vision tower received for "video" or "image"; None if it receives none
    """
    told = {medium: None if encoded is None else encoded(medium) for medium in ("video", "image")}
    found = [] if parts.image_id == parts.token_id else find_videos(ids, parts, told["video"], None)
    found += find_images(ids, parts, embeds, told["image"])
    return sorted(found, key=lambda video: (video.row, video.start))


def find_images(ids: Array, parts: Parts, embeds: Any, encoded: Sequence[TokenGrid] | None) -> list[Video]:
    """The images of a batch, one frame each.

    An image shown as a whole and again in tiles (anyres) is two: the whole, and the joined tiles.

    Parameters
    ----------
    ids : [B, S] int64, token ids
    embeds : [B, S, d], embeddings of the prompt, in which newlines are recognised
    encoded : grids of images the vision tower received, if the family needs them

    Raises
    ------
    GridError
        the placeholder tokens do not fit the family's layout
    """
    assert parts.image_id is not None
    family = replace(parts.family, token="image", hint="do the processor and the checkpoint belong together?")
    own = replace(parts, family=family, token_id=parts.image_id)
    columns = [np.flatnonzero(row == own.token_id) for row in ids]
    if not any(at.size for at in columns):
        return []
    rows: list[list[TokenGrid]]
    if family.images == "encoded":
        rows = split_encoded(columns, own, encoded)
    elif family.images == "anyres":
        rows = [_anyres(_newlines(embeds, row, at, own), row, own) for row, at in enumerate(columns)]
    else:
        rows = [_equal(at, row, own) for row, at in enumerate(columns)]
    found = [video for row, at in enumerate(columns) for video in placed(row, at, rows[row], own)]
    return [replace(video, medium="image") for video in found]


def _equal(columns: Array, row: int, parts: Parts) -> list[TokenGrid]:
    """Images or tiles of equal size."""
    H, W = _side(parts)
    n_images, rest = divmod(columns.size, H * W)
    if rest:
        raise mismatch(f"row {row} of the batch", columns.size, f"images have {H * W:,} ({H}x{W})", parts)
    return [TokenGrid(1, H, W)] * n_images


def _side(parts: Parts) -> tuple[int, int]:
    """(H, W) of one picture for the tower."""
    side = parts.family.image_side or parts.family.side
    assert side is not None
    return side(parts.model.config)


def _newlines(embeds: Any, row: int, columns: Array, parts: Parts) -> Array:
    """[n] bool: columns that hold the model's learnt newline."""
    import torch

    newline = getattr(parts.base, "image_newline", None)
    if newline is None:
        raise GridError(f"{type(parts.base).__name__} has no image_newline, by which rows of tiles are told apart")
    at, kind = torch.from_numpy(columns).to(embeds.device), embeds.device.type
    if torch.is_autocast_enabled(kind):  # it stood between features of that dtype
        newline = newline.to(torch.get_autocast_dtype(kind))
    equal = embeds[row].detach().index_select(0, at) == newline.detach().to(embeds)
    found: Array = equal.all(-1).cpu().numpy()
    return found


def _anyres(is_newline: Array, row: int, parts: Parts) -> list[TokenGrid]:
    """Images in LLaVA-NeXT's layout: the whole picture, then its joined tiles with a newline after each row; without
    tiles, the whole picture and one newline."""
    H, W = _side(parts)
    grids: list[TokenGrid] = []
    places, n = np.flatnonzero(is_newline), is_newline.size
    at = 0
    while at < n:
        ends = places[places >= at + H * W]
        if is_newline[at : at + H * W].any() or not ends.size:
            raise mismatch(f"row {row} of the batch", n, f"an image has {H * W:,} ({H}x{W}) before its newlines", parts)
        at += H * W
        width = int(ends[0]) - at
        if not width:
            grids.append(newline_grid(1, H, W, "video"))
            at += 1
            continue
        height = 0
        while at + width < n and is_newline[at + width] and not is_newline[at : at + width].any():
            height, at = height + 1, at + width + 1
        grids += [TokenGrid(1, H, W), newline_grid(1, height, width, "row")]
    return grids
