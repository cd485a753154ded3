"""Licences of installed dependencies, as the packages state them; for ``stgraph doctor --licences``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import NamedTuple

OURS = "stgraph-video"
_COPYLEFT = re.compile(r"\b(?:[AL]?GPL|LGPL|AGPL|MPL|EPL|EUPL|CDDL|General Public|Mozilla Public)", re.IGNORECASE)
_WITH_EXCEPTION = re.compile(r"\S*GPL\S* WITH GCC-exception\S*", re.IGNORECASE)  # does not bind mere users
# Libraries bundled in wheels whose metadata may not state their licence: file name -> library.
_CARRIED = {"libx264": "x264 (GPL-2.0-or-later)", "libx265": "x265 (GPL-2.0-or-later)"}


class Licence(NamedTuple):
    """One installed package: its dependant ("stgraph" or an extra's name), its licence, and why that is copyleft."""

    package: str
    version: str
    needed_by: str
    licence: str
    copyleft: str


def licences(root: str = OURS) -> list[Licence]:
    """Installed direct and indirect dependencies of ``root``: the core's first, then each extra's."""
    found: dict[str, Licence] = {}
    for needed_by, name in sorted(_direct(root), key=lambda pair: (pair[0] != "stgraph", pair)):
        waiting = [name]
        while waiting:
            package = waiting.pop()
            there = _installed(package)
            if _key(package) in found or there is None:
                continue
            found[_key(package)] = Licence(package, there.version, needed_by, _licence(there), _copyleft(there))
            waiting += [other for other, extra in _requirements(there) if extra is None]
    return list(found.values())


def _direct(root: str) -> Iterator[tuple[str, str]]:
    """(dependant, package) for each package that ``root`` names; extras may name other extras."""
    there = _installed(root)
    for name, extra in _requirements(there) if there is not None else ():
        if _key(name) != _key(root):
            yield extra or "stgraph", name


def _requirements(package: Distribution) -> list[tuple[str, str | None]]:
    """(name, extra that requires it) of each requirement; its other conditions are met, or the package is absent."""
    found = []
    for text in package.requires or ():
        name, _, condition = text.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", condition)
        matched = re.match(r"[A-Za-z0-9._-]+", name)
        if matched:
            found.append((matched[0], extra[1] if extra else None))
    return found


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _licence(package: Distribution) -> str:
    """The licence expression, or the classifiers, or the first line of the free text."""
    about = package.metadata.json
    if about.get("license_expression"):
        return str(about["license_expression"])
    classified = [c.rpartition(" :: ")[2] for c in about.get("classifier") or () if c.startswith("License ::")]
    free = str(about.get("license") or "").strip().split("\n")[0]
    return ", ".join(classified) or free[:60] or "not stated"


def _copyleft(package: Distribution) -> str:
    """The reason the package, or a library in its wheel, is under a copyleft licence; empty if none is stated."""
    stated = _COPYLEFT.search(_WITH_EXCEPTION.sub("", _licence(package)))
    names = " ".join(file.name for file in package.files or ())
    carried = [what for library, what in _CARRIED.items() if library in names]
    return ", ".join(["yes"] * bool(stated) + [f"carries {what}" for what in carried])
