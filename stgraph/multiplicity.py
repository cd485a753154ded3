"""Multiple testing: p-values corrected for the number of tests."""

from __future__ import annotations

from collections.abc import Sequence

from stgraph.errors import InputError


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's step-down method (1979), in the order given.

    Accepting those at or below alpha yields any false finding with probability at most alpha, however the tests depend
    on each other.

    Raises
    ------
    InputError
        a value outside [0, 1]

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    for p in p_values:
        if not 0 <= p <= 1:
            raise InputError(f"a p-value is {p!r}; it must be a number from 0 to 1")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
