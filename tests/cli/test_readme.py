"""README and docs: the Python examples run and print what they say, and the commands and options exist."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from stgraph.cli import app

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [page for page in (README, *sorted((ROOT / "docs").glob("*.md"))) if page.exists()]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

pytestmark = pytest.mark.skipif(not README.exists(), reason="README.md is not here: not a checkout")


def examples(page: Path) -> list[doctest.DocTest]:
    """The Python blocks of a page that hold prompts, each a doctest of its own."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if ">>>" in block[1]:
            line = text.count("\n", 0, block.start(1))
            found.append(doctest.DocTestParser().get_doctest(block[1], {}, page.name, str(page), line))
    return found


EXAMPLES = [example for page in PAGES for example in examples(page)]


def spellings(name: str) -> set[str]:
    """Every way to write the options of a command."""
    return {text for p in COMMANDS[name].params for text in (*p.opts, *p.secondary_opts)} | {"-h", "--help"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.name}:{e.lineno}")
def test_python_examples(example: doctest.DocTest) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    failed, tried = runner.run(example, out=report.append)
    assert tried > 0
    assert failed == 0, "".join(report)


def test_the_readme_has_an_example() -> None:
    assert any(Path(example.filename or "") == README for example in EXAMPLES)


def test_the_readme_names_every_command() -> None:
    assert set(COMMANDS) == set(re.findall(r"^\| `stgraph ([\w-]+)", README.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_named_by_themselves_exist(page: Path) -> None:
    known = set().union(*map(spellings, COMMANDS))
    for option in re.findall(r"`(--[a-z][a-z-]*)", page.read_text(encoding="utf-8")):
        assert option in known, f"{page.name} names the option {option}"
