"""Selector options, declared once for every command.

A command names the options it takes; the decorator adds them to its signature and passes those given on the command
line as ``method``. Omitted options take the library's default, which the help text reads from the selector.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import typer

GROUP = "Method"
COMMUNITIES = ("tau_sim", "max_size", "split", "resolution", "seed", "spatial", "temporal")
REDUCTION = ("tau_diff", "importance", "protect_events")


@dataclass(frozen=True)
class MethodOption:
    """One option: its flags, command-line type, help, and parser.

    Attributes
    ----------
    several : parses one text into several values, for repeatable options
    """

    flags: tuple[str, ...]
    kind: type
    help: str
    read: Callable[[Any], Any] = lambda value: value
    several: Callable[[Any], tuple[Any, ...]] | None = None


def max_size(text: str) -> int | str | None:
    """--max-size in the library's form."""
    if text == "none":
        return None
    return int(text) if text.lstrip("+-").isdecimal() else text


def tau_diff(text: str) -> float | str:
    """--tau-diff in the library's form: a number if it reads as one."""
    try:
        return float(text)
    except ValueError:
        return text


def _numbers(name: str) -> Callable[[str], tuple[Any, ...]]:
    """Parse one number or a range start:stop:step."""

    def read(text: str) -> tuple[Any, ...]:
        from stgraph.bench.sweep_plan import number_range

        return number_range(name, text)

    return read


def _seeds(text: str) -> tuple[int, ...]:
    from stgraph.errors import InputError

    numbers = _numbers("seed")(text)
    for number in numbers:
        if not float(number).is_integer():
            raise InputError(f"seed is {number:g}; it must be an integer from 0 to 2^31 - 1")
    return tuple(int(number) for number in numbers)


def _tau_diffs(text: str) -> tuple[float | str, ...]:
    return _numbers("tau_diff")(text) if ":" in text else (tau_diff(text),)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


OPTIONS: Mapping[str, MethodOption] = {
    "selector": MethodOption(("-s", "--selector"), str, "Selector; `stgraph doctor` lists them.", several=_names),
    "retain_ratio": MethodOption(
        ("-r", "--retain-ratio"), float, "Share of tokens to keep.", several=_numbers("retain_ratio")
    ),
    "backend": MethodOption(
        ("-b", "--backend"), str, "Community backend; `stgraph doctor` lists them.", several=_names
    ),
    "tau_sim": MethodOption(
        ("--tau-sim",), float, "Similarity an edge must exceed, from -1 to 1.", several=_numbers("tau_sim")
    ),
    "tau_diff": MethodOption(
        ("--tau-diff",), str, "Event threshold: a similarity, or a percentile such as p95.", tau_diff, _tau_diffs
    ),
    "max_size": MethodOption(("--max-size",), str, "Largest community: sqrt, a number, or none.", max_size),
    "split": MethodOption(
        ("--split",), str, "How larger communities are divided: tree, raster, metis, redetect, native.", several=_names
    ),
    "resolution": MethodOption(
        ("--resolution",), float, "Resolution of the objective; larger gives smaller communities."
    ),
    "seed": MethodOption(("--seed",), int, "Random seed.", several=_seeds),
    "importance": MethodOption(
        ("--importance",),
        str,
        "Ranks surplus candidates: auto, auto-coverage, attention, difference-then-centrality, coverage, centrality, "
        "difference, norm.",
    ),
    "protect_events": MethodOption(("--protect-events",), bool, "Drop event tokens only after all others."),
    "spatial": MethodOption(("--spatial/--no-spatial",), bool, "Spatial edges in the community graph."),
    "temporal": MethodOption(("--temporal/--no-temporal",), bool, "Temporal edges in the community graph."),
    "preset": MethodOption(
        ("--preset",),
        str,
        "paper, robust, or a row in the paper's ablation: attention-only, spatial, temporal, spatial-temporal, full.",
        several=_names,
    ),
    "measured": MethodOption(
        ("--measured",), str, "Quantity the ratio refers to: kept, or layers (mean over the LLM's layers)."
    ),
    "newlines": MethodOption(
        ("--newlines",), str, "Whether newline tokens count: in, out; default: as each method's authors count."
    ),
    "param": MethodOption(
        ("-p", "--param"), str, "Any other parameter of the selector, as name=value, several values as 1,2; repeatable."
    ),
}


def takes_method(
    *names: str, repeatable: Mapping[str, str] | None = None, defaults: Mapping[str, str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options to a command, which receives those given as ``method``, in the library's form.

    Parameters
    ----------
    names : names in :data:`OPTIONS`, one value each
    repeatable : options that may be repeated, even if among ``names``, with the default their help states; a tuple in
        ``method``
    defaults : defaults stated in help instead of the selector's own
    """
    axes = {} if repeatable is None else dict(repeatable)
    stated = {**axes, **({} if defaults is None else defaults)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        # click lists options in signature order; the order of OPTIONS is the same for all commands.
        chosen = [name for name in OPTIONS if name in names or name in axes]

        def run(**given: Any) -> None:
            texts = {name: given.pop(name) for name in chosen}
            command(**given, method=_read(texts, axes))

        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "method"]
        added = [_parameter(name, name in axes or name == "param", stated.get(name)) for name in chosen]
        keyword_only = inspect.Parameter.KEYWORD_ONLY
        run.__signature__ = inspect.Signature([p.replace(kind=keyword_only) for p in [*own, *added]])  # type: ignore[attr-defined]
        run.__doc__, run.__name__ = command.__doc__, command.__name__
        return run

    return decorate


def _parameter(name: str, several: bool, stated: str | None) -> inspect.Parameter:
    option = OPTIONS[name]
    text = option.help
    if several and name != "param":
        ranges = "" if option.several is _names else ", or start:stop:step"
        text = f"{text.removesuffix('.')}; repeatable{ranges}."
    if stated is not None:
        text = f"{text}  [default: {stated}]"
    kind = list[str] if several else option.kind
    metavar = f"<{option.kind.__name__}>" if several else None
    declared = typer.Option(*option.flags, help=text, metavar=metavar, rich_help_panel=GROUP)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, declared]
    )


def _read(texts: Mapping[str, Any], axes: Mapping[str, str]) -> dict[str, Any]:
    """The given options, by the library's parameter names.

    Raises
    ------
    InputError
        a parameter is given twice, or --param is not name=value
    """
    method: dict[str, Any] = {}
    for name, text in texts.items():
        if text is None or text == []:
            continue
        option = OPTIONS[name]
        if name == "param":
            for own, value in parameters(text).items():
                several = tuple(value) if isinstance(value, list) else (value,)
                _once(method, own, several if own in axes else value)
        elif name in axes:
            assert option.several is not None
            method[name] = tuple(value for one in text for value in option.several(one))
        else:
            method[name] = option.read(text)
    return method


def parameters(pairs: list[str]) -> dict[str, Any]:
    """--param name=value in the library's form: numbers, true, false and none if the value reads as one.

    Values separated by commas, such as layers=8,16,24, are a list. A dotted name, such as backend_options.n_iterations,
    is an entry of a mapping.

    Raises
    ------
    InputError
        the name or the equals sign is missing, or a parameter is given twice
    """
    from stgraph.errors import InputError

    read: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InputError(f"--param is {pair!r}; write it as name=value")
        found = [_value(one) for one in value.split(",") if one] if "," in value else _value(value)
        group, dot, inner = name.partition(".")
        if not dot:
            _once(read, name, found)
        elif isinstance(entries := read.setdefault(group, {}), dict):
            _once(entries, inner, found)
        else:
            _once(read, group, found)
    return read


def _once(given: dict[str, Any], name: str, value: Any) -> None:
    """Add a parameter; InputError if it is there."""
    from stgraph.errors import InputError

    if name in given:
        raise InputError(f"{name} is given twice, as {given[name]!r} and as {value!r}; leave one out")
    given[name] = value


def _value(text: str) -> Any:
    number = tau_diff(text)
    whole = isinstance(number, float) and text.lstrip("+-").isdecimal()
    words = {"true": True, "false": False, "none": None}
    return words.get(text.lower(), int(text) if whole else number)


@cache
def library_defaults() -> dict[str, str]:
    """Defaults for help of options that take the selector's own; imports the selector."""
    from dataclasses import fields

    from stgraph.selection.st_simdiff.paper import StSimDiff

    own = {field.name: field.default for field in fields(StSimDiff)}
    stated = {name: own[name] for name in OPTIONS if name in own and own[name] not in (False, None)}
    return {name: name if value is True else str(value) for name, value in stated.items()}
