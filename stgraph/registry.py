"""Tables of named things (backends, splitters, selectors), imported only when used."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from stgraph.errors import InputError, UnknownNameError


class Registry:
    """Names mapped to ``"module:attribute"`` strings.

    Own entries come first; third parties add theirs through the entry-point ``group`` of their distribution, or at
    run time with :meth:`register`.
    """

    def __init__(self, kind: str, entries: Mapping[str, str], group: str) -> None:
        self.kind = kind
        self.group = group
        self._entries = dict(entries)
        self._loaded: dict[str, Any] = {}
        self._plugins_read = False

    def _table(self) -> dict[str, str]:
        if not self._plugins_read:
            for point in entry_points(group=self.group):
                self._entries.setdefault(point.name, point.value)
            self._plugins_read = True
        return self._entries

    def names(self) -> list[str]:
        """Every registered name, own entries first."""
        return list(self._table())

    def register(self, name: str, target: Any) -> None:
        """Add ``target`` (an object, or ``"module:attribute"``) under ``name``; a taken name is an error."""
        if name in self._table():
            raise InputError(f"{self.kind} {name!r} is registered already; choose another name")
        if isinstance(target, str):
            self._entries[name] = target
        else:
            self._entries[name] = f"{type(target).__module__}:{type(target).__qualname__}"
            self._loaded[name] = target

    def unregister(self, name: str) -> None:
        """Take ``name`` out again."""
        self.check(name)
        del self._entries[name]
        self._loaded.pop(name, None)

    def check(self, name: str) -> str:
        """``name`` itself, or an error that lists the known names and the nearest spelling."""
        table = self._table()
        if isinstance(name, str) and name in table:
            return name
        near = difflib.get_close_matches(str(name), table, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownNameError(f"no {self.kind} {name!r}.{hint} Known: {', '.join(table)}")

    def get(self, name: str) -> Any:
        """The object registered under ``name``, imported on first use."""
        self.check(name)
        if name not in self._loaded:
            module, _, attribute = self._entries[name].partition(":")
            self._loaded[name] = getattr(import_module(module), attribute)
        return self._loaded[name]
