"""What is fuzzed: the readers of files that others may have written, and what may come out of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import stgraph
from stgraph.bench.answers.questions import read_task
from stgraph.bench.tables.reading import read_rows, read_tables
from stgraph.bench.tables.table import Table
from stgraph.cli.options import printable
from stgraph.errors import InputError, StgraphError
from stgraph.video.file import probe_video
from stgraph.video.frames import read_frames
from stgraph.video.thumbnails import jpeg

TABLE = Table({"name": str, "count": int, "share": float, "on": bool})


def read_dump(path: Path) -> None:
    """Open a dump, use all it holds, and write it again, which gives the same tokens."""
    tokens = stgraph.load(path)
    t, y, x = tokens.grid.coordinates()
    assert t.size == y.size == x.size == tokens.grid.n_tokens == tokens.features.reshape(-1, tokens.dimension).shape[0]
    assert tokens.lattice.shape == (*tokens.grid.shape, tokens.dimension)
    for name in tokens.signals:
        assert np.asarray(tokens.signal(name)).tobytes() is not None
    assert printable(tokens.metadata).isprintable()
    again = path.with_suffix(".again")
    try:
        tokens.save(again)
    except InputError:  # the signals' names, or metadata that JSON allows us to read and not to write
        return
    assert stgraph.load(again).features.tobytes() == tokens.features.tobytes()


def read_query(path: Path) -> None:
    """Open a query file beside the sample's first tokens."""
    tokens = path.with_suffix(".tokens")
    if not tokens.exists():
        stgraph.VideoTokens.from_array(np.ones((1, 2, 2, 2), np.float32)).save(tokens)
    stgraph.load(tokens, query=path)


def read_video(path: Path) -> None:
    """Probe a video, and take frames from it in each of the three ways."""
    info = probe_video(path)
    assert 0 < info.duration_s < float("inf")
    assert min(info.size) >= 1
    assert info.n_frames >= 1
    for how in ({"n_frames": 2}, {"n_frames": 2, "seek": True}, {"fps": 1.0}):
        try:
            frames = read_frames(path, **how)
        except StgraphError:
            continue
        assert frames.rgb.dtype == np.uint8
        assert frames.rgb.shape[3] == 3
        assert jpeg(frames.rgb[0])[:2] == b"\xff\xd8"


def read_table(path: Path) -> None:
    """Read rows in the format of the suffix, as those of a known table and as those of any command.

    Each value is of its column's type or missing; what is a table to the one is a table to the other.
    """
    fmt, kinds = path.suffix.removeprefix("."), TABLE.columns
    tables = read_tables(path)
    for rows in tables.values():
        assert all(row.keys() == rows[0].keys() for row in rows)
        cells = [value for row in rows for value in row.values()]
        assert {type(value) for value in cells} <= {str, int, float, bool, type(None)}
    if fmt == "json":
        return
    known = read_rows(path, fmt, TABLE)
    assert len(known) == len(tables["rows"])
    for row in known:
        assert row.keys() == kinds.keys()
        assert all(value is None or type(value) is kinds[name] for name, value in row.items())


def read_partition(path: Path) -> None:
    """Load a partition, use it, and write it again, which gives the same one."""
    parts = stgraph.Partition.load(path)
    assert sum(len(members) for members in parts) == parts.n_nodes == len(np.asarray(parts))
    assert printable(parts.provenance.to_dict()).isprintable()
    again = path.with_suffix(".again")
    try:
        parts.save(again)
    except InputError:  # provenance that JSON allows us to read and not to write
        return
    back = stgraph.Partition.load(again)
    assert list(back.edges) == list(parts.edges)
    assert np.array_equal(back.labels, parts.labels)


def read_selection(path: Path) -> None:
    """Load a selection, use it, and write it again, which gives the same one."""
    kept = stgraph.Selection.load(path)
    assert len(list(kept)) == len(kept) == sum(kept.reasons().values())
    assert printable(kept.report).isprintable()
    again = path.with_suffix(".again")
    try:
        kept.save(again)
    except InputError:
        return
    assert list(stgraph.Selection.load(again)) == list(kept)


class Target(NamedTuple):
    """A reader: the suffix of the files it gets, what it does with one, and the most bytes that are tried."""

    suffix: str
    read: Callable[[Path], object]
    max_bytes: int = 4096


TARGETS = {
    "dump": Target(".safetensors", read_dump),
    "query": Target(".query", read_query),
    "partition": Target(".parts", read_partition),
    "selection": Target(".kept", read_selection),
    "video": Target(".video", read_video, 16_384),
    "csv": Target(".csv", read_table),
    "json": Target(".json", read_table),
    "jsonl": Target(".jsonl", read_table),
    "parquet": Target(".parquet", read_table),
    "task": Target(".task", read_task),
}


def attempt(target: Target, path: Path) -> StgraphError | None:
    """None where the file can be read, the error where it is refused on purpose; anything else is a bug and raised."""
    try:
        target.read(path)
    except StgraphError as error:
        return error
    return None
