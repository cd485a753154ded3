"""What a dump says about itself is text and nothing else; pipes, locales and progress."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clips import saved
from command_line import FEW, python_m, run, strict_json

import stgraph
from stgraph.cli import options


@pytest.fixture
def dump(tmp_path: Path) -> str:
    return saved(tmp_path / "clip.safetensors", title="A clip")


def test_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    dump = saved(tmp_path / "[red]x[bold].safetensors", title="[bold]title[/bold]", note="[link=x]y[/link]")
    for args in (("compare", *FEW), ("inspect",), ("communities",), ("select",)):
        assert "[red]x[bold].safetensors:" in run(args[0], dump, *args[1:]).replace("\n", "")
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
    assert "key\\x1b[1m.deep: \\x1b[5m" in run("inspect", dump)


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
    assert process.wait() == 0
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


@pytest.mark.parametrize("args", [("inspect",), ("compare", *FEW), ("communities",), ("select",), ("doctor",)])
def test_no_line_of_a_pipe_ends_in_blanks(args: tuple[str, ...]) -> None:
    lines = run(*args).splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert any(lines)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("select", "-r", "abc"), "'abc' is not a "),
        (("select", "--n-keep=half"), "'half' is not a"),
        (("view", "-r", "0.3,0.5"), "retain_ratio is '0.3,0.5'; give a number, or a range"),
        (("dump", "https://example.com/a.mp4", "-o", "x"), "cannot read https://example.com/a.mp4: addresses are not"),
        (("select", "-s", "fastv"), "or stgraph dump --model NAME --signals llm_attn_last"),
    ],
)
def test_errors_show_the_value_and_the_remedy(args: tuple[str, ...], message: str) -> None:
    process = python_m(*args)
    out, errors = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert message in errors
    assert len(errors.splitlines()) == 1


def test_without_a_terminal_there_is_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(options, "monotonic", lambda: now[0])
    for quiet in (False, True):
        with options.progress_bar(quiet) as progress:
            for second in range(0, 200, 5):
                now[0] += 5
                progress(f"step \x1b{second}", second / 200)
        said = capsys.readouterr().err.splitlines()
        assert said == ([] if quiet else ["28 %: step \\x1b55", "57 %: step \\x1b115", "88 %: step \\x1b175"])


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version(flag: str) -> None:
    assert run(flag) == f"stgraph {stgraph.__version__}\n"


def test_verbose_says_what_the_library_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("stgraph"), "handlers", [])
    monkeypatch.setattr(logging.getLogger("stgraph"), "level", logging.WARNING)
    run("-v", "doctor", "--format", "json")
    logger = logging.getLogger("stgraph")
    assert logger.isEnabledFor(logging.INFO)
    assert len(logger.handlers) == 1


def test_the_doctor_as_json() -> None:
    facts = strict_json(run("doctor", "--format", "json"))
    assert facts["stgraph"] == stgraph.__version__
    assert {one["name"]: one["reason"] for one in facts["backends"]} == stgraph.backends()
    assert [one["name"] for one in facts["backends"] if one["default"]] == ["lattice-components"]
    assert {one["name"] for one in facts["selectors"]} == set(stgraph.selectors())
    assert all({"name", "installed", "install"} <= set(one) for one in facts["packages"])
    assert strict_json(run("doctor", "--licences", "--format", "json"))


def test_tab_completes_commands() -> None:
    env = {**os.environ, "_STGRAPH_COMPLETE": "complete_bash", "COMP_WORDS": "stgraph com", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'stgraph'; from stgraph.cli import main; main()"],
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert done.stdout.split() == ["compare", "communities"]
