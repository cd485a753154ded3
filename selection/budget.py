"""Budgets: how many tokens to keep."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype
from stgraph.errors import InputError
from stgraph.grid import TokenGrid
from stgraph.selection.accounting import kept_for_mean
from stgraph.selection.integers import check_integer
from stgraph.tokens import VideoTokens

_MOST = 2**31 - 1  # tokens, hence members of a community


def exact_ratio(value: Any, name: str = "retain_ratio") -> Fraction:
    """The ratio as the decimal it was written as, so that ceil(10 * 0.3) is 3, not 4.

    Raises
    ------
    InputError
        not a number in (0, 1]

    Examples
    --------
    >>> exact_ratio(0.07)
    Fraction(7, 100)
    """
    if isinstance(value, Fraction) or (isinstance(value, Decimal) and value.is_finite()):
        ratio = Fraction(value)
    elif (
        isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) and np.isfinite(value)
    ):
        ratio = Fraction(str(value))  # the shortest decimal that reads back as this float
    else:
        raise InputError(f"{name} is {value!r}; it must be a number in (0, 1]")
    if not 0 < ratio <= 1:
        raise InputError(f"{name} is {value}; it must lie in (0, 1]")
    return ratio


def ceil_share(counts: Any, ratio: Fraction) -> Any:
    """ceil(count * ratio) for each count ([k] integers below 2^31), in exact arithmetic; [k] int64."""
    above, below = share_in_64_bits(ratio)
    return (astype(counts, "int64") * above + (below - 1)) // below


def share_in_64_bits(ratio: Fraction) -> tuple[int, int]:
    """(above, below) with ceil(count * above / below) = ceil(count * ratio) for each count below 2^31, which 64 bits
    hold."""
    share = least_above(ratio, _MOST)
    return share.numerator, share.denominator


def least_above(ratio: Fraction, most: int) -> Fraction:
    """The smallest fraction >= ``ratio`` (in (0, 1]) with a denominator of at most ``most``.

    ceil(n * ratio) is the smallest m with m / n >= ratio, so for n <= ``most`` the two have the same multiples; those
    of this one fit in 64 bits.

    Examples
    --------
    >>> least_above(Fraction(333, 1000), 10)
    Fraction(1, 3)
    """
    if ratio.denominator <= most:
        return ratio
    # Descent in the Stern-Brocot tree: below < ratio <= above, and every fraction between them has a denominator of at
    # least the sum of theirs. Steps in the same direction are taken at once.
    (a, b), (c, d) = (0, 1), (1, 1)
    p, q = ratio.numerator, ratio.denominator
    while True:
        # As often towards `below` as `above` stays at or above the ratio.
        steps = min((c * q - p * d) // (p * b - a * q), (most - d) // b)
        c, d = c + steps * a, d + steps * b
        # As often towards `above` as `below` stays below it.
        more = min(-(-(p * b - a * q) // (c * q - p * d)) - 1, (most - b) // d)
        a, b = a + more * c, b + more * d
        if b + d > most:
            return Fraction(c, d)


def per_frame_counts(n_keep: int, n_frames: int) -> Array:
    """``n_keep`` spread evenly over the frames, [T] int64: frame t gets floor((t+1) K / T) - floor(t K / T).

    Examples
    --------
    >>> per_frame_counts(7, 4).tolist()
    [1, 2, 2, 2]
    """
    ends: Array = np.arange(n_frames + 1, dtype=np.int64) * n_keep // n_frames
    return np.diff(ends)


@dataclass(frozen=True)
class Budget:
    """A budget: how many visual tokens to keep.

    Give exactly one of ``retain_ratio`` and ``n_keep``.

    Attributes
    ----------
    retain_ratio : r in (0, 1]; keeps N_target = ceil(r N), exact for the decimal r
    n_keep : an absolute number of tokens, at least 1
    measured : "kept" counts the tokens left at the end; "layers" counts the mean over the LLM's layers, which differs
        for methods that prune inside the LLM
    newlines : "out": newline tokens are neither counted nor kept; "in": they count in N and are treated like patches;
        None: the method's own way ("in" for st-simdiff-released and framefusion, "out" for all others)
    """

    retain_ratio: float | Fraction | Decimal | None = None
    n_keep: int | None = None
    measured: str = "kept"
    newlines: str | None = None

    def __post_init__(self) -> None:
        if (self.retain_ratio is None) == (self.n_keep is None):
            raise InputError(
                f"budget got retain_ratio={self.retain_ratio!r} and n_keep={self.n_keep!r}; give exactly one"
            )
        if self.retain_ratio is not None:
            exact_ratio(self.retain_ratio)
        else:
            check_integer("n_keep", self.n_keep, 1)
        if self.measured not in ("kept", "layers"):
            raise InputError(f"measured is {self.measured!r}; it must be 'kept' or 'layers'")
        if self.newlines not in ("in", "out", None):
            raise InputError(f"newlines is {self.newlines!r}; it must be 'in', 'out' or None")

    def lattice(self, grid: TokenGrid, own: str = "out") -> TokenGrid:
        """The grid of counted nodes: with the newline column for "in" (``own`` is the method's own way)."""
        return grid.with_newline_column() if self._newlines_in(grid, own) else grid

    def view(self, tokens: VideoTokens, own: str = "out") -> VideoTokens:
        """The tokens that count, on :meth:`lattice`."""
        return tokens.with_newline_column() if self._newlines_in(tokens.grid, own) else tokens

    def _newlines_in(self, grid: TokenGrid, own: str) -> bool:
        if self.newlines is None:
            return own == "in" and grid.n_newline_rows == grid.T * grid.H
        return self.newlines == "in" and grid.kind is not None

    def count(self, grid: TokenGrid, prune_layer: int = 0, n_layers: int = 28) -> int:
        """N_target for a grid.

        Parameters
        ----------
        prune_layer, n_layers : where a method prunes inside the LLM; used only with ``measured="layers"``

        Raises
        ------
        InputError
            more tokens are requested than the grid has, or the mean over layers cannot be met
        """
        if self.n_keep is not None and self.n_keep > grid.n_nodes:
            raise InputError(f"n_keep is {self.n_keep} but grid {grid} has {grid.n_nodes} tokens")
        if self.measured == "layers" and prune_layer:
            return kept_for_mean(self.ratio(grid), grid.n_nodes, prune_layer, n_layers)
        if self.n_keep is not None:
            return int(self.n_keep)
        ratio = self.ratio(grid)
        return -(-grid.n_nodes * ratio.numerator // ratio.denominator)

    def ratio(self, grid: TokenGrid) -> Fraction:
        """r as an exact fraction; n_keep / N if a count was given."""
        return Fraction(int(self.n_keep), grid.n_nodes) if self.n_keep is not None else self._exact_ratio

    @cached_property
    def _exact_ratio(self) -> Fraction:
        return exact_ratio(self.retain_ratio)
