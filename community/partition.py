"""The partition: the result of community detection."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stgraph.aliases import Array
from stgraph.arrays import answer
from stgraph.devices import astype, is_tensor, to_device, to_host
from stgraph.edges import EdgeList
from stgraph.errors import InputError
from stgraph.kernels import kernels_for
from stgraph.lattice_edges import LatticeEdges
from stgraph.spelling import Spelled

if TYPE_CHECKING:
    from stgraph.community.quality import PartitionQuality


@dataclass(frozen=True)
class Provenance(Spelled):
    """How a partition was found: enough to repeat it, and what was ignored or skipped."""

    backend: str
    library: str
    library_version: str
    device: str
    objective: str
    parameters: dict[str, Any]
    ignored: tuple[str, ...]
    max_size: int | None
    split: str
    skipped: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    host_copy: str | None = None  # reasons for copies from GPU to host memory

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**vars(self), "parameters": dict(self.parameters)}


@dataclass(frozen=True, eq=False)
class Partition(Spelled):
    """Every token in exactly one community: a sequence of communities.

    ``len`` is their number; iteration and ``parts[c]`` give the members of each, as :meth:`members` does;
    ``np.asarray`` gives a copy of :attr:`labels`, one per token.

    Attributes
    ----------
    edges : the community graph
    labels : [N] int32, canonical: communities are numbered 0..k-1 by their smallest token
    before_cap : [N] int32, the backend's labels without the size cap; or a function without arguments that returns
        them, called when :attr:`uncapped_labels` is first read
    provenance : backend, versions, parameters used and ignored

    The arrays are NumPy's, or torch tensors on the GPU the graph lies on.
    """

    edges: EdgeList
    labels: Any
    before_cap: Any
    provenance: Provenance

    @property
    def capped_in_search(self) -> bool:
        """Whether the backend enforced the cap during its search (``split="native"``), so that there is no partition
        before the cap. Its figures then come from a second detection, without the cap, made on first access."""
        return callable(self.before_cap)

    @cached_property
    def uncapped_labels(self) -> Any:
        """[N] int32, canonical: the backend's labels without the size cap. With a cap inside the search
        (:attr:`capped_in_search`) the backend runs once more for them; communities after the cap need not lie inside
        these."""
        return self.before_cap() if callable(self.before_cap) else self.before_cap

    @property
    def n_nodes(self) -> int:
        """N."""
        return int(self.labels.shape[0])

    @property
    def on_gpu(self) -> bool:
        """Whether the partition lies on a GPU."""
        return is_tensor(self.labels)

    def to(self, device: Any) -> Partition:
        """The same partition on ``device``; on "cpu" with NumPy arrays."""
        later = partial(_labels_on, self, device)
        before = later if self.capped_in_search else later()
        return replace(self, edges=self.edges.to(device), labels=to_device(self.labels, device), before_cap=before)

    @cached_property
    def n_communities(self) -> int:
        """k."""
        return int(self.labels.max()) + 1 if self.n_nodes else 0

    @cached_property
    def sizes(self) -> Any:
        """[k] int64: tokens in each community."""
        return kernels_for(self.labels, "components").group_sizes(self.labels)[: self.n_communities]

    @cached_property
    def uncapped_sizes(self) -> Array:
        """[k'] int64, in host memory: sizes before the cap."""
        return np.bincount(to_host(self.uncapped_labels))

    @property
    def oversized_ratio(self) -> float:
        """Share of all nodes in communities above sqrt(N) before the cap."""
        return float(self.n_oversized / max(self.n_nodes, 1))

    @property
    def n_oversized(self) -> Any:
        """Number of nodes in communities above sqrt(N) before the cap; on a GPU a scalar on the device."""
        before = self.sizes_before_cap
        return (before * (before > self.usual_cap)).sum()

    @property
    def sizes_before_cap(self) -> Any:
        """Sizes of the communities before the cap, padded with zeros to N on a GPU."""
        return kernels_for(self.uncapped_labels, "components").group_sizes(self.uncapped_labels)

    @property
    def usual_cap(self) -> int:
        """sqrt(N), rounded down."""
        return math.isqrt(max(self.n_nodes, 1))

    @cached_property
    def grouped(self) -> tuple[Any, Any]:
        """(tokens sorted by community [N] int32, start of each community [k + 1] int64)."""
        found: tuple[Any, Any] = kernels_for(self.labels, "components").group_members(self.labels, self.n_communities)
        return found

    @cached_property
    def slots(self) -> tuple[Any, Any]:
        """:attr:`grouped`. On a GPU padded with empty communities to N, so that nothing waits for their number."""
        if not self.on_gpu:
            return self.grouped
        found: tuple[Any, Any] = kernels_for(self.labels, "components").group_members(self.labels, self.n_nodes)
        return found

    def members(self, community: int) -> Any:
        """Ascending token indices of one community (int64).

        Raises
        ------
        InputError
            no community of that number
        """
        if not isinstance(community, (int, np.integer)) or not 0 <= community < self.n_communities:
            raise InputError(
                f"community {community!r} does not exist; they are numbered from 0 to {self.n_communities - 1}"
            )
        members, starts = self.grouped
        return astype(members[starts[community] : starts[community + 1]], "int64")

    def __len__(self) -> int:
        return self.n_communities

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return (self.members(c) for c in range(self.n_communities))

    def __getitem__(self, community: int) -> Any:
        return self.members(community)

    def __contains__(self, item: object) -> bool:
        raise InputError(
            f"whether {item!r} is in a partition is ambiguous: parts.labels[token] is the community of a token, "
            "and parts.members(c) are the tokens of community c"
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return answer(self.labels, "labels", dtype, copy is not False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the partition atomically as a dump of its own kind: labels before and after the cap, the graph with its
        weights, and the provenance. No pickle. With a cap inside the search (:attr:`capped_in_search`) the labels
        before the cap are computed first if needed.

        Raises
        ------
        InputError
            the path cannot be written, or the names of nodes are neither strings nor integers; an existing file is left
            unchanged
        """
        from stgraph.community.partition_file import save_partition

        save_partition(self.to("cpu") if self.on_gpu else self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Partition:
        """Read a partition written by :meth:`save`, in host memory.

        Raises
        ------
        DumpFormatError, DumpVersionError
            the file is missing, damaged, of another kind, or newer than this library

        Examples
        --------
        >>> import stgraph, tempfile, pathlib
        >>> parts = stgraph.detect_communities(stgraph.build_graph(stgraph.sample()))
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "parts.safetensors"
        >>> parts.save(path)
        >>> (Partition.load(path).labels == parts.labels).all()
        np.True_
        """
        from stgraph.community.partition_file import load_partition

        return load_partition(path)

    def quotient(self) -> EdgeList:
        """One node per community; weights between two communities are summed. Always in host memory."""
        if self.on_gpu:
            return self.to("cpu").quotient()
        a, b = self.labels[self.edges.src], self.labels[self.edges.dst]
        low, high = np.minimum(a, b).astype(np.int64), np.maximum(a, b)
        across = low != high
        pairs, place = np.unique(low[across] * self.n_communities + high[across], return_inverse=True)
        weight = np.bincount(place, self.edges.weight[across], minlength=pairs.size).astype(np.float32)
        src, dst = (part.astype(np.int32) for part in np.divmod(pairs, max(self.n_communities, 1)))
        return EdgeList(self.n_communities, src, dst, weight)

    def quality(self) -> PartitionQuality:
        """Modularity, CPM, coverage, density, similarity and size figures; see :mod:`stgraph.community.quality`."""
        from stgraph.community.quality import partition_quality

        return partition_quality(self.to("cpu") if self.on_gpu else self)

    def summary(self) -> dict[str, Any]:
        """Counts, sizes before and after the cap, and quality, as a flat mapping."""
        return self.quality().to_dict()

    @cached_property
    def is_connected(self) -> bool:
        """Whether every community is connected in the community graph."""
        src, dst = self.edges.src, self.edges.dst
        inside = self.labels[astype(src, "int64")] == self.labels[astype(dst, "int64")]
        components = kernels_for(src, "components").connected_components
        return bool(components(self.n_nodes, src[inside], dst[inside])[1] == self.n_communities)

    def __repr__(self) -> str:
        p = self.provenance
        capped = ""
        if self.capped_in_search:  # counting those above the cap would need another detection
            capped = f", cap of {p.max_size} inside the search"
        elif p.max_size is not None:
            above = int(np.count_nonzero(self.uncapped_sizes > p.max_size))
            capped = f", {above} above {p.max_size} split by {p.split}"
        largest = int(self.sizes.max()) if self.n_nodes else 0
        what = "tokens" if isinstance(self.edges, LatticeEdges) else "nodes"
        counts = f"{self.n_nodes:,} {what}, {self.n_communities:,} communities, largest {largest}"
        return f"Partition({counts}, by {p.backend}{capped})"

    def _repr_html_(self) -> str:
        from stgraph.community.partition_html import partition_html

        return partition_html(self.to("cpu") if self.on_gpu else self)


def _labels_on(partition: Partition, device: Any) -> Any:
    return to_device(partition.uncapped_labels, device)
