"""The paper's printed figures, with the settings of their rows: ``paper.json`` beside this file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from stgraph.errors import UnknownNameError
from stgraph.spelling import hint

OVERALL = "overall"
ACCURACY, SECONDS, PEAK = "accuracy", "seconds", "peak_gb"  # quantities: per cent, seconds per question, GB


@dataclass(frozen=True, eq=False)
class PaperRow:
    """One row of a table.

    Attributes
    ----------
    name : as in the table, such as "r = 0.3, FastV"
    selector, retain_ratio, parameters : the setting; "full" without a ratio
    frames, fps : as of :func:`stgraph.vlm.prompt_video.prompt_video`
    time_instruction : whether the prompt states the frames' times, as for LLaVA-Video
    figures : benchmark -> subset -> accuracy in per cent, None if not printed
    costs : quantity -> seconds or GB, None if not printed; empty for a table of accuracies
    """

    name: str
    selector: str
    retain_ratio: float | None
    parameters: Mapping[str, Any]
    frames: int
    fps: float | None
    time_instruction: bool
    figures: Mapping[str, Mapping[str, float | None]]
    costs: Mapping[str, float | None]


@dataclass(frozen=True, eq=False)
class PaperTable:
    """A table or figure: its name here, its subject, the model it was run on, and its rows."""

    name: str
    title: str
    model: str
    rows: tuple[PaperRow, ...]

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks with accuracies, in order; empty for a table of costs."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.figures))


@cache
def paper_tables() -> Mapping[str, PaperTable]:
    """All tables by name."""
    found = json.loads(files("stgraph.bench.reproduce").joinpath("paper.json").read_text(encoding="utf-8"))["tables"]
    return {
        name: PaperTable(name, table["title"], table["model"], tuple(map(_row, table["rows"])))
        for name, table in found.items()
    }


def paper_table(name: str) -> PaperTable:
    """The table of that name.

    Raises
    ------
    UnknownNameError
        no table has that name

    Examples
    --------
    >>> row = paper_table("table1").rows[1]
    >>> row.name, row.selector, row.figures["videomme"]["overall"]
    ('r = 0.3, FastV', 'fastv', 59.3)
    """
    tables = paper_tables()
    if name not in tables:
        raise UnknownNameError(f"no table {name!r}.{hint(name, tables)} Known: {', '.join(tables)}")
    return tables[name]


def _row(row: Mapping[str, Any]) -> PaperRow:
    return PaperRow(
        name=row["row"],
        selector=row["selector"],
        retain_ratio=row["retain_ratio"],
        parameters=row["parameters"],
        frames=row["frames"],
        fps=row.get("fps"),
        time_instruction=row.get("time_instruction", False),
        figures=row["figures"],
        costs={quantity: row[quantity] for quantity in (SECONDS, PEAK) if quantity in row},
    )
