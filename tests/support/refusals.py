"""Command lines that must fail, and that they fail before a dump is opened; fixtures of every test."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from stgraph.cli import main


class Refused:
    """Runs a command line that must fail, and returns its one line."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def stderr(self, *args: str) -> str:
        """All it prints, with status 2 and nothing on stdout."""
        self.monkeypatch.setattr(sys, "argv", ["stgraph", *args])
        try:
            status: Any = main()
        except SystemExit as stop:
            status = stop.code
        out, err = self.capsys.readouterr()
        assert (status, out) == (2, "")
        return err

    def __call__(self, *args: str) -> str:
        err = self.stderr(*args)
        assert err.startswith("error: ")
        assert err.find("\n") == len(err) - 1
        return err.removeprefix("error: ").removesuffix("\n")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    return Refused(monkeypatch, capsys)


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening any dump fails the test."""

    def opened(*_: Any, **__: Any) -> Any:
        raise AssertionError("a dump was opened before the command line was checked")

    monkeypatch.setattr("stgraph.cli.options.open_tokens", opened)
