"""Runs a file as if of all installed packages only the core's and those of some extras were there.

    python tests/support/only_extras.py video,hf script.py

What the extras name is read from pyproject.toml, what that needs in turn from the installed metadata. All else that is
installed cannot be imported, or found.
"""

from __future__ import annotations

import runpy
import sys
import tomllib
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT: dict[str, Any] = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def closure(extras: Sequence[str]) -> set[str]:
    """The distributions the core and some extras bring, by their canonical names."""
    texts = [*PROJECT["dependencies"], *(one for extra in extras for one in PROJECT["optional-dependencies"][extra])]
    waiting = [Requirement(text) for text in texts]
    found: set[tuple[str, str]] = set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        for extra in ("", *one.extras):
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                needed = requires(name) or []
            except PackageNotFoundError:
                continue
            for text in needed:
                other = Requirement(text)
                if other.marker is None or other.marker.evaluate({"extra": extra}):
                    waiting.append(other)
    return {canonicalize_name(PROJECT["name"]), *(name for name, _ in found)}


def hidden(extras: Sequence[str]) -> set[str]:
    """Top-level modules of what is installed beyond that."""
    there = closure(extras)
    return {
        module
        for module, owners in packages_distributions().items()
        if not any(canonicalize_name(owner) in there for owner in owners)
    }


def hide(modules: set[str]) -> None:
    """Make modules as good as not installed, for imports and for ``find_spec``."""

    class Finder(PathFinder):
        @classmethod
        def find_spec(
            cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
        ) -> ModuleSpec | None:
            return None if fullname.partition(".")[0] in modules else PathFinder.find_spec(fullname, path, target)

    sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
    for name in [name for name in sys.modules if name.partition(".")[0] in modules]:
        del sys.modules[name]


if __name__ == "__main__":
    hide(hidden([name for name in sys.argv[1].split(",") if name]))
    runpy.run_path(sys.argv[2], run_name="__main__")
