"""Partition files: labels, their graph, and provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from math import inf
from typing import Any

import numpy as np

from stgraph import container
from stgraph.aliases import Array
from stgraph.community.partition import Partition, Provenance
from stgraph.edges import EdgeList
from stgraph.errors import DumpFormatError, InputError
from stgraph.kernels import kernels_for
from stgraph.lattice_edges import LatticeEdges

Path = str | os.PathLike[str]
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("backend", "library", "library_version", "device", "objective", "split"), str),
    **dict.fromkeys(("ignored", "skipped", "remarks"), tuple),
    "parameters": dict,
    "max_size": int | None,
    "host_copy": str | None,
}


def save_partition(parts: Partition, path: Path) -> None:
    """Write a partition in host memory; see :meth:`Partition.save`."""
    from stgraph import __version__

    edges = parts.edges
    tensors = {"labels": parts.labels, "uncapped_labels": parts.uncapped_labels}
    facts: dict[str, Any] = {"n_nodes": edges.n_nodes}
    if isinstance(edges, LatticeEdges):
        tensors["similarity"] = edges.similarity
        facts |= {"tau": None if edges.tau == -inf else edges.tau, "switches": list(edges.switches)}
    else:
        tensors |= {"src": edges.src, "dst": edges.dst, "weight": edges.weight}
        if edges.names is not None:
            facts["names"] = _plain_names(edges.names)
    metadata = {
        "graph": facts,
        "capped_in_search": parts.capped_in_search,
        "provenance": parts.provenance.to_dict(),
        "producer": f"stgraph {__version__}",
    }
    container.write(path, "partition", tensors, metadata)


def _plain_names(names: tuple[Any, ...]) -> list[Any]:
    for name in names:
        if type(name) not in (str, int):
            raise InputError(
                f"a node is called {name!r} ({type(name).__name__}); a file holds names that are strings or integers: "
                "rename the nodes"
            )
    return list(names)


def load_partition(path: Path) -> Partition:
    """Read a partition; see :meth:`Partition.load`."""
    tensors, metadata = container.read(path, "partition")
    try:
        edges = _edges(tensors, metadata["graph"])
        labels, uncapped = (_labels(tensors, name, edges.n_nodes) for name in ("labels", "uncapped_labels"))
        before = partial(np.asarray, uncapped) if metadata["capped_in_search"] is True else uncapped
        return Partition(edges, labels, before, _provenance(metadata["provenance"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DumpFormatError):
            raise
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DumpFormatError(f"cannot read {path} as a partition: {what}") from None


def _edges(tensors: Mapping[str, Array], facts: Mapping[str, Any]) -> EdgeList:
    # Owned copies: the file may be deleted, and compiled code treats them like fresh arrays.
    if "similarity" not in tensors:
        src, dst, weight = (np.array(tensors[name]) for name in ("src", "dst", "weight"))
        return EdgeList.from_arrays(facts["n_nodes"], src, dst, weight, names=facts.get("names"))
    similarity, switches = np.array(tensors["similarity"]), facts["switches"]
    if similarity.ndim != 4 or len(similarity) != 3 or similarity.dtype != np.float32:
        raise ValueError(f"similarity is {similarity.dtype} of shape {similarity.shape}; expected float32 [3, T, H, W]")
    if len(switches) != 3 or not all(type(on) is bool for on in switches):
        raise ValueError(f"switches are {switches!r}; expected three booleans")
    edges = LatticeEdges(similarity, -inf if facts["tau"] is None else float(facts["tau"]), tuple(switches))
    if edges.n_nodes != facts["n_nodes"]:
        raise ValueError(f"{facts['n_nodes']!r} nodes on a lattice of {edges.n_nodes:,}")
    return edges


def _labels(tensors: Mapping[str, Array], name: str, n_nodes: int) -> Array:
    labels = np.array(tensors[name])
    if labels.shape != (n_nodes,) or labels.dtype != np.int32:
        raise ValueError(f"{name} are {labels.dtype} of shape {labels.shape}; expected int32 of shape ({n_nodes},)")
    inside = bool((labels >= 0).all() and (labels < n_nodes).all())
    if not inside or (
        n_nodes and not np.array_equal(kernels_for(labels, "components").canonical_labels(labels)[0], labels)
    ):
        raise ValueError(f"{name} do not number communities by their smallest node")
    return labels


def _provenance(facts: Mapping[str, Any]) -> Provenance:
    facts = dict(facts)
    unknown = sorted(facts.keys() - {field.name for field in fields(Provenance)})
    if unknown:
        raise ValueError(f"its provenance has {unknown[0]!r}, which this stgraph does not know")
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    found = Provenance(**plain)
    for name, kinds in _KINDS.items():
        value = getattr(found, name)
        parts = value if isinstance(value, tuple) else ()
        if not isinstance(value, kinds) or isinstance(value, bool) or not all(isinstance(one, str) for one in parts):
            raise ValueError(f"its provenance says {name} = {str(value)[:60]!r}")
    return found
