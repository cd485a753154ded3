"""Every command line in README and docs parses: commands, options, values, targets of make, extras of pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from documented_commands import Shown, commands_of, logical_lines, shown_commands

from stgraph.cli import app
from stgraph.community.base import BACKENDS
from stgraph.community.size_cap import SPLITTERS
from stgraph.selection.base import SELECTORS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
GROUP: Any = typer.main.get_command(app)
UsageError: Any = typer.BadParameter.__base__
NAMES = {"selector": SELECTORS, "backend": BACKENDS, "split": SPLITTERS}
PARTIAL = {"MissingParameter", "BadOptionUsage"}  # running text may name a command or an option without its value
PLACEHOLDER = re.compile(r"[A-Z_]+|\[.*\]|…|all")

pytestmark = pytest.mark.skipif(not PAGES[0].exists(), reason="README.md is not here: not a checkout")


def fault(shown: Shown) -> str | None:
    """What is wrong with a command line, or None; only those of ours, of make and of pip are looked at."""
    if shown.words[0] == "stgraph":
        return _fault_of_ours(shown)
    if shown.words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = [word for word in shown.words[1:] if "=" not in word]
        unknown = [word for word in targets if not re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE)]
        return f"the Makefile has no target {unknown[0]}" if unknown else None
    if shown.words[:2] == ("pip", "install"):
        known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        if "stgraph-video" in " ".join(shown.words):
            return "no index has our distribution: pip install -e '.[x]', in a checkout"
        extras = [name for own in re.findall(r"\.\[(.*?)\]", " ".join(shown.words)) for name in own.split(",")]
        unknown = sorted(set(extras) - set(known))
        return f"there is no extra {unknown[0]}" if unknown else None
    return None


def _fault_of_ours(shown: Shown) -> str | None:
    arguments = [word for word in shown.words[1:] if not word.startswith("[") and word != "…"]
    name = next((word for word in arguments if not word.startswith("-")), None)
    try:
        with GROUP.make_context("stgraph", arguments[: arguments.index(name)] if name else arguments) as parent:
            if name is None or (not shown.whole and PLACEHOLDER.fullmatch(name)):
                return None
            if name not in GROUP.commands:
                return f"there is no command {name}"
            rest = arguments[arguments.index(name) + 1 :]
            with GROUP.commands[name].make_context(name, rest, parent=parent) as context:
                return _unknown_name(context.params)
    except typer.Exit:
        return None
    except UsageError as error:
        return None if not shown.whole and type(error).__name__ in PARTIAL else str(error.format_message())


def _unknown_name(given: dict[str, Any]) -> str | None:
    """The first selector, backend or splitter that nobody knows."""
    for parameter, value in given.items():
        for kind, registry in NAMES.items():
            if parameter in (kind, f"{kind}s"):
                names = [value] if isinstance(value, str) else value if isinstance(value, (list, tuple)) else []
                unknown = [one for one in names if one not in registry.names() and not PLACEHOLDER.fullmatch(one)]
                if unknown and unknown[0] not in ("full", "blind", "auto"):
                    return f"there is no {kind} {unknown[0]}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_documented_command_parses(page: Path) -> None:
    faults = {str(shown): fault(shown) for shown in shown_commands(page)}
    assert {line: what for line, what in faults.items() if what} == {}


def test_commands_are_found() -> None:
    found = [shown.words for shown in shown_commands(ROOT / "README.md")]
    assert ("stgraph", "view", "clip.mp4", "-o", "clip.html") in found
    assert ("make", "demo") in found
    assert ("pip", "install", "-e", ".[video]") in found


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("stgraph select -r 0.3 -s evs", None),
        ("stgraph -v select", None),
        ("stgraph --version", None),
        ("stgraph selct", "there is no command selct"),
        ("stgraph select --retain 0.3", "No such option"),
        ("stgraph --bogus select", "No such option"),
        ("stgraph select -r", "requires an argument"),
        ("stgraph select -r half", "half"),
        ("stgraph select a b", "unexpected extra argument"),
        ("stgraph select -s evss", "there is no selector evss"),
        ("stgraph compare -b igraph", "there is no backend igraph"),
        ("stgraph compare --split trees", "there is no split trees"),
        ("stgraph batch", "Missing argument"),
        ("make demos", "no target demos"),
        ("make demo ARGS=-q", None),
        ("pip install -e '.[videos]'", "no extra videos"),
        ("pip install 'stgraph-video[video]'", "no index"),
        ("pip install torch", None),
    ],
)
def test_what_does_not_parse_is_found(line: str, what: str | None) -> None:
    (words,) = commands_of(line)
    found = fault(Shown("page", 1, words, whole=True))
    assert (found is None) if what is None else (found is not None and what.lower() in found.lower())


def test_running_text_may_name_a_part() -> None:
    for text in ("stgraph batch", "stgraph eval --model", "stgraph batch TASK IN… -o OUT/"):
        (words,) = commands_of(text)
        assert fault(Shown("page", 1, words, whole=False)) is None
    (words,) = commands_of("stgraph eval --modell")
    assert fault(Shown("page", 1, words, whole=False)) is not None


def test_shell_lines_are_read_as_a_shell_does() -> None:
    assert list(commands_of("A=1 stgraph view 'my clip.mp4' | head -3 > out  # look")) == [
        ("stgraph", "view", "my clip.mp4"),
        ("head", "-3"),
    ]
    assert list(logical_lines("$ a \\\n  b\nc")) == [(0, "a   b"), (2, "c")]
