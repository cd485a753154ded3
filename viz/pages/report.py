"""The comparison report: tables, charts and thumbnails of ``stgraph compare`` on one page."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stgraph import colours
from stgraph.aliases import Row
from stgraph.errors import InputError
from stgraph.files import atomic_path
from stgraph.selection.keeping import Kept
from stgraph.selection.result import Selection
from stgraph.tokens import VideoTokens
from stgraph.viz.facts import flat_facts
from stgraph.viz.pages.frames import frame_pictures, frame_times, telling_frames
from stgraph.viz.pages.inline_page import ArrayPool, inline_page
from stgraph.viz.terminal.comparison import backend_label, backend_tables, sentences
from stgraph.viz.terminal.row_tables import RowTable, overlap_means
from stgraph.viz.terminal.selector_comparison import kept_tables, selector_label
from stgraph.viz.terminal.selector_comparison import sentences as selector_sentences

STYLES = ("base.css", "report.css")
SCRIPTS = ("dom.js", "chart.js", "report_thumbs.js", "report.js")
_FRAMES = 5


@dataclass(frozen=True, eq=False)
class Compared:
    """One video in a report.

    Attributes
    ----------
    name : of the dump
    tokens : its tokens
    rows, overlap, skipped : the tables of the comparison
    kept : label of a row -> retain ratio -> tokens kept, for the thumbnails
    """

    name: str
    tokens: VideoTokens
    rows: Sequence[Row]
    overlap: Sequence[Row] = ()
    skipped: Sequence[Row] = ()
    kept: Mapping[str, Mapping[float, Selection]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        tokens: VideoTokens,
        rows: Sequence[Row],
        overlap: Sequence[Row],
        skipped: Sequence[Row],
        kept: Iterable[Kept],
    ) -> Compared:
        """A report's video, with the kept tokens of each row; the first of several seeds is shown."""
        shown: dict[str, dict[float, Selection]] = {}
        for row, one in zip(rows, kept, strict=True):
            label = selector_label(row) if "selector" in row else backend_label(row)
            shown.setdefault(label, {}).setdefault(one.ratio, one.selection)
        return cls(name, tokens, rows, overlap, skipped, shown)

    @property
    def of_selectors(self) -> bool:
        """Whether selectors were compared rather than backends."""
        return "selector" in self.rows[0]


def save_report(path: str | os.PathLike[str], compared: Sequence[Compared]) -> None:
    """Write the report of one or more videos; see :func:`report_page`."""
    text = report_page(compared)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def report_page(compared: Sequence[Compared]) -> str:
    """The report of one or more videos as one self-contained HTML file.

    Raises
    ------
    InputError
        nothing was compared
    """
    if not compared or not all(one.rows for one in compared):
        raise InputError("a report needs rows of at least one video")
    pool = ArrayPool()
    data = {
        "of": "selector" if compared[0].of_selectors else "backend",
        "dumps": [*_summary(compared), *(_dump(one, pool) for one in compared)],
        "palette": {
            "representative": colours.REPRESENTATIVE,
            "event": colours.EVENT,
            "other": colours.OTHER_REASON,
            "lines": colours.LINES,
        },
        "arrays": pool.entries,
    }
    title = "Selectors compared" if compared[0].of_selectors else "Community backends compared"
    return inline_page(f"{title}: stgraph compare", STYLES, SCRIPTS, "report.html", {**data, "title": title})


def _dump(one: Compared, pool: ArrayPool) -> dict[str, Any]:
    label = selector_label if one.of_selectors else backend_label
    tables = kept_tables(one.rows) if one.of_selectors else backend_tables(one.rows)
    title, grid = one.tokens.metadata.get("title"), one.tokens.grid
    return {
        "name": f"{one.name}: {title}" if title else one.name,
        "facts": f"{grid.T} frames of {grid.H} x {grid.W} tokens, {grid.n_nodes:,} in all",
        "about": flat_facts(one.tokens.metadata),
        "ratios": list(dict.fromkeys(row["retain_ratio"] for row in one.rows)),
        "sentences": (selector_sentences if one.of_selectors else sentences)(one.rows, one.overlap),
        "tables": [table.on_page() for table in tables],
        "overlap": _matrices(one.overlap, label),
        "skipped": _skipped(one.skipped),
        "thumbs": _thumbs(one, pool),
    }


def _summary(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    """Means over several videos, and their spread; empty for one video."""
    if len(compared) < 2:
        return []
    rows = [row for one in compared for row in one.rows]
    overlap = [pair for one in compared for pair in one.overlap]
    of_selectors = compared[0].of_selectors
    tables = summary_tables(rows, len(compared))
    names = "; ".join(one.name for one in compared)
    return [
        {
            "name": f"All {len(compared)} videos",
            "facts": f"means over {len(compared)} videos, ± one standard deviation: {names}",
            "about": {},
            "ratios": list(dict.fromkeys(row["retain_ratio"] for row in rows)),
            "sentences": (selector_sentences if of_selectors else sentences)(rows, overlap),
            "tables": [table.on_page() for table in tables],
            "overlap": _matrices(overlap, selector_label if of_selectors else backend_label),
            "skipped": [],
            "thumbs": None,
        }
    ]


def summary_tables(rows: Sequence[Row], n_videos: int) -> list[RowTable]:
    """The tables of a comparison over several videos."""
    tables = kept_tables(rows) if "selector" in rows[0] else backend_tables(rows)
    of = f", means over {n_videos} videos ± one standard deviation"
    return [replace(table, title=f"{table.title.partition(':')[0].partition(' of ')[0]}{of}") for table in tables]


def _matrices(overlap: Sequence[Row], label: Callable[[Row, str], str]) -> list[dict[str, Any]]:
    made = []
    for ratio in dict.fromkeys(p["retain_ratio"] for p in overlap):
        names, values = overlap_means([p for p in overlap if p["retain_ratio"] == ratio], label)
        made.append({"ratio": ratio, "names": names, "values": values})
    return made


def _skipped(rows: Sequence[Row]) -> list[dict[str, str]]:
    """Settings that could not run, with the reason, and the ratios concerned if they ran at others."""
    reasons: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        reasons.setdefault((selector_label(row), row["reason"]), []).append(row["retain_ratio"])
    made = []
    for (name, reason), ratios in reasons.items():
        at = ", ".join(f"{r:g}" for r in ratios if r is not None)
        made.append({"label": name, "reason": f"r = {at}: {reason}" if at else reason})
    return made


def _thumbs(one: Compared, pool: ArrayPool) -> dict[str, Any] | None:
    """The frames with the largest differences, and the tokens each setting keeps in them."""
    if not one.kept:
        return None
    grid, pictures, times = one.tokens.grid, frame_pictures(one.tokens), frame_times(one.tokens)
    votes = np.mean([s.mask for kept in one.kept.values() for s in kept.values()], axis=0)
    frames = telling_frames(one.tokens, (votes * (1 - votes)).sum(axis=(1, 2)), _FRAMES)
    return {
        "grid": list(grid.shape),
        "frames": [{"t": t, "time": None if times is None else times[t]} for t in frames],
        "pictures": None if pictures is None else [base64.b64encode(pictures[t]).decode() for t in frames],
        "kept": [
            {"label": name, "codes": {f"{r:g}": pool.add(_reasons(s)[frames]) for r, s in kept.items()}}
            for name, kept in one.kept.items()
        ],
    }


def _reasons(kept: Selection) -> np.ndarray[Any, Any]:
    """[T, H, W] uint8: why each token is kept; 0 if dropped."""
    reason = np.zeros(kept.grid.n_nodes, np.uint8)
    reason[kept.nodes] = kept.reason[np.isin(kept.indices, kept.grid.rows)]
    return reason.reshape(kept.grid.shape)
