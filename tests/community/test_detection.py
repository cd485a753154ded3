"""What detect_communities does around a backend: choosing it, checking it, cutting what is too large."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from foreign import registered
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import graph, path, sparse

import stgraph
from stgraph import EdgeList, detect_communities
from stgraph.community.base import BACKENDS, backend
from stgraph.community.default_backend import AUTO_ORDER
from stgraph.errors import BackendUnavailableError, InputError, UnknownNameError

PATH = graph(6, path(6))


@settings(deadline=None, max_examples=80)
@given(n_nodes=st.integers(1, 60), density=st.floats(0, 2), seed=st.integers(0, 2**32 - 1))
def test_both_component_engines_agree(n_nodes: int, density: float, seed: int) -> None:
    edges = sparse(n_nodes, int(density * n_nodes), seed)
    ours, theirs = (detect_communities(edges, f"{name}-components", max_size="sqrt") for name in ("lattice", "scipy"))
    np.testing.assert_array_equal(ours.uncapped_labels, theirs.uncapped_labels)
    np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_unweighted_zeros_are_edges_to_components() -> None:
    edges = graph(3, [(0, 1), (1, 2)], [0.0, -1.0])
    for name in ("lattice-components", "scipy-components"):
        assert detect_communities(edges, name, max_size=None).labels.tolist() == [0, 0, 0]


def test_a_token_graph_is_its_community_graph() -> None:
    tokens = stgraph.build_graph(stgraph.sample(), tau_sim=0.85)
    by_graph, by_edges = (detect_communities(g, "lattice-components") for g in (tokens, tokens.edges))
    np.testing.assert_array_equal(by_graph.labels, by_edges.labels)
    assert by_graph.edges is tokens.edges


def test_auto_takes_the_first_that_runs_and_records_the_others() -> None:
    runs = [name for name in AUTO_ORDER if backend(name).unavailable() is None]
    before = AUTO_ORDER[: AUTO_ORDER.index(runs[0])]
    provenance = detect_communities(PATH, "auto").provenance
    assert provenance.backend == runs[0]
    assert provenance.skipped == tuple(f"{name}: {backend(name).unavailable()}" for name in before)


def test_auto_passes_over_what_cannot_run(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stgraph")
    with registered(lambda edges: np.zeros(edges.n_nodes, int), reason="no such device") as name:
        monkeypatch.setattr("stgraph.community.default_backend.AUTO_ORDER", (name, "scipy-components"))
        provenance = detect_communities(PATH, "auto").provenance
        assert (provenance.backend, provenance.skipped) == ("scipy-components", ("foreign: no such device",))
        assert caplog.messages == ["foreign: no such device"]
        monkeypatch.setattr("stgraph.community.default_backend.AUTO_ORDER", (name,))
        with pytest.raises(BackendUnavailableError, match="no backend can run here: foreign: no such device"):
            detect_communities(PATH, "auto")


def test_a_backend_asked_for_by_name_never_falls_back() -> None:
    with registered(lambda edges: np.zeros(edges.n_nodes, int), reason="no such device") as name:
        assert stgraph.backends()[name] == "no such device"
        assert name not in stgraph.available_backends()
        with pytest.raises(BackendUnavailableError, match=r"foreign cannot run here: no such device\. Available: latt"):
            detect_communities(PATH, name)


@pytest.mark.parametrize("name", [name for name in BACKENDS.names() if name.startswith("cugraph-")])
def test_cugraph_says_what_it_lacks(name: str) -> None:
    reason = backend(name).unavailable()
    if reason is None:
        pytest.skip("cuGraph runs on this machine")
    assert "GPU" in reason or "pip install" in reason
    with pytest.raises(BackendUnavailableError) as caught:
        detect_communities(PATH, name)
    assert str(caught.value).startswith(f"{name} cannot run here: {reason}")


def test_networkit_gets_its_threads_back() -> None:
    networkit = pytest.importorskip("networkit", reason="needs networkit")
    before = networkit.getMaxNumberOfThreads()
    networkit.setNumberOfThreads(3)
    try:
        detect_communities(PATH, "networkit-leiden")
        assert networkit.getMaxNumberOfThreads() == 3
    finally:
        networkit.setNumberOfThreads(before)


def test_unknown_names_are_told_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"no community backend 'igraph-leidn'\. Did you mean 'igraph-leiden'\?"):
        detect_communities(PATH, "igraph-leidn")
    with pytest.raises(UnknownNameError, match=r"no splitter 'rastr'\. Did you mean 'raster'\?"):
        detect_communities(PATH, split="rastr")


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: np.full(n, 2**62),
        lambda n: np.full(n, 2**64 - 1, np.uint64),
        lambda n: np.full(n, -3, np.int8),
        lambda n: np.zeros(2 * n, np.int64)[::2],
        lambda n: [7] * n,
    ],
    ids=["huge", "unsigned", "negative", "strided", "list"],
)
def test_a_foreign_backend_may_return_any_integers(answer: Callable[[int], Any]) -> None:
    with registered(lambda edges: answer(edges.n_nodes)) as name:
        free = detect_communities(graph(8, path(6)), name, max_size=None)
        capped = detect_communities(graph(8, path(6)), name, max_size=4)
    assert free.labels.tolist() == [0] * 6 + [1, 2]
    assert capped.sizes.max() <= 4
    assert capped.provenance.library == "numpy"


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: np.zeros(n - 1, np.int64),
        lambda n: np.zeros((n, 1), np.int64),
        lambda n: np.zeros(n),
        lambda n: np.full(n, np.nan),
        lambda n: ["a"] * n,
        lambda n: None,
    ],
    ids=["short", "two axes", "floats", "NaN", "text", "none"],
)
def test_a_foreign_backend_must_return_one_integer_a_node(answer: Callable[[int], Any]) -> None:
    with (
        registered(lambda edges: answer(edges.n_nodes)) as name,
        pytest.raises(InputError, match=r"backend foreign returned .* for 6 nodes; it must return one"),
    ):
        detect_communities(PATH, name)


def test_a_foreign_backend_sees_neither_isolated_nodes_nor_empty_graphs() -> None:
    seen: list[tuple[int, list[int]]] = []

    def answer(edges: EdgeList) -> list[int]:
        seen.append((edges.n_nodes, edges.degrees().tolist()))
        return [0] * edges.n_nodes

    with registered(answer) as name:
        assert detect_communities(graph(5, []), name).labels.tolist() == [0, 1, 2, 3, 4]
        assert seen == []
        assert detect_communities(graph(5, [(1, 3)]), name, max_size=None).labels.tolist() == [0, 1, 2, 1, 3]
    assert seen == [(2, [1, 1])]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_size": 0}, "max_size is 0; it must be 'sqrt', a positive integer or None"),
        ({"max_size": -4}, "max_size is -4; it must be"),
        ({"max_size": 2.0}, "max_size is 2.0; it must be"),
        ({"max_size": True}, "max_size is True; it must be"),
        ({"max_size": "root"}, "max_size is 'root'; it must be"),
        ({"max_size": np.array([1, 2])}, "max_size is array.*; it must be"),
        ({"resolution": 0}, "resolution is 0; it must be a positive number"),
        ({"resolution": -1.0}, "resolution is -1.0; it must be"),
        ({"resolution": float("nan")}, "resolution is nan; it must be"),
        ({"resolution": "high"}, "resolution is 'high'; it must be"),
        ({"n_iterations": 0.5}, "n_iterations is 0.5; it must be an integer from -1 to 10000"),
        ({"n_iterations": -2}, "n_iterations is -2; it must be"),
        ({"beta": True}, "beta is True; it must be a number"),
        ({"trials": 3}, "backend igraph-leiden has no parameter 'trials'; it has: n_iterations, beta"),
        ({"seed": -1}, "seed is -1; it must be an integer from 0 to"),
        ({"seed": 2**31}, "seed is 2147483648; it must be"),
        ({"seed": 1.0}, "seed is 1.0; it must be"),
        ({"split": None}, "no splitter None"),
        ({"split": "native"}, "no cap of its own; those that do: .*lattice-leiden, .*leidenalg-leiden"),
    ],
)
def test_parameters_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        detect_communities(PATH, "igraph-leiden", **options)


def test_numpy_numbers_are_numbers() -> None:
    found = detect_communities(PATH, "igraph-leiden", max_size=np.int64(3), resolution=np.float32(2), seed=np.int32(1))
    plain = detect_communities(PATH, "igraph-leiden", max_size=3, resolution=2, seed=1)
    assert found.provenance == plain.provenance


def test_only_graphs_have_communities() -> None:
    with pytest.raises(InputError, match="got ndarray; pass a TokenGraph or an EdgeList"):
        detect_communities(np.zeros((3, 3)))  # type: ignore[arg-type]
