"""A stand-in for a cluster of GPU workers: dask_cudf, cugraph.dask with its communicator, and the Dask client.

On top of ``rapids.py``, and in its spirit: the edges a worker gets are checked, rows of a result come shuffled across
its partitions, and labels with gaps. Functions have the parameters of cuGraph 26.10, name for name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import igraph
import numpy as np
import pytest
import rapids
from oracles import components

Array = np.ndarray[Any, Any]


class Cluster:
    """What is running: the workers, the client, and the communicator with the workers it was initialised on."""

    def __init__(self, n_workers: int) -> None:
        self.workers = tuple(f"tcp://127.0.0.1:{40000 + i}" for i in range(n_workers))
        self.has_client = True
        self.communicating: tuple[str, ...] | None = self.workers

    def default_client(self) -> Cluster:
        if not self.has_client:
            raise ValueError("No clients found")
        return self

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.workers, 1)

    def is_initialized(self) -> bool:
        return self.communicating is not None

    def get_workers(self) -> list[str] | None:
        return None if self.communicating is None else list(self.communicating)


class Frame:
    """``dask_cudf.DataFrame``: partitions of named columns."""

    def __init__(self, parts: list[dict[str, Array]]) -> None:
        self.parts = parts

    def compute(self) -> rapids.DataFrame:
        return rapids.DataFrame(
            {name: rapids.Series(rapids.DeviceArray(column)) for name, column in self.whole.items()}
        )

    @property
    def whole(self) -> dict[str, Array]:
        return {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}


def from_cudf(
    data: rapids.DataFrame,
    npartitions: int | None = None,
    chunksize: int | None = None,
    sort: bool = True,
    name: str | None = None,
) -> Frame:
    assert isinstance(data, rapids.DataFrame) and npartitions and chunksize is name is None
    assert rapids.Stream.idle, "work on the columns is still under way"
    columns = {name: column.values.host for name, column in data.columns.items()}
    cuts = [np.array_split(column, npartitions) for column in columns.values()]
    return Frame([dict(zip(columns, part, strict=True)) for part in zip(*cuts, strict=True)])


def concat(objs: list[rapids.DataFrame], ignore_index: bool = False) -> rapids.DataFrame:
    """``cudf.concat``."""
    assert ignore_index, "an index with repeated labels cannot be cut into partitions"
    parts = [{name: column.values.host for name, column in frame.columns.items()} for frame in objs]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    idle = rapids.Stream.idle  # cuDF waits for its own work
    frame = rapids.DataFrame({name: rapids.Series(rapids.DeviceArray(column)) for name, column in joined.items()})
    rapids.Stream.idle = idle
    return frame


def graph_of(cluster: Cluster) -> type[rapids.Graph]:
    """``cugraph.Graph`` in a process whose Dask client is that of ``cluster``."""

    class Graph(rapids.Graph):
        def from_dask_cudf_edgelist(
            self,
            input_ddf: Frame,
            source: str = "source",
            destination: str = "destination",
            edge_attr: str | None = None,
            weight: str | None = None,
            edge_id: str | None = None,
            edge_type: str | None = None,
            renumber: bool = True,
            store_transposed: bool = False,
        ) -> None:
            assert isinstance(input_ddf, Frame) and weight and edge_attr is edge_id is edge_type is None
            assert not renumber and not store_transposed
            assert cluster.has_client and cluster.is_initialized()
            assert len(input_ddf.parts) == len(cluster.workers)
            whole = input_ddf.whole
            assert set(whole) == {source, destination, weight}
            src, dst, weights = whole[source], whole[destination], whole[weight]
            assert src.dtype == dst.dtype and src.dtype in (np.int32, np.int64) and weights.dtype == np.float64
            assert len(src) >= 2 * len(cluster.workers), "a worker without an edge"
            self.weight_of = dict(zip(zip(src.tolist(), dst.tolist(), strict=True), weights.tolist(), strict=True))
            copies = len(src) // len(self.weight_of)
            assert list(self.weight_of.values()) * copies == weights.tolist(), "edges repeat, but with other weights"
            assert np.isfinite(weights).all()
            ends = np.concatenate([src, dst])
            self.ids, self.n = src.dtype, int(ends.max()) + 1
            assert all(0 <= a < b for a, b in self.weight_of)
            assert np.bincount(ends).all(), "a vertex without an edge"
            self.n_workers = len(cluster.workers)

        def igraph(self) -> Any:
            return igraph.Graph(self.n, list(self.weight_of))

        def partitioned(self, labels: Any, column: str) -> Frame:
            """Rows in any order on any worker, label values with gaps."""
            order = np.random.default_rng().permutation(self.n).astype(self.ids)
            values = (np.asarray(labels, self.ids) * 7 + 3)[order]
            cuts = zip(np.array_split(order, self.n_workers), np.array_split(values, self.n_workers), strict=True)
            return Frame([{"vertex": vertex, column: value} for vertex, value in cuts])

    return Graph


def weakly_connected_components(input_graph: Any) -> Frame:
    return input_graph.partitioned(components(input_graph.n, input_graph.weight_of), "labels")


def louvain(
    input_graph: Any,
    max_level: int | None = None,
    max_iter: int | None = None,
    resolution: float = 1.0,
    threshold: float = 1e-7,
) -> tuple[Frame, float]:
    weights = list(input_graph.weight_of.values())
    assert max_iter is None and min(weights) > 0
    with rapids.own_randomness():
        found = input_graph.igraph().community_multilevel(weights=weights, resolution=resolution)
    return input_graph.partitioned(found.membership, "partition"), found.modularity


def leiden(
    input_graph: Any,
    max_iter: int = 100,
    resolution: float = 1.0,
    random_state: int | None = None,
    theta: float = 1.0,
) -> tuple[Frame, float]:
    weights = list(input_graph.weight_of.values())
    assert min(weights) > 0 and isinstance(random_state, int)
    with rapids.own_randomness():
        found = input_graph.igraph().community_leiden("modularity", weights=weights, resolution=resolution)
    return input_graph.partitioned(found.membership, "partition"), found.modularity


@contextmanager
def cluster(n_workers: int = 3) -> Iterator[Cluster]:
    """While it is open, RAPIDS seems to be installed, and a cluster of GPU workers to run with its communicator."""
    running = Cluster(n_workers)
    names = ("dask_cudf", "distributed", "cugraph.dask", "cugraph.dask.comms", "cugraph.dask.comms.comms")
    dask_cudf, distributed, dask, package, comms = made = [ModuleType(name) for name in names]
    dask_cudf.from_cudf = from_cudf
    distributed.default_client = running.default_client
    dask.louvain, dask.leiden, dask.weakly_connected_components = louvain, leiden, weakly_connected_components
    dask.comms, package.comms = package, comms
    comms.is_initialized, comms.get_workers = running.is_initialized, running.get_workers
    with rapids.installed(), pytest.MonkeyPatch.context() as patch:
        for module in made:
            module.__spec__ = ModuleSpec(module.__name__, None)
            patch.setitem(sys.modules, module.__name__, module)
        patch.setattr(sys.modules["cugraph"], "Graph", graph_of(running))
        patch.setattr(sys.modules["cugraph"], "dask", dask, raising=False)
        patch.setattr(sys.modules["cudf"], "concat", concat, raising=False)
        yield running
