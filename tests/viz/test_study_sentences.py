"""Numbers in the sentences of docs/what-clustering-changes.md are those of its tables."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from study_cells import STUDY, N, Numbers, assert_told, ends, less, lines, plain, spread, value, values

from stgraph.bench.tables.reading import read_tables
from stgraph.viz.markdown import real_features
from stgraph.viz.markdown.objectives import NAMES

CLUSTERING = "docs/what-clustering-changes.md"


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


def curve(kind: str, objective: str) -> list[float]:
    return values(CLUSTERING, "real-curve-0.1", kind, objective)[:3]


KINDS = ("vision transformer", "patch descriptors", "convolutional network")
LEIDEN, LOUVAIN, COMPONENTS = "igraph-leiden", "igraph-louvain", "lattice-components"
NONE, CPM = "none (components)", "CPM (Leiden)"
PROTECT, RASTER, CAP = "protect_events: True over False", "split: raster over tree", "max_size: sqrt over none"
EVENTS, LEIDEN_OVER = "events: True over False", f"backend: {LEIDEN} over {COMPONENTS}"
ATTENTION = "importance: attention over difference-then-centrality"

# A sentence with its numbers as groups, and the numbers from the tables, whose cells are rounded.
SENTENCES: list[tuple[str, Callable[[], Numbers]]] = [
    (f"hold {N} % of a probe video's tokens at `tau_sim` 0.8, {N} % at 0.9", lambda: above(COMPONENTS)),
    (f"and {N} % of the real sample's; Louvain", lambda: [of_sample(COMPONENTS)]),
    (f"Louvain and Leiden leave {N} to {N} %, and", lambda: ends([*above(LOUVAIN), *above(LEIDEN)])),
    (f"%, and {N} to {N} %[.]", lambda: ends([of_sample(LOUVAIN), of_sample(LEIDEN)])),
    (f"spans {N} points .* at r = 0.1 and {N} at r = 0.3", lambda: [spread(tau_curve(i)) for i in (1, 2)]),
    (f"At 0.8 it is worth {N} to {N} points at every ratio", lambda: ends(choice(CAP))),
    (f"at 0.9 at most {N}. How it cuts", lambda: [max(choice(CAP, "0.9"))]),
    (f"raster order loses {N} to {N} points at 0.8", lambda: ends(choice(RASTER))),
    (f"points at 0.8, {N} at most at 0.9", lambda: [ends(choice(RASTER, "0.9"))[1]]),
    (f"Leiden is {N} to {N} points better at 0.8", lambda: ends(choice(LEIDEN_OVER))),
    (f"and within {N} at 0.9. Without the cap", lambda: [ends(choice(LEIDEN_OVER, "0.9"))[1]]),
    (
        f"components lose {N} to {N} points to Leiden at 0.8",
        lambda: ends(less(backend(LEIDEN, "0.8", "none")[1:], backend(COMPONENTS, "0.8", "none")[1:])),
    ),
    (
        f"DETS adds {N} points at r = 0.05 to questions about brief objects, {N} at r = 0.5",
        lambda: choice(EVENTS, table="contrasts-evt")[::3],
    ),
    (f"it adds {N} to {N} from r = 0.1 on", lambda: ends(choice(EVENTS)[1:])),
    (f"events cost {N} point overall", lambda: [-choice(EVENTS, "0.9")[0]]),
    (
        f"Dropping events last costs {N} to {N} points",
        lambda: ends([choice(PROTECT)[0], choice(PROTECT, "0.9")[0]]),
    ),
    (
        f"{N} to {N} points at r = 0.05, over the best ranking without it",
        lambda: [round(number) for number in ends([choice(ATTENTION)[0], choice(ATTENTION, "0.9")[0]])],
    ),
    (
        f"at r = 0.5 it is {N} at 0.8, and {N} at 0.9",
        lambda: [choice(ATTENTION)[3], choice(ATTENTION, "0.9")[3]],
    ),
    (
        f"beat both together by {N} to {N} points",
        lambda: ends(x for one in ("spatial", "temporal") for x in less(ablation(one), ablation("spatial-temporal"))),
    ),
    (f"spread evenly lose {N} points", lambda: [methods("all tokens")[2] - methods("`uniform`")[2]]),
    (
        f"the paper's method {N} at 0.8 and {N} at 0.9. Its lead",
        lambda: [methods("all tokens")[2] - methods(f"`st-simdiff`, tau_sim {tau}")[2] for tau in ("0.8", "0.9")],
    ),
    (
        f"at 0.9 it stands {N} to {N} points above random",
        lambda: [round(x) for x in ends(less(methods("`st-simdiff`, tau_sim 0.9")[:2], methods("`random`")[:2]))],
    ),
    (f"there, too, {N} % of the tokens lie in components", lambda: [of_sample(COMPONENTS)]),
    (
        f"it moves by {N} to {N} points, and its best",
        lambda: [
            round(x)
            for x in ends(spread(values(CLUSTERING, "thresholds", kind)) for kind in ("projector-centred", "projector"))
        ],
    ),
    (
        f"CPM moves by {N} to {N}, components by {N} to {N}[.]",
        lambda: [x for one in (CPM, NONE) for x in ends(spread(curve(kind, one)) for kind in KINDS)],
    ),
]


@pytest.mark.parametrize(("sentence", "numbers"), SENTENCES, ids=[sentence for sentence, _ in SENTENCES])
def test_sentence_tells_the_numbers_of_the_tables(sentence: str, numbers: Callable[[], Numbers]) -> None:
    assert_told(CLUSTERING, sentence, numbers())


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
    (told,) = re.findall(f"by a factor of {N} to {N} in seven of the eight settings", plain(CLUSTERING))
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
