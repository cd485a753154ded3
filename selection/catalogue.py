"""Selectors described: paper, required signals and parameters, as ``stgraph selectors`` shows them."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any

from stgraph.errors import InputError, StgraphError, UnknownNameError
from stgraph.selection.base import SELECTORS
from stgraph.selection.budget import Budget
from stgraph.selection.checked import checked


@dataclass(frozen=True)
class Parameter:
    """One parameter of a selector.

    Attributes
    ----------
    name, default : as in Python
    values : allowed values, in words
    meaning : its description
    """

    name: str
    default: Any
    values: str
    meaning: str


@dataclass(frozen=True)
class Description:
    """One selector.

    Attributes
    ----------
    name : in ``stgraph.selector(name)``
    title, venue, year : of the paper; None where there is none
    summary : the first paragraph of the class's documentation
    signals : required besides features and grid, ascending
    cuts : where tokens are dropped: "before the LLM", or the decoder layers they are dropped before
    counts : how K is met: "exact", "exact or the authors'", "the authors'"
    quadratic : whether time grows with the square of the tokens, of a frame or of the video
    on_gpu : whether it computes on a GPU; other selectors get a copy in host memory
    parameters : besides the budget
    """

    name: str
    title: str | None
    venue: str | None
    year: int | None
    summary: str
    signals: tuple[str, ...]
    cuts: str
    counts: str
    quadratic: bool
    on_gpu: bool
    parameters: tuple[Parameter, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def describe(name: str) -> Description:
    """A selector as its class states it.

    Raises
    ------
    UnknownNameError, UnavailableError
        no selector of that name, or a third party's that is broken

    Examples
    --------
    >>> found = describe("fastv")
    >>> found.venue, found.year, found.cuts, [p.name for p in found.parameters]
    ('ECCV', 2024, 'before LLM layer 2', ['layer', 'n_layers'])
    >>> found.parameters[0]
    Parameter(name='layer', default=2, values='an integer of at least 1', meaning='first decoder layer, from 0, \
that sees only the kept tokens; at least 1')
    """
    cls = SELECTORS.get(name)
    made = checked(cls(budget=Budget(0.5)))
    title, venue, year = _paper(getattr(cls, "paper", ""))
    layers = sorted({int(stage.layer) for stage in made.stages()})
    return Description(
        name=name,
        title=title,
        venue=venue,
        year=year,
        summary=_plain(_documentation(cls).partition("\n\n")[0]),
        signals=tuple(sorted(made.requires)),
        cuts=_cuts(layers),
        counts=_counts(cls),
        quadratic=bool(getattr(cls, "quadratic", False)),
        on_gpu=bool(getattr(made, "on_gpu", False)),
        parameters=tuple(_parameters(cls)),
    )


def catalogue() -> list[Description]:
    """Every selector that can be used."""
    return [describe(name) for name in SELECTORS.usable()]


def _paper(stated: str) -> tuple[str | None, str | None, int | None]:
    """Title, venue and year of "Title, VENUE 2025", "Title, VENUE 2025 (what of it)" or "Title, arXiv 2506.21862"."""
    if not stated or stated.startswith("none"):
        return None, None, None
    if arxiv := re.fullmatch(r"(.+), (arXiv (\d\d)\d\d\.\d+)", stated):
        return arxiv[1], arxiv[2], 2000 + int(arxiv[3])
    found = re.fullmatch(r"(.+?), (?:([A-Z][A-Za-z ]*) )?(\d{4})(?:,? (.+))?", stated)
    if found is None:
        return stated, None, None
    title = f"{found[1]} {found[4]}" if found[4] else found[1]
    return title, found[2], int(found[3])


def _cuts(layers: list[int]) -> str:
    inside = [layer for layer in layers if layer]
    names = f"LLM layer{'s' if len(inside) > 1 else ''} {', '.join(_runs(inside))}" if inside else ""
    places = ["the LLM"] * (0 in layers) + [names] * bool(inside)
    return f"before {' and '.join(places)}"


def _runs(layers: list[int]) -> list[str]:
    """Ascending numbers, three and more in a row as "1 to 3"."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return [text for run in runs for text in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))]


def _counts(cls: Any) -> str:
    if "exact_count" in inspect.signature(cls).parameters:
        return "exact or the authors'"
    fixed = checked(cls(budget=Budget(0.5))).count(_grid()) is not None
    return "exact" if fixed else "the authors'"


def _grid() -> Any:
    from stgraph.grid import TokenGrid

    return TokenGrid(4, 4, 4)


def _parameters(cls: Any) -> list[Parameter]:
    """The parameters, in the order of the signature."""
    meanings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        own = _attributes(base).items()
        meanings.update({name: text for name, text in own if not re.match("(as in|see) :class:", text)})
    made = {f.name: f.default_factory for f in fields(cls)} if is_dataclass(cls) else {}
    found = []
    for parameter in inspect.signature(cls).parameters.values():
        name = parameter.name
        if name == "budget" or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        default = parameter.default
        factory: Any = made.get(name, MISSING)
        if factory is not MISSING:
            default = factory()
        default = None if default is parameter.empty else default
        found.append(Parameter(name, default, _values(cls, name, default), _plain(meanings.get(name, ""))))
    return found


def _values(cls: Any, name: str, default: Any) -> str:
    """The allowed values, taken from the error the class raises for an impossible one."""
    if isinstance(default, bool):
        return "true or false"
    try:
        cls(budget=Budget(0.5), **{name: _NOTHING})
    except UnknownNameError:
        return "a name that stgraph doctor lists"
    except (InputError, StgraphError) as error:
        if stated := re.search(r"must be (.+)", str(error)):
            return stated[1]
    except TypeError:
        pass
    return "a mapping" if hasattr(default, "keys") else ""


class _Nothing:
    """A value no parameter accepts."""


_NOTHING = _Nothing()


def _documentation(cls: Any) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _attributes(cls: Any) -> dict[str, str]:
    """The entries under "Attributes" in a class's own docstring: name to text."""
    section = re.search(r"^Attributes\n-+\n(.*?)(?=\n\n|\Z)", _documentation(cls), re.DOTALL | re.MULTILINE)
    if section is None:
        return {}
    found: dict[str, str] = {}
    for names, text in re.findall(r"^(\w[\w, ]*?) : (.*(?:\n .*)*)", section[1], re.MULTILINE):
        found.update(dict.fromkeys(re.split(r", *", names), " ".join(text.split())))
    return found


def _plain(text: str) -> str:
    """A docstring without its markup."""
    words = re.sub(r":\w+:`~?(?:[\w.]*\.)?([^`.]+)`", r"\1", " ".join(text.split()))
    return words.replace("``", "")
