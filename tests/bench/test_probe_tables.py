"""What ``stgraph eval`` prints of the probe: the figures of the rows, in the right place, in a window of 80."""

from __future__ import annotations

from typing import Any

from rich.console import Console, RenderableType

from stgraph.bench.probe.rows import COMMUNITIES, PROBE
from stgraph.bench.probe.words import CHANCE, FAMILIES
from stgraph.viz.terminal.probe import difference_table, paper_table, probe_tables, setting_labels, setting_of


def row(selector: str, ratio: float, accuracy: float, **values: Any) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name in ("accuracy", *FAMILIES):
        figures |= {name: accuracy, f"{name}_low": accuracy - 0.01, f"{name}_high": accuracy + 0.03}
    fixed = {"model": "m", "videos": "test", "n_questions": 2002, "n_videos": 286, "features": "projector"}
    communities = dict.fromkeys(COMMUNITIES, 0.5 if selector == "st-simdiff" else None)
    return {
        **dict.fromkeys(PROBE.columns),
        **fixed,
        **figures,
        **communities,
        "selector": selector,
        "retain_ratio": ratio,
        **values,
    }


ROWS = [
    row("full", 1.0, 0.95),
    row("blind", 0.0, 0.15),
    row("random", 0.1, 0.5),
    row("random", 0.3, 0.7),
    row("st-simdiff", 0.1, 0.61, backend="igraph-leiden", tau_sim=0.8),
    row("st-simdiff", 0.3, 0.81, backend="igraph-leiden", tau_sim=0.8),
    row("st-simdiff", 0.1, 0.62, backend="lattice-components", tau_sim=0.8),
    row("st-simdiff", 0.3, 0.82, backend="lattice-components", tau_sim=0.8),
]
FEATURES = [
    {
        "features": "real",
        "n_videos": 1,
        **dict.fromkeys(("spatial_mean", "temporal_mean", "random_mean", "above", "below"), 0.25),
        **dict.fromkeys(("n_components", "largest_ratio", "oversized_ratio"), 0.5),
    }
]


def difference(of: dict[str, Any], value: float, half: float) -> dict[str, Any]:
    return {**of, "family": "all", "difference": value, "low": value - half, "high": value + half}


def shown(what: RenderableType, width: int = 80) -> str:
    console = Console(width=width, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_everything_is_shown_in_a_narrow_window() -> None:
    text = shown(probe_tables(ROWS, [difference(ROWS[4], 0.11, 0.02)], FEATURES, CHANCE))
    assert max(map(len, text.splitlines())) <= 80
    for figure in ("50.0 (2.0)", "61.0 (2.0)", "82.0 (2.0)", "+11.0 (2.0)", "All tokens: 95.0 (2.0)", "none: 15.0"):
        assert figure in text, figure
    assert "By family of questions, r = 0.3 (half widths up to 2)" in text
    assert "2,002 questions about 286 synthetic videos" in text
    guessing = next(line for line in text.splitlines() if "guessing" in line)
    assert guessing.split()[1:] == ["17", "12", "12", "12", "12", "25", "50", "25", "25"]


def test_labels_name_what_differs_and_nothing_else() -> None:
    labels = setting_labels(ROWS)
    assert list(labels.values()) == ["random", "st-simdiff igraph-leiden", "st-simdiff lattice-components"]
    more = [*ROWS, row("st-simdiff", 0.1, 0.6, backend="igraph-leiden", tau_sim=0.9, events=False)]
    assert setting_labels(more)[setting_of(more[-1])] == "st-simdiff igraph-leiden tau_sim 0.9 no events"


def test_only_differences_beyond_their_interval_are_bold() -> None:
    table = difference_table(ROWS, [difference(ROWS[4], 0.11, 0.02), difference(ROWS[6], 0.01, 0.02)], [0.1])
    assert table is not None
    cells = {str(label): cell for label, cell in zip(table.columns[0]._cells, table.columns[1]._cells, strict=True)}
    assert cells["st-simdiff igraph-leiden"].style == "bold"  # type: ignore[union-attr]
    assert cells["st-simdiff lattice-components"].style == ""  # type: ignore[union-attr]
    assert difference_table(ROWS, [], [0.1]) is None


def test_paper_figures_stand_in_the_row_of_their_setting() -> None:
    settings = [("both", "st-simdiff", {"backend": "igraph-leiden"}), ("none", "random", {})]
    text = shown(paper_table(ROWS, settings, {(0, 0.3): {"VideoMME": 62.6}}, "table 3"))
    lines = [line.split() for line in text.splitlines()]
    assert ["0.3", "both", "81.0", "(2.0)", "62.6"] in lines and ["0.1", "both", "61.0", "(2.0)"] in lines
    assert ["0.3", "none", "70.0", "(2.0)"] in lines
