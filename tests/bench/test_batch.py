"""Batches in this process: what is done, skipped, done again, refused; what a folder of results holds."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_inline import here, summary  # noqa: F401 (fixture)
from batch_jobs import Obedient, rows, written

from stgraph.bench.batch.inputs import expand
from stgraph.bench.batch.result_file import result_path
from stgraph.bench.batch.run import run_batch
from stgraph.bench.batch.work import WorkItem, run_item
from stgraph.bench.tables.experiments import BATCH
from stgraph.errors import InputError, MissingDependencyError

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

pytestmark = pytest.mark.usefixtures("here")

TEXTS = {"a.txt": "ok", "b.txt": "wrong", "c.txt": "bug", "d.txt": "ok, longer"}


def test_a_failing_input_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "in", TEXTS), tmp_path / "out"
    labels: list[tuple[str, float]] = []
    report = run_batch(Obedient(), [folder], out, progress=lambda *told: labels.append(told))
    assert summary(report) == (2, 0, 2)
    assert report.failed == {
        str(folder / "b.txt"): "b.txt is wrong",
        str(folder / "c.txt"): "ZeroDivisionError: a bug",
    }
    assert labels[-1][1] == 1.0
    assert labels[-1][0].startswith("4/4, ")
    assert labels[-1][0].endswith("/s, 2 failed")
    found = rows(out, times=True)
    assert [(Path(r["input"]).name, r["status"], r["error"], r["attempts"], r["length"]) for r in found] == [
        ("a.txt", "done", None, 1, 2),
        ("a.txt", "done", None, 1, 3),
        ("b.txt", "failed", "b.txt is wrong", 1, None),
        ("c.txt", "failed", "ZeroDivisionError: a bug", 2, None),
        ("d.txt", "done", None, 1, 10),
        ("d.txt", "done", None, 1, 11),
    ]
    stat = (folder / "a.txt").stat()
    assert (found[0]["input_bytes"], found[0]["input_mtime_ns"]) == (2, stat.st_mtime_ns)


def test_the_rows_are_one_dataset_with_a_row_group_an_input(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "in", TEXTS), tmp_path / "out"
    run_batch(Obedient(), [folder], out)
    files = sorted((out / "rows").iterdir())
    assert len(files) == 4
    schemas = {str(parquet.read_schema(file).remove_metadata()) for file in files}
    assert len(schemas) == 1
    assert parquet.read_schema(files[0]).names == [*BATCH.columns, *Obedient.columns]
    assert {parquet.ParquetFile(file).num_row_groups for file in files} == {1}


def test_what_is_finished_is_skipped_and_nothing_else(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "in", TEXTS), tmp_path / "out"
    task = Obedient(write=True)
    run_batch(task, [folder], out)
    (folder / "b.txt").write_text("ok")
    assert summary(run_batch(task, [folder], out)) == (1, 2, 1)  # failures are tried again
    before = rows(out)
    made = sorted((out / "made").iterdir())
    assert len(made) == 3
    made[0].unlink()
    assert summary(run_batch(task, [folder], out)) == (1, 2, 1)  # a missing file
    assert rows(out) == before
    os.utime(folder / "a.txt", ns=(5, 5))
    assert summary(run_batch(task, [folder], out)) == (1, 2, 1)  # another modification time
    next((out / "rows").glob("d-*")).write_bytes(b"PAR1 no more")
    assert summary(run_batch(task, [folder], out)) == (1, 2, 1)  # a file that holds no rows
    assert summary(run_batch(replace(task, factor=3), [folder], out)) == (3, 0, 1)  # other parameters
    assert {row["length"] for row in rows(out) if row["length"]} > {6, 7}
    assert len(rows(out)) == 7
    assert len({row["parameters_digest"] for row in rows(out)}) == 1
    assert summary(run_batch(replace(task, factor=3), [folder], out)) == (0, 3, 1)


def test_another_version_computes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = written(tmp_path / "in", {"a.txt": "ok"}), tmp_path / "out"
    run_batch(Obedient(), [folder], out)
    monkeypatch.setattr("stgraph.__version__", "9")
    assert summary(run_batch(Obedient(), [folder], out)) == (1, 0, 0)


def test_a_job_that_was_finished_unseen_is_not_done_twice(tmp_path: Path) -> None:
    """A worker killed between its last write and its answer."""
    path = written(tmp_path / "in", {"a.txt": "ok"}) / "a.txt"
    (tmp_path / "out" / "rows").mkdir(parents=True)
    item = WorkItem(str(path), str(path), "a-0", str(tmp_path / "out"), Obedient(), "digest")
    assert run_item(item).status == "done"
    content = result_path(item.output, "a-0").read_bytes()
    assert run_item(item).status == "done"
    assert result_path(item.output, "a-0").read_bytes() == content
    assert len(rows(tmp_path / "out")) == 2


@pytest.mark.parametrize(("retries", "expected"), [(0, (0, 0, 1)), (1, (1, 0, 0))])
def test_errors_of_the_system_are_tried_again(tmp_path: Path, retries: int, expected: tuple[int, int, int]) -> None:
    folder, out = written(tmp_path / "in", {"a.txt": "share-once"}), tmp_path / "out"
    assert summary(run_batch(Obedient(), [folder], out, retries=retries)) == expected
    assert rows(out, times=True)[0]["attempts"] == retries + 1


# Inputs


def test_folders_hold_inputs_by_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = written(tmp_path / "in", {"b.txt": "", "a.TXT": "", "c.csv": "", "d.query.safetensors": ""})
    written(folder / "deep", {"e.txt": "", "f.safetensors": "", "f.query.safetensors": ""})
    written(folder / "out" / "rows", {"no.txt": ""})
    both = type("Both", (Obedient,), {"suffixes": (".txt", ".safetensors")})
    found, left_out = expand(["in", "in/b.txt", str(folder / "b.txt"), "in/c.csv"], both(), folder / "out")
    assert left_out == []
    assert list(found) == ["in/a.TXT", "in/b.txt", "in/deep/e.txt", "in/deep/f.safetensors", "in/c.csv"]
    with pytest.raises(InputError, match=r"in/out/rows holds no input; names that end in \.txt are taken"):
        expand(["in/out/rows"], Obedient(), folder / "out")
    with pytest.raises(InputError, match="no input; name files or folders"):
        expand([], Obedient(), folder)


def test_what_a_folder_holds_beside_its_inputs_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    others = {"otherwise": (".mp4",), "by_name": (".gif",)}
    for folder, beside in (("in", {"a.txt": ""}), ("alone", {})):
        written(tmp_path / folder, {**beside, "b.mp4": "", "c.GIF": "", "d.gif": "", "e.csv": ""})
    job = type("Job", (Obedient,), others)()
    assert [list(one) for one in expand(["in", "in/d.gif"], job, tmp_path / "out")] == [
        ["in/a.txt", "in/d.gif"],
        ["in/b.mp4", "in/c.GIF"],
    ]
    assert [list(one) for one in expand(["alone"], job, tmp_path / "out")] == [
        ["alone/b.mp4"],
        ["alone/c.GIF", "alone/d.gif"],
    ]


def test_a_folder_that_cannot_be_read_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path / "in", {"a.txt": "ok"})
    (folder / "closed").mkdir()
    scandir = os.scandir

    def closed(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(InputError, match=f"cannot read {folder}/closed: Permission denied; leave it out"):
        expand([folder], Obedient(), tmp_path / "out")


def test_names_that_mean_harm_stay_inside(tmp_path: Path) -> None:
    names = ["plain.txt", "Plain.txt", "-rf.txt", "new\nline.txt", "東京.txt", "x" * 250 + ".txt", " .txt", "a\\b.txt"]
    folder, out = written(tmp_path / "in", dict.fromkeys(names, "ok")), tmp_path / "deep" / "out"
    raw = os.fsencode(folder) + b"/\xff\xfe.txt"
    Path(os.fsdecode(raw)).write_text("ok")
    outside = written(tmp_path, {"outside.txt": "ok"}) / "outside.txt"
    (folder / "link.txt").symlink_to(outside)
    (folder / "again.txt").symlink_to(outside)
    missing = ["no\0such.txt", f"{folder}/../../../nowhere.txt", "/proc/self/nothing.txt"]
    report = run_batch(Obedient(write=True), [folder, *missing], out)
    assert summary(report) == (len(names) + 3, 0, 3)
    everything = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert everything == {"in", "deep", "outside.txt"}
    assert {path.name for path in out.iterdir()} == {"rows", "made", "batch.json", ".stgraph-batch.lock"}
    assert len(list((out / "rows").iterdir())) == len(names) + 6
    assert len(list((out / "made").iterdir())) == len(names) + 3
    files = [row["file"] for row in rows(out) if row["status"] == "done"]
    assert all((out / file).resolve().is_relative_to((out / "made").resolve()) for file in files)
    assert sum(row["input"].endswith("\\udcff\\udcfe.txt") for row in rows(out)) == 2
    assert summary(run_batch(Obedient(write=True), [folder, *missing], out)) == (0, len(names) + 3, 3)


def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "in", {"a.txt": "ok"}), tmp_path / "out"
    run_batch(Obedient(write=True), [folder], out)
    (made,) = (out / "made").iterdir()
    made.unlink()
    precious = written(tmp_path / "home", {"precious": "precious"}) / "precious"
    made.symlink_to(precious)
    os.utime(folder / "a.txt", ns=(7, 7))
    run_batch(Obedient(write=True), [folder], out)
    assert precious.read_text() == "precious"
    assert not made.is_symlink()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"runner": "ray"}, "runner is 'ray'; it must be one of local, dask"),
        ({"n_workers": 0}, "n_workers is 0; it must be an integer of at least 1"),
        ({"retries": -1}, "retries is -1; it must be an integer of at least 0"),
        ({"scheduler_address": "tcp://x"}, "a scheduler belongs to runner 'dask'"),
        ({"runner": "dask", "scheduler_address": "tcp://x", "scheduler_file": "f"}, "exclude each other; give one"),
    ],
)
def test_wrong_arguments_are_found_before_the_folder_is_made(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_batch(Obedient(), [tmp_path], tmp_path / "out", **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("module", "runner"), [("pyarrow.parquet", "local"), ("distributed", "dask")])
def test_missing_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, runner: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingDependencyError, match=r"pip install -e '\.\["):
        run_batch(Obedient(), [tmp_path], tmp_path / "out", runner=runner)


def test_a_job_that_gives_other_columns_is_a_bug_that_is_seen(tmp_path: Path) -> None:
    class Careless(Obedient):
        columns = {"length": int}  # noqa: RUF012

    folder, out = written(tmp_path / "in", {"a.txt": "ok"}), tmp_path / "out"
    report = run_batch(Careless(), [folder], out)
    assert "a row has columns its job does not name: work_s" in report.failed[str(folder / "a.txt")]
