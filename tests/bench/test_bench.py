"""The benchmark measures what it says: an honest reference, peers that agree, every stage in the rows."""

from __future__ import annotations

import gc
import math
from itertools import count
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from selection_oracles import Oracle, features

import stgraph
from stgraph import VideoTokens
from stgraph.bench.speed import peers, reference, timing
from stgraph.bench.speed.first_call import first_call
from stgraph.bench.speed.plain_read import plain_reads
from stgraph.bench.speed.prefill import PrefillCase, measure_prefill
from stgraph.bench.speed.stages import CASES, Case, measure
from stgraph.bench.synthetic import synthetic_tokens
from stgraph.community.base import available_backends, backend
from stgraph.community.detect import detect_communities
from stgraph.community.objectives import OBJECTIVES
from stgraph.selection.budget import ceil_share, exact_ratio
from stgraph.selection.st_simdiff.centrality import centrality
from stgraph.selection.st_simdiff.representatives import representative_tokens

Array = np.ndarray[Any, Any]

STAGES = [
    *("edges", "edge list", "components", "split", "detection", "centrality", "representatives", "events"),
    "selection",
]

OF_FEATURES = {name for name in available_backends() if backend(name).capabilities.reads == "features"}


def close_call(x: Array, ratio: float, tau_sim: float, tau_diff: float) -> float:
    """The smallest distance that decided anything in a selection; float32 cannot be trusted with less than 1e-5."""
    oracle = Oracle(x)
    cap = math.isqrt(len(oracle.rows))
    pieces = [c[i : i + cap] for c in oracle.components(tau_sim) for i in range(0, len(c), cap)]
    return oracle.select(pieces, exact_ratio(ratio), tau_diff).margin


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(2, 9)),
    ratio=st.sampled_from([0.07, 0.1, 0.3, 0.5, 0.75, 1.0]),
    thresholds=st.sampled_from([(0.8, 0.2), (0.5, 0.4), (0.3, 0.7), (-0.5, 0.1)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_plain_python_reference_selects_the_same(
    shape: tuple[int, int, int, int], ratio: float, thresholds: tuple[float, float], seed: int
) -> None:
    x = features(seed, shape)
    tau_sim, tau_diff = thresholds
    assume(close_call(x, ratio, tau_sim, tau_diff) > 1e-5)
    chosen = stgraph.selector("st-simdiff", retain_ratio=ratio, tau_sim=tau_sim, tau_diff=tau_diff, split="raster")
    assert reference.select(x, ratio, tau_sim, tau_diff) == chosen.select(VideoTokens.from_array(x)).indices.tolist()


def test_the_reference_takes_dark_tokens() -> None:
    x = features(1, (3, 3, 4, 6))
    x[1, 1, 1:3] = 0
    chosen = stgraph.selector("st-simdiff", retain_ratio=0.4, split="raster")
    assert reference.select(x, 0.4) == chosen.select(VideoTokens.from_array(x)).indices.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(2, 3, 4, 8), (3, 3, 3, 5), (2, 5, 1, 1), (1, 1, 1, 3), (1, 1, 1, 4)])
def test_a_plain_read_touches_every_number(shape: tuple[int, ...], dtype: Any) -> None:
    x = np.zeros(shape, dtype)
    read = plain_reads(x)
    assert set(read) == ({"or", "sum", "numpy sum"} if dtype == np.float32 else {"or"})
    flat = x.reshape(-1)
    for name, work in read.items():
        assert not np.any(work())
        for i in range(flat.size):
            flat[i] = 1
            assert np.any(work()), f"{name} did not see element {i}"
            flat[i] = 0


def test_synthetic_tokens_are_the_same_every_time() -> None:
    x = synthetic_tokens(3, 4, 5, 16)
    assert (x.shape, x.dtype) == ((3, 4, 5, 16), np.float32)
    np.testing.assert_array_equal(x, synthetic_tokens(3, 4, 5, 16))
    assert not np.array_equal(x, synthetic_tokens(3, 4, 5, 16, seed=1))


def test_synthetic_tokens_look_like_shots_of_still_regions() -> None:
    similarity = stgraph.build_graph(VideoTokens.from_array(synthetic_tokens(20, 12, 12, 256))).similarity
    right, temporal = similarity[0], similarity[2]
    assert np.nanmedian(right) == pytest.approx(1 / (1 + 0.35**2), abs=0.02)
    over_time = np.nanmedian(temporal.reshape(temporal.shape[0], -1)[:19], axis=1)
    assert (over_time[np.arange(19) != 15] > 0.8).all()
    assert abs(over_time[15]) < 0.3  # the next shot begins at frame 16


def test_rounds_take_turns_and_collect_no_garbage() -> None:
    calls: list[str] = []

    def piece(name: str) -> Any:
        def work() -> None:
            assert not gc.isenabled()
            calls.append(name)

        return work

    assert gc.isenabled()
    medians = timing.rounds({"a": piece("a"), "b": piece("b")}, 3)
    assert gc.isenabled()
    assert calls == ["a", "b"] * 4
    assert set(medians) == {"a", "b"}


def test_garbage_is_collected_again_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        timing.rounds({"fails": lambda: 1 / 0}, 1)
    assert gc.isenabled()


def test_medians_are_of_the_rounds_that_count() -> None:
    stamps = iter([0, 99, 0, 1, 0, 9, 0, 4])  # the first round does not count
    assert timing.rounds({"a": lambda: None}, 3, timing.by_clock(lambda: next(stamps))) == {"a": 4}


@pytest.mark.parametrize(("limit_s", "calls"), [(0.0, 1), (2.5, 3), (1000.0, 5)])
def test_slow_work_is_repeated_while_time_lasts(monkeypatch: pytest.MonkeyPatch, limit_s: float, calls: int) -> None:
    stamps = count()  # a second between any two looks at the clock
    monkeypatch.setattr(timing, "perf_counter", lambda: next(stamps))
    done: list[None] = []
    assert timing.once(lambda: done.append(None), limit_s) == 1
    assert len(done) == calls


def test_peers_compute_the_same() -> None:
    x = features(2, (4, 5, 6, 16))
    tokens = VideoTokens.from_array(x)
    graph = stgraph.build_graph(tokens, 0.5)
    for theirs, ours in zip(peers.numpy_edges(x), graph.similarity, strict=True):
        np.testing.assert_allclose(theirs.ravel(), ours[~np.isnan(ours)], atol=1e-5)
    parts = detect_communities(graph, "lattice-components")
    ours = centrality(tokens, graph, parts)
    np.testing.assert_allclose(peers.all_pairs_centrality(x, parts), ours, atol=1e-5)
    counts = ceil_share(parts.sizes, exact_ratio(0.3))
    np.testing.assert_array_equal(
        peers.sorted_top(ours, parts, counts), representative_tokens(ours, parts, exact_ratio(0.3))
    )


def test_peers_are_every_backend_and_more() -> None:
    edges = stgraph.build_graph(VideoTokens.from_array(features(3, (3, 4, 4, 8))), 0.5).edges
    by_objective = {objective: peers.detectors(edges, objective) for objective in OBJECTIVES}
    components = by_objective.pop("none")
    cpu = {name for name in available_backends() if backend(name).capabilities.device == "cpu"} - OF_FEATURES
    assert cpu <= set(components).union(*by_objective.values())
    assert {"igraph (components)", "networkx (components)"} <= set(components)
    found = detect_communities(edges, "lattice-components", max_size=None).n_communities
    assert len(np.unique(components["igraph (components)"]())) == found  # type: ignore[call-overload]
    assert len(components["networkx (components)"]()) == found  # type: ignore[arg-type]
    for detectors in by_objective.values():
        for name, work in detectors.items():
            assert np.shape(work()) == (edges.n_nodes,), name


def test_rows_of_a_case() -> None:
    told: list[str] = []
    rows = measure(Case(3, 4, 5, 8), 1, told.append)
    by = {(row["stage"], row["by"]): row for row in rows}
    assert len(by) == len(rows)
    assert [row["stage"] for row in rows if row["by"] == "stgraph"] == STAGES
    assert {stage for stage, name in by if name not in ("stgraph", "plain read")} == {
        *("edges", "components", "communities", "centrality", "representatives")
    }
    assert {name for stage, name in by if stage == "communities"} == {
        name for name in available_backends() if backend(name).capabilities.objective not in ("none", "features")
    }
    read = by["read", "plain read"]["seconds"]
    for row in rows:
        assert row["seconds"] > 0
        assert row["reads"] == pytest.approx(row["seconds"] / read)
        assert (row["case"], row["n_tokens"], row["d"], row["dtype"]) == ("3x4x5x8 float32", 60, 8, "float32")
    assert [key for key, row in by.items() if "extra_bytes_ratio" in row] == [("selection", "stgraph")]
    assert by["selection", "stgraph"]["extra_bytes_ratio"] > 0
    assert all(label.startswith("3x4x5x8 float32: ") for label in told)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_case_without_peers(dtype: str) -> None:
    rows = measure(Case(2, 3, 4, 5, dtype, peers=False), 1)
    assert [(row["stage"], row["by"]) for row in rows] == [("read", "plain read"), *((s, "stgraph") for s in STAGES)]
    assert {row["dtype"] for row in rows} == {dtype}


def test_the_cases_are_those_of_the_table() -> None:
    sizes = [case.T * case.H * case.W for case in CASES if case.d == 128]
    assert sizes[0] == pytest.approx(1e4, rel=0.05)
    assert sizes[-1] == pytest.approx(1e6, rel=0.05)
    assert {case.dtype for case in CASES} == {"float32", "float16", "bfloat16"}
    assert any((case.T * case.H * case.W, case.d, case.dtype) == (12_544, 3584, "float32") for case in CASES)


@pytest.mark.slow
def test_the_first_call_with_an_empty_and_a_warm_cache() -> None:
    rows = first_call()
    assert [row["cache"] for row in rows] == ["empty", "warm"]
    for row in rows:
        assert set(row) == {"cache", "import_s", "first_selection_s", "second_selection_s"}
        assert all(seconds > 0 for name, seconds in row.items() if name != "cache")


def test_prefill_rows() -> None:
    pytest.importorskip("transformers", reason="needs transformers and torch: pip install -e '.[hf]'")
    rows = measure_prefill(PrefillCase(n_frames=4, side=4, n_layers=2, width=64), 1)
    assert [row["by"] for row in rows] == ["full", "evs", "st-simdiff, one pass", "st-simdiff, two passes"]
    assert [row["n_kept"] for row in rows] == [64, 20, 20, 20]
    assert rows[0]["speedup"] == 1
    assert all(row["seconds"] > 0 and row["speedup"] == rows[0]["seconds"] / row["seconds"] for row in rows)
    two_passes = rows[-1]
    assert two_passes["n_candidates"] > 20 and two_passes["probe_s"] > 0
    assert all(row["probe_s"] == 0 for row in rows[:-1])


def test_the_phases_of_a_prompt() -> None:
    pytest.importorskip("transformers", reason="needs transformers and torch: pip install -e '.[hf]'")
    rows = measure_prefill(PrefillCase(n_frames=4, side=4, n_layers=2, width=64), 1)
    for row in rows:
        phases = ("tower_s", "projector_s", "select_s", "probe_s", "prefill_s")
        assert sum(row[name] for name in phases) == pytest.approx(row["seconds"])
        assert row["tower_s"] > 0 and row["prefill_s"] > 0 and row["decode_s"] > 0
        assert row["prepare_s"] is None or row["prepare_s"] > 0
