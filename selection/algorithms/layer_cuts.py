"""Cuts in several decoder layers: valid layers, and the number of tokens that meets the budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.selection.budget import Budget
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
        raise InputError(f"layers is {layers!r}; an LLM of {n_layers} layers (n_layers) lacks layer {found[-1]}")
    return found


def count_after_cuts(
    grid: TokenGrid,
    budget: Budget,
    n_layers: int,
    cuts: Callable[[int], Sequence[tuple[int, int]]],
    entering: Callable[[int], int] | None = None,
) -> int:
    """K tokens left by the last cut: the budget's count, or, if it is measured over the layers, the smallest K whose
    mean over them meets it.

    Parameters
    ----------
    cuts : maps K to (first layer that sees fewer tokens, tokens left) for each cut, the last leaving K; ascending in K
    entering : maps K to the tokens that enter the first layer; None for all of ``grid``

    Raises
    ------
    InputError
        the layers before the first cut alone exceed the budget, where all tokens enter
    """
    if budget.measured != "layers":
        return budget.count(grid)
    n, ratio = grid.n_nodes, budget.ratio(grid)
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


def count_after_one_cut(
    grid: TokenGrid, budget: Budget, n_layers: int, layer: int, entering: Callable[[int], int]
) -> int:
    """The number of :func:`count_after_cuts` for a single cut before ``layer``, which fewer tokens may reach."""
    return count_after_cuts(grid, budget, n_layers, lambda n_keep: ((layer, n_keep),), entering)
