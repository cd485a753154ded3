"""Sweep plans: the product of the axes, every name and number checked when the plan is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import Any

from stgraph.bench.tables.experiments import SWEEP
from stgraph.community.base import backend, usable_backend
from stgraph.errors import InputError
from stgraph.graph import check_threshold
from stgraph.selection.base import parameters_of
from stgraph.selection.budget import Budget
from stgraph.selection.settings import Setting, check_axis
from stgraph.selection.st_simdiff.events import parse_tau_diff
from stgraph.selection.st_simdiff.importance import check_importance
from stgraph.selection.st_simdiff.paper import StSimDiff
from stgraph.selection.st_simdiff.presets import ablation

REFERENCE = (StSimDiff.tau_sim, StSimDiff.tau_diff)  # the thresholds whose kept tokens all others are compared with
REFERENCE_PARAMETERS = {"tau_sim": REFERENCE[0], "tau_diff": REFERENCE[1]}
_MOST = 10_000
_AXES = ("backend", "split", "seed", "tau_sim", "tau_diff", "importance")
_OPTIONS = tuple(name for name in SWEEP.key if name in parameters_of("st-simdiff") and name not in _AXES)


def number_range(name: str, text: str) -> tuple[float, ...]:
    """The numbers of ``"start:stop:step"``, exact decimals including the stop; or the one number given.

    Raises
    ------
    InputError
        ``text`` is neither, or names more than 10,000 numbers; ``name`` is the parameter

    Examples
    --------
    >>> number_range("tau_sim", "0.6:0.8:0.05")
    (0.6, 0.65, 0.7, 0.75, 0.8)
    """
    form = "give a number, or a range start:stop:step like 0.6:0.95:0.05; repeat the option for several"
    wanted = f"{name} is {text!r}; {form}"
    try:
        parts = [Decimal(part.strip()) for part in text.split(":")]
    except InvalidOperation:
        raise InputError(wanted) from None
    if len(parts) == 1:
        return (float(parts[0]),)
    if len(parts) != 3 or not all(part.is_finite() for part in parts):
        raise InputError(wanted)
    start, stop, step = parts
    if step <= 0 or stop < start:
        raise InputError(f"{name} is {text!r}; a range goes up from its start to its stop, by a step above 0")
    if (stop - start) / step >= _MOST:
        raise InputError(f"{name} is {text!r}, which are more than {_MOST:,} numbers; take a larger step")
    return tuple(float(start + i * step) for i in range(int((stop - start) / step) + 1))


@dataclass(frozen=True)
class Point:
    """A point of a sweep: a setting of st-simdiff with all its parameters, a row of the ablation, and a retain
    ratio."""

    setting: Setting
    preset: str
    retain_ratio: float

    @property
    def tau_sim(self) -> float | None:
        """None without edges, where it has no effect."""
        edges = self.setting.get("spatial") or self.setting.get("temporal")
        return float(self.setting.get("tau_sim")) if edges else None

    @property
    def tau_diff(self) -> float | str | None:
        """None without events, where it has no effect."""
        found: float | str | None = self.setting.get("tau_diff") if self.setting.get("events") else None
        return found

    @property
    def reference(self) -> Setting:
        """The setting this point is compared with: the same at the usual thresholds."""
        return replace(self.setting, parameters={**self.setting.parameters, **REFERENCE_PARAMETERS})

    @property
    def family(self) -> tuple[Any, ...]:
        """The values that, with ``tau_sim``, determine the communities."""
        return tuple(self.setting.get(name) for name in ("backend", "split", "seed", "spatial", "temporal"))


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """The axes of a sweep, and the values shared by all its rows.

    Attributes
    ----------
    tau_sims, tau_diffs, retain_ratios, backends, splits, seeds : axes; parameters of the selector st-simdiff
    presets : axis; rows of the ablation (:data:`stgraph.selection.st_simdiff.presets.ABLATION`), empty for "full"
    importance : ranking of surplus candidates; None is "attention", as in the paper, if presets are named, else "auto"
    fidelity : whether to compute the O(N^2 d) nearest-kept-token figures
    options : further parameters of st-simdiff, the same for all points; only those that rows have a column for

    Raises
    ------
    UnknownNameError, BackendUnavailableError, InputError
        a name or number is wrong, or a backend cannot run here
    """

    tau_sims: tuple[float, ...] = number_range("tau_sim", "0.6:0.95:0.05")
    tau_diffs: tuple[float | str, ...] = (0.1, 0.2, 0.3, 0.4)
    retain_ratios: tuple[float, ...] = (0.3, 0.5)
    backends: tuple[str, ...] = (StSimDiff.backend,)
    splits: tuple[str, ...] = (StSimDiff.split,)
    seeds: tuple[int, ...] = (0,)
    presets: tuple[str, ...] = ()
    importance: str | None = None
    fidelity: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chosen = self.importance or ("attention" if self.presets else "auto")
        object.__setattr__(self, "importance", chosen)
        object.__setattr__(self, "presets", self.presets or ("full",))
        object.__setattr__(self, "tau_sims", tuple(check_threshold("tau_sim", tau) for tau in self.tau_sims))
        object.__setattr__(self, "tau_diffs", tuple(map(_plain_tau_diff, self.tau_diffs)))
        for axis in ("tau_sims", "tau_diffs", "retain_ratios", "backends", "splits", "seeds", "presets"):
            check_axis(axis, getattr(self, axis))
            object.__setattr__(self, axis, tuple(dict.fromkeys(getattr(self, axis))))
        for ratio in self.retain_ratios:
            Budget(retain_ratio=ratio)
        for preset in self.presets:
            ablation(preset)
        if not isinstance(chosen, str):
            raise InputError("importance is an array; a sweep takes a name, which fits every dump")
        check_importance(chosen)
        for name in self.options:
            if name not in _OPTIONS:
                raise InputError(f"a sweep has no parameter {name!r}; it has: {', '.join(_OPTIONS)}")
        for name in self.backends:
            self._check_backend(name)

    def _check_backend(self, name: str) -> None:
        for split, seed in product(self.splits, self.seeds):
            Setting("st-simdiff", {**self.options, "backend": name, "split": split, "seed": seed}).build(Budget(0.5))
        found = usable_backend(name)
        if found.capabilities.weighted and min(self.tau_sims) < 0:
            raise InputError(
                f"tau_sim is {min(self.tau_sims):g}, but {name} needs positive edge weights: "
                "raise tau_sim to 0 or above, or use a components backend"
            )

    def points(self) -> Iterator[Point]:
        """Every point once; points with the same communities are adjacent. A value without effect is not varied."""
        families: dict[tuple[bool, bool], list[str]] = {}
        for preset in self.presets:
            row = ablation(preset)
            families.setdefault((row["spatial"], row["temporal"]), []).append(preset)
        common = {**self.options, "importance": self.importance}
        for name, split in product(self.backends, self.splits):
            seeds = self.seeds if backend(name).capabilities.seeded else (0,)
            for seed, (edges, presets) in product(seeds, families.items()):
                for tau_sim, preset in product(self.tau_sims if any(edges) else REFERENCE[:1], presets):
                    row = ablation(preset)
                    for tau_diff, ratio in product(
                        self.tau_diffs if row["events"] else REFERENCE[1:], self.retain_ratios
                    ):
                        own = {"backend": name, "split": split, "seed": seed, "tau_sim": tau_sim, "tau_diff": tau_diff}
                        yield Point(Setting("st-simdiff", {**row, **own, **common}), preset, float(ratio))


def tau_diff_text(tau_diff: float | str) -> str:
    """An event threshold as written in rows: "0.2" or "p95"."""
    return tau_diff if isinstance(tau_diff, str) else repr(tau_diff)


def _plain_tau_diff(value: float | str) -> float | str:
    percentile = parse_tau_diff(value)
    return float(value) if percentile is None else "p" + repr(percentile).removesuffix(".0")
