"""Assignment of grids given to a vision tower to the rows of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stgraph.aliases import Array
from stgraph.errors import GridError
from stgraph.grid import TokenGrid
from stgraph.vlm.calls import Call
from stgraph.vlm.families import Parts

GRIDS = "_stgraph_grids"  # attribute on an encoder's output


def merged_grids(vision: Any, thw: Any, merge: Any = None) -> list[TokenGrid]:
    """The grids of videos or images, as received by the language model.

    Parameters
    ----------
    vision : the vision tower, whose ``spatial_merge_size`` is used if ``merge`` is None; if its configuration has a
        ``temporal_merge_size`` (ERNIE), that many frames of a video become one
    thw : [n, 3] integers, patches before merging
    merge : [n] integers, patches merged along each side
    """
    sides = [int(vision.spatial_merge_size)] * len(thw) if merge is None else merge.tolist()
    frames = int(getattr(getattr(vision, "config", None), "temporal_merge_size", 1))
    return [
        TokenGrid(t // frames if t > 1 else t, y // side, x // side)
        for (t, y, x), side in zip(thw.tolist(), sides, strict=True)
    ]


def grids_of_call(call: Call, parts: Parts, medium: str = "video") -> list[TokenGrid] | None:
    """The grids of a prompt's videos, or images: from the call itself, or from encoded features.

    Raises
    ------
    GridError
        they were passed encoded, and their grids are unknown
    """
    own = _told(call.given, parts, medium)
    video = (call.given.get("mm_encoder_outputs") or {}).get(medium)
    if own is None and video is not None:
        own = getattr(video, GRIDS, None)
    if own is None and video is not None:
        said = call.said_to_generate(parts.model)
        if said.get("mm_encoder_outputs") is not None and said.get("prefill_chunk_size") is None:
            own = _told(said, parts, medium)
    if own is None and video is not None:
        raise GridError(
            f"this {medium} came encoded, and its grid was not seen: it was encoded before compress() was entered, "
            "copied by hand, or comes in pieces (prefill_chunk_size). Encode it inside the block and leave "
            f"prefill_chunk_size out, pass {medium}_grid_thw along, or pass grids="
        )
    return own


def _told(given: Mapping[str, Any], parts: Parts, medium: str) -> list[TokenGrid] | None:
    """The grids given by keyword arguments."""
    thw, merge = given.get(f"{medium}_grid_thw"), given.get(f"{medium}_merge_sizes")
    if thw is None or (merge is None and not hasattr(parts.vision, "spatial_merge_size")):
        return None
    return merged_grids(parts.vision, thw, merge)


def split_encoded(columns: list[Array], parts: Parts, encoded: Sequence[TokenGrid] | None) -> list[list[TokenGrid]]:
    """Grids the vision tower saw, one list per row."""
    if encoded is None:
        raise GridError(
            f"the prompt has {parts.family.token} tokens, but the vision tower of {parts.model_type!r} was not run on "
            f"them inside compress(): enter it before the {parts.family.token} is encoded, or pass grids="
        )
    total, n_encoded = sum(at.size for at in columns), sum(grid.n_tokens for grid in encoded)
    if total % n_encoded:
        raise mismatch("the batch", total, f"the vision tower's grids have {n_encoded:,}", parts)
    left, factor = list(encoded), total // n_encoded
    rows: list[list[TokenGrid]] = []
    for at in columns[::factor]:
        row: list[TokenGrid] = []
        while left and sum(grid.n_tokens for grid in row) < at.size:
            row.append(left.pop(0))
        rows.append(row)
    return for_each_row(rows, columns, parts, "the vision tower saw grids of")


def joined(grids: Sequence[TokenGrid], sizes: Array, parts: Parts) -> list[TokenGrid]:
    """Videos of one row whose tower received each frame separately: ``sizes`` are the tokens between two markers."""
    left, videos = list(grids), []
    for size in sizes[sizes > 0].tolist():
        frames: list[TokenGrid] = []
        while left and sum(grid.n_tokens for grid in frames) < size:
            frames.append(left.pop(0))
        if len({grid.shape[1:] for grid in frames}) != 1:
            raise mismatch("a video between its markers", size, "its frames differ in size", parts)
        videos.append(TokenGrid(sum(grid.T for grid in frames), *frames[0].shape[1:]))
    return videos


def for_each_row(rows: list[Any], columns: list[Array], parts: Parts, source: str) -> list[Any]:
    """One entry per row of the batch; beams and returned sequences repeat each row in place."""
    factor, rest = divmod(len(columns), max(1, len(rows)))
    if rest or not rows:
        raise GridError(f"{source} {len(rows)} rows, but the batch has {len(columns)}; pass one list per row")
    return [row for row in rows for _ in range(factor)]


def mismatch(where: str, found: int, expected: str, parts: Parts) -> GridError:
    hint = parts.family.hint or "do the processor and the checkpoint belong together? Or pass grids="
    return GridError(f"{where} has {found:,} {parts.family.token} placeholder tokens, but {expected}; {hint}")
