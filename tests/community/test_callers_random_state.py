"""A caller's random streams and thread counts go on as if no backend had run, whatever becomes of the run."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import igraph
import networkx as nx
import numpy as np
import pytest
from zoo import lattice

from stgraph import EdgeList, detect_communities
from stgraph.community.arguments import backend_params
from stgraph.community.base import available_backends, backend
from stgraph.community.igraph_random import lent_generator

Draw = Callable[[], Any]
BACKENDS = [name for name in available_backends() if backend(name).capabilities.reads == "edges"]


class Own(random.Random):
    """A generator of the caller's own class."""


class Counting:
    """One without ``getstate``: what igraph asks of a generator, and no more."""

    def __init__(self, seed: int) -> None:
        self._inner = random.Random(seed)

    def getrandbits(self, k: int) -> int:
        return self._inner.getrandbits(k)

    def randint(self, low: int, high: int) -> int:
        return self._inner.randint(low, high)

    def random(self) -> float:
        return self._inner.random()

    def gauss(self, mu: float, sigma: float) -> float:
        return self._inner.gauss(mu, sigma)


def drawn() -> list[tuple[int, int]]:
    edges: list[tuple[int, int]] = igraph.Graph.Erdos_Renyi(n=50, m=8).get_edgelist()
    return edges


def igraph_stream(make: Callable[[], Any]) -> Callable[[], Draw]:
    def start() -> Draw:
        random.seed(4)
        igraph.set_random_number_generator(make())
        return drawn

    return start


def python_stream() -> Draw:
    random.seed(4)
    return random.random


def numpy_stream() -> Draw:
    np.random.seed(4)  # noqa: NPY002
    return np.random.random


def networkit_stream() -> Draw:
    networkit = pytest.importorskip("networkit")
    networkit.setSeed(4, False)
    graph = networkit.Graph(1000)
    return lambda: (networkit.graphtools.randomNode(graph), networkit.getMaxNumberOfThreads())


def networkx_stream() -> Draw:
    random.seed(4)
    return lambda: list(nx.gnm_random_graph(30, 5).edges)


def torch_stream() -> Draw:
    torch = pytest.importorskip("torch")
    torch.manual_seed(4)
    return lambda: (torch.rand(1).item(), torch.get_num_threads())


STREAMS: dict[str, Callable[[], Draw]] = {
    "python": python_stream,
    "numpy": numpy_stream,
    "networkit": networkit_stream,
    "networkx": networkx_stream,
    "torch": torch_stream,
    "igraph of python": igraph_stream(lambda: random),
    "igraph of its own": igraph_stream(lambda: random.Random(4)),
    "igraph of a subclass": igraph_stream(lambda: Own(4)),
    "igraph of another class": igraph_stream(lambda: Counting(4)),
}


@pytest.fixture(autouse=True)
def igraph_as_before() -> Iterator[None]:
    yield
    igraph.set_random_number_generator(random)


@cache
def edges() -> EdgeList:
    return lattice((3, 5, 6))


def found(name: str) -> None:
    detect_communities(edges(), name, max_size=5, split="redetect", seed=3)


def failed(name: str) -> None:
    """A library that raises in the middle: of a resolution it cannot read."""
    engine = backend(name)
    params: Any = replace(backend_params(engine), resolution="high")  # type: ignore[arg-type]
    try:
        engine.labels(edges(), params)
    except Exception:  # each library has errors of its own
        return
    assert "resolution" in engine.capabilities.ignores, "nothing was raised"


def in_a_thread(name: str) -> None:
    worker = threading.Thread(target=found, args=(name,))
    worker.start()
    worker.join()


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", BACKENDS)
def test_a_stream_goes_on(name: str, stream: str) -> None:
    draw = STREAMS[stream]()
    expected = [draw() for _ in range(8)]
    draw = STREAMS[stream]()
    seen = [draw()]
    for call in (found, failed, found, in_a_thread, failed, found):
        call(name)
        seen.append(draw())
    assert seen == expected[:7]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", BACKENDS)
def test_no_stream_changes_what_is_found(name: str, stream: str) -> None:
    alone = detect_communities(edges(), name, seed=3).labels.tolist()
    STREAMS[stream]()()
    assert detect_communities(edges(), name, seed=3).labels.tolist() == alone


@pytest.mark.parametrize("name", [name for name in BACKENDS if name.startswith("igraph")])
def test_igraphs_own_generator_stays_in_use(name: str) -> None:
    igraph.set_random_number_generator(None)
    for call in (found, failed, found):
        call(name)
        before = random.getstate()
        drawn()
        assert random.getstate() == before
    igraph.set_random_number_generator(random)
    found(name)
    drawn()
    assert random.getstate() != before


def test_a_thread_that_never_chose_stays_as_it_was() -> None:
    moved = []

    def work() -> None:
        for call in (lambda: None, lambda: found("igraph-leiden")):
            call()
            before = random.getstate()
            drawn()
            moved.append(random.getstate() != before)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert moved[0] == moved[1]


def test_a_generator_chosen_between_calls_is_given_back() -> None:
    for make in (lambda: random.Random(1), lambda: random, lambda: Counting(1), lambda: Own(1)):
        found("igraph-leiden")
        start = igraph_stream(make)
        draw = start()
        expected = [draw() for _ in range(3)]
        draw = start()
        seen = [draw()]
        for _ in range(2):
            found("igraph-louvain")
            seen.append(draw())
        assert seen == expected


def test_threads_of_networkit_are_given_back() -> None:
    networkit = pytest.importorskip("networkit")
    before = networkit.getMaxNumberOfThreads()
    try:
        for count in (1, 2, 3):
            networkit.setNumberOfThreads(count)
            for call in (found, failed):
                call("networkit-leiden")
                assert networkit.getMaxNumberOfThreads() == count
    finally:
        networkit.setNumberOfThreads(before)


def test_a_seed_decides_inside_the_block() -> None:
    def under(seed: int) -> Any:
        with lent_generator(seed):
            return drawn()

    assert under(1) == under(1) != under(2)
