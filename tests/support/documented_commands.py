"""Command lines that the documentation shows: those of shell blocks, and those in running text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^ *```(?:sh|bash|shell|console)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_ANY_BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_SETTING = re.compile(r"[A-Z_][A-Z0-9_]*=.*")  # VARIABLE=value before a command


@dataclass(frozen=True)
class Shown:
    """A command line as a page shows it.

    Attributes
    ----------
    page, line : where
    words : of the command, without variables set before it, redirections and comments
    whole : whether it is from a shell block, and so to be typed as it stands; running text may name a part
    """

    page: str
    line: int
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"


def shown_commands(page: Path) -> Iterator[Shown]:
    """Every command line of a Markdown page."""
    text = page.read_text(encoding="utf-8")
    for at, line in shell_lines(text):
        for words in commands_of(line):
            yield Shown(page.name, at, words, whole=True)
    prose = _ANY_BLOCK.sub(lambda found: "\n" * found[0].count("\n"), text)
    for span in _SPAN.finditer(prose):
        at = prose.count("\n", 0, span.start()) + 1
        for words in commands_of(" ".join(span[1].replace("\\|", "|").split())):
            yield Shown(page.name, at, words, whole=False)


def shell_lines(text: str) -> Iterator[tuple[int, str]]:
    """(line number, line) of every shell block of a Markdown text, continued lines joined."""
    for block in _BLOCK.finditer(text):
        for start, line in logical_lines(block[1]):
            yield text.count("\n", 0, block.start(1)) + start + 1, line


def logical_lines(block: str) -> Iterator[tuple[int, str]]:
    """(line number in the block, line) with continued lines joined."""
    start, so_far = 0, ""
    for number, line in enumerate(block.splitlines()):
        start = start if so_far else number
        so_far += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield start, so_far.removeprefix("$ ")
            so_far = ""


def commands_of(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a shell line: what is between ``&&``, ``||``, ``;`` and ``|``."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.wordchars += "[]{}^%,@:+…√⌈⌉$!"
    try:
        parts: list[list[str]] = [[]]
        skip = False
        for word in reader:
            if word in {"&&", "||", ";", "|", "&", "(", ")"}:
                parts.append([])
            elif word in {">", ">>", "<", "2>"}:
                skip = True
            elif skip:
                skip = False
            elif parts[-1] or not _SETTING.fullmatch(word):
                parts[-1].append(word)
    except ValueError:  # an apostrophe in running text: not a command line
        return
    yield from (tuple(part) for part in parts if part)
