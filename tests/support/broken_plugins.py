"""Plug-ins of third parties, broken in every way there is, and how they get installed."""

from __future__ import annotations

from pathlib import Path

# What a module of a third party may hold; GOOD works, all others are broken in one way each.
SOURCE = """
from stgraph.community.base import Capabilities
from stgraph.selection.rivals.uniform import Uniform

class Backend:
    name, package = "good", "numpy"
    capabilities = Capabilities("cpu", "modularity", weighted=False, seeded=False, deterministic=True)
    def unavailable(self):
        return None
    def labels(self, edges, params):
        return [0] * edges.n_nodes

class Splitter:
    name, connected = "good", False
    def split(self, edges, labels, cap, redetect):
        return list(range(len(labels))), []

class Leaving(Backend):
    def unavailable(self):
        raise SystemExit(3)

class Raising(Backend):
    def unavailable(self):
        raise KeyError("driver")

class Wordless(Backend):
    def unavailable(self):
        return 7

class Incapable(Backend):
    capabilities = None

class Elsewhere(Backend):
    capabilities = Capabilities("tpu", "modularity", weighted=False, seeded=False, deterministic=True)

class Untold(Backend):
    capabilities = Capabilities("cpu", "modularity", weighted="perhaps", seeded=False, deterministic=True)

class Nameless(Backend):
    name = None

class Mute(Backend):
    labels = None

class Hidden(Backend):
    @property
    def name(self):
        raise RuntimeError("not today")

class Unsure(Splitter):
    connected = None

class Whole(Splitter):
    split = None

class Selector(Uniform):
    name = "good"

class Picky(Selector):
    def __init__(self, budget, model):
        pass

class Greedy(Selector):
    def __init__(self, budget):
        raise SystemExit("no licence")

class Loose(Selector):
    requires = "importance"

class Idle:
    name, requires = "idle", frozenset()
    def __init__(self, budget):
        pass
    def count(self, grid, budget=None):
        return None

backend, splitter, selector = Backend(), Splitter(), Selector
leaving, raising, wordless, incapable, elsewhere = Leaving(), Raising(), Wordless(), Incapable(), Elsewhere()
untold, nameless, mute, hidden, unsure, whole = Untold(), Nameless(), Mute(), Hidden(), Unsure(), Whole()
number = 3
"""

ANY = {
    "no-module": ("acme_absent:x", "ModuleNotFoundError: No module named 'acme_absent'"),
    "raises": ("acme_raises:x", "RuntimeError: half installed"),
    "exits": ("acme_exits:x", "SystemExit: 4"),
    "no-attribute": ("acme:absent", "AttributeError: module 'acme' has no attribute 'absent'"),
    "no-colon": ("acme", "module"),
    "empty": ("", "ValueError"),
    "wrong-type": ("acme:number", "int"),
}
BROKEN: dict[str, dict[str, tuple[str, str]]] = {
    "backends": ANY
    | {
        "class": ("acme:Backend", "Backend is a class; register an instance of it"),
        "leaves": ("acme:leaving", "unavailable() failed: SystemExit: 3"),
        "keyerror": ("acme:raising", "unavailable() failed: KeyError: 'driver'"),
        "wordless": ("acme:wordless", "unavailable() answered 7; it must be None or the reason"),
        "incapable": ("acme:incapable", "capabilities of Incapable are None; they must be Capabilities(...)"),
        "elsewhere": ("acme:elsewhere", "capabilities.device is 'tpu'"),
        "untold": ("acme:untold", "capabilities.weighted is 'perhaps'; it must be True or False"),
        "nameless": ("acme:nameless", "name of Nameless is None"),
        "mute": ("acme:mute", "Mute has no method labels()"),
        "hidden": ("acme:hidden", "RuntimeError: not today"),
        "a-splitter": ("acme:splitter", "Splitter"),
    },
    "splitters": ANY
    | {
        "class": ("acme:Splitter", "Splitter is a class; register an instance of it"),
        "unsure": ("acme:unsure", "connected of Unsure is None; it must be True or False"),
        "whole": ("acme:whole", "Whole has no method split()"),
    },
    "selectors": ANY
    | {
        "instance": ("acme:backend", "Backend cannot be called; register the class, not an instance of it"),
        "picky": ("acme:Picky", "TypeError: "),
        "greedy": ("acme:Greedy", "SystemExit: no licence"),
        "loose": ("acme:Loose", "requires of Loose is 'importance'; it must be a frozenset of signal names"),
        "idle": ("acme:Idle", "Idle has no method select()"),
    },
}
GOOD = {"backends": "acme:backend", "splitters": "acme:splitter", "selectors": "acme:selector"}


def install(folder: Path, name: str, points: dict[str, dict[str, str]]) -> None:
    """A distribution as pip leaves it, with entry points by group."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    text = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for group, entries in points.items()
    )
    (info / "entry_points.txt").write_text(text)
