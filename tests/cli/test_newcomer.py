"""What a newcomer met: one-line errors, tables that fit the window, wrong plans refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clips import clip, saved
from command_line import FEW, run, strict_json
from refusals import Refused
from terminal_tables import BACKENDS, ELLIPSIS, pair, render, row

from stgraph import VideoTokens
from stgraph.bench.compare import compare_backends
from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.settings import backend_settings
from stgraph.viz.terminal.comparison import backend_tables, sentences

SAMPLE = {
    "n_uncapped": 1337,
    "largest_uncapped": 1513,
    "n_oversized": 18,
    "n_communities": 1398,
    "n_singletons": 737,
    "detection_s": 1.4638,
    "n_kept": 3072,
    "n_tokens": 10_240,
    "n_representative": 2465,
    "n_event": 362,
    "n_both": 245,
    "excess": 1156,
}


@pytest.mark.parametrize(
    "args",
    [
        ("compare", "--tau-sim", "high"),
        ("compare", "-r", "half"),
        ("compare", "--seed", "half"),
        ("bogus",),
        ("inspect", "--query"),
    ],
)
def test_wrong_usage_is_one_line(
    refused: Refused,
    args: tuple[str, ...],
) -> None:
    refused(*args)


@pytest.mark.parametrize("table", [0, 1], ids=["communities", "kept"])
def test_a_comparison_fits_a_narrow_window(table: int) -> None:
    rows = [row(name, **SAMPLE) for name in BACKENDS]
    for split in ("tree", "redetect"):
        tables = backend_tables([{**one, "split": split} for one in rows])
        text = render(tables[table].on_terminal("backend"), 80)
        assert ELLIPSIS not in text
        assert all(name in text for name in BACKENDS)


def test_inspect_of_one_frame_is_json(tmp_path: Path) -> None:
    VideoTokens.from_array(clip().lattice[:1]).save(tmp_path / "x")
    graph = strict_json(run("inspect", str(tmp_path / "x"), "--format", "json"))["graph"]
    assert graph["families"][2]["mean"] is None
    assert "nan" not in run("inspect", str(tmp_path / "x"))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"splits": ("tree", "rastr")}, "no splitter 'rastr'"),
        ({"parameters": {"resolution": 0.0}}, "resolution is 0"),
        ({"seeds": (0, -1)}, "seed is -1"),
        ({"splits": ("native",), "backends": ("lattice-components",)}, "has no cap of its own"),
    ],
)
def test_a_wrong_plan_is_refused_before_work(monkeypatch: Any, axes: Any, message: str) -> None:
    monkeypatch.setattr("stgraph.selection.keeping.build_graph", lambda *a, **k: 1 / 0)
    with pytest.raises(InputError, match=message):
        compare_backends(clip(), backend_settings(**axes))


def test_a_missing_signal_is_found_before_work(monkeypatch: Any) -> None:
    monkeypatch.setattr("stgraph.selection.keeping.build_graph", lambda *a, **k: 1 / 0)
    with pytest.raises(MissingSignalError):
        compare_backends(clip(), backend_settings(parameters={"importance": "attention"}))


def test_an_error_does_not_steer_the_terminal(
    refused: Refused,
    tmp_path: Path,
) -> None:
    assert (
        refused("inspect", "no\x1b[31m\nfile")
        == "cannot read no\\x1b[31m\\nfile: it does not exist; give the path of a token dump (.safetensors)"
    )


def test_findings_agree_with_the_table() -> None:
    same = "\n".join(sentences([row("a")], [pair("a", "b", 1.0)]))
    assert "agree least" not in same


def test_help_fits_a_narrow_window(monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert ELLIPSIS not in run("compare", "--help")


def test_columns_is_honoured(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, run("doctor").splitlines())) <= 80


@pytest.mark.parametrize("command", ["inspect", "select"])
def test_help_names_only_formats_that_work(command: str) -> None:
    assert "parquet" not in run(command, "--help")


def test_the_same_backend_twice_counts_once() -> None:
    settings = backend_settings(("lattice-components",) * 2)
    assert len(compare_backends(clip(), settings, (0.3, 0.3), fidelity=False).rows) == 1


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    dump = saved(tmp_path / "bad\udcff.safetensors")
    run("compare", dump, *FEW, "-q", "-o", str(tmp_path / "rows.csv"))


def test_negative_weights_do_not_end_a_comparison_of_all() -> None:
    rows = compare_backends(clip(), backend_settings(parameters={"tau_sim": -0.9}), fidelity=False).rows
    assert "lattice-components" in {one["backend"] for one in rows}
