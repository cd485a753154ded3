"""Cuts in several decoder layers: valid layers, and the number of tokens that meets a mean over all layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from stgraph.errors import InputError
from stgraph.selection.integers import check_integer


def check_layers(layers: Any, n_layers: Any, least: int) -> tuple[int, ...]:
    """Ascending decoder layers, from 0, as integers.

    Parameters
    ----------
    layers : a layer, or several
    n_layers : decoder layers of the LLM, at least 2
    least : the first layer allowed

    Raises
    ------
    InputError
        no layers are given, or the LLM lacks one of them
    """
    found = tuple(np.atleast_1d(layers).tolist())
    whole = all(isinstance(layer, int) and not isinstance(layer, bool) and layer >= least for layer in found)
    if not whole or not found or any(b <= a for a, b in pairwise(found)):
        raise InputError(f"layers is {layers!r}; it must be ascending integers of at least {least}")
    check_integer("n_layers", n_layers, 2)
    if found[-1] >= n_layers:
        raise InputError(f"layers is {layers!r}; an LLM of {n_layers} layers (n_layers) has none of number {found[-1]}")
    return found


def fewest_for_mean(
    n: int,
    ratio: Fraction,
    n_layers: int,
    cuts: Callable[[int], Sequence[tuple[int, int]]],
    entering: Callable[[int], int] | None = None,
) -> int:
    """The smallest K whose mean over the layers is at least ``ratio`` of ``n`` tokens.

    Parameters
    ----------
    cuts : maps K to (first layer that sees fewer tokens, tokens left) for each cut, the last leaving K; ascending in K
    entering : maps K to the tokens that enter the first layer; None for all ``n``

    Raises
    ------
    InputError
        the layers before the first cut alone exceed the budget, where all tokens enter
    """
    wanted, first = ratio * n, cuts(1)[0][0]
    least = Fraction(first * n, n_layers)
    if entering is None and wanted <= least:
        raise InputError(
            f"retain ratio {float(ratio):g}, measured over {n_layers} layers, cannot be met by cutting from layer "
            f"{first} on: the layers before alone cost {float(least / n):.3f}. Raise it, or measure 'kept'"
        )
    low, high = 1, n
    while low < high:
        middle = (low + high) // 2
        found = cuts(middle)
        ends = [*(layer for layer, _ in found[1:]), n_layers]
        total = first * (n if entering is None else entering(middle))
        total += sum(left * (end - at) for (at, left), end in zip(found, ends, strict=True))
        low, high = (low, middle) if Fraction(total, n_layers) >= wanted else (middle + 1, high)
    return low
