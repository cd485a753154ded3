"""Arguments of community detection: checked without a graph or a library, and completed with defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from stgraph.community.base import BackendParams, CommunityBackend, available_backends
from stgraph.community.base import backend as get_backend
from stgraph.community.objectives import default_resolution
from stgraph.community.parameters import check_options
from stgraph.community.size_cap import SPLITTERS, missing
from stgraph.errors import BackendUnavailableError, InputError


def check_detection(
    backend: str,
    max_size: Any,
    split: str,
    resolution: Any,
    seed: Any,
    options: Any,
) -> None:
    """Check the arguments of :func:`detect_communities` that need neither a graph nor a library.

    Raises
    ------
    UnknownNameError, InputError
        a name is unknown or a number out of range
    BackendUnavailableError
        the splitter cannot run here
    """
    if not isinstance(options, Mapping):
        raise InputError(
            f"backend_options is {options!r}; it must map names to numbers, as {{'n_iterations': 5}}, "
            "in a command -p backend_options.n_iterations=5"
        )
    SPLITTERS.check(split)
    reason = missing(split)
    if reason is not None:
        raise BackendUnavailableError(f"splitter {split} cannot run here: {reason}")
    if backend != "auto":
        engine = get_backend(backend)
        check_native(engine, split)
        check_options(backend, getattr(engine, "parameters", {}), options)
    resolve_max_size(max_size, 1)
    real = isinstance(resolution, (int, float, np.integer, np.floating)) and not isinstance(resolution, bool)
    if resolution is not None and (not real or not math.isfinite(resolution) or resolution <= 0):
        raise InputError(f"resolution is {resolution!r}; it must be a positive number, or None for the objective's own")
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise InputError(f"seed is {seed!r}; it must be an integer from 0 to 2^31 - 1")


def backend_params(
    engine: CommunityBackend,
    resolution: float | None = None,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> BackendParams:
    """A backend's parameters except the cap, with the objective's and the backend's defaults."""
    gamma = default_resolution(engine.capabilities.objective) if resolution is None else float(resolution)
    filled = check_options(engine.name, getattr(engine, "parameters", {}), options or {})
    return BackendParams(gamma, int(seed), options=filled)


def resolve_max_size(max_size: Any, n_nodes: int) -> int | None:
    """The cap as a number: floor(sqrt(N)) for "sqrt".

    Raises
    ------
    InputError
        neither "sqrt", None nor a positive integer
    """
    if max_size is None:
        return None
    if isinstance(max_size, str) and max_size == "sqrt":
        return max(1, math.isqrt(n_nodes))
    if isinstance(max_size, (int, np.integer)) and not isinstance(max_size, bool) and max_size >= 1:
        return int(max_size)
    raise InputError(f"max_size is {max_size!r}; it must be 'sqrt', a positive integer or None")


def check_native(engine: CommunityBackend, split: str) -> None:
    """Raise InputError if the backend cannot enforce the cap in its search, or divide a part, as asked."""
    if split == "redetect" and engine.capabilities.reads == "features":
        raise InputError(
            f"split='redetect' runs the backend again on a part of the graph, but {engine.name} reads none"
        )
    if split == "native" and not engine.capabilities.native_cap:
        capable = [name for name in available_backends() if get_backend(name).capabilities.native_cap]
        raise InputError(
            f"split='native': {engine.name} has no cap of its own; those that do: {', '.join(capable) or 'none'}"
        )
