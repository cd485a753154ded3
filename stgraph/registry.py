"""Registries of backends, splitters and selectors by name, imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, reduce
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from stgraph.errors import InputError, StgraphError, UnavailableError, UnknownNameError
from stgraph.spelling import hint

_DECORATED: Any = object()


class Registry:
    """Names mapped to ``"module:attribute"`` strings.

    Our own entries come first; third parties add theirs through the entry-point ``group`` of their distribution, or at
    run time with :meth:`register`. A third party's mistake never prevents others from being listed: :meth:`fault`
    states an entry's fault, and :meth:`refused` lists plug-ins without an entry because their name is taken.

    Parameters
    ----------
    kind : the kind of entry, for error messages
    entries : our own
    group : entry-point group
    check : raises InputError unless a third party's object is of the table's kind
    instances : whether the entries are instances; a class decorated by :meth:`register` is then registered as one
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, str],
        group: str,
        check: Callable[[Any], None] | None = None,
        instances: bool = False,
    ) -> None:
        self.kind = kind
        self.group = group
        self._own = frozenset(entries)
        self._entries = dict(entries)
        self._check = check
        self._instances = instances
        self._loaded: dict[str, Any] = {}
        self._origins: dict[str, str] = {}
        self._faults: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._plugins_read = False

    def _table(self) -> dict[str, str]:
        if not self._plugins_read:
            self._plugins_read = True
            try:
                points = list(entry_points(group=self.group))
            except Exception as error:  # the metadata of any installed distribution may be malformed
                points = []
                self._refused["(entry points)"] = f"entry points cannot be read: {told(error)}"
            for point in points:
                self._add(point)
        return self._entries

    def _add(self, point: EntryPoint) -> None:
        origin = _distribution(point)
        if point.name not in self._entries:
            self._entries[point.name], self._origins[point.name] = point.value, origin
        elif (self._entries[point.name], self._origins.get(point.name)) != (point.value, origin):
            holder = "stgraph" if point.name in self._own else self._origins[point.name]
            self._refused[f"{point.name} ({origin})"] = (
                f"{point.value} of {origin} is left out: the name {point.name!r} is taken by {holder}"
            )

    def names(self) -> list[str]:
        """Every registered name, own entries first."""
        return list(self._table())

    def refused(self) -> dict[str, str]:
        """Plug-ins without an entry, as "name (distribution)", and why."""
        self._table()
        return dict(self._refused)

    def register(self, name: str, target: Any = _DECORATED) -> Any:
        """Add ``target`` (an object, or ``"module:attribute"``, which is imported and checked when first used), until
        the process ends; without ``target``, a decorator of the class that is added.

        Raises
        ------
        InputError
            the name is taken or not a string, or the object is not of the table's kind
        """
        if target is _DECORATED:
            return partial(self._decorated, name)
        if not isinstance(name, str) or not name:
            raise InputError(f"the name of a {self.kind} is {name!r}; it must be a non-empty string")
        if name in self._table():
            raise InputError(f"{self.kind} {name!r} is already registered; choose another name")
        if isinstance(target, str):
            self._entries[name] = target
            return None
        if self._check is not None:
            try:
                self._check(target)
            except (Exception, SystemExit) as error:
                raise InputError(f"{self.kind} {name!r} cannot be registered: {told(error)}") from error
        self._entries[name] = f"{type(target).__module__}:{type(target).__qualname__}"
        self._loaded[name] = target
        return None

    def _decorated(self, name: str, cls: Any) -> Any:
        self.register(name, cls() if self._instances else cls)
        return cls

    def unregister(self, name: str) -> None:
        """Remove ``name``."""
        self.check(name)
        del self._entries[name]
        for table in (self._loaded, self._origins, self._faults):
            table.pop(name, None)

    def check(self, name: str) -> str:
        """``name``; if unknown, an error that lists the known names and the nearest spelling."""
        table = self._table()
        if isinstance(name, str) and name in table:
            return name
        raise UnknownNameError(f"no {self.kind} {name!r}.{hint(name, table)} Known: {', '.join(table)}")

    def get(self, name: str) -> Any:
        """The object registered under ``name``, imported on first use.

        Raises
        ------
        UnknownNameError
            no entry has that name
        UnavailableError
            a third party's entry cannot be imported, or is not of the table's kind
        """
        self.check(name)
        if name in self._faults:
            raise self._broken(name)
        if name not in self._loaded:
            if name in self._own:
                self._loaded[name] = _imported(self._entries[name])
            else:
                self._load_checked(name)
        return self._loaded[name]

    def fault(self, name: str) -> str | None:
        """None, or the reason a third party's entry ``name`` cannot be used; it is imported to find out."""
        if name not in self._own:
            try:
                self.get(name)
            except UnavailableError:
                pass
        return self._faults.get(name)

    def usable(self) -> list[str]:
        """Every name that :meth:`get` accepts; third parties' entries are imported to find out."""
        return [name for name in self.names() if self.fault(name) is None]

    def _load_checked(self, name: str) -> None:
        """Import a third party's entry; whatever its code raises becomes the reason it cannot be used."""
        try:
            found = _imported(self._entries[name])
            if self._check is not None:
                self._check(found)
        except (Exception, SystemExit) as error:
            origin = f" of {self._origins[name]}" if name in self._origins else ""
            self._faults[name] = f"{self._entries[name]}{origin}: {told(error)}"
            raise self._broken(name) from error
        self._loaded[name] = found

    def _broken(self, name: str) -> UnavailableError:
        return UnavailableError(f"{self.kind} {name!r} cannot be used: {self._faults[name]}")


def told(error: BaseException) -> str:
    """An error from third-party code on one line; our own errors keep their message."""
    text = " ".join(str(error).split())
    if isinstance(error, InputError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def naming(by: str, code: Any) -> Iterator[None]:
    """Guard a call of ``code``, a function or an object: whatever third-party code raises becomes an UnavailableError
    in its name. Our own errors pass through, as do those that concern the machine rather than the code."""
    try:
        yield
    except (StgraphError, MemoryError):
        raise
    except Exception as error:
        if not is_foreign(code):
            raise
        raise UnavailableError(f"{by} failed: {told(error)}") from error


def is_foreign(code: Any) -> bool:
    """Whether a function, or the class of an object, is a third party's."""
    module: str = getattr(code, "__module__", None) or ""
    return module.partition(".")[0] != "stgraph"


def _imported(target: str) -> Any:
    """The object of ``"module:attribute.attribute [extras]"``."""
    module, _, attributes = target.partition("[")[0].strip().partition(":")
    found: Any = import_module(module)
    return reduce(getattr, attributes.split("."), found) if attributes else found


def _distribution(point: EntryPoint) -> str:
    """Name and version of the distribution that brings an entry point."""
    dist = getattr(point, "dist", None)
    try:
        return f"{dist.name} {dist.version}" if dist is not None else "another distribution"
    except Exception:  # metadata without name or version
        return "another distribution"
