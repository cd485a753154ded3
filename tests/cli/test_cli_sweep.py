"""``stgraph sweep`` as a user types it: tables, files that are gone on with, and errors before any work."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import SHAPE, clip, saved
from command_line import flat, run
from refusals import Refused
from typer.testing import CliRunner

from stgraph import VideoTokens
from stgraph.bench.tables.experiments import SWEEP
from stgraph.cli import app
from stgraph.dump import save_query

FEW = ("--tau-sim", "0.7:0.8:0.1", "--tau-diff", "0.2", "--tau-diff", "p90", "-r", "0.3")


@pytest.fixture
def dump(tmp_path: Path) -> str:
    return saved(tmp_path / "clip.safetensors")


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def without_times(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if not k.endswith("_s")} for row in rows]


def test_a_table_without_a_file(dump: str) -> None:
    text = run("sweep", dump, *FEW)
    assert flat(dump) in flat(text)
    assert "full, r = 0.3" in text
    line = next(line for line in text.splitlines() if line.startswith("0.8 "))
    assert line.split()[1] == "1.00"
    assert "tau_sim alone changes up to" in text


def test_the_default_grid_on_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = run("sweep", "-o", str(tmp_path / "rows.csv"))
    assert max(map(len, text.replace(str(tmp_path), "").splitlines())) <= 80
    assert "0.8        0.81 1.00 0.72 0.55       101 607 1,410 2,109" in text  # as in docs/sweep.md
    assert text.endswith("rows.csv: 64 new rows, 64 in all\n")
    assert len(table(tmp_path / "rows.csv")) == 64


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_the_same_command_again_has_nothing_to_do(dump: str, tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    target = tmp_path / f"rows.{suffix}"
    first = run("sweep", dump, *FEW, "-o", str(target))
    assert first.endswith(f"Wrote {target}: 4 new rows, 4 in all\n")
    content = target.read_bytes()
    again = run("sweep", dump, *FEW, "-o", str(target))
    assert again.endswith(f"Nothing to do: all 4 rows are already in {target}\n")
    assert again.partition("Nothing")[0] == first.partition("Wrote")[0]  # the same table
    assert target.read_bytes() == content


def test_interrupt_and_go_on(dump: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stgraph.bench.sweep import _Dump

    target, whole = tmp_path / "rows.csv", tmp_path / "whole.csv"
    run("sweep", dump, *FEW, "-q", "-o", str(whole))
    real, calls = _Dump._rows, []

    def second_time(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(_Dump, "_rows", second_time)
        done = CliRunner().invoke(app, ["sweep", dump, *FEW, "-o", str(target)])
    assert done.exit_code == 130
    assert (done.stdout, done.stderr) == (
        "",
        f"Interrupted: {target} holds 2 rows; run the same command again to resume\n",
    )
    assert len(table(target)) == 2
    assert run("sweep", dump, *FEW, "-o", str(target)).endswith(f"Wrote {target}: 2 new rows, 4 in all\n")
    assert without_times(table(target)) == without_times(table(whole))


def test_a_changed_dump_is_told(dump: str, tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    run("sweep", dump, *FEW, "-o", str(target))
    saved(Path(dump), seed=4)
    text = run("sweep", dump, *FEW, "-o", str(target))
    assert f"Wrote {target}: 4 new rows, 8 in all\n" in text
    assert text.endswith(
        f"Note: {dump} has changed since; rows of its earlier content are kept under their own digest\n"
    )


def test_rows_to_standard_output(dump: str) -> None:
    rows = [json.loads(line) for line in run("sweep", dump, *FEW, "--format", "jsonl").splitlines()]
    assert [(row["tau_sim"], row["tau_diff"]) for row in rows] == [(a, b) for a in (0.7, 0.8) for b in ("0.2", "p90")]
    text = run("sweep", dump, *FEW, "--format", "csv", "-q")
    assert text.splitlines()[0] == ",".join(SWEEP.columns)


def test_quiet_writes_and_says_nothing(dump: str, tmp_path: Path) -> None:
    assert run("sweep", dump, *FEW, "-q", "-o", str(tmp_path / "rows.csv")) == ""
    assert len(table(tmp_path / "rows.csv")) == 4


def test_options_reach_the_rows(dump: str, tmp_path: Path) -> None:
    other = saved(tmp_path / "other.safetensors", seed=8)
    args = ("-b", "igraph-leiden", "--seed", "1:3:2", "--split", "raster", "--max-size", "9", "--resolution", "2")
    more = ("--importance", "norm", "--protect-events", "--preset", "spatial", "--preset", "full", "--fidelity")
    rows = [json.loads(x) for x in run("sweep", dump, other, *FEW, *args, *more, "--format", "jsonl").splitlines()]
    assert len(rows) == 2 * 2 * (2 * 2 + 2)
    assert {row["dump"] for row in rows} == {dump, other}
    assert {row["seed"] for row in rows} == {1, 3}
    assert {(row["preset"], row["tau_diff"]) for row in rows} == {("spatial", None), ("full", "0.2"), ("full", "p90")}
    for row in rows:
        assert (row["split"], row["max_size"], row["resolution"], row["importance"]) == ("raster", 9, 2.0, "norm")
        assert row["protect_events"] is row["has_fidelity"] is True


def test_attention_of_a_query(dump: str, tmp_path: Path) -> None:
    save_query(tmp_path / "query", {"importance": np.random.default_rng(1).random(SHAPE).astype(np.float32)})
    args = ("--query", str(tmp_path / "query"), "--preset", "attention-only", "--format", "jsonl")
    (row,) = map(json.loads, run("sweep", dump, *FEW, *args).splitlines())
    assert (row["importance"], row["tau_sim"], row["tau_diff"]) == ("attention", None, None)


def test_a_table_of_one_cell(dump: str) -> None:
    text = run("sweep", dump, "--tau-sim", "0.7", "--tau-diff", "0.2", "-r", "0.3")
    assert "full, r = 0.3: overlap 0." in text
    alone = run("sweep", dump, "--preset", "attention-only", "--importance", "norm", "-r", "0.3")
    assert "attention-only, r = 0.3: no threshold plays a part." in alone


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--tau-sim", "0.6:0.9"), "tau_sim is '0.6:0.9'; give a number, or a range start:stop:step like"),
        (("--tau-sim", "0.8", "--tau-sim", "2"), "tau_sim is 2.0; a cosine similarity threshold lies in [-1, 1]"),
        (("--tau-diff", "p101"), "tau_diff is 'p101'; it must be a number in [-1, 1] or a percentile like 'p95'"),
        (("--tau-diff", "p80:p95:5"), "tau_diff is 'p80:p95:5'; give a number, or a range"),
        (("-r", "half"), "retain_ratio is 'half'; give a number"),
        (("-r", "0:1:0.5"), "retain_ratio is 0.0; it must lie in (0, 1]"),
        (("--seed", "0.5"), "seed is 0.5; it must be an integer"),
        (("--seed", "-1"), "seed is -1; it must be an integer from 0 to 2^31 - 1"),
        (("--seed", "inf"), "seed is inf; it must be an integer"),
        (("-b", "igraph-leidn"), "no community backend 'igraph-leidn'. Did you mean 'igraph-leiden'?"),
        (("-b", "igraph-leiden", "--tau-sim", "-0.5:0.5:0.5"), "tau_sim is -0.5, but igraph-leiden needs positive"),
        (("--split", "rastr"), "no splitter 'rastr'. Did you mean 'raster'?"),
        (("--preset", "fll"), "no preset 'fll'. Known: attention-only, spatial"),
        (("--importance", "novelty"), "importance is 'novelty'; it must be one of auto"),
        (("--max-size", "0"), "max_size is 0; it must be"),
        (("--resolution", "0"), "resolution is 0.0; it must be a positive number"),
        (("-o", "rows.json"), "cannot tell the format of rows.json by its suffix; end it in .csv, .parquet or .jsonl"),
        (("--format", "json"), "format is 'json'; it must be one of csv, parquet, jsonl"),
        (("--format", "parquet"), "--format parquet needs a file; name one with -o"),
        (("-o", "nowhere/rows.csv"), "cannot write nowhere/rows.csv: choose an existing folder you may write to"),
        (("--restart",), "--restart replaces the output file; name one with -o"),
        (("--query", "q"), "--query belongs to one dump; name that one"),
    ],
)
@pytest.mark.usefixtures("unopened")
def test_wrong_command_lines(
    refused: Refused,
    args: tuple[str, ...],
    message: str,
) -> None:
    assert refused("sweep", *args).startswith(message)


def test_a_file_of_something_else_is_left_alone(
    refused: Refused,
    dump: str,
    tmp_path: Path,
) -> None:
    hint = "; name another output, or replace it with --restart"
    target = tmp_path / "rows.csv"
    for text in ("my,own\n1,2\n", "my,own\n", "a thesis"):
        target.write_text(text)
        message = refused("sweep", dump, *FEW, "-o", str(target))
        assert message.startswith(f"{target} holds other columns; they differ in ")
        assert message.endswith(hint)
        assert target.read_text() == text
    for name, content in (("x.parquet", b"PAR1"), ("x.jsonl", b"[1]\n"), ("x.jsonl", b"{"), ("y.csv", b"\xff\xfe")):
        (tmp_path / name).write_bytes(content)
        message = refused("sweep", dump, *FEW, "-o", str(tmp_path / name))
        fmt = name.partition(".")[2]
        assert message == f"cannot read {tmp_path / name}: it is not a {fmt} file of rows{hint}"
        assert (tmp_path / name).read_bytes() == content
    run("sweep", dump, *FEW, "-q", "--restart", "-o", str(target))
    assert len(table(target)) == 4


def test_rows_of_another_version_or_a_broken_value(
    refused: Refused,
    dump: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "rows.csv"
    run("sweep", dump, *FEW, "-q", "-o", str(target))
    whole = target.read_text()
    target.write_text(whole.replace(",101,", ",x,").replace("lattice-components,tree,,full", "l,tree,z,full"))
    assert refused("sweep", dump, *FEW, "-o", str(target)).startswith(
        f"cannot read {target}: row 1 holds a value that does not belong in its column; name another output"
    )
    target.write_text(whole)
    monkeypatch.setattr("stgraph.__version__", "9.9")
    assert f"{target} holds rows of stgraph " in refused("sweep", dump, *FEW, "-o", str(target))
    assert target.read_text() == whole


def test_a_dump_without_attention_is_named(
    refused: Refused,
    dump: str,
    tmp_path: Path,
) -> None:
    VideoTokens.from_array(clip().lattice, importance=np.ones(SHAPE)).save(tmp_path / "has")
    message = refused("sweep", str(tmp_path / "has"), dump, "--preset", "full")
    assert message.startswith(f"{dump}: importance 'attention', ")
    assert "needs the signal 'importance'" in message
    assert message.endswith("pass another, as --importance auto")
