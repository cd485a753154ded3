"""Numbers in the sentences of the study's pages, and of the README, are those of the tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from study_cells import STUDY, Numbers, bold, ends, less, lines, spread, value, values

from stgraph.bench.tables.reading import read_tables
from stgraph.study_pages import page_tables
from stgraph.viz.markdown import real_features
from stgraph.viz.markdown.objectives import NAMES

ROOT = Path(__file__).parents[2]
CLUSTERING, OBJECTIVES, README = "docs/what-clustering-changes.md", "docs/objectives.md", "README.md"


def choice(label: str, tau: str = "0.8", table: str = "contrasts") -> list[float]:
    """Differences of one choice, by ratio."""
    return values(CLUSTERING, table, label, tau)


def backend(name: str, tau: str, cap: str) -> list[float]:
    """Share above the square root of N, then accuracies."""
    return values(CLUSTERING, "backends", tau, cap, f"`{name}`")[2:]


def above(name: str) -> list[float]:
    return [backend(name, tau, "none")[0] for tau in ("0.8", "0.9")]


def tau_curve(i: int) -> list[float]:
    """Differences of every threshold from 0.8 at the i-th ratio."""
    found = lines(CLUSTERING, "contrasts", 2)
    return [0.0, *(value(cells[i]) for (label, _), cells in found.items() if label.startswith("tau_sim:"))]


def of_sample(name: str) -> float:
    return value(lines(CLUSTERING, "sample", 2)[f"`{name}`", "tree"][2])


def methods(name: str) -> list[float]:
    return values(CLUSTERING, "methods", name)


def ablation(row: str, tau: str = "0.8") -> list[float]:
    return values(CLUSTERING, "ablation", tau, row)


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


def curve(kind: str, objective: str) -> list[float]:
    return values(CLUSTERING, "real-curve-0.1", kind, objective)[:3]


RATIOS = ("0.05", "0.1", "0.2", "0.3", "0.5")  # of the study of objectives
KINDS = ("vision transformer", "patch descriptors", "convolutional network")
LEIDEN, LOUVAIN, COMPONENTS = "igraph-leiden", "igraph-louvain", "lattice-components"
NONE, MODULARITY, CPM = "none (components)", "modularity (Leiden)", "CPM (Leiden)"
PROTECT, RASTER, CAP = "protect_events: True over False", "split: raster over tree", "max_size: sqrt over none"
EVENTS, LEIDEN_OVER = "events: True over False", f"backend: {LEIDEN} over {COMPONENTS}"
ATTENTION = "importance: attention over difference-then-centrality"
N = r"(\d+(?:\.\d+)?)"

# Page, sentence with its numbers as groups, and the numbers from the tables, whose cells are rounded.
SENTENCES: list[tuple[str, str, Callable[[], Numbers]]] = [
    (CLUSTERING, f"hold {N} % of a probe video's tokens at `tau_sim` 0.8, {N} % at 0.9", lambda: above(COMPONENTS)),
    (CLUSTERING, f"and {N} % of the real sample's; Louvain", lambda: [of_sample(COMPONENTS)]),
    (CLUSTERING, f"Louvain and Leiden leave {N} to {N} %, and", lambda: ends([*above(LOUVAIN), *above(LEIDEN)])),
    (CLUSTERING, f"%, and {N} to {N} %[.]", lambda: ends([of_sample(LOUVAIN), of_sample(LEIDEN)])),
    (CLUSTERING, f"spans {N} points .* at r = 0.1 and {N} at r = 0.3", lambda: [spread(tau_curve(i)) for i in (1, 2)]),
    (CLUSTERING, f"At 0.8 it is worth {N} to {N} points at every ratio", lambda: ends(choice(CAP))),
    (CLUSTERING, f"at 0.9 at most {N}. How it cuts", lambda: [max(choice(CAP, "0.9"))]),
    (CLUSTERING, f"raster order loses {N} to {N} points at 0.8", lambda: ends(choice(RASTER))),
    (CLUSTERING, f"points at 0.8, {N} at most at 0.9", lambda: [ends(choice(RASTER, "0.9"))[1]]),
    (CLUSTERING, f"Leiden is {N} to {N} points better at 0.8", lambda: ends(choice(LEIDEN_OVER))),
    (CLUSTERING, f"and within {N} at 0.9. Without the cap", lambda: [ends(choice(LEIDEN_OVER, "0.9"))[1]]),
    (
        CLUSTERING,
        f"components lose {N} to {N} points to Leiden at 0.8",
        lambda: ends(less(backend(LEIDEN, "0.8", "none")[1:], backend(COMPONENTS, "0.8", "none")[1:])),
    ),
    (
        CLUSTERING,
        f"DETS adds {N} points at r = 0.05 to questions about brief objects, {N} at r = 0.5",
        lambda: choice(EVENTS, table="contrasts-evt")[::3],
    ),
    (CLUSTERING, f"it adds {N} to {N} from r = 0.1 on", lambda: ends(choice(EVENTS)[1:])),
    (CLUSTERING, f"events cost {N} point overall", lambda: [-choice(EVENTS, "0.9")[0]]),
    (
        CLUSTERING,
        f"Dropping events last costs {N} to {N} points",
        lambda: ends([choice(PROTECT)[0], choice(PROTECT, "0.9")[0]]),
    ),
    (
        CLUSTERING,
        f"{N} to {N} points at r = 0.05, over the best ranking without it",
        lambda: [round(number) for number in ends([choice(ATTENTION)[0], choice(ATTENTION, "0.9")[0]])],
    ),
    (
        CLUSTERING,
        f"at r = 0.5 it is {N} at 0.8, and {N} at 0.9",
        lambda: [choice(ATTENTION)[3], choice(ATTENTION, "0.9")[3]],
    ),
    (
        CLUSTERING,
        f"beat both together by {N} to {N} points",
        lambda: ends(x for one in ("spatial", "temporal") for x in less(ablation(one), ablation("spatial-temporal"))),
    ),
    (CLUSTERING, f"spread evenly lose {N} points", lambda: [methods("all tokens")[2] - methods("`uniform`")[2]]),
    (
        CLUSTERING,
        f"the paper's method {N} at 0.8 and {N} at 0.9. Its lead",
        lambda: [methods("all tokens")[2] - methods(f"`st-simdiff`, tau_sim {tau}")[2] for tau in ("0.8", "0.9")],
    ),
    (
        CLUSTERING,
        f"at 0.9 it stands {N} to {N} points above random",
        lambda: [round(x) for x in ends(less(methods("`st-simdiff`, tau_sim 0.9")[:2], methods("`random`")[:2]))],
    ),
    (CLUSTERING, f"there, too, {N} % of the tokens lie in components", lambda: [of_sample(COMPONENTS)]),
    (
        CLUSTERING,
        f"it moves by {N} to {N} points, and its best",
        lambda: [
            round(x)
            for x in ends(spread(values(CLUSTERING, "thresholds", kind)) for kind in ("projector-centred", "projector"))
        ],
    ),
    (
        CLUSTERING,
        f"CPM moves by {N} to {N}, components by {N} to {N}[.]",
        lambda: [x for one in (CPM, NONE) for x in ends(spread(curve(kind, one)) for kind in KINDS)],
    ),
    (
        OBJECTIVES,
        f"moves between {N} and {N} %, components between {N} and {N} %, modularity between {N} and {N} %",
        lambda: [x for one in (CPM, NONE, MODULARITY) for x in ends(by_threshold(one))],
    ),
    (
        OBJECTIVES,
        f"CPM spans {N} to {N} points, modularity {N} to {N}, components {N} to {N}[.]",
        lambda: [x for one in (CPM, MODULARITY, NONE) for x in ends(spreads(one))],
    ),
    (
        OBJECTIVES,
        f"CPM is {N} points above components and {N} above modularity at r = 0.1, {N} and {N} at r = 0.3",
        lambda: [over("lattice-leiden", other)[r] for r in ("0.1", "0.3") for other in (COMPONENTS, LEIDEN)],
    ),
    (
        OBJECTIVES,
        f"over components it is {N} to {N}, beyond chance at every ratio",
        lambda: ends(over("lattice-leiden", COMPONENTS).values()),
    ),
    (
        OBJECTIVES,
        f"are as flat[*]*, {N} to {N} points below CPM at r = 0.1",
        lambda: ends(
            x for one in ("label propagation", "segmentation") for x in less(by_threshold(CPM), by_threshold(one))
        ),
    ),
    (
        OBJECTIVES,
        f"at r = 0.1 {N} to {N} points worse below[.]",
        lambda: ends(less(by_threshold(CPM), by_threshold("map equation (Infomap)"))[:2]),
    ),
    (
        OBJECTIVES,
        f"at r = 0.05 label propagation falls {N} to {N} behind",
        lambda: ends(less(by_threshold(CPM, "0.05"), by_threshold("label propagation", "0.05"))),
    ),
    (
        OBJECTIVES,
        f"A cap of 8 on components gives {N} of the {N} points at 0.8 [(]r = 0.1[)]; of 24, {N}",
        lambda: [capped(NONE, "8")["0.1"], over("lattice-leiden", COMPONENTS)["0.1"], capped(NONE, "24")["0.1"]],
    ),
    (
        OBJECTIVES,
        f"components under that cap still span {N} to {N} points, modularity {N} to {N}[.]",
        lambda: [x for one in (NONE, MODULARITY) for x in ends(spreads(one, "8"))],
    ),
    (
        OBJECTIVES,
        f"filled at random lose {N} to {N} points at 0.8",
        lambda: [round(x) for x in ends(over("lattice-leiden", "control-shuffled").values())],
    ),
    (
        OBJECTIVES,
        f"Without it they lose {N} to {N} points at 0.8",
        lambda: ends(capped(NONE, "none").values()),
    ),
    (OBJECTIVES, f"and span {N} to {N} over the thresholds", lambda: [round(x) for x in ends(spreads(NONE, "none"))]),
    (
        OBJECTIVES,
        f"helps at r = 0.2 and 0.3[*]* [(]{N} to {N} and {N} to {N} points wherever it is beyond chance",
        lambda: [x for ratio in ("0.2", "0.3") for x in ends(coverage(ratio))],
    ),
    (OBJECTIVES, f"under CPM at 0.8, at r = 0.1 [(]{N}[)]", lambda: coverage("0.1")),
    (OBJECTIVES, f"At r = 0.05 it costs {N} to {N} points where", lambda: ends(coverage("0.05"))),
    (
        OBJECTIVES,
        f"coverage is better at r = 0.2 and above, but costs {N} to {N} points",
        lambda: [round(x) for x in ends(value(c[0]) for c in lines(OBJECTIVES, "ranking-differences", 2).values())],
    ),
    (
        OBJECTIVES,
        f"0.1 is within {N} points of the default",
        lambda: ends(density("CPM, 0.1", 0) + density("CPM, 0.1", 1))[1:],
    ),
    (OBJECTIVES, f"and loses {N} to {N} points at r = 0.1", lambda: ends(density("CPM, 0.5", 0))),
    (
        OBJECTIVES,
        f"components {N} and {N} at r = 0.1, {N} and {N} at r = 0.3; `lattice-leiden` {N} and {N}, {N} and {N};",
        lambda: [
            values(OBJECTIVES, "ranking-fidelity", "bundled sample", one, ranked)[i]
            for one in (NONE, CPM)
            for i in (1, 3)
            for ranked in ("difference-then-centrality", "coverage")
        ],
    ),
]


@pytest.mark.parametrize(("page", "sentence", "numbers"), SENTENCES, ids=[sentence for _, sentence, _ in SENTENCES])
def test_sentence_tells_the_numbers_of_the_tables(page: str, sentence: str, numbers: Callable[[], Numbers]) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    (told,) = re.findall(sentence, text)
    told = [told] if isinstance(told, str) else list(told)
    decimals = len(told[0].partition(".")[2])
    rounding = 1.01 * 10.0**-decimals if decimals else 0.01  # differences of rounded cells may round anew
    assert [float(number) for number in told] == pytest.approx(numbers(), abs=rounding)


def spread_of(kind: str, objective: str) -> list[float]:
    """Largest less smallest fidelity over the thresholds, by ranking and ratio; the cells of the table, not rounded."""
    rows = read_tables(STUDY / "real-features.csv")["rows"]
    dump = next(dump for dump, name in real_features.KINDS.items() if name == kind)
    backend = next(backend for backend, name in NAMES.items() if name == objective)
    curves = (
        real_features.curve(rows, dump, backend, ratio, ranking)
        for ranking in real_features.RANKINGS
        for ratio in (0.1, 0.3)
    )
    return [spread(one.values()) for one in curves]


def test_density_is_flatter_where_the_page_says_so() -> None:
    text = " ".join((ROOT / CLUSTERING).read_text(encoding="utf-8").split())
    (told,) = re.findall(f"by a factor of {N} to {N} in seven of the eight settings", text)
    flatter = {
        (kind, i): none / cpm
        for kind in KINDS[:2]
        for i, (none, cpm) in enumerate(zip(spread_of(kind, NONE), spread_of(kind, CPM), strict=True))
    }
    assert flatter.pop((KINDS[0], 0)) < 1
    assert ends(flatter.values()) == pytest.approx([float(number) for number in told], abs=0.051)
    network = zip(spread_of(KINDS[2], NONE), spread_of(KINDS[2], CPM), strict=True)
    assert sum(none - cpm > 0.001 for none, cpm in network) == 1


def test_segmentation_leads_where_the_page_says_so() -> None:
    for kind in KINDS:
        found = {name: values(CLUSTERING, "real-curve-0.3", kind, name) for name in NAMES.values()}
        segments = found.pop("segmentation")
        passed = [i for i, one in enumerate(segments) if max(line[i] for line in found.values()) > one]
        assert passed == ([0, 3, 4] if kind == KINDS[2] else [])
        assert kind != KINDS[2] or [name for name, line in found.items() if line[0] > segments[0]] == [CPM]


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
    text = " ".join((ROOT / README).read_text(encoding="utf-8").split())
    assert "a density objective (CPM) keeps its accuracy within a point" in text
    assert "connected components lose eight to ten" in text
    assert max(spreads(CPM)) < 1.05 and [round(x) for x in ends(spreads(NONE))] == [8, 10]


def test_the_page_says_how_many_differences_are_corrected_for() -> None:
    text = (ROOT / OBJECTIVES).read_text(encoding="utf-8")
    for table in (
        "differences",
        "cap-differences",
        "coverage-differences",
        "ranking-differences",
        "density-differences",
    ):
        count = page_tables(Path(OBJECTIVES).name, STUDY)[table].count("[")
        assert f"correction for the {count} of this table" in " ".join(text.split())
