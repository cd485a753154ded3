"""Community detection from graph to partition: everything around the library's own search."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.community.arguments import backend_params, check_detection, check_native, resolve_max_size
from stgraph.community.base import (
    BackendParams,
    CommunityBackend,
)
from stgraph.community.default_backend import chosen_backend, default_backend, library_version
from stgraph.community.partition import Partition, Provenance
from stgraph.community.size_cap import SPLITTERS, Splitter, stronger_half
from stgraph.devices import beside, is_tensor, to_host
from stgraph.edges import EdgeList
from stgraph.errors import InputError
from stgraph.graph import TokenGraph
from stgraph.kernels import kernels_for
from stgraph.lattice_edges import LatticeEdges
from stgraph.registry import naming
from stgraph.tokens import VideoTokens

_log = logging.getLogger("stgraph")


def detect_communities(
    graph: TokenGraph | EdgeList,
    backend: str | None = None,
    *,
    max_size: int | str | None = "auto",
    split: str = "tree",
    resolution: float | None = None,
    seed: int = 0,
    found: Array | None = None,
    tokens: VideoTokens | None = None,
    **options: int | float,
) -> Partition:
    """Communities of a token graph, each of at most ``max_size`` tokens (ST-SimDiff, sections 4.3 and 4.6), or of any
    graph.

    Parameters
    ----------
    graph : TokenGraph, or any EdgeList
    backend : name of a backend, or "auto" for the first available of Leiden on GPU, Leiden on CPU, components. Default:
        "lattice-components" for a token graph, as in selectors and commands, and "igraph-leiden" for your own edge list
    max_size : "sqrt" for floor(sqrt(N)), a positive integer, or None for no cap. By default, "auto", it is the method's
        "sqrt" for a token graph, and None for your own edge list
    split : how larger communities are divided: "tree", "raster", "redetect"; or "native" for the backend's own cap
        inside its search, which needs a second detection for the partition before the cap, made when one of its figures
        is first read (:attr:`Partition.capped_in_search`)
    resolution : gamma of the objective, > 0; larger gives smaller communities. By default the objective's own: 1 for
        modularity, 0.05 for CPM
    seed : seeds the backend's private random state
    found : [N] canonical labels the backend finds without a cap, if already known; only the cap is then applied
    tokens : the video, for backends that cluster features instead of edges
    options : other parameters of the backend, by name; ``docs/backends.md`` lists them

    Returns
    -------
    Partition
        canonical labels: communities are numbered by their smallest token. Its provenance names the backend and the cap

    Raises
    ------
    UnknownNameError
        no backend or splitter has that name
    BackendUnavailableError
        the backend asked for by name cannot run here
    InputError
        a parameter is out of range, or the backend needs positive weights and the graph has non-positive ones

    Examples
    --------
    >>> import stgraph
    >>> graph = stgraph.build_graph(stgraph.sample())
    >>> stgraph.detect_communities(graph)
    Partition(10,240 tokens, 1,398 communities, largest 101, by lattice-components, 18 above 101 split by tree)
    >>> stgraph.detect_communities(stgraph.EdgeList.from_arrays(4, [0, 2], [1, 3]))
    Partition(4 nodes, 2 communities, largest 2, by igraph-leiden)
    """
    edges = graph.edges if isinstance(graph, TokenGraph) else graph
    if not isinstance(edges, EdgeList):
        raise InputError(
            f"detect_communities got {type(graph).__name__}; pass a TokenGraph or an EdgeList{_way_in(graph)}"
        )
    of_tokens = isinstance(edges, LatticeEdges)
    if backend is None:
        backend = default_backend(edges)
    remarks = []
    if isinstance(max_size, str) and max_size == "auto":
        max_size = "sqrt" if of_tokens else None
        if not of_tokens:
            remarks.append("no size cap: your own edge list has none by default; max_size='sqrt' sets one")
    check_detection(backend, max_size, split, resolution, seed, options)
    splitter: Splitter = SPLITTERS.get(split)
    cap = resolve_max_size(max_size, edges.n_nodes)
    engine, skipped = chosen_backend(backend)
    check_native(engine, split)
    params = backend_params(engine, resolution, seed, options)
    if not engine.capabilities.thresholded and isinstance(edges, LatticeEdges) and edges.tau > -math.inf:
        edges = LatticeEdges(edges.similarity, -math.inf, edges.switches)
        remarks.append(f"{engine.name} has no similarity threshold: every lattice edge is used")
    copies: list[str] = []
    if found is not None and tuple(found.shape) != (edges.n_nodes,):
        raise InputError(f"found has shape {found.shape}; expected one label for each of the {edges.n_nodes} nodes")
    if found is None and engine.capabilities.reads == "features":
        found = feature_labels(engine, tokens, params, edges, copies)
    if split == "native" and cap is not None:
        before = partial(run_backend, engine, edges, params, []) if found is None else found
        found = run_backend(engine, edges, replace(params, max_size=cap), copies)
    else:
        before = found = run_backend(engine, edges, params, copies) if found is None else found
    labels, cut = _apply_cap(engine, edges, found, cap, splitter, params, copies)
    for reason in (*skipped, *copies):
        _log.info("%s", reason)
    provenance = Provenance(
        backend=engine.name,
        library=engine.package,
        library_version=library_version(engine),
        device=_device(engine, edges),
        objective=engine.capabilities.objective,
        parameters={
            k: v
            for k, v in (("resolution", params.resolution), ("seed", params.seed))
            if k not in engine.capabilities.ignores
        }
        | dict(params.options),
        ignored=engine.capabilities.ignores,
        max_size=cap,
        split=split,
        skipped=skipped,
        remarks=(*remarks, *cut),
        host_copy="; ".join(copies) or None,
    )
    return Partition(edges=edges, labels=labels, before_cap=before, provenance=provenance)


def _way_in(graph: Any) -> str:
    """The call that converts another library's graph to an EdgeList."""
    if isinstance(graph, VideoTokens):
        return ": build_graph(tokens)"
    library = type(graph).__module__.partition(".")[0]
    reader = {"pyarrow": "arrow"}.get(library, library)
    return f": EdgeList.from_{reader}(...)" if hasattr(EdgeList, f"from_{reader}") else ""


def run_backend(engine: CommunityBackend, edges: EdgeList, params: BackendParams, copies: list[str]) -> Any:
    """[N] canonical labels of one backend, on the device of the edges: isolated nodes become communities of one. Copies
    to host memory are noted in ``copies``.

    Raises
    ------
    InputError
        the backend uses weights and one is not positive
    """
    needs_positive = engine.capabilities.weighted and engine.capabilities.thresholded
    if needs_positive and edges.n_edges and not edges.weight.min() > 0:
        remedy = "raise tau_sim to 0 or above" if isinstance(edges, LatticeEdges) else "leave such edges out"
        raise InputError(
            f"{engine.name} needs positive edge weights, but the smallest is {float(edges.weight.min()):g}: {remedy}, "
            "or use a components backend"
        )
    if engine.capabilities.canonical:
        return _labels(engine, edges, params, copies)
    kernel = kernels_for(edges.src, "components")
    place, n_core, src, dst = kernel.without_isolated(edges.n_nodes, edges.src, edges.dst)
    if n_core == 0:
        return kernel.connected_components(edges.n_nodes, edges.src, edges.dst)[0]
    core = edges if n_core == edges.n_nodes else EdgeList(n_core, src, dst, edges.weight)
    found, count = _canonical(_labels(engine, core, params, copies))
    return found if n_core == edges.n_nodes else _canonical(kernel.with_isolated(place, found, count))[0]


def feature_labels(
    engine: Any, tokens: VideoTokens | None, params: BackendParams, edges: EdgeList, copies: list[str]
) -> Any:
    """[N] canonical labels of a clustering of features, on the device of the edges.

    Raises
    ------
    InputError
        features are missing, or their number of tokens differs from the graph's nodes
    FeatureError
        a token holds NaN or Inf (the first one is named)
    """
    if tokens is None or tokens.grid.n_nodes != edges.n_nodes:
        given = "none were passed" if tokens is None else f"those passed have {tokens.grid.n_nodes:,} of them"
        raise InputError(f"{engine.name} clusters the features of {edges.n_nodes:,} tokens, and {given}: tokens=")
    features = tokens.lattice
    if tokens.on_gpu and engine.capabilities.device == "cpu":
        copies.append(f"{engine.name} runs on the CPU: the features were copied to host memory")
        features = to_host(features)
    elif tokens.on_gpu and (what := getattr(engine, "copied", None)):
        copies.append(f"{engine.name}: {what} were copied to host memory")
    kernels_for(features, "frame_similarity").frame_cosines(features, np.full(len(features), -1))  # refuses NaN and Inf
    labels = engine.labels_of(features, params)
    return beside(_canonical(_checked(labels, f"backend {engine.name}", edges.n_nodes))[0], edges.anchor)


def _labels(engine: CommunityBackend, edges: EdgeList, params: BackendParams, copies: list[str]) -> Any:
    """The backend's labels, checked, on the device of the edges. A CPU backend sees a copy of edges on a GPU."""
    given = edges
    if engine.capabilities.device == "cpu" and edges.on_gpu:
        copies.append(f"{engine.name} runs on the CPU: {edges.n_edges:,} edges were copied to host memory")
        given = edges.to("cpu")
    with naming(f"backend {engine.name}", engine):
        found = engine.labels(given, params)
    return beside(_checked(found, f"backend {engine.name}", edges.n_nodes), edges.anchor)


def _checked(labels: Any, by: str, n_nodes: int) -> Any:
    """Labels from a backend or splitter, checked to be one integer per node."""
    found = labels if is_tensor(labels) else np.asarray(labels)
    if (is_tensor(found) or found.dtype.kind in "iu") and tuple(found.shape) == (n_nodes,):
        return found
    raise InputError(
        f"{by} returned {found.dtype} labels of shape {tuple(found.shape)} for {n_nodes} nodes; "
        "it must return one integer per node"
    )


def _canonical(labels: Any) -> tuple[Any, int]:
    """Labels renumbered by first occurrence ([N] int32), and the number of communities."""
    found: tuple[Any, int] = kernels_for(labels, "components").canonical_labels(labels)
    return found


def _apply_cap(
    engine: CommunityBackend,
    edges: EdgeList,
    found: Any,
    cap: int | None,
    splitter: Splitter,
    params: BackendParams,
    copies: list[str],
) -> tuple[Any, list[str]]:
    if cap is None or len(found) == 0:
        return found, []

    def redetect(part: EdgeList, level: int) -> Any:
        if "resolution" in engine.capabilities.ignores:
            return run_backend(engine, stronger_half(part, level), params, copies)
        return run_backend(engine, part, replace(params, resolution=params.resolution * 2.0**level), copies)

    if edges.on_gpu and isinstance(edges, LatticeEdges) and getattr(splitter, "on_gpu", False):
        return splitter.split(edges, found, cap, redetect)
    if _largest(found) <= cap:
        return found, []
    given, oversized = edges, found
    if is_tensor(found):
        copies.append(f"splitter {splitter.name} runs on the CPU: edges and labels were copied to host memory")
        given, oversized = edges.to("cpu"), to_host(found)
    with naming(f"splitter {splitter.name}", splitter):
        labels, remarks = splitter.split(given, oversized, cap, redetect)
    capped, _ = _canonical(beside(_checked(labels, f"splitter {splitter.name}", edges.n_nodes), found))
    largest = _largest(capped)
    if largest > cap:
        raise RuntimeError(f"splitter {splitter.name} left a community of {largest}, above the cap of {cap}")
    return capped, remarks


def _largest(labels: Any) -> int:
    """Size of the largest community."""
    return int(kernels_for(labels, "components").group_sizes(labels).max())


def _device(engine: CommunityBackend, edges: EdgeList) -> str:
    """Device the backend ran on."""
    device = engine.capabilities.device
    if device != "any":
        return device
    return str(edges.anchor.device).partition(":")[0]
