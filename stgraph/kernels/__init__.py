"""Compiled loops over features and edges, in a version for arrays in host memory and one for tensors on a GPU."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from stgraph.errors import missing_dependency


def gpu_engine_missing() -> str | None:
    """None, or the requirement the GPU engine lacks on this machine besides a device."""
    return None if find_spec("triton") is not None else "the GPU engine needs Triton, which is not installed"


def kernels_for(array: Any, name: str) -> ModuleType:
    """The module ``name`` of the engine that computes where ``array`` lies: ``kernels/cpu`` for a NumPy array,
    ``kernels/gpu`` for a torch tensor. Both hold the same functions.

    Raises
    ------
    MissingDependencyError
        Triton, which the GPU engine is written in, is not installed
    """
    if isinstance(array, np.ndarray):
        return import_module(f"stgraph.kernels.cpu.{name}")
    try:
        return import_module(f"stgraph.kernels.gpu.{name}")
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        raise missing_dependency("computing on a GPU", "triton") from None
