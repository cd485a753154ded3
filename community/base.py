"""Interface of community backends, and the table of those included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Protocol, runtime_checkable

from stgraph.edges import EdgeList
from stgraph.errors import BackendUnavailableError, InputError, UnavailableError, install_command
from stgraph.registry import Registry, told


@dataclass(frozen=True)
class Capabilities:
    """A backend's properties, as data.

    Attributes
    ----------
    device : "cpu", "cuda", or "any": where the graph is
    objective : the objective it optimises, from :data:`stgraph.community.objectives.OBJECTIVES`, or your own term
    weighted : whether edge weights change the result
    thresholded : whether it takes only edges above the similarity threshold, rather than every lattice edge
    seeded : whether ``seed`` changes the result
    deterministic : whether the same seed gives the same labels on any thread count
    reads : "edges", or "features" for a clustering of the features, which answers ``labels_of(features, params)``; it
        gets a tensor where they lie on a GPU and ``device`` is "any"
    native_cap : whether the library itself can bound the community size (used by ``split="native"``)
    canonical : whether it takes any graph, isolated nodes included, and numbers communities by their smallest node
    ignores : parameters it accepts but does not use
    not_yet_run_on : devices it is written for but has not been run on; ``stgraph doctor`` says so
    """

    device: str
    objective: str
    weighted: bool
    seeded: bool
    deterministic: bool
    native_cap: bool = False
    canonical: bool = False
    thresholded: bool = True
    reads: str = "edges"
    ignores: tuple[str, ...] = ()
    not_yet_run_on: tuple[str, ...] = ()


COMPONENTS = Capabilities(
    device="cpu",
    objective="none",
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
    resolution : gamma of the objective, > 0
    seed : seeds the backend's private random state
    max_size : bound for backends with a native cap, otherwise None
    options : every other parameter the backend declares
    """

    resolution: float = 1.0
    seed: int = 0
    max_size: int | None = None
    options: Mapping[str, int | float] = field(default_factory=dict)


@runtime_checkable
class CommunityBackend(Protocol):
    """A library's community detection behind a common interface.

    ``labels`` gets a graph with at least one edge and no isolated node (a canonical backend: any graph), with finite
    weights, positive where the backend is weighted; it returns one integer per node, any values. A "cpu" backend gets
    and returns NumPy arrays; one of "cuda" or "any" gets what the graph holds, and returns either. Everything else
    happens in ``detect.py``. A backend declares its own parameters as ``parameters``, a mapping of
    names to :class:`stgraph.community.parameters.Parameter`.
    """

    name: str
    capabilities: Capabilities
    package: str

    def unavailable(self) -> str | None:
        """None, or the reason the backend cannot run here. Cheap: imports nothing heavy."""
        ...

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        """[n_nodes] integer labels."""
        ...


def check_backend(found: Any) -> None:
    """Raise InputError unless ``found`` is a :class:`CommunityBackend`; faults that only a graph would reveal pass."""
    if isinstance(found, type):
        raise InputError(f"{found.__name__} is a class; register an instance of it")
    for name in ("name", "package"):
        value = getattr(found, name, None)
        if not isinstance(value, str) or not value:
            raise InputError(f"{name} of {type(found).__name__} is {value!r}; it must be a non-empty string")
    for name in ("unavailable", "labels"):
        if not callable(getattr(found, name, None)):
            raise InputError(f"{type(found).__name__} has no method {name}(), which a community backend needs")
    stated = getattr(found, "capabilities", None)
    if not isinstance(stated, Capabilities):
        raise InputError(f"capabilities of {type(found).__name__} are {stated!r}; they must be Capabilities(...)")
    if stated.device not in ("cpu", "cuda", "any"):
        raise InputError(f"capabilities.device is {stated.device!r}; it must be 'cpu', 'cuda' or 'any'")
    for part in fields(stated):
        value = getattr(stated, part.name)
        if part.type == "bool" and not isinstance(value, bool):
            raise InputError(f"capabilities.{part.name} is {value!r}; it must be True or False")
    if stated.reads not in ("edges", "features"):
        raise InputError(f"capabilities.reads is {stated.reads!r}; it must be 'edges' or 'features'")
    if stated.reads == "features" and not callable(getattr(found, "labels_of", None)):
        raise InputError(f"{type(found).__name__} has no method labels_of(), which a clustering of features needs")
    if not isinstance(stated.objective, str):
        raise InputError(f"capabilities.objective is {stated.objective!r}; it must be a string")
    if not isinstance(stated.ignores, tuple) or not all(isinstance(name, str) for name in stated.ignores):
        raise InputError(f"capabilities.ignores is {stated.ignores!r}; it must be a tuple of parameter names")


# By objective, in the order of OBJECTIVES: so `stgraph doctor`, `compare -b all` and the documentation list them.
BACKENDS = Registry(
    "community backend",
    {
        "lattice-components": "stgraph.community.backend_lattice:LATTICE_COMPONENTS",
        "scipy-components": "stgraph.community.backend_scipy:SCIPY_COMPONENTS",
        "cugraph-components": "stgraph.community.backend_cugraph:CUGRAPH_COMPONENTS",
        "cugraph-dask-components": "stgraph.community.backend_cugraph_dask:CUGRAPH_DASK_COMPONENTS",
        "lattice-leiden-modularity": "stgraph.community.backend_lattice:LATTICE_LEIDEN_MODULARITY",
        "igraph-louvain": "stgraph.community.backend_igraph:IGRAPH_LOUVAIN",
        "igraph-leiden": "stgraph.community.backend_igraph:IGRAPH_LEIDEN",
        "leidenalg-leiden": "stgraph.community.backend_leidenalg:LEIDENALG_LEIDEN",
        "networkx-louvain": "stgraph.community.backend_networkx:NETWORKX_LOUVAIN",
        "networkit-louvain": "stgraph.community.backend_networkit:NETWORKIT_LOUVAIN",
        "networkit-leiden": "stgraph.community.backend_networkit:NETWORKIT_LEIDEN",
        "graspologic-leiden": "stgraph.community.backend_graspologic:GRASPOLOGIC_LEIDEN",
        "cugraph-louvain": "stgraph.community.backend_cugraph:CUGRAPH_LOUVAIN",
        "cugraph-leiden": "stgraph.community.backend_cugraph:CUGRAPH_LEIDEN",
        "cugraph-dask-louvain": "stgraph.community.backend_cugraph_dask:CUGRAPH_DASK_LOUVAIN",
        "cugraph-dask-leiden": "stgraph.community.backend_cugraph_dask:CUGRAPH_DASK_LEIDEN",
        "lattice-leiden": "stgraph.community.backend_lattice:LATTICE_LEIDEN",
        "igraph-leiden-cpm": "stgraph.community.backend_igraph:IGRAPH_LEIDEN_CPM",
        "leidenalg-leiden-cpm": "stgraph.community.backend_leidenalg:LEIDENALG_LEIDEN_CPM",
        "graspologic-leiden-cpm": "stgraph.community.backend_graspologic:GRASPOLOGIC_LEIDEN_CPM",
        "leidenalg-leiden-surprise": "stgraph.community.backend_leidenalg:LEIDENALG_LEIDEN_SURPRISE",
        "leidenalg-leiden-significance": "stgraph.community.backend_leidenalg:LEIDENALG_LEIDEN_SIGNIFICANCE",
        "igraph-infomap": "stgraph.community.backend_igraph:IGRAPH_INFOMAP",
        "networkit-map-equation": "stgraph.community.backend_networkit:NETWORKIT_MAP_EQUATION",
        "igraph-label-propagation": "stgraph.community.backend_igraph:IGRAPH_LABEL_PROPAGATION",
        "networkx-label-propagation": "stgraph.community.backend_networkx:NETWORKX_LABEL_PROPAGATION",
        "networkit-label-propagation": "stgraph.community.backend_networkit:NETWORKIT_LABEL_PROPAGATION",
        "lattice-segments": "stgraph.community.backend_lattice:LATTICE_SEGMENTS",
        "cugraph-ecg": "stgraph.community.backend_cugraph:CUGRAPH_ECG",
        "features-dpc-knn": "stgraph.community.backend_features:FEATURES_DPC_KNN",
        "features-kmeans": "stgraph.community.backend_features:FEATURES_KMEANS",
    },
    group="stgraph.community_backends",
    check=check_backend,
    instances=True,
)


def backend(name: str) -> CommunityBackend:
    """The backend registered under ``name``, whether or not it is available.

    Raises
    ------
    UnknownNameError
        no backend has that name; the message lists the known ones and the nearest spelling
    BackendUnavailableError
        it is a third party's and broken; the message says how
    """
    try:
        found: CommunityBackend = BACKENDS.get(name)
    except UnavailableError as error:
        raise BackendUnavailableError(str(error)) from error
    return found


def backends() -> dict[str, str | None]:
    """Every backend's name, with None if it runs here and otherwise the reason; includes third-party backends that are
    broken or whose name is taken."""
    return {name: _reason(name) for name in BACKENDS.names()} | BACKENDS.refused()


def available_backends() -> list[str]:
    """The backends that run here."""
    return [name for name, reason in backends().items() if reason is None]


def usable_backend(name: str) -> CommunityBackend:
    """The backend registered under ``name``, checked to run here.

    Raises
    ------
    UnknownNameError
        no backend has that name
    BackendUnavailableError
        it cannot run here; the message says why, and names those that can
    """
    BACKENDS.check(name)
    reason = _reason(name)
    if reason is not None:
        usable = ", ".join(available_backends())
        raise BackendUnavailableError(f"{name} cannot run here: {reason}. Available: {usable}")
    return backend(name)


def _reason(name: str) -> str | None:
    """None, or the reason the backend registered under ``name`` cannot run here, including its own faults."""
    if fault := BACKENDS.fault(name):
        return fault
    try:
        reason = BACKENDS.get(name).unavailable()
    except (Exception, SystemExit) as error:
        return f"unavailable() failed: {told(error)}"
    if reason is None or isinstance(reason, str):
        return reason
    return f"unavailable() answered {reason!r}; it must be None or the reason"


def missing_package(module: str, distribution: str, extra: str | None = None) -> str | None:
    """None if ``module`` is installed, otherwise how to install it; the module is not imported."""
    if find_spec(module) is not None:
        return None
    command = install_command(extra) if extra else f"pip install {distribution}"
    return f"the package {distribution!r} is not installed ({command})"


def package_version(distribution: str) -> str:
    """Installed version of a distribution or of its CUDA build; "unknown" if neither is installed."""
    for suffix in ("", "-cu13", "-cu12"):
        try:
            return version(distribution + suffix)
        except PackageNotFoundError:
            pass
    return "unknown"
