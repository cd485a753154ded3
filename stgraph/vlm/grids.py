"""Videos in a prompt: spans of placeholder tokens and the lattice they form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import GridError, InputError
from stgraph.grid import NEWLINE, OTHER, PATCH, SEPARATOR, TokenGrid
from stgraph.vlm.encoded_grids import for_each_row, joined, merged_grids, mismatch, split_encoded
from stgraph.vlm.families import Parts

# compress(grids=) per row of the batch: a grid or (T, H, W) per video, or a number of tokens to leave alone.
RowGrids = Sequence[TokenGrid | tuple[int, int, int] | int]
Grids = Sequence[RowGrids] | Callable[[Array], Sequence[RowGrids]]

NEWLINES = ("none", "video", "frame", "row", "cls")


@dataclass(frozen=True, eq=False)
class Video:
    """One video, or one image, in one row of the batch.

    Attributes
    ----------
    row, index : row of the batch; place among the row's videos or images
    start, stop : its columns of the prompt, including text between frames
    grid : over these columns; text between frames is of kind "other"
    medium : "video" or "image"
    """

    row: int
    index: int
    start: int
    stop: int
    grid: TokenGrid
    medium: str = "video"

    @property
    def stays(self) -> Array:
        """[n] bool: tokens not subject to selection: all except patches, and except the newlines after each row of a
        grid, which belong to their rows."""
        kind = self.grid.kind
        if kind is None:
            return np.zeros(self.grid.n_tokens, np.bool_)
        n_rows = self.grid.T * self.grid.H
        newlines = (kind == NEWLINE) if self.grid.n_newline_rows == n_rows > 1 else False
        stays: Array = (kind != PATCH) & ~np.asarray(newlines)
        return stays


def newline_grid(T: int, H: int, W: int, newlines: str = "row") -> TokenGrid:
    """The grid of a video whose encoder output carries newline tokens.

    Parameters
    ----------
    newlines : "none"; "video": one at the end, as LLaVA-OneVision; "frame": one after each frame; "row": one after
        each row of each frame, as LLaVA-Video, whose 14 x 14 patches per frame are 14 x 15 tokens; "cls": none, but the
        vision tower's CLS token before each frame, as Video-LLaVA

    Raises
    ------
    InputError
        the name is unknown

    Examples
    --------
    >>> newline_grid(64, 14, 14, "row").n_tokens
    13440
    """
    if newlines not in NEWLINES:
        raise InputError(f"newlines is {newlines!r}; it must be one of {', '.join(NEWLINES)}")
    if newlines == "none":
        return TokenGrid(T, H, W)
    if newlines == "video":
        return TokenGrid(T, H, W, np.append(np.full(T * H * W, PATCH), NEWLINE))
    n, length, at, which = {
        "row": (T * H, W, -1, NEWLINE),
        "frame": (T, H * W, -1, SEPARATOR),
        "cls": (T, H * W, 0, OTHER),
    }[newlines]
    kind = np.full((n, length + 1), PATCH)
    kind[:, at] = which
    return TokenGrid(T, H, W, kind.reshape(-1))


def find_videos(ids: Array, parts: Parts, encoded: Sequence[TokenGrid] | None, grids: Grids | None) -> list[Video]:
    """The videos of a batch.

    Parameters
    ----------
    ids : [B, S] int64, token ids
    encoded : grids the vision tower received, if the family needs them
    grids : given by the caller, overrides everything else

    Raises
    ------
    GridError
        the placeholder tokens do not fit the grids
    """
    columns = [np.flatnonzero(row) for row in placeholders(ids, parts)]
    rows: Sequence[RowGrids]
    if grids is not None:
        given = grids(ids) if callable(grids) else grids
        rows = for_each_row([list(row) for row in given], columns, parts, "grids= has")
        if any(rows) and not any(at.size for at in columns):
            raise none_found(parts, "grids= says where videos are")
        if not any(rows) and not (ids == parts.token_id).any():
            return []  # what stands there are images at most
    elif parts.family.side is not None:
        rows = [_fixed(at, parts, row) for row, at in enumerate(columns)]
    elif any(at.size for at in columns):
        rows = split_encoded(columns, parts, encoded)
        if parts.markers is not None:
            started = (ids == parts.markers[0]).cumsum(1)
            rows = [joined(row, np.bincount(n[at]), parts) for row, n, at in zip(rows, started, columns, strict=True)]
    else:
        rows = [[] for _ in columns]
    return [video for row, at in enumerate(columns) for video in placed(row, at, rows[row], parts)]


def placeholders(ids: Any, parts: Parts) -> Any:
    """[B, S] bool: the placeholders of video, in ``ids`` [B, S], an array or a tensor.

    If images share the placeholder and markers distinguish them (GLM), only those inside markers. With ``grids=``,
    which itself identifies images, markers are not used.
    """
    found = ids == parts.token_id
    if parts.instead is not None and not found.any():
        return ids == parts.instead
    if parts.markers is None:
        return found
    start, end = parts.markers
    inside = (ids == start).cumsum(1) > (ids == end).cumsum(1)
    return found & inside


def none_found(parts: Parts, but: str) -> GridError:
    """The error for a prompt that lacks placeholders."""
    token = f"token {parts.token_id}, {parts.family.token}_token_id of the configuration"
    if parts.markers is not None:
        token += ", between video_start_token_id {} and video_end_token_id {}".format(*parts.markers)
    return GridError(
        f"{but}, but the prompt holds no placeholder of video ({token}): do the processor and the checkpoint belong "
        "together? Let grids= say where videos are, for prompts of text alone by a function of the token ids that "
        "returns empty lists"
    )


def videos_of(parts: Parts, inputs: Mapping[str, Any]) -> list[Video]:
    """The videos of a prepared prompt, before any model sees it.

    Parameters
    ----------
    inputs : of the model, from its processor

    Raises
    ------
    GridError
        see :func:`find_videos`
    """
    thw = inputs.get("video_grid_thw")
    encoded = None if thw is None else merged_grids(parts.vision, thw, inputs.get("video_merge_sizes"))
    return find_videos(inputs["input_ids"].cpu().numpy(), parts, encoded, None)


def placed(row: int, columns: Array, grids: RowGrids, parts: Parts) -> list[Video]:
    """Assign the placeholders of one row to its grids, in order."""
    videos: list[Video] = []
    used = 0
    for entry in grids:
        if isinstance(entry, (int, np.integer)):
            used += int(entry)
            continue
        grid = entry if isinstance(entry, TokenGrid) else TokenGrid(*entry)
        at = columns[used : used + grid.n_tokens]
        used += grid.n_tokens
        if used > columns.size:
            break
        start, stop = int(at[0]), int(at[-1]) + 1
        kind = np.full(stop - start, OTHER)
        kind[at - start] = PATCH if grid.kind is None else grid.kind
        videos.append(Video(row, len(videos), start, stop, TokenGrid(*grid.shape, kind)))
    if used != columns.size:
        raise mismatch(f"row {row} of the batch", columns.size, f"its grids have {used:,}", parts)
    return videos


def _fixed(columns: Array, parts: Parts, row: int) -> list[TokenGrid]:
    """Grids of a family whose frames all have the same size."""
    assert parts.family.side is not None
    H, W = parts.family.side(parts.model.config)
    runs = [columns]
    if parts.family.per_run:
        runs = np.split(columns, np.flatnonzero(np.diff(columns) != 1) + 1)
    grids: list[TokenGrid] = []
    for run in runs:
        if not run.size:
            continue
        # Two videos without a token between them are one run; only final newlines tell how many there are.
        n_videos = max(1, run.size % (H * W)) if parts.newlines == "video" else 1
        per_frame = {"row": H * (W + 1), "frame": H * W + 1, "cls": H * W + 1}.get(parts.newlines, H * W)
        n_tokens = run.size - (n_videos if parts.newlines == "video" else 0)
        T, rest = divmod(n_tokens, per_frame * n_videos)
        if rest or T < 1:
            layout = f"frames have {per_frame:,} ({H}x{W}, newlines {parts.newlines!r})"
            raise mismatch(f"a run in row {row} of the batch", run.size, layout, parts)
        grids += [newline_grid(T, H, W, parts.newlines)] * n_videos
    return grids
