"""How many tokens to keep."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from stgraph.errors import InputError
from stgraph.grid import TokenGrid

Array = np.ndarray[Any, Any]


def exact_ratio(value: Any, name: str = "retain_ratio") -> Fraction:
    """The ratio as the decimal it was written as, so that ceil(10 * 0.3) is 3 and not 4.

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


def ceil_share(counts: Array, ratio: Fraction) -> Array:
    """ceil(count * ratio) for each count ([k] integers), in exact arithmetic; [k] int64."""
    distinct, place = np.unique(counts, return_inverse=True)
    p, q = ratio.numerator, ratio.denominator
    exact = np.array([-(-int(n) * p // q) for n in distinct], dtype=np.int64)
    return exact[place]


@dataclass(frozen=True)
class Budget:
    """How many patch tokens may enter the LLM.

    Give exactly one of the two. The count is taken at the LLM's input, over the patch tokens; newline and separator
    tokens are neither counted nor kept.

    Attributes
    ----------
    retain_ratio : r in (0, 1]; keeps N_target = ceil(r N), exact for the decimal r
    n_keep : an absolute number of tokens, at least 1
    """

    retain_ratio: float | Fraction | Decimal | None = None
    n_keep: int | None = None

    def __post_init__(self) -> None:
        if (self.retain_ratio is None) == (self.n_keep is None):
            raise InputError(
                f"budget got retain_ratio={self.retain_ratio!r} and n_keep={self.n_keep!r}; give exactly one"
            )
        if self.retain_ratio is not None:
            exact_ratio(self.retain_ratio)
        elif not isinstance(self.n_keep, (int, np.integer)) or isinstance(self.n_keep, bool) or self.n_keep < 1:
            raise InputError(f"n_keep is {self.n_keep!r}; it must be an integer of at least 1")

    def count(self, grid: TokenGrid) -> int:
        """N_target for a grid.

        Raises
        ------
        InputError
            more tokens are asked for than the grid has
        """
        if self.n_keep is not None:
            if self.n_keep > grid.n_nodes:
                raise InputError(f"n_keep is {self.n_keep} but grid {grid} has {grid.n_nodes} tokens")
            return int(self.n_keep)
        return int(ceil_share(np.array([grid.n_nodes]), self.ratio(grid))[0])

    def ratio(self, grid: TokenGrid) -> Fraction:
        """r as an exact fraction; n_keep / N where a count was given."""
        return Fraction(int(self.n_keep), grid.n_nodes) if self.n_keep is not None else exact_ratio(self.retain_ratio)
