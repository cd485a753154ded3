"""Settings: a selector with its parameters, and products of parameter values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

from stgraph.community.base import available_backends, usable_backend
from stgraph.community.base import backend as backend_of
from stgraph.community.default_backend import compared_backends
from stgraph.errors import InputError, MissingSignalError
from stgraph.graph import check_threshold
from stgraph.selection.base import SELECTORS, Selector, parameters_of, selector
from stgraph.selection.budget import Budget
from stgraph.tokens import VideoTokens


@dataclass(frozen=True)
class Setting:
    """One way to keep tokens: a selector and its parameters beyond the budget.

    Attributes
    ----------
    selector : name, see :func:`stgraph.selectors`
    parameters : the selector's; omitted ones take their defaults

    Examples
    --------
    >>> print(Setting("st-simdiff", {"backend": "igraph-leiden", "tau_sim": 0.7}))
    st-simdiff, backend igraph-leiden, tau_sim 0.7
    """

    selector: str = "st-simdiff"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join([self.selector, *(f"{name} {value}" for name, value in self.parameters.items())])

    @property
    def label(self) -> str:
        """A short label, such as ``evs`` or ``st-simdiff / igraph-leiden``."""
        backend = self.parameters.get("backend")
        return f"{self.selector} / {backend}" if backend else self.selector

    def build(self, budget: Budget) -> Selector:
        """The selector, fully checked.

        Raises
        ------
        UnknownNameError
            no selector of that name
        InputError
            an unknown parameter, or one out of range
        """
        return selector(self.selector, **asdict(budget), **self.parameters)

    def get(self, parameter: str) -> Any:
        """The value of a parameter, given or default; None if the selector lacks the parameter."""
        return self.parameters.get(parameter, getattr(SELECTORS.get(self.selector), parameter, None))

    @property
    def seed(self) -> int | None:
        """The seed if anything is random; None with a community backend that uses none."""
        name = self.get("backend")
        seed: int | None = self.get("seed") if name is None or backend_of(name).capabilities.seeded else None
        return seed


def check_parameters(selectors: Iterable[str], given: Iterable[str], *, without: Iterable[str] = ()) -> None:
    """Raise InputError unless each parameter is known to one of the selectors. ``without`` : names among them that are
    not selectors
    """
    names = tuple(selectors)
    known = {parameter for name in names if name not in without for parameter in parameters_of(name)}
    for parameter in given:
        if parameter not in known:
            raise InputError(f"none of the selectors {', '.join(names)} has a parameter {parameter!r}")


def settings_of(selectors: Iterable[str], axes: Mapping[str, Iterable[Any]]) -> list[Setting]:
    """Each selector with every combination of values; an axis applies to the selectors that have the parameter.

    Parameters
    ----------
    axes : parameter -> values; the last one changes fastest

    Raises
    ------
    UnknownNameError
        no selector of that name

    Examples
    --------
    >>> [s.parameters for s in settings_of(["uniform", "st-simdiff"], {"tau_sim": (0.8, 0.9)})]
    [{}, {'tau_sim': 0.8}, {'tau_sim': 0.9}]
    """
    values = {name: _distinct(axis) for name, axis in axes.items()}
    made = []
    for name in dict.fromkeys(selectors):
        known = parameters_of(name)
        mine = {parameter: axis for parameter, axis in values.items() if parameter in known}
        made += [Setting(name, dict(zip(mine, chosen, strict=True))) for chosen in product(*mine.values())]
    return made


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Without repeats, in order; values may be lists."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def backend_settings(
    backends: Iterable[str] = (),
    splits: Iterable[str] = ("tree",),
    seeds: Iterable[int] = (0,),
    parameters: Mapping[str, Any] | None = None,
) -> list[Setting]:
    """st-simdiff with each community backend, splitter and seed; impossible combinations are left out.

    Parameters
    ----------
    backends : names, or "all" for every one that runs here; empty for one per objective (with ``tau_sim`` below 0, only
        those that accept negative weights)
    splits : splitters; "native", named with others or without a backend, applies only to backends that support it
    seeds : for backends that use one; the others run once
    parameters : others, the same for all

    Raises
    ------
    UnknownNameError, InputError
        a name or parameter is wrong, or an axis is empty
    BackendUnavailableError
        a backend asked for by name cannot run here
    """
    named, cuts, draws = tuple(dict.fromkeys(backends)), tuple(dict.fromkeys(splits)), tuple(dict.fromkeys(seeds))
    every = available_backends() if "all" in named else compared_backends()
    if "all" in named:
        named = ()
    common = dict(parameters or {})
    check_axis("splits", cuts)
    check_axis("seeds", draws)
    negative = check_threshold("tau_sim", common.get("tau_sim", Setting().get("tau_sim"))) < 0
    made = []
    for name in named or every:
        able = (usable_backend if named else backend_of)(name).capabilities
        if negative and able.weighted and able.thresholded and not named:
            continue
        for split in cuts:
            if split == "native" and not able.native_cap and (not named or len(cuts) > 1):
                continue
            for seed in draws if able.seeded else draws[:1]:
                made.append(Setting(parameters={"backend": name, "split": split, "seed": seed, **common}))
    if not made:
        raise InputError(f"no backend here has a cap of its own; leave the splitter native out of {', '.join(cuts)}")
    for setting in made:
        setting.build(Budget(0.5))
    return made


def selector_settings(
    selectors: Iterable[str] = (),
    backends: Iterable[str] = (),
    seeds: Iterable[int] = (0,),
    parameters: Mapping[str, Any] | None = None,
) -> list[Setting]:
    """A setting per selector, each with the parameters it accepts.

    Parameters
    ----------
    selectors : names; empty for all that can be used
    backends : community backends, for the selectors that take one; empty for their default
    seeds : for selectors that draw random numbers themselves; those that find communities run once, with the first
    parameters : others, the same for all selectors that accept them

    Raises
    ------
    UnknownNameError, InputError
        a name or parameter is wrong, or seeds is empty
    """
    draws = tuple(seeds)
    check_axis("seeds", draws)
    common = {name: (value,) for name, value in (parameters or {}).items()}
    named = tuple(backends)
    made = []
    for name in dict.fromkeys(selectors) or SELECTORS.usable():
        known = parameters_of(name)
        axes = {**common, "backend": named} if named else common
        made += settings_of([name], {**axes, "seed": draws[:1] if "backend" in known else draws})
    for setting in made:
        setting.build(Budget(0.5))
    return made


def check_settings(
    settings: Sequence[Setting], ratios: Sequence[float], measured: str = "kept", newlines: str | None = None
) -> None:
    """Raise unless settings and ratios are non-empty and each is valid; needs no tokens.

    Raises
    ------
    UnknownNameError, InputError
        a name, parameter or ratio is wrong, or none is given
    """
    check_axis("settings", settings)
    check_axis("retain_ratios", ratios)
    budgets = [Budget(ratio, measured=measured, newlines=newlines) for ratio in ratios]
    for one in settings:
        one.build(budgets[0])


def can_select(setting: Setting, tokens: VideoTokens) -> bool:
    """Whether the tokens carry the signals the setting's selector needs."""
    try:
        setting.build(Budget(0.5)).check_signals(tokens)
    except MissingSignalError:
        return False
    return True


def check_axis(name: str, values: Sequence[Any]) -> None:
    """Raise InputError if an axis is empty."""
    if not values:
        raise InputError(f"{name} is empty; give at least one")
