"""What a command will write is checked before it computes: name, folder, format, and the packages it takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stgraph.cli import app
from stgraph.errors import InputError, MissingDependencyError

ROWS = ("compare", "sweep", "communities")  # that take dumps and write rows
NAMES = {"select": "safetensors", "plot": "png", "view": "html", "dump": "safetensors"} | dict.fromkeys(ROWS, "csv")
WRONG = {
    "compare": "cannot tell the format of",
    "sweep": "cannot tell the format of",
    "communities": "cannot tell the format of",
    "select": "a dump is written; end its name in .safetensors",
    "plot": "end it in .png, .svg or .pdf",
    "view": "a page is written; end its name in .html or .htm",
    "dump": "a dump's name ends in .safetensors",
}


def fails(*args: str) -> Exception:
    done = CliRunner().invoke(app, list(args))
    assert isinstance(done.exception, Exception), done.output
    assert not isinstance(done.exception, SystemExit)
    return done.exception


@pytest.fixture
def unread(tmp_path: Path) -> str:
    """Neither a dump nor a video: reading it is an error of its own, which must not come first."""
    path = tmp_path / "input.safetensors"
    path.write_text("nothing")
    return str(path)


@pytest.mark.parametrize("command", NAMES)
def test_a_name_that_says_something_else_is_refused_first(command: str, unread: str, tmp_path: Path) -> None:
    error = fails(command, unread, "-o", str(tmp_path / "out.xlsx"))
    assert isinstance(error, InputError)
    assert WRONG[command] in str(error)
    assert "out.xlsx" in str(error)


@pytest.mark.parametrize("command", NAMES)
def test_a_folder_that_is_not_there_is_refused_first(command: str, unread: str, tmp_path: Path) -> None:
    error = fails(command, unread, "-o", str(tmp_path / "absent" / f"out.{NAMES[command]}"))
    assert isinstance(error, InputError)
    assert "choose an existing folder you may write to" in str(error)


@pytest.mark.parametrize(
    ("args", "package", "extra"),
    [
        *(((name, "IN", "-o", "out.parquet"), "pyarrow", "arrow") for name in ROWS),
        (("compare", "IN", "-s", "all", "-o", "out.parquet"), "pyarrow", "arrow"),
        (("compare", "IN", "-o", "out.csv", "--format", "parquet"), "pyarrow", "arrow"),
        (("bench", "-o", "out.parquet"), "pyarrow", "arrow"),
        (("probe", "-o", "out.parquet"), "pyarrow", "arrow"),
        (("eval", "--model", "m", "--task", "IN", "-o", "out.parquet"), "pyarrow", "arrow"),
        (("batch", "select", "IN", "-o", "out"), "pyarrow", "arrow"),
        (("plot", "IN", "-o", "out.png"), "matplotlib", "viz"),
        (("plot", "IN", "--kind", "sweep", "-o", "out.png"), "matplotlib", "viz"),
        (("dump", "IN", "-o", "out.safetensors"), "av", "video"),
        (("dump", "IN", "-o", "out.safetensors", "--model", "absent/model"), "av", "video"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_package_that_is_missing_is_named_first(
    args: tuple[str, ...], package: str, extra: str, unread: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if args[0] in ("probe", "eval"):
        pytest.importorskip("torch", reason="the command needs torch before all else")
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    error = fails(*(unread if arg == "IN" else arg for arg in args))
    assert isinstance(error, MissingDependencyError)
    assert f"{package!r}, which is not installed. Install it with: pip install -e '.[{extra}]'" in str(error)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("name", ["report.png", "report"])
def test_a_page_of_a_comparison_ends_in_html(name: str, unread: str, tmp_path: Path) -> None:
    error = fails("compare", unread, "--html", str(tmp_path / name))
    assert "a page is written; end its name in .html or .htm" in str(error)
