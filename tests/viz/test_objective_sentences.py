"""Numbers in the sentences of docs/objectives.md, and of the README, are those of the tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from study_cells import STUDY, N, Numbers, assert_told, bold, ends, less, lines, plain, spread, value, values

from stgraph.study_pages import page_tables

OBJECTIVES, README = "docs/objectives.md", "README.md"


def by_threshold(objective: str, ratio: str = "0.1") -> list[float]:
    return values(OBJECTIVES, f"threshold-{ratio}", objective)


def over(a: str, b: str, tau: str = "0.8", cap: str = "√N") -> dict[str, float]:
    """Differences between two backends, by ratio."""
    return dict(zip(RATIOS, values(OBJECTIVES, "differences", f"`{a}` over `{b}`", cap, tau), strict=True))


def capped(objective: str, cap: str, tau: str = "0.8") -> dict[str, float]:
    """Differences of a cap from the paper's, by ratio."""
    return dict(zip(RATIOS, values(OBJECTIVES, "cap-differences", f"{cap} over √N", objective, tau), strict=True))


def spreads(objective: str, cap: str = "√N") -> list[float]:
    """Largest less least accuracy over the thresholds, by ratio."""
    cells = lines(OBJECTIVES, "ranges", 2)[objective, cap]
    return [spread(map(float, cell.split(" to "))) for cell in cells]


def coverage(ratio: str) -> list[float]:
    """Of coverage, the differences at a ratio that are beyond chance."""
    return bold(OBJECTIVES, "coverage-differences", 2, RATIOS.index(ratio))


def density(name: str, column: int) -> list[float]:
    """Differences from CPM at its default, by threshold."""
    found = lines(OBJECTIVES, "density-differences", 2)
    return [value(cells[column]) for (label, _), cells in found.items() if label.startswith(f"{name} over")]


RATIOS = ("0.05", "0.1", "0.2", "0.3", "0.5")
COMPONENTS, LEIDEN = "lattice-components", "igraph-leiden"
NONE, MODULARITY, CPM = "none (components)", "modularity (Leiden)", "CPM (Leiden)"

# A sentence with its numbers as groups, and the numbers from the tables, whose cells are rounded.
SENTENCES: list[tuple[str, Callable[[], Numbers]]] = [
    (
        f"moves between {N} and {N} %, components between {N} and {N} %, modularity between {N} and {N} %",
        lambda: [x for one in (CPM, NONE, MODULARITY) for x in ends(by_threshold(one))],
    ),
    (
        f"CPM spans {N} to {N} points, modularity {N} to {N}, components {N} to {N}[.]",
        lambda: [x for one in (CPM, MODULARITY, NONE) for x in ends(spreads(one))],
    ),
    (
        f"CPM is {N} points above components and {N} above modularity at r = 0.1, {N} and {N} at r = 0.3",
        lambda: [over("lattice-leiden", other)[r] for r in ("0.1", "0.3") for other in (COMPONENTS, LEIDEN)],
    ),
    (
        f"over components it is {N} to {N}, beyond chance at every ratio",
        lambda: ends(over("lattice-leiden", COMPONENTS).values()),
    ),
    (
        f"are as flat[*]*, {N} to {N} points below CPM at r = 0.1",
        lambda: ends(
            x for one in ("label propagation", "segmentation") for x in less(by_threshold(CPM), by_threshold(one))
        ),
    ),
    (
        f"at r = 0.1 {N} to {N} points worse below[.]",
        lambda: ends(less(by_threshold(CPM), by_threshold("map equation (Infomap)"))[:2]),
    ),
    (
        f"at r = 0.05 label propagation falls {N} to {N} behind",
        lambda: ends(less(by_threshold(CPM, "0.05"), by_threshold("label propagation", "0.05"))),
    ),
    (
        f"A cap of 8 on components gives {N} of the {N} points at 0.8 [(]r = 0.1[)]; of 24, {N}",
        lambda: [capped(NONE, "8")["0.1"], over("lattice-leiden", COMPONENTS)["0.1"], capped(NONE, "24")["0.1"]],
    ),
    (
        f"components under that cap still span {N} to {N} points, modularity {N} to {N}, CPM {N} to {N}[.]",
        lambda: [x for one in (NONE, MODULARITY, CPM) for x in ends(spreads(one, "8"))],
    ),
    (
        f"filled at random lose {N} to {N} points at 0.8",
        lambda: [round(x) for x in ends(over("lattice-leiden", "control-shuffled").values())],
    ),
    (
        f"Without it they lose {N} to {N} points at 0.8",
        lambda: ends(capped(NONE, "none").values()),
    ),
    (f"and span {N} to {N} over the thresholds", lambda: [round(x) for x in ends(spreads(NONE, "none"))]),
    (
        f"helps at r = 0.2 and 0.3[*]* [(]{N} to {N} and {N} to {N} points wherever it is beyond chance",
        lambda: [x for ratio in ("0.2", "0.3") for x in ends(coverage(ratio))],
    ),
    (f"under CPM at 0.8, at r = 0.1 [(]{N}[)]", lambda: coverage("0.1")),
    (f"At r = 0.05 it costs {N} to {N} points where", lambda: ends(coverage("0.05"))),
    (
        f"coverage is better at r = 0.2 and above, but costs {N} to {N} points",
        lambda: [round(x) for x in ends(value(c[0]) for c in lines(OBJECTIVES, "ranking-differences", 2).values())],
    ),
    (
        f"0.1 is within {N} points of the default",
        lambda: ends(density("CPM, 0.1", 0) + density("CPM, 0.1", 1))[1:],
    ),
    (f"and loses {N} to {N} points at r = 0.1", lambda: ends(density("CPM, 0.5", 0))),
    (
        f"components {N} and {N} at r = 0.1, {N} and {N} at r = 0.3; `lattice-leiden` {N} and {N}, {N} and {N};",
        lambda: [
            values(OBJECTIVES, "ranking-fidelity", "bundled sample", one, ranked)[i]
            for one in (NONE, CPM)
            for i in (1, 3)
            for ranked in ("difference-then-centrality", "coverage")
        ],
    ),
]


@pytest.mark.parametrize(("sentence", "numbers"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_sentence_tells_the_numbers_of_the_tables(sentence: str, numbers: Callable[[], Numbers]) -> None:
    assert_told(OBJECTIVES, sentence, numbers())


def beyond(table: str, n_labels: int) -> list[tuple[tuple[str, ...], str]]:
    """Labels and ratio of every difference that is beyond chance."""
    found = lines(OBJECTIVES, table, n_labels)
    return [(labels, r) for labels, line in found.items() for r, cell in zip(RATIOS, line, strict=True) if "**" in cell]


def test_objectives_hardly_differ_at_a_threshold_chosen_well_nor_under_a_small_cap() -> None:
    asked = [labels for labels in lines(OBJECTIVES, "differences", 3) if labels[0].endswith(f"over `{COMPONENTS}`")]
    sure = {labels for labels, _ in beyond("differences", 3)}
    for cap, tau, count in (("√N", "0.9", 4), ("8", "0.8", 5)):
        here = {labels for labels in asked if labels[1:] == (cap, tau)}
        assert len(here) == count and not here & sure


def test_cpm_is_above_components_at_every_ratio() -> None:
    label = (f"`lattice-leiden` over `{COMPONENTS}`", "√N", "0.8")
    assert [ratio for labels, ratio in beyond("differences", 3) if labels == label] == list(RATIOS)
    assert min(over("lattice-leiden", COMPONENTS).values()) > 0


def test_the_cap_matters_to_components_only() -> None:
    sure = beyond("cap-differences", 3)
    assert {labels[1:] for labels, _ in sure} == {(NONE, "0.8")}
    assert [ratio for labels, ratio in sure if labels[0] == "none over √N"] == list(RATIOS)
    for tau in ("0.8", "0.9"):
        for cap in ("none", "24"):
            assert max(map(abs, capped(CPM, cap, tau).values())) <= 0.1


def test_boxes_lose_six_points() -> None:
    found = lines(OBJECTIVES, "controls", 2)
    cpm, boxes = (found[key][3] for key in (("0.8", "`lattice-leiden`"), ("-", "`control-boxes-2x2x2`")))
    assert round(value(cpm) - value(boxes)) == 6


def test_coverage_loses_at_005_beyond_chance_in_four_of_six_settings() -> None:
    assert len(lines(OBJECTIVES, "ranking-differences", 2)) == 6
    lost = bold(OBJECTIVES, "ranking-differences", 2, 0)
    assert len(lost) == 4 and max(lost) < 0


def test_density_hardly_needs_tuning() -> None:
    found = lines(OBJECTIVES, "density-differences", 2)
    sure = {label for (label, _), cells in found.items() if any(cell.startswith("**") for cell in cells)}
    assert sure == {f"CPM, {density} over CPM, 0.05" for density in ("0.01", "0.02", "0.5")}


def test_readme_says_what_the_objectives_do() -> None:
    text = plain(README)
    assert "a density objective (CPM) keeps its accuracy within a point" in text
    assert "connected components lose eight to ten" in text
    assert max(spreads(CPM)) < 1.05 and [round(x) for x in ends(spreads(NONE))] == [8, 10]


def test_the_page_says_how_many_differences_are_corrected_for() -> None:
    text = plain(OBJECTIVES)
    for table in (
        "differences",
        "cap-differences",
        "coverage-differences",
        "ranking-differences",
        "density-differences",
    ):
        count = page_tables(Path(OBJECTIVES).name, STUDY)[table].count("[")
        assert f"correction for the {count} of this table" in text
