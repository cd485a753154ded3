"""Token dumps: one safetensors file per video, and one per query for prompt-dependent signals."""

from __future__ import annotations

import logging
import os
from collections import ChainMap
from collections.abc import Iterator, Mapping
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from stgraph import container
from stgraph.arrays import to_numpy
from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.tokens import VideoTokens

Path = str | os.PathLike[str]
_log = logging.getLogger("stgraph")
_GRID_TENSORS = ("token_t", "token_y", "token_x", "token_kind")


def save_tokens(tokens: VideoTokens, path: Path) -> None:
    """Write tokens as a dump of schema version 1; features keep their dtype.

    Raises
    ------
    InputError
        the path cannot be written, or the metadata is not JSON; an existing file is left unchanged
    """
    t, y, x = tokens.grid.coordinates()
    kind = tokens.grid.kind
    tensors: dict[str, Any] = {
        "features": tokens.features.reshape(tokens.grid.n_tokens, tokens.dimension),
        "token_t": t,
        "token_y": y,
        "token_x": x,
        "token_kind": np.zeros(tokens.grid.n_tokens, np.uint8) if kind is None else kind,
        "seq_index": np.arange(tokens.grid.n_tokens, dtype=np.int32),
    }
    _refuse_grid_names(tokens.signals)
    tensors.update(tokens.signals)
    container.write(path, "tokens", tensors, {**tokens.metadata, "producer": _producer()})


def save_query(path: Path, signals: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
    """Write the signals that depend on one prompt (attention, queries) as a query file; see :func:`load`."""
    _refuse_grid_names(signals)
    arrays = {name: to_numpy(a, f"signal {name!r}") for name, a in signals.items()}
    container.write(path, "query", arrays, {**(metadata or {}), "producer": _producer()})


def load(path: Path, query: Path | None = None) -> VideoTokens:
    """Open a token dump; features and signals are memory-mapped and read on use.

    Tensors of a dtype that dumps do not support (float8, uint64) are left out, with a line from the logger "stgraph"; a
    method that needs one reports why it is missing.

    Parameters
    ----------
    path : dump of a video
    query : query file with prompt-dependent signals, which take precedence over the video's own

    Raises
    ------
    DumpFormatError, DumpVersionError
        the file is missing, truncated, not an stgraph dump, or newer than this library
    GridError, FeatureError, InputError
        its tensors do not fit together, or the query file was made of another video or of other frames

    Examples
    --------
    >>> import stgraph
    >>> stgraph.sample().grid.shape
    (40, 16, 16)
    """
    tensors, metadata = container.read(path, "tokens")
    tensors.require("features", *_GRID_TENSORS)
    _tell_unread(path, tensors)
    grid = TokenGrid.from_coordinates(*(tensors[name] for name in _GRID_TENSORS))
    signals: Mapping[str, Any] = tensors.without("features", *_GRID_TENSORS)
    if query is not None:
        extra, asked_of = container.read(query, "query")
        _check_same_frames(query, asked_of, path, metadata)
        _tell_unread(query, extra)
        signals = ChainMap(extra, signals)  # type: ignore[arg-type]
    return VideoTokens(tensors["features"], grid, signals, metadata)


def _check_same_frames(query: Path, asked_of: Mapping[str, Any], path: Path, metadata: Mapping[str, Any]) -> None:
    """Raise InputError if both files say of which frames they were made, and these differ."""
    theirs, own = ({**facts, **_plain(facts.get("settings"))} for facts in (asked_of, metadata))
    for name in ("source_digest", "frames", "fps"):
        if name in theirs and name in own and theirs[name] != own[name]:
            what = f"{name} {theirs[name]}, the dump with {own[name]}"
            what = f"another video, {theirs.get('source')}" if name == "source_digest" else f"other frames ({what})"
            raise InputError(
                f"{query} was made of {what}, and does not belong to {path}; make both at once with --prompt"
            )


def _plain(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _tell_unread(path: Path, tensors: container.MappedTensors) -> None:
    """Log one line about tensors that are left out."""
    if tensors.unread:
        first, *others = tensors.unread.values()
        more = f" (and {len(others):,} more cannot be read)" if others else ""
        _log.warning("%s: %s; it is left out%s", path, first, more)


def iter_frames(path: Path) -> Iterator[np.ndarray[Any, Any]]:
    """The patch features of a dump, [H, W, d] per frame, read from the file one frame at a time.

    Unlike the mapped features of :func:`load`, whose used pages stay in memory while there is room, a frame is freed
    when the caller drops it. The grid, 13 bytes per token, is read in full before the first frame.

    Raises
    ------
    DumpFormatError, DumpVersionError, GridError, FeatureError, InputError
        as :func:`load`

    Examples
    --------
    >>> from importlib.resources import files
    >>> path = files("stgraph").joinpath("data", "bbb_dinov2s.safetensors")
    >>> frames = iter_frames(path)
    >>> next(frames).shape, sum(1 for _ in frames)
    ((16, 16, 384), 39)
    """
    tokens = load(path)
    tensors, _ = container.read(path, "tokens")
    T, H, W = tokens.grid.shape
    dense = tokens.grid.kind is None
    rows, shape = tokens.grid.rows.reshape(T, H * W) if not dense else None, (H, W, tokens.dimension)
    del tokens
    for t in range(T):
        if rows is None:
            yield tensors.read_rows("features", t * H * W, (t + 1) * H * W).reshape(shape)
        else:
            first, last = int(rows[t, 0]), int(rows[t, -1])
            yield tensors.read_rows("features", first, last + 1)[rows[t] - first].reshape(shape)


def sample() -> VideoTokens:
    """The bundled real dump: 40 frames of Big Buck Bunny, 16 x 16 tokens of dimension 384, thumbnails and shot cuts.

    Features of a DINOv2-layout ViT-S/14, layer 9. (c) 2008 Blender Foundation, CC BY 3.0; see the NOTICE beside it.
    """
    with as_file(files("stgraph").joinpath("data", "bbb_dinov2s.safetensors")) as path:
        return load(path)


def _refuse_grid_names(signals: Mapping[str, Any]) -> None:
    clash = {"features", *_GRID_TENSORS} & set(signals)
    if clash:
        raise InputError(f"signal {min(clash)!r} has the name of a tensor that every dump holds; rename it")


def _producer() -> str:
    from stgraph import __version__

    return f"stgraph {__version__}"
