"""A stand-in for CuPy, pylibcugraph, cuDF and cuGraph that computes in NumPy and checks what it is given.

It proves that the adapters keep the libraries' contract, as read in their sources, and nothing about the libraries. It
is stricter than they are: what they would misread in silence is an error here. Rows of results come shuffled, and
labels with gaps.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import igraph
import numpy as np
import pytest
from oracles import components

Array = np.ndarray[Any, Any]
VERSION = "26.10.0"


class DeviceArray:
    """A ``cupy.ndarray``, as far as the library uses one."""

    def __init__(self, host: Array) -> None:
        Stream.idle = False
        self.host = host
        self.dtype, self.ndim = host.dtype, host.ndim
        self.device = nullcontext()

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"data": (self.host.ctypes.data, False)}

    def __dlpack__(self, **options: Any) -> Any:
        return self.host.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.host.__dlpack_device__()

    def __len__(self) -> int:
        return len(self.host)

    def __setitem__(self, at: DeviceArray, values: DeviceArray) -> None:
        self.host[at.host] = values.host

    def astype(self, dtype: Any, copy: bool = True) -> DeviceArray:
        return DeviceArray(self.host.astype(dtype, copy=copy))


class Stream:
    """CuPy's current stream: whether its work was waited for since the last was issued."""

    idle = True

    def synchronize(self) -> None:
        Stream.idle = True


def _from_dlpack(producer: Any) -> DeviceArray:
    assert not isinstance(producer, np.ndarray), "cupy.from_dlpack refuses arrays in host memory"
    return DeviceArray(np.from_dlpack(producer))


def cupy() -> ModuleType:
    module = ModuleType("cupy")
    module.from_dlpack = _from_dlpack
    module.asarray = lambda a: DeviceArray(np.array(a))
    module.ascontiguousarray = lambda a: DeviceArray(np.ascontiguousarray(a.host))
    module.arange = lambda n, dtype: DeviceArray(np.arange(n, dtype=dtype))
    module.empty = lambda n, dtype: DeviceArray(np.full(n, -99, dtype))
    module.asnumpy = lambda a: a.host.copy()
    module.cuda = SimpleNamespace(get_current_stream=Stream)
    return module


class ResourceHandle:
    """What every call wants first."""


class GraphProperties:
    def __init__(self, *, is_symmetric: bool, is_multigraph: bool) -> None:
        self.is_symmetric, self.is_multigraph = is_symmetric, is_multigraph


class SGGraph:
    """A graph, checked as far as undefined behaviour would begin."""

    def __init__(
        self,
        handle: ResourceHandle,
        properties: GraphProperties,
        src: Any,
        dst: Any,
        *,
        weight_array: Any,
        store_transposed: bool,
        renumber: bool,
        do_expensive_check: bool,
        vertices_array: Any,
        symmetrize: bool,
    ) -> None:
        assert isinstance(handle, ResourceHandle)
        given = src, dst, weight_array, vertices_array
        assert all(isinstance(a, DeviceArray) for a in given)
        assert Stream.idle, "work on the arrays is still under way"
        arrays = self.src, self.dst, self.weight, vertices = [a.host for a in given]
        assert [a.dtype.name for a in arrays] == ["int32", "int32", "float64", "int32"]
        assert all(a.ndim == 1 and a.flags.c_contiguous for a in arrays)
        assert len(self.src) == len(self.dst) == len(self.weight) > 0
        self.n = len(vertices)
        assert np.array_equal(vertices, np.arange(self.n))
        assert not renumber and not store_transposed and not do_expensive_check
        assert symmetrize and properties.is_symmetric and not properties.is_multigraph
        pairs = set(zip(self.src.tolist(), self.dst.tolist(), strict=True))
        assert len(pairs) == len(self.src) and all(0 <= a < b < self.n for a, b in pairs)
        assert np.isfinite(self.weight).all()
        assert np.bincount([*self.src, *self.dst], minlength=self.n).all(), "a vertex without an edge"

    def igraph(self) -> Any:
        return igraph.Graph(self.n, list(zip(self.src.tolist(), self.dst.tolist(), strict=True)))


def _shuffled(labels: Any) -> tuple[DeviceArray, DeviceArray]:
    """(vertices, labels): rows in any order, label values with gaps."""
    order = np.random.default_rng().permutation(len(labels)).astype(np.int32)
    return DeviceArray(order), DeviceArray((np.asarray(labels, np.int32) * 7 + 3)[order])


@contextmanager
def own_randomness() -> Iterator[None]:
    """igraph draws from Python's global generator, which is given back as it was."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def _components(
    handle: Any, graph: SGGraph, offsets: None, indices: None, weights: None, out: None, check: bool
) -> Any:
    assert isinstance(handle, ResourceHandle) and (offsets, indices, weights, out) == (None,) * 4
    return _shuffled(components(graph.n, zip(graph.src.tolist(), graph.dst.tolist(), strict=True)))


def _louvain(handle: Any, graph: SGGraph, max_level: int, threshold: float, resolution: float, check: bool) -> Any:
    assert (
        isinstance(handle, ResourceHandle) and 0 < max_level <= 500 and 0 < threshold < 1 and (graph.weight > 0).all()
    )
    with own_randomness():
        found = graph.igraph().community_multilevel(weights=graph.weight.tolist(), resolution=resolution)
    return *_shuffled(found.membership), found.modularity


def _leiden(
    handle: Any, random_state: int, graph: SGGraph, max_level: int, resolution: float, theta: float, check: bool
) -> Any:
    assert isinstance(handle, ResourceHandle) and isinstance(random_state, int) and isinstance(theta, float)
    assert 0 < max_level <= 500 and (graph.weight > 0).all()
    with own_randomness():
        found = graph.igraph().community_leiden("modularity", weights=graph.weight.tolist(), resolution=resolution)
    return *_shuffled(found.membership), found.modularity


def _ecg(
    handle: Any,
    random_state: int,
    graph: SGGraph,
    min_weight: float,
    ensemble_size: int,
    max_level: int,
    threshold: float,
    resolution: float,
    check: bool,
) -> Any:
    assert isinstance(random_state, int) and 0 <= min_weight <= 1 and isinstance(ensemble_size, int)
    return _louvain(handle, graph, max_level, threshold, resolution, check)


def pylibcugraph() -> ModuleType:
    module = ModuleType("pylibcugraph")
    module.ResourceHandle, module.GraphProperties, module.SGGraph = ResourceHandle, GraphProperties, SGGraph
    module.weakly_connected_components, module.louvain, module.leiden = _components, _louvain, _leiden
    module.ecg = _ecg
    return module


class Series:
    """A cuDF column on a CuPy array's memory."""

    def __init__(self, values: DeviceArray) -> None:
        assert isinstance(values, DeviceArray) and values.ndim == 1
        self.values = values


class DataFrame:
    def __init__(self, columns: dict[str, Series]) -> None:
        assert len({len(column.values) for column in columns.values()}) == 1
        self.columns = columns

    def __getitem__(self, name: str) -> Series:
        return self.columns[name]


class Graph:
    """``cugraph.Graph``."""

    def __init__(self, *, directed: bool) -> None:
        assert not directed

    def from_cudf_edgelist(
        self, frame: DataFrame, *, source: str, destination: str, weight: str, renumber: bool, vertices: Series
    ) -> None:
        src, dst, listed = frame[source].values.host, frame[destination].values.host, vertices.values.host
        assert src.dtype == dst.dtype == listed.dtype == np.int32
        assert frame[weight].values.dtype == np.float64
        assert np.array_equal(listed, np.arange(len(listed)))
        assert not renumber
        assert not len(src) or max(src.max(), dst.max()) < len(listed)
        self.frame, self.n_vertices = frame, len(listed)


@contextmanager
def installed() -> Iterator[None]:
    """While it is open, the libraries seem to be installed, and a driver to be there."""
    from stgraph.community import backend_cugraph

    cudf, cugraph = ModuleType("cudf"), ModuleType("cugraph")
    cudf.Series, cudf.DataFrame = Series, DataFrame
    cugraph.Graph = Graph
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend_cugraph, "find_library", lambda name: f"lib{name}.so")
        patch.setattr("stgraph.community.default_backend.package_version", lambda name: VERSION)
        for module in (cupy(), pylibcugraph(), cudf, cugraph):
            module.__spec__ = ModuleSpec(module.__name__, None)
            patch.setitem(sys.modules, module.__name__, module)
        yield
