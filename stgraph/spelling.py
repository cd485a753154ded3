"""Nearest spellings of a name, for errors caused by typos."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any


def hint(name: object, known: Iterable[str], cutoff: float = 0.5) -> str:
    """`` Did you mean 'x'?`` with the nearest of ``known``; empty if none is near.

    Examples
    --------
    >>> hint("lables", ["labels", "sizes"]), hint("zzz", ["labels", "sizes"])
    (" Did you mean 'labels'?", '')
    """
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


def no_attribute(owner: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for an attribute that does not exist."""
    # Without an object, Python's own traceback does not append a second suggestion.
    return AttributeError(
        f"{owner} has no attribute {name!r}.{hint(name, known, 0.7)}".rstrip("."), name=name, obj=None
    )


class Spelled:
    """Base of results and selectors: a misspelt attribute is answered with the nearest existing one."""

    if not TYPE_CHECKING:  # a type checker must still refuse names that do not exist

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=None)
            if hasattr(type(self), name):  # a property raised its own AttributeError, which counts
                return object.__getattribute__(self, name)
            raise no_attribute(f"{type(self).__name__!r} object", name, (n for n in dir(self) if n[0] != "_"))
