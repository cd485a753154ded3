"""Checks of integer parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from stgraph.errors import InputError


def check_integer(name: str, value: Any, least: int) -> None:
    """Raise InputError unless ``value`` is an integer (NumPy's included, bool excluded) of at least ``least``."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}; it must be an integer of at least {least}")


def check_layer(layer: Any, n_layers: Any) -> None:
    """Raise InputError unless an LLM of ``n_layers`` (at least 2) has ``layer``, counted from 0 and not the first."""
    check_integer("n_layers", n_layers, 2)
    check_integer("layer", layer, 1)
    if layer >= n_layers:
        raise InputError(f"layer is {layer}; an LLM of {n_layers} layers (n_layers) lacks it")
