"""Splitters for communities above the maximum size (ST-SimDiff, section 4.6, says only "we partition it")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from stgraph.aliases import Array
from stgraph.edges import EdgeList
from stgraph.errors import InputError
from stgraph.kernels import kernels_for
from stgraph.kernels.cpu.components import canonical_labels, connected_components, group_members, group_sizes
from stgraph.kernels.cpu.tree_split import split_trees
from stgraph.lattice_edges import LatticeEdges
from stgraph.registry import Registry

Redetect = Callable[[EdgeList, int], Array]
_MAX_ROUNDS = 40


class Splitter(Protocol):
    """Cuts every community larger than the cap. Deterministic; the result may carry any integer labels.

    ``connected`` says whether the pieces of a connected community are connected. ``redetect(edges, level)`` runs the
    backend again on a subgraph; ``level`` counts up while it makes no progress. A splitter with an attribute
    ``on_gpu = True`` gets the tensors of a token graph on a GPU and returns canonical labels there, none above the cap,
    so that nothing is read back; for any other, edges and labels are copied to host memory. A splitter that needs an
    optional package has a method ``unavailable()``: None, or the reason it cannot run here.
    """

    name: str
    connected: bool

    def split(self, edges: EdgeList, labels: Array, cap: int, redetect: Redetect) -> tuple[Array, list[str]]:
        """New [N] labels, and remarks for the provenance."""
        ...


class TreeSplitter:
    """Connected pieces by a greedy bottom-up cut of the breadth-first tree. Linear in the edges; the default."""

    name = "tree"
    connected = True
    on_gpu = True

    def split(self, edges: EdgeList, labels: Any, cap: int, redetect: Redetect) -> tuple[Any, list[str]]:
        if isinstance(edges, LatticeEdges):
            lattice = (edges.similarity, edges.tau, edges.switches)
            return kernels_for(labels, "tree_split").split_lattice(*lattice, labels, cap), []
        return split_trees(edges.src, edges.dst, labels, group_sizes(labels), cap), []


class RasterSplitter:
    """Runs of ``cap`` tokens in raster order: as few pieces as possible, connected or not."""

    name = "raster"
    connected = False

    def split(self, edges: EdgeList, labels: Array, cap: int, redetect: Redetect) -> tuple[Array, list[str]]:
        members, starts = group_members(labels, int(labels.max()) + 1)
        rank = np.arange(members.size) - np.repeat(starts[:-1], np.diff(starts))
        piece = np.empty(labels.size, np.int64)
        piece[members] = rank // cap
        return labels.astype(np.int64) * (labels.size // cap + 1) + piece, []


class RedetectSplitter:
    """Runs the same backend again on each oversized community, until all fit.

    Louvain and Leiden receive the community as a separate graph, with the resolution doubled each time it remains
    whole; components receive it without the weaker half of its edges. A community that still remains whole is left to
    the tree splitter, and the provenance says so.
    """

    name = "redetect"
    connected = True

    def split(self, edges: EdgeList, labels: Array, cap: int, redetect: Redetect) -> tuple[Array, list[str]]:
        result = labels.astype(np.int64)
        new = int(result.max()) + 1
        members, starts = group_members(labels, new)
        queue = [(members[starts[g] : starts[g + 1]], 0) for g in np.flatnonzero(np.diff(starts) > cap)]
        stubborn = 0
        while queue:
            nodes, level = queue.pop()
            if level == _MAX_ROUNDS:
                stubborn += 1
                continue
            sub = edges.subgraph(nodes)
            parts, count = connected_parts(sub, redetect(sub, level))
            if count == 1:
                queue.append((nodes, level + 1))
                continue
            part_members, part_starts = group_members(parts, count)
            result[nodes] = new + parts
            new += count
            for g in np.flatnonzero(np.diff(part_starts) > cap):
                queue.append((nodes[part_members[part_starts[g] : part_starts[g + 1]]], level))
        if not stubborn:
            return result, []
        dense, count = canonical_labels(result)
        remark = f"redetect could not divide {stubborn} communities; they were split by 'tree'"
        return split_trees(edges.src, edges.dst, dense, group_sizes(dense), cap), [remark]


class NativeSplitter(TreeSplitter):
    """The backend's own cap inside its search, if it has one (leidenalg); the tree splitter handles any remainder."""

    name = "native"


def check_splitter(found: Any) -> None:
    """Raise InputError unless ``found`` is a :class:`Splitter`."""
    if isinstance(found, type):
        raise InputError(f"{found.__name__} is a class; register an instance of it")
    name = getattr(found, "name", None)
    if not isinstance(name, str) or not name:
        raise InputError(f"name of {type(found).__name__} is {name!r}; it must be a non-empty string")
    connected = getattr(found, "connected", None)
    if not isinstance(connected, bool):
        raise InputError(f"connected of {type(found).__name__} is {connected!r}; it must be True or False")
    if not callable(getattr(found, "split", None)):
        raise InputError(f"{type(found).__name__} has no method split(), which a splitter needs")


SPLITTERS = Registry(
    "splitter",
    {
        "tree": "stgraph.community.size_cap:TREE",
        "raster": "stgraph.community.size_cap:RASTER",
        "redetect": "stgraph.community.size_cap:REDETECT",
        "native": "stgraph.community.size_cap:NATIVE",
        "metis": "stgraph.community.splitter_metis:METIS",
    },
    group="stgraph.splitters",
    check=check_splitter,
    instances=True,
)


def splitters() -> dict[str, str | None]:
    """Every splitter's name, with None if it runs here and otherwise the reason.

    Examples
    --------
    >>> list(splitters())[:4]
    ['tree', 'raster', 'redetect', 'native']
    """
    return {name: SPLITTERS.fault(name) or missing(name) for name in SPLITTERS.names()} | SPLITTERS.refused()


def missing(name: str) -> str | None:
    """The reason the splitter registered under ``name`` cannot run here, or None if it can."""
    reason: str | None = getattr(SPLITTERS.get(name), "unavailable", lambda: None)()
    return reason


TREE, RASTER, REDETECT, NATIVE = TreeSplitter(), RasterSplitter(), RedetectSplitter(), NativeSplitter()


def connected_parts(edges: EdgeList, labels: Array) -> tuple[Array, int]:
    """Labels in which disconnected communities are separated (Louvain may return some), and the number of
    communities."""
    inside = labels[edges.src] == labels[edges.dst]
    return connected_components(edges.n_nodes, edges.src[inside], edges.dst[inside])


def stronger_half(edges: EdgeList, level: int) -> EdgeList:
    """``edges`` without those at or below the median weight, or a higher quantile at higher levels."""
    bound = np.quantile(edges.weight, 1 - 0.5 ** (level + 1), method="lower")
    keep = edges.weight > bound
    return EdgeList(edges.n_nodes, edges.src[keep], edges.dst[keep], edges.weight[keep])
