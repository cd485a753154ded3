"""Peers for each stage on a device: straightforward torch code, and component libraries."""

from __future__ import annotations

from functools import partial
from typing import Any

from stgraph.bench.speed.peers import neighbour_products
from stgraph.bench.speed.timing import Work
from stgraph.community.arguments import backend_params
from stgraph.community.base import backend
from stgraph.community.partition import Partition
from stgraph.edges import EdgeList
from stgraph.graph_views import to_cupy, to_scipy


def torch_edges(x: Any) -> tuple[Any, Any, Any]:
    """The lattice similarities in plain torch: normalise, shift, multiply, sum."""
    unit = x.float()
    return neighbour_products(unit / unit.norm(dim=-1, keepdim=True))


def torch_centrality(x: Any, partition: Partition) -> Any:
    """Equation 4 by sums over communities, in plain torch."""
    unit = x.reshape(-1, x.shape[-1]).float()
    unit = unit / unit.norm(dim=1, keepdim=True)
    labels, sizes = partition.labels.long(), partition.sizes
    sums = unit.new_zeros(len(sizes), unit.shape[1]).index_add_(0, labels, unit)
    return ((unit * sums[labels]).sum(1) - 1) / (sizes[labels] - 1).clamp(min=1)


def torch_top(values: Any, partition: Partition, ratio: float) -> list[Any]:
    """The top of each community, one ``topk`` each."""
    members, starts = partition.grouped
    kept = []
    for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        inside = members[a:b].long()
        kept.append(inside[values[inside].topk(max(1, round((b - a) * ratio))).indices])
    return kept


def component_libraries(edges: EdgeList) -> dict[str, Work | str]:
    """Connected components in libraries: the work, or why it cannot be done here. SciPy's copies the edges first."""

    def scipy() -> Any:
        from scipy.sparse.csgraph import connected_components

        return connected_components(to_scipy(edges), directed=False)

    def cupy() -> Any:
        import cupy
        from cupyx.scipy.sparse import coo_matrix
        from cupyx.scipy.sparse.csgraph import connected_components

        src, dst, weight = to_cupy(edges)
        matrix = coo_matrix((weight, (src, dst)), shape=(edges.n_nodes, edges.n_nodes)).tocsr()
        found = connected_components(matrix, directed=False)
        cupy.cuda.get_current_stream().synchronize()
        return found

    engine = backend("cugraph-components")
    reason = engine.unavailable()
    cugraph: Work | str = partial(engine.labels, edges, backend_params(engine)) if reason is None else reason
    # CuPy's components are cuGraph's, behind a check that fails late.
    return {"SciPy, with the copy": scipy, "CuPy": cupy if reason is None else reason, "cuGraph": cugraph}


def louvain_and_leiden(edges: EdgeList) -> dict[str, Work | str]:
    """cuGraph's modularity backends: the work, or why it cannot be done here."""
    found: dict[str, Work | str] = {}
    for name in ("cugraph-louvain", "cugraph-leiden"):
        engine = backend(name)
        found[name] = engine.unavailable() or partial(engine.labels, edges, backend_params(engine))
    return found
