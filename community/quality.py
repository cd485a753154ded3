"""Quality figures of a partition on its community graph."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.community.partition import Partition
from stgraph.edges import EdgeList
from stgraph.spelling import Spelled


@dataclass(frozen=True)
class PartitionQuality(Spelled):
    """Figures of one partition; weights are cosine similarities.

    Attributes
    ----------
    n_communities, largest, median_size, n_singletons : after the cap
    n_uncapped, largest_uncapped : before the cap, that is, without a size cap, like every "uncapped" figure
    n_oversized, oversized_ratio : communities above sqrt(N) before the cap, and the share of all tokens they hold
    modularity, uncapped_modularity : Newman's weighted modularity at resolution 1, after and before the cap
    cpm : constant Potts quality at gamma = 0.5, per token
    coverage : share of edge weight inside communities
    mean_conductance : weight leaving a community over the smaller side's volume, mean over communities with edges
    internal_density : edges inside over pairs inside, mean over communities of two or more tokens
    internal_similarity : mean weight of the edges inside communities
    connected : whether every community is connected
    """

    n_communities: int
    largest: int
    median_size: float
    n_singletons: int
    n_uncapped: int
    largest_uncapped: int
    n_oversized: int
    oversized_ratio: float
    modularity: float
    uncapped_modularity: float
    cpm: float
    coverage: float
    mean_conductance: float
    internal_density: float
    internal_similarity: float
    connected: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def modularity(edges: EdgeList, labels: Array, resolution: float = 1.0) -> float:
    """Q = sum_c [ w_c / m - gamma (k_c / 2m)^2 ] (Newman 2006; w_c weight inside, k_c degree sum, m total weight).

    0 if the total weight is 0.
    """
    total = float(edges.weight.sum(dtype=np.float64))
    if total == 0.0:
        return 0.0
    inside, volume = _inside_and_volume(edges, labels)
    return float(inside.sum() / total - resolution * np.square(volume / (2 * total)).sum())


def map_equation(edges: EdgeList, labels: Array) -> float:
    """Bits per step of a random walk told by community and node (two levels; Rosvall, Axelsson and Bergstrom 2009,
    eq. 4; smaller is better): plogp(q) - 2 sum_c plogp(q_c) - sum_a plogp(p_a) + sum_c plogp(q_c + p_c), with p a share
    of all degrees and q a share of the weight leaving a community. 0 if the total weight is 0."""
    total = 2 * float(edges.weight.sum(dtype=np.float64))
    if total == 0.0:
        return 0.0
    inside, volume = _inside_and_volume(edges, labels)
    _, degree = _inside_and_volume(edges, np.arange(labels.size))
    leaving = np.maximum(volume - 2 * inside, 0.0) / total
    total_leaving = _plogp(leaving.sum(keepdims=True))
    return total_leaving - 2 * _plogp(leaving) - _plogp(degree / total) + _plogp(leaving + volume / total)


def _plogp(shares: Array) -> float:
    """sum of p log2 p; 0 for p = 0."""
    some = shares[shares > 0]
    return float((some * np.log2(some)).sum())


def cpm(edges: EdgeList, labels: Array, resolution: float = 0.5) -> float:
    """Constant Potts quality sum_c [ w_c - gamma n_c (n_c - 1) / 2 ] (Traag et al. 2011), not normalised."""
    inside, _ = _inside_and_volume(edges, labels)
    sizes = np.bincount(labels).astype(np.float64)
    return float(inside.sum() - resolution * (sizes * (sizes - 1) / 2).sum())


def coverage(edges: EdgeList, labels: Array) -> float:
    """Share of the edge weight that lies inside communities; 1 if the total weight is 0."""
    total = float(edges.weight.sum(dtype=np.float64))
    return float(_inside_and_volume(edges, labels)[0].sum() / total) if total else 1.0


def conductance(edges: EdgeList, labels: Array) -> Array:
    """[k] float64: weight leaving each community over min(its volume, the rest's volume); NaN where that is 0."""
    inside, volume = _inside_and_volume(edges, labels)
    smaller = np.minimum(volume, volume.sum() - volume)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(smaller > 0, (volume - 2 * inside) / smaller, math.nan)


def partition_quality(partition: Partition) -> PartitionQuality:
    """All quality figures of a partition."""
    edges, labels, sizes = partition.edges, partition.labels, partition.sizes
    before = partition.uncapped_sizes
    over = before > math.isqrt(max(partition.n_nodes, 1))
    inside = labels[edges.src] == labels[edges.dst]
    counts = np.bincount(labels[edges.src[inside]], minlength=sizes.size)
    several = sizes > 1
    pairs = sizes[several] * (sizes[several] - 1) / 2
    leaving = conductance(edges, labels)
    leaving = leaving[~np.isnan(leaving)]
    return PartitionQuality(
        n_communities=partition.n_communities,
        largest=int(sizes.max(initial=0)),
        median_size=float(np.median(sizes)) if sizes.size else 0.0,
        n_singletons=int(np.count_nonzero(sizes == 1)),
        n_uncapped=int(before.size),
        largest_uncapped=int(before.max(initial=0)),
        n_oversized=int(np.count_nonzero(over)),
        oversized_ratio=partition.oversized_ratio,
        modularity=modularity(edges, labels),
        uncapped_modularity=modularity(edges, partition.uncapped_labels),
        cpm=cpm(edges, labels) / max(partition.n_nodes, 1),
        coverage=coverage(edges, labels),
        mean_conductance=float(leaving.mean()) if leaving.size else 0.0,
        internal_density=float((counts[several] / pairs).mean()) if several.any() else 0.0,
        internal_similarity=float(edges.weight[inside].mean(dtype=np.float64)) if inside.any() else 0.0,
        connected=partition.is_connected,
    )


def _inside_and_volume(edges: EdgeList, labels: Array) -> tuple[Array, Array]:
    """Per community: weight of the edges inside, and sum of weighted degrees. [k] float64 each."""
    k = int(labels.max(initial=-1)) + 1
    a, b, weight = labels[edges.src], labels[edges.dst], edges.weight.astype(np.float64)
    same = a == b
    inside = np.bincount(a[same], weight[same], minlength=k)
    return inside, np.bincount(a, weight, minlength=k) + np.bincount(b, weight, minlength=k)
