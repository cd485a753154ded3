"""Backend-specific parameters: declared, checked, and completed with defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.errors import InputError


@dataclass(frozen=True)
class Parameter:
    """A numeric parameter of a backend besides resolution, seed and the size cap.

    Attributes
    ----------
    default : value if none is given; an int for integer parameters
    meaning : one line
    least, most : bounds, both included
    """

    default: int | float
    meaning: str
    least: float = -math.inf
    most: float = math.inf

    def check(self, name: str, value: Any) -> int | float:
        """The value as a plain number.

        Raises
        ------
        InputError
            not a number of the default's type, or out of bounds
        """
        whole = isinstance(self.default, int)
        kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
        if isinstance(value, bool) or not isinstance(value, kinds) or not self.least <= value <= self.most:
            kind = "an integer" if whole else "a number"
            bounds = f" from {self.least:g}" if self.least > -math.inf else ""
            bounds += f" to {self.most:g}" if self.most < math.inf else ""
            raise InputError(f"{name} is {value!r}; it must be {kind}{bounds}")
        return int(value) if whole else float(value)


def check_options(backend: str, known: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, int | float]:
    """Every parameter of a backend: the given value, or the default.

    Raises
    ------
    InputError
        the backend lacks a parameter, or a value is out of range
    """
    for name in given:
        if name not in known:
            has = ", ".join(known) or "none of its own"
            raise InputError(f"backend {backend} has no parameter {name!r}; it has: {has}")
    return {name: one.check(name, given[name]) if name in given else one.default for name, one in known.items()}
