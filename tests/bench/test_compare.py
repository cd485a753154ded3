"""compare_backends: complete rows, and the figures that a slow restatement finds."""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations
from typing import Any

import igraph
import numpy as np
import pytest
from clips import CUT_FRAME, SHAPE, clip, nearest, unit_rows

import stgraph
from stgraph import VideoTokens
from stgraph.bench.compare import Comparison, compare_backends
from stgraph.community.base import available_backends, backend
from stgraph.community.default_backend import compared_backends
from stgraph.selection.result import Selection
from stgraph.selection.settings import backend_settings

Array = np.ndarray[Any, Any]
Row = dict[str, Any]

BACKENDS = ("lattice-components", "scipy-components", "igraph-louvain")
SPLITS, RATIOS = ("tree", "raster"), (0.1, 0.3, 0.55, 1.0)
RUNS = [
    (name, split, seed)
    for name, seeds in (("lattice-components", [None]), ("scipy-components", [None]), ("igraph-louvain", [0, 5]))
    for split in SPLITS
    for seed in seeds
]
COLUMNS = {
    *(
        "dump",
        "backend",
        "split",
        "seed",
        "retain_ratio",
        "device",
        "objective",
        "library",
        "max_size",
        "tau_sim",
        "tau_diff",
    ),
    *("importance", "n_tokens", "n_edges", "graph_s", "detection_s", "centrality_s", "events_s", "reduction_s"),
    *("n_uncapped", "largest_uncapped", "n_oversized", "oversized_ratio", "n_communities", "largest", "median_size"),
    *("n_singletons", "modularity", "uncapped_modularity", "cpm", "coverage", "mean_conductance", "internal_density"),
    *("internal_similarity", "connected", "mean_centrality", "n_kept", "n_representative", "n_event", "n_both"),
    *("n_candidates", "excess", "cap_changed_ratio", "frame_evenness", "fidelity_mean", "fidelity_p5"),
    *("event_fidelity_mean", "event_fidelity_p5", "cut_fidelity_mean", "cut_fidelity_p5"),
}


def key(row: Row, suffix: str = "") -> tuple[str, str, int | None]:
    return tuple(row[name + suffix] for name in ("backend", "split", "seed"))  # type: ignore[return-value]


@cache
def select(run: tuple[str, str, int | None], ratio: float, **options: Any) -> Selection:
    """What the selector itself keeps for one row."""
    name, split, seed = run
    chosen = stgraph.selector("st-simdiff", retain_ratio=ratio, backend=name, split=split, seed=seed or 0, **options)
    return chosen.select(clip())


@pytest.fixture(scope="module")
def result() -> Comparison:
    return compare_backends(clip(), backend_settings(BACKENDS, SPLITS, (0, 5)), RATIOS, dump="a clip")


def test_one_row_for_each_backend_splitter_seed_and_ratio(result: Comparison) -> None:
    assert [(*key(row), row["retain_ratio"]) for row in result.rows] == [
        (*run, ratio) for run in RUNS for ratio in RATIOS
    ]
    for row in result.rows:
        assert set(row) == COLUMNS
        assert row["dump"] == "a clip"
        assert row["max_size"] == math.isqrt(row["n_tokens"]) == 13
        assert (row["tau_sim"], row["tau_diff"], row["device"]) == (0.8, 0.2, "cpu")
        assert all(row[f"{stage}_s"] > 0 for stage in ("graph", "detection", "centrality", "events", "reduction"))


def test_counts_of_a_row_are_those_of_the_selection(result: Comparison) -> None:
    for row in result.rows:
        kept = select(key(row), row["retain_ratio"])
        assert row["n_kept"] == len(kept) == math.ceil(round(row["n_tokens"] * row["retain_ratio"], 9))
        counts = {name: row[f"n_{name}"] for name in ("representative", "event", "both")}
        assert {name: count for name, count in counts.items() if count} == kept.reasons()
        for name in ("n_candidates", "excess", "n_communities", "importance"):
            assert row[name] == kept.report[name]
        assert row["largest"] == kept.report["largest_community"] <= row["max_size"]
        assert row["n_kept"] + row["excess"] == max(row["n_candidates"], row["n_kept"])


def test_fidelity_is_the_cosine_of_dropped_tokens_to_the_nearest_kept(result: Comparison) -> None:
    tokens = clip()
    unit = unit_rows(tokens).reshape(*SHAPE, -1)
    events = np.zeros(SHAPE, np.bool_)
    events[1:] = (unit[1:] * unit[:-1]).sum(-1) < 0.2
    after_cut = np.zeros(SHAPE, np.bool_)
    after_cut[CUT_FRAME] = True
    defined = set()
    for row in result.rows:
        kept = select(key(row), row["retain_ratio"]).mask.reshape(-1)
        cosine = nearest(tokens, kept)
        for name, among in {"fidelity": ~kept, "event_fidelity": events, "cut_fidelity": after_cut}.items():
            values = cosine[~kept & among.reshape(-1)]
            if values.size == 0:
                assert row[f"{name}_mean"] is row[f"{name}_p5"] is None
                continue
            defined.add(name)
            assert row[f"{name}_mean"] == pytest.approx(values.mean(), abs=1e-5)
            assert row[f"{name}_p5"] == pytest.approx(np.percentile(values, 5), abs=1e-5)
    assert defined == {"fidelity", "event_fidelity", "cut_fidelity"}


def test_frame_evenness_is_the_entropy_over_frames(result: Comparison) -> None:
    for row in result.rows:
        counts = select(key(row), row["retain_ratio"]).mask.sum(axis=(1, 2))
        shares = [count / row["n_kept"] for count in counts if count]
        assert row["frame_evenness"] == pytest.approx(-sum(p * math.log(p) for p in shares) / math.log(SHAPE[0]))


def test_what_the_cap_changes(result: Comparison) -> None:
    changed = set()
    for row in result.rows:
        capped, free = (
            set(select(key(row), row["retain_ratio"], max_size=cap).indices.tolist()) for cap in ("sqrt", None)
        )
        assert row["cap_changed_ratio"] == pytest.approx(1 - len(capped & free) / len(capped | free))
        changed.add(row["cap_changed_ratio"] > 0)
    assert changed == {True, False}


def test_without_a_cap_it_changes_nothing() -> None:
    rows = compare_backends(clip(), backend_settings(parameters={"max_size": None}), fidelity=False).rows
    assert {row["backend"] for row in rows} == set(compared_backends())
    assert {row["cap_changed_ratio"] for row in rows} == {0.0}
    for row in rows:
        assert row["max_size"] is None
        assert (row["n_communities"], row["largest"]) == (row["n_uncapped"], row["largest_uncapped"])


def test_both_component_engines_give_the_same_rows(result: Comparison) -> None:
    own = {"backend", "library", "graph_s", "detection_s", "centrality_s", "events_s", "reduction_s"}
    ours, theirs = (
        [{k: v for k, v in row.items() if k not in own} for row in result.rows if row["backend"] == name]
        for name in ("lattice-components", "scipy-components")
    )
    assert ours == theirs


def test_overlap_of_every_pair(result: Comparison) -> None:
    assert [(key(p, "_a"), key(p, "_b"), p["retain_ratio"]) for p in result.overlap] == [
        (a, b, ratio) for a, b in combinations(RUNS, 2) for ratio in RATIOS
    ]
    graph = stgraph.build_graph(clip())
    parts = {
        (name, split, seed): stgraph.detect_communities(graph, name, split=split, seed=seed or 0)
        for name, split, seed in RUNS
    }
    for pair in result.overlap:
        a, b = (set(select(key(pair, side), pair["retain_ratio"]).indices.tolist()) for side in ("_a", "_b"))
        assert pair["jaccard"] == pytest.approx(len(a & b) / len(a | b))
        one, other = parts[key(pair, "_a")], parts[key(pair, "_b")]
        for name, method in {"nmi": "nmi", "ari": "adjusted_rand", "vi": "vi"}.items():
            expected = igraph.compare_communities(one.labels.tolist(), other.labels.tolist(), method=method)
            assert pair[name] == pytest.approx(expected, abs=1e-9)
        before = [part.uncapped_labels.tolist() for part in (one, other)]
        assert pair["uncapped_nmi"] == pytest.approx(igraph.compare_communities(*before, method="nmi"))


def test_overlap_does_not_depend_on_the_order(result: Comparison) -> None:
    backwards = compare_backends(
        clip(), backend_settings(BACKENDS[::-1], SPLITS, (0, 5)), RATIOS, fidelity=False
    ).overlap
    names = ("jaccard", "nmi", "ari", "vi", "uncapped_nmi")
    there, back = (
        {(frozenset({key(p, "_a"), key(p, "_b")}), p["retain_ratio"]): [p[name] for name in names] for p in pairs}
        for pairs in (result.overlap, backwards)
    )
    assert there.keys() == back.keys()
    for pair, figures in there.items():
        assert back[pair] == pytest.approx(figures)


def test_a_backend_of_no_seed_runs_once_and_a_seeded_one_repeats() -> None:
    settings = backend_settings(("igraph-leiden", "lattice-components"), seeds=(7, 8))
    first, second = (compare_backends(clip(), settings, (0.3,)) for _ in range(2))
    assert [key(row) for row in first.rows] == [
        ("igraph-leiden", "tree", 7),
        ("igraph-leiden", "tree", 8),
        ("lattice-components", "tree", None),
    ]
    assert first.overlap == second.overlap


def test_native_splits_only_where_a_library_can() -> None:
    splits = ("tree", "native")
    every = backend_settings(("all",), splits)
    native = {one.get("backend") for one in every if one.get("split") == "native"}
    assert native == {name for name in available_backends() if backend(name).capabilities.native_cap}
    assert "leidenalg-leiden" in native
    rows = compare_backends(clip(), backend_settings(("leidenalg-leiden",), splits), fidelity=False).rows
    assert {row["split"] for row in rows} == {"tree", "native"}
    assert all(row["largest"] <= row["max_size"] for row in rows)


def test_without_fidelity_its_figures_are_empty() -> None:
    comparison = compare_backends(clip(), backend_settings(("lattice-components",)), fidelity=False)
    assert comparison.overlap == []
    for row in comparison.rows:
        assert set(row) == COLUMNS
        assert {row[name] for name in COLUMNS if "fidelity" in name} == {None}


def test_without_cuts_their_columns_are_empty() -> None:
    tokens = VideoTokens.from_array(clip().lattice)
    (row,) = compare_backends(tokens, backend_settings(("lattice-components",)), (0.1,)).rows
    assert set(row) == COLUMNS
    assert row["cut_fidelity_mean"] is row["cut_fidelity_p5"] is None


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 5), (5, 1, 1), (2, 2, 2)])
def test_videos_of_any_shape(shape: tuple[int, int, int]) -> None:
    constant = VideoTokens.from_array(np.ones((*shape, 3), np.float16))
    for row in compare_backends(constant, ratios=(0.5,)).rows:
        assert row["n_kept"] == -(-math.prod(shape) // 2)
        assert row["fidelity_mean"] in (None, pytest.approx(1.0, abs=1e-3))
        assert row["n_event"] == row["n_both"] == 0


def test_progress_runs_from_0_to_1() -> None:
    told: list[tuple[str, float]] = []
    settings = backend_settings(("lattice-components", "igraph-leiden"))
    compare_backends(clip(), settings, progress=lambda label, share: told.append((label, share)))
    labels, shares = zip(*told, strict=True)
    assert {"graph", "lattice-components", "igraph-leiden", "fidelity"} <= set(labels)
    assert list(shares) == sorted(shares)
    assert (shares[0], told[-1]) == (0.0, ("done", 1.0))


def test_on_the_sample_few_communities_hold_most_tokens() -> None:
    settings = backend_settings(("lattice-components",))
    (row,) = compare_backends(stgraph.sample(), settings, (0.3,), fidelity=False).rows
    assert (row["n_uncapped"], row["largest_uncapped"], row["n_communities"]) == (1337, 1513, 1398)
    assert row["n_oversized"] == 18
    assert row["oversized_ratio"] == pytest.approx(0.61, abs=0.005)
    assert row["cap_changed_ratio"] > 0.2
