"""Compiled loops over features and edges, once for arrays in host memory and once for tensors on a GPU."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from stgraph.errors import missing_dependency


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
