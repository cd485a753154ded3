"""Which selectors a comparison runs, and with which parameters."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgraph.bench.synthetic import synthetic_signals
from stgraph.errors import InputError
from stgraph.selection.base import SELECTORS, Selector
from stgraph.selection.budget import Budget
from stgraph.selection.checked import checked
from stgraph.tokens import VideoTokens


@dataclass(frozen=True, kw_only=True)
class SelectorPlan:
    """What to compare.

    Attributes
    ----------
    selectors : names; empty for all whose signals the tokens carry
    retain_ratios : r values
    measured, newlines : of every :class:`Budget`
    seeds : for selectors that draw at random; the others run once
    backends : community backends, for the selectors that take one; empty for their default
    fidelity : whether to compute the O(N K d) nearest-kept-token figures
    tau_diff : what counts as an event in ``event_fidelity``
    options : further parameters; each goes to the selectors that know it
    """

    selectors: tuple[str, ...] = ()
    retain_ratios: tuple[float, ...] = (0.1, 0.3, 0.5)
    measured: str = "kept"
    newlines: str | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    backends: tuple[str, ...] = ()
    fidelity: bool = True
    tau_diff: float | str = 0.2
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for axis in ("selectors", "retain_ratios", "seeds", "backends"):
            object.__setattr__(self, axis, tuple(dict.fromkeys(getattr(self, axis))))

    def budgets(self) -> list[Budget]:
        """One budget a retain ratio."""
        return [Budget(r, measured=self.measured, newlines=self.newlines) for r in self.retain_ratios]

    def variants(self) -> list[Variant]:
        """Every selector to run, with everything checked.

        Raises
        ------
        UnknownNameError, InputError
            a name or parameter is wrong; raised before any work
        """
        for axis in ("retain_ratios", "seeds"):
            if not getattr(self, axis):
                raise InputError(f"{axis} is empty; give at least one")
        first = self.budgets()[0]
        return [v for name in self.selectors or SELECTORS.usable() for v in self._variants_of(name, first)]

    def left_out(self) -> dict[str, str]:
        """The selectors that would run if they were not broken, and why they are: those of third parties."""
        if self.selectors:
            return {}
        faults = {name: SELECTORS.fault(name) for name in SELECTORS.names()}
        return {name: why for name, why in faults.items() if why} | SELECTORS.refused()

    def _variants_of(self, name: str, budget: Budget) -> Iterator[Variant]:
        cls = SELECTORS.get(name)
        knows = inspect.signature(cls).parameters
        given = {key: value for key, value in self.options.items() if key in knows}
        for backend in self.backends if "backend" in knows and self.backends else (None,):
            for seed in self.seeds if name.startswith("random") else (None,):
                own = {**given, **({"backend": backend} if backend else {}), **({} if seed is None else {"seed": seed})}
                yield Variant(name, backend, seed, checked(cls(budget=budget, **own)))


@dataclass(frozen=True, eq=False)
class Variant:
    """A selector with its parameters; ``backend`` and ``seed`` are None where they are its default or do not exist."""

    name: str
    backend: str | None
    seed: int | None
    selector: Selector

    @property
    def key(self) -> dict[str, Any]:
        """What a row is known by, beside dump and ratio."""
        return {"selector": self.name, "backend": self.backend, "seed": self.seed}


def check_parameters(selectors: Sequence[str], given: Iterable[str], *, without: Sequence[str] = ()) -> None:
    """Raise InputError unless each of the parameters is known to one of the selectors.

    ``without`` : names among them that are no selectors
    """
    chosen = [SELECTORS.get(name) for name in selectors if name not in without]
    known = {parameter for cls in chosen for parameter in inspect.signature(cls).parameters} - {"budget"}
    for name in given:
        if name not in known:
            raise InputError(f"none of the selectors {', '.join(selectors)} has a parameter {name!r}")


def warm_up(selectors: Iterable[Selector], dtype: np.dtype[Any], device: str = "cpu") -> None:
    """Compile the kernels on a few tokens that carry every signal, so that timings do not show it."""
    x = np.random.default_rng(0).normal(1.0, 0.3, (3, 4, 4, 8)).astype(dtype)
    tokens = synthetic_signals(VideoTokens.from_array(x)).to(device)
    for selector in selectors:
        selector.select(tokens, Budget(0.5))
