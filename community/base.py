"""The interface of community backends, and the table of those we ship."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Protocol, runtime_checkable

import numpy as np

from stgraph.edges import EdgeList
from stgraph.errors import BackendUnavailableError
from stgraph.registry import Registry

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Capabilities:
    """What a backend does, as data.

    Attributes
    ----------
    device : "cpu", "cuda", or "any": where the graph is
    objective : what it optimises: "components" (nothing), "modularity"
    weighted : whether edge weights change the result
    seeded : whether ``seed`` changes the result
    deterministic : whether the same seed gives the same labels on any thread count
    native_cap : whether the library itself can bound the community size (used by ``split="native"``)
    canonical : whether it takes any graph, isolated nodes and all, and numbers communities by their smallest node
    ignores : parameters it accepts and does not use
    """

    device: str
    objective: str
    weighted: bool
    seeded: bool
    deterministic: bool
    native_cap: bool = False
    canonical: bool = False
    ignores: tuple[str, ...] = ()


COMPONENTS = Capabilities(
    device="cpu",
    objective="components",
    weighted=False,
    seeded=False,
    deterministic=True,
    ignores=("resolution", "seed"),
)


@dataclass(frozen=True)
class BackendParams:
    """Parameters handed to every backend.

    Attributes
    ----------
    resolution : gamma of the modularity, > 0
    seed : of the backend's private random state
    max_size : bound for backends with a native cap, else None
    """

    resolution: float = 1.0
    seed: int = 0
    max_size: int | None = None


@runtime_checkable
class CommunityBackend(Protocol):
    """A library's community detection behind our interface.

    ``labels`` gets a graph with at least one edge and no isolated node (a canonical backend: any graph), with finite
    weights, positive where the backend is weighted; it returns one integer per node, any values. A "cpu" backend gets
    and returns NumPy arrays; one of "cuda" or "any" gets what the graph holds, and returns either. Everything else
    happens in ``detect.py``.
    """

    name: str
    capabilities: Capabilities
    package: str

    def unavailable(self) -> str | None:
        """None, or the reason why the backend cannot run here. Cheap: imports nothing heavy."""
        ...

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        """[n_nodes] integer labels."""
        ...


BACKENDS = Registry(
    "community backend",
    {
        "lattice-components": "stgraph.community.backend_lattice:LATTICE_COMPONENTS",
        "scipy-components": "stgraph.community.backend_scipy:SCIPY_COMPONENTS",
        "igraph-louvain": "stgraph.community.backend_igraph:IGRAPH_LOUVAIN",
        "igraph-leiden": "stgraph.community.backend_igraph:IGRAPH_LEIDEN",
        "leidenalg-leiden": "stgraph.community.backend_leidenalg:LEIDENALG_LEIDEN",
        "networkx-louvain": "stgraph.community.backend_networkx:NETWORKX_LOUVAIN",
        "networkit-louvain": "stgraph.community.backend_networkit:NETWORKIT_LOUVAIN",
        "networkit-leiden": "stgraph.community.backend_networkit:NETWORKIT_LEIDEN",
        "graspologic-leiden": "stgraph.community.backend_graspologic:GRASPOLOGIC_LEIDEN",
        "cugraph-components": "stgraph.community.backend_cugraph:CUGRAPH_COMPONENTS",
        "cugraph-louvain": "stgraph.community.backend_cugraph:CUGRAPH_LOUVAIN",
        "cugraph-leiden": "stgraph.community.backend_cugraph:CUGRAPH_LEIDEN",
        "cugraph-dask-components": "stgraph.community.backend_cugraph_dask:CUGRAPH_DASK_COMPONENTS",
        "cugraph-dask-louvain": "stgraph.community.backend_cugraph_dask:CUGRAPH_DASK_LOUVAIN",
        "cugraph-dask-leiden": "stgraph.community.backend_cugraph_dask:CUGRAPH_DASK_LEIDEN",
    },
    group="stgraph.community_backends",
)

# What backend="auto" tries, best first: Leiden where it is fast, and the components that always run.
AUTO_ORDER = ("cugraph-leiden", "igraph-leiden", "networkit-leiden", "graspologic-leiden", "lattice-components")


def backend(name: str) -> CommunityBackend:
    """The backend registered under ``name``, available or not.

    Raises
    ------
    UnknownNameError
        no backend of that name; the message lists the known ones and the nearest spelling
    """
    found: CommunityBackend = BACKENDS.get(name)
    return found


def backends() -> dict[str, str | None]:
    """Every backend's name with None if it runs here, else the reason why not."""
    return {name: backend(name).unavailable() for name in BACKENDS.names()}


def available_backends() -> list[str]:
    """The backends that run here."""
    return [name for name, reason in backends().items() if reason is None]


def usable_backend(name: str) -> CommunityBackend:
    """The backend registered under ``name``, which runs here.

    Raises
    ------
    UnknownNameError
        no backend of that name
    BackendUnavailableError
        it cannot run here; the message says why, and names those that can
    """
    found = backend(name)
    reason = found.unavailable()
    if reason is not None:
        usable = ", ".join(available_backends())
        raise BackendUnavailableError(f"{name} cannot run here: {reason}. Available: {usable}")
    return found


def missing_package(module: str, distribution: str, extra: str | None = None) -> str | None:
    """None if ``module`` can be imported, else how to get it; the module is not imported."""
    if find_spec(module) is not None:
        return None
    target = f"'stgraph-video[{extra}]'" if extra else distribution
    return f"the package {distribution!r} is not installed (pip install {target})"


def package_version(distribution: str) -> str:
    """Installed version of a distribution, or of its build for one CUDA version; "unknown" without either."""
    for suffix in ("", "-cu13", "-cu12"):
        try:
            return version(distribution + suffix)
        except PackageNotFoundError:
            pass
    return "unknown"
