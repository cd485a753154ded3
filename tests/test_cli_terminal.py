"""What a dump says about itself is text and nothing else; pipes, locales and progress."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from clips import saved
from command_line import FEW, python_m, run

from stgraph.cli import options


@pytest.fixture
def dump(tmp_path: Path) -> str:
    return saved(tmp_path / "clip.safetensors", title="A clip")


def test_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    dump = saved(tmp_path / "[red]x[bold].safetensors", title="[bold]title[/bold]", note="[link=x]y[/link]")
    for args in (("compare", *FEW), ("inspect",), ("communities",), ("select",)):
        assert "[red]x[bold].safetensors: " in run(args[0], dump, *args[1:]).replace("\n", "")
    assert "[bold]title[/bold]" in run("compare", dump, *FEW)
    text = run("inspect", dump)
    assert "title: [bold]title[/bold]" in text
    assert "note: [link=x]y[/link]" in text


def test_a_dump_does_not_steer_the_terminal(tmp_path: Path) -> None:
    title = "\x1b[2J\x1b]0;owned\x07 \u202etxt \x9b31m\rover"
    dump = saved(tmp_path / "a\x1b[31m.safetensors", title=title, **{"key\x1b[1m": {"deep": "\x1b[5m"}})
    for args in (("compare", *FEW), ("inspect",), ("communities",), ("select",)):
        text = run(args[0], dump, *args[1:])
        assert not {c for c in text if not c.isprintable()} - {"\n"}
        assert "\\x1b[31m" in text
    assert "key\\x1b[1m: {'deep': '\\x1b[5m'}" in run("inspect", dump)


def test_printable() -> None:
    assert options.printable("Straße 東京 🎬 ½") == "Straße 東京 🎬 ½"
    assert options.printable("a\x00\n\x1b[0m\u202e\udc80") == "a\\x00\\n\\x1b[0m\\u202e\\udc80"


# The terminal and the pipe


@pytest.mark.parametrize("args", [("doctor",), ("--help",), ("communities", "--format", "json"), ("inspect",)])
def test_a_reader_that_goes_away(args: tuple[str, ...]) -> None:
    process = python_m(*args)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() in (0, 1)
    assert errors == ""


def test_without_a_locale_the_output_is_utf8(dump: str) -> None:
    process = python_m("compare", dump, *FEW, env={**os.environ, "LC_ALL": "C"})
    text, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert "above √N" in text


def test_progress_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal, quiet in ((False, False), (True, True), (True, False)):
        monkeypatch.setattr("rich.console.Console.is_terminal", terminal)
        with options.progress_bar(quiet) as progress:
            progress("graph", 0.5)
        out, err = capsys.readouterr()
        assert out == ""
        assert ("graph" in err) == (terminal and not quiet)
