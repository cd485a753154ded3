"""The exceptions raised on purpose, and the tables of names that raise one of them."""

from __future__ import annotations

import builtins
import inspect
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import stgraph
from stgraph import errors
from stgraph.errors import InputError, StgraphError, UnknownNameError, checkpoint_unread, missing_dependency
from stgraph.registry import Registry

CLASSES = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}


def drawn_tree() -> dict[str, tuple[str | None, str | None]]:
    """Class -> (its parent, the built-in it inherits too), as drawn in the docstring."""
    tree: dict[str, tuple[str | None, str | None]] = {}
    path: list[tuple[int, str]] = []
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        if match := re.match(r"( *)[*x+] (\w+)(?: \((\w+)\))?", line):
            indent, name, builtin = len(match[1]), match[2], match[3]
            path = [step for step in path if step[0] < indent]
            tree[name] = (path[-1][1] if path else None, builtin)
            path.append((indent, name))
    return tree


def test_the_drawn_tree_names_every_class() -> None:
    assert set(drawn_tree()) == set(CLASSES)
    assert len(CLASSES) > 5


@pytest.mark.parametrize(("name", "drawn"), drawn_tree().items(), ids=list(drawn_tree()))
def test_the_tree_is_as_drawn(name: str, drawn: tuple[str | None, str | None]) -> None:
    parent, builtin = drawn
    expected = [CLASSES[parent] if parent else Exception]
    if builtin:
        expected.append(getattr(builtins, builtin))
    assert list(CLASSES[name].__bases__) == expected


def test_every_exception_says_what_it_means() -> None:
    assert all(issubclass(error, StgraphError) and error.__doc__ for error in CLASSES.values())


def test_missing_dependency_names_the_command() -> None:
    plain = missing_dependency("to_x()", "xlib")
    assert str(plain) == "to_x() needs the package 'xlib', which is not installed. Install it with: pip install xlib"
    assert str(missing_dependency("to_x()", "xlib", "extra")).endswith("pip install -e '.[extra]'")


def test_no_source_tells_people_to_install_a_name_that_anyone_can_claim() -> None:
    root = Path(stgraph.__file__).resolve().parents[1]
    for folder in ("stgraph", "community", "selection", "viz", "bench"):
        for source in (root / folder).rglob("*.py"):
            assert "install 'stgraph-video" not in source.read_text(encoding="utf-8"), source


# Registries


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Two names of its own, one of a plugin, and a plugin that claims a taken name."""
    plugins = [EntryPoint("queue", "collections:deque", "stgraph.test"), EntryPoint("path", "os:sep", "stgraph.test")]

    def entry_points(group: str) -> list[EntryPoint]:
        return [point for point in plugins if point.group == group]

    monkeypatch.setattr("stgraph.registry.entry_points", entry_points)
    return Registry("thing", {"path": "pathlib:Path", "broken": "no_such_module:x"}, "stgraph.test")


def test_names_are_imported_when_used(registry: Registry) -> None:
    from collections import deque
    from pathlib import Path

    assert registry.names() == ["path", "broken", "queue"]
    assert registry.get("path") is Path  # own names win over a plugin's
    assert registry.get("queue") is deque
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        registry.get("broken")


def test_plugins_of_other_groups_are_not_read(registry: Registry) -> None:
    assert Registry("thing", {}, "stgraph.other").names() == []


@pytest.mark.parametrize(
    ("asked", "meant"), [("pth", "path"), ("Queue", "queue"), ("quue", "queue"), ("borken", "broken")]
)
def test_nearest_spelling_is_suggested(registry: Registry, asked: str, meant: str) -> None:
    for call in (registry.get, registry.check, registry.unregister):
        with pytest.raises(UnknownNameError) as caught:
            call(asked)
        assert str(caught.value) == f"no thing {asked!r}. Did you mean {meant!r}? Known: path, broken, queue"


@pytest.mark.parametrize("asked", ["zzz", "", None, 7])
def test_nothing_is_suggested_when_nothing_is_near(registry: Registry, asked: Any) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.check(asked)
    assert str(caught.value) == f"no thing {asked!r}. Known: path, broken, queue"


@pytest.mark.parametrize("instances", [False, True])
def test_register_is_a_decorator(instances: bool) -> None:
    def needs_size(found: Any) -> None:
        if not hasattr(found, "size"):
            raise InputError("it has no size")

    table = Registry("thing", {}, "stgraph.none", needs_size, instances)

    @table.register("mine")
    class Mine:
        size = 1

    assert isinstance(table.get("mine"), Mine) if instances else table.get("mine") is Mine
    with pytest.raises(InputError, match="thing 'other' cannot be registered: it has no size"):
        table.register("other")(type("Other", (), {}))
    assert table.names() == ["mine"]


def test_register_and_unregister(registry: Registry) -> None:
    mine = object()
    registry.register("mine", mine)
    registry.register("lazy", "fractions:Fraction")
    assert registry.names() == ["path", "broken", "queue", "mine", "lazy"]
    assert registry.check("mine") == "mine"
    assert registry.get("mine") is mine
    assert registry.get("lazy").__name__ == "Fraction"
    for name in ("mine", "queue"):
        registry.unregister(name)
        with pytest.raises(UnknownNameError, match=f"no thing {name!r}"):
            registry.get(name)
    registry.register("mine", "fractions:Fraction")
    assert registry.get("mine").__name__ == "Fraction"


@pytest.mark.parametrize("taken", ["path", "queue"])
def test_a_taken_name_is_refused(registry: Registry, taken: str) -> None:
    with pytest.raises(InputError, match=f"thing '{taken}' is already registered; choose another name"):
        registry.register(taken, object())
    assert registry.get(taken) is not object


def test_a_hub_that_is_not_reached_can_be_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    unreached = OSError("We couldn't connect to 'https://huggingface.co' to load the files.\nCheck your connection")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert str(checkpoint_unread("load", "a/b", unreached)) == (
        "cannot load a/b: We couldn't connect to 'https://huggingface.co' to load the files. Give the path of a "
        "downloaded folder; without a connection, HF_HUB_OFFLINE=1 spares the attempts"
    )
    assert str(checkpoint_unread("load", "a/b", OSError("no such thing"))) == "cannot load a/b: no such thing"
    assert str(checkpoint_unread("load", ".", unreached)).endswith("load the files.")  # a folder that is here
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert str(checkpoint_unread("load", "a/b", unreached)).endswith(
        "Give the path of a downloaded folder; HF_HUB_OFFLINE=1 is set, so nothing is downloaded"
    )
