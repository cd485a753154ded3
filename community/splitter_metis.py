"""METIS splitter: balanced pieces with little weight between them (Karypis and Kumar 1998), by pymetis."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.community.base import missing_package
from stgraph.community.size_cap import Redetect, connected_parts
from stgraph.edges import EdgeList
from stgraph.graph_views import to_scipy
from stgraph.kernels.cpu.components import canonical_labels, group_members
from stgraph.kernels.cpu.tree_split import split_trees

_UNITS = 1000  # METIS takes integer weights
_MORE_PARTS = 1.5  # its pieces are balanced within a few percent, so some communities need one more part to fit


class MetisSplitter:
    """The fewest balanced pieces that fit, with little similarity between them; the tree splitter handles any
    remainder.

    METIS uses a fixed seed, so that the same graph is always divided the same way.
    """

    name = "metis"
    connected = True

    def unavailable(self) -> str | None:
        """None, or the reason it cannot run here."""
        return missing_package("pymetis", "pymetis", "fast")

    def split(self, edges: EdgeList, labels: Array, cap: int, redetect: Redetect) -> tuple[Array, list[str]]:
        """New [N] labels, and remarks for the provenance."""
        whole, count = connected_parts(edges, labels)  # METIS divides connected graphs only
        result = whole.astype(np.int64)
        members, starts = group_members(whole, count)
        new = count
        for group in np.flatnonzero(np.diff(starts) > cap):
            nodes = members[starts[group] : starts[group + 1]]
            parts, n_parts = _divided(edges.subgraph(nodes), cap)
            result[nodes] = new + parts
            new += n_parts
        dense, _ = canonical_labels(result)
        sizes = np.bincount(dense)
        stubborn = int(np.count_nonzero(sizes > cap))
        if not stubborn:
            return dense, []
        remark = f"metis left {stubborn} pieces above the cap; they were split by 'tree'"
        return split_trees(edges.src, edges.dst, dense, sizes, cap), [remark]


def _divided(edges: EdgeList, cap: int) -> tuple[Array, int]:
    """Connected pieces of one connected community, and their number."""
    import pymetis

    matrix = to_scipy(edges)
    weights = np.maximum(np.rint(matrix.data * _UNITS), 1).astype(np.int64)
    graph = pymetis.CSRAdjacency(matrix.indptr, matrix.indices)
    options = pymetis.Options(contig=True, seed=0)
    least = -(-edges.n_nodes // cap)
    parts, count = np.zeros(edges.n_nodes, np.int32), 1
    for n_parts in range(least, int(least * _MORE_PARTS) + 2):
        _, found = pymetis.part_graph(n_parts, graph, eweights=weights.tolist(), recursive=False, options=options)
        parts, count = connected_parts(edges, np.asarray(found, np.int32))
        if np.bincount(parts).max() <= cap:
            break
    return parts, count


METIS = MetisSplitter()
