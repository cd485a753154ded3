"""The default backend, and the meaning of ``auto``."""

from __future__ import annotations

from collections.abc import Mapping

from stgraph.community.base import BACKENDS, CommunityBackend, backends, package_version, usable_backend
from stgraph.edges import EdgeList
from stgraph.errors import BackendUnavailableError
from stgraph.lattice_edges import LatticeEdges

# For tokens, everywhere: functions, selectors, commands. The paper's choice, which runs where the tokens are.
DEFAULT_BACKEND = "lattice-components"
# For a user's own edge list: unless thresholded, most of it is one component.
DEFAULT_GRAPH_BACKEND = "igraph-leiden"
# Tried by "auto", best first: fast Leiden, then components, which always run.
AUTO_ORDER = ("cugraph-leiden", "igraph-leiden", "networkit-leiden", "graspologic-leiden", "lattice-components")

# Per objective, the first of these that runs here represents it in comparisons that name no backend.
OF_OBJECTIVE: Mapping[str, tuple[str, ...]] = {
    "none": ("lattice-components",),
    "modularity": ("igraph-leiden", "lattice-leiden-modularity"),
    "cpm": ("lattice-leiden",),
    "map-equation": ("igraph-infomap",),
    "label-propagation": ("networkit-label-propagation", "igraph-label-propagation", "networkx-label-propagation"),
    "segmentation": ("lattice-segments",),
}


def compared_backends() -> list[str]:
    """One available backend per objective: the default of comparisons."""
    here = backends()
    able = {objective: [name for name in names if here[name] is None] for objective, names in OF_OBJECTIVE.items()}
    return [names[0] for names in able.values() if names]


def default_backend(edges: EdgeList) -> str:
    """Name of the default backend for ``edges``."""
    return DEFAULT_BACKEND if isinstance(edges, LatticeEdges) else DEFAULT_GRAPH_BACKEND


def chosen_backend(name: str) -> tuple[CommunityBackend, tuple[str, ...]]:
    """The backend with that name, checked to run here, and the reason for each one "auto" prefers that does not.

    Raises
    ------
    UnknownNameError
        no backend has that name
    BackendUnavailableError
        it cannot run here, or none that "auto" tries can
    """
    if name != "auto":
        return usable_backend(name), ()
    skipped: list[str] = []
    for candidate in AUTO_ORDER:
        engine = BACKENDS.get(candidate)
        reason = engine.unavailable()
        if reason is None:
            return engine, tuple(skipped)
        skipped.append(f"{candidate}: {reason}")
    raise BackendUnavailableError("no backend can run here: " + "; ".join(skipped))


def library_version(engine: CommunityBackend) -> str:
    """The version of the library behind a backend."""
    if engine.package == "stgraph-video":
        from stgraph import __version__

        return __version__
    return package_version(engine.package)
