"""The output folder of a batch: locked, of one job, on a disk that may be full."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from batch_inline import here, summary  # noqa: F401 (fixture)
from batch_jobs import Obedient, rows, written

from stgraph.bench.batch.jobs import BatchStopError
from stgraph.bench.batch.run import run_batch
from stgraph.errors import InputError

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
pytestmark = pytest.mark.usefixtures("here")


def test_two_batches_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "in", {"a.txt": "ok"}), tmp_path / "out"
    refusals = []

    def meanwhile(label: str, share: float) -> None:
        with pytest.raises(InputError) as refusal:
            run_batch(Obedient(), [folder], out)
        refusals.append(str(refusal.value))

    assert summary(run_batch(Obedient(), [folder], out, progress=meanwhile)) == (1, 0, 0)
    assert set(refusals) == {f"another batch is writing to {out}; wait for it, or choose another folder"}
    assert summary(run_batch(Obedient(), [folder], out)) == (0, 1, 0)


def test_a_folder_belongs_to_one_job(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "in", {"a.txt": "ok"}), tmp_path / "out"
    run_batch(Obedient(), [folder], out)

    class Other(Obedient):
        name = "other"

    with pytest.raises(InputError, match="holds the results of batch obedient, this is other; choose another folder"):
        run_batch(Other(), [folder], out)
    for text in ("[]", "[" * 100_000, '{"job": "obedient", "job": "other", "parameters": {}}'):
        (out / "batch.json").write_text(text)
        with pytest.raises(InputError, match="is not a record of a batch; choose another folder"):
            run_batch(Obedient(), [folder], out)


def test_a_folder_from_when_jobs_were_tasks_is_refused_by_name(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "in", {"a.txt": "ok"}), tmp_path / "out"
    out.mkdir()
    (out / "batch.json").write_text('{"task": "obedient", "parameters": {}}')
    with pytest.raises(InputError, match="was written by an earlier version of stgraph; choose another folder"):
        run_batch(Obedient(), [folder], out)


def test_parameters_can_be_looked_up(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "in", {"a.txt": "ok"}), tmp_path / "out"
    for factor in (1, 2):
        run_batch(Obedient(factor=factor), [folder], out)
    noted = json.loads((out / "batch.json").read_text())
    assert noted["job"] == "obedient"
    assert [found["factor"] for found in noted["parameters"].values()] in ([1, 2], [2, 1])
    assert noted["parameters"][rows(out)[0]["parameters_digest"]]["factor"] == 2


def test_what_killed_workers_left_is_cleared(tmp_path: Path) -> None:
    folder, out = written(tmp_path / "in", {"a.txt": "ok"}), tmp_path / "out"
    written(out / "rows", {".stgraph-abc.part": "half"})
    written(out / "made", {".stgraph-abc.part": "half"})
    run_batch(Obedient(write=True), [folder], out)
    assert not list(out.rglob("*.part"))


def test_a_full_disk_stops_the_batch_with_one_error(tmp_path: Path) -> None:
    texts = {"a.txt": "ok", "b.txt": "full-once", "c.txt": "ok"}
    folder, out = written(tmp_path / "in", texts), tmp_path / "out"
    with pytest.raises(BatchStopError) as stop:
        run_batch(Obedient(), [folder], out)
    assert str(stop.value).startswith(
        "cannot write results: [Errno 28] No space left on device. Stopped with 1 of 3 in"
    )
    assert [row["status"] for row in rows(out)] == ["done", "done"]
    assert summary(run_batch(Obedient(), [folder], out)) == (2, 1, 0)
    assert len(rows(out)) == 6


def test_rows_that_cannot_be_written_stop_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = written(tmp_path / "in", {"a.txt": "wrong", "b.txt": "ok"}), tmp_path / "out"

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(parquet, "write_table", full)
    with pytest.raises(
        BatchStopError, match=r"cannot write .*: No space left on device; .* Stopped with 0 of 2 inputs"
    ):
        run_batch(Obedient(), [folder], out)
    assert list((out / "rows").iterdir()) == []


def test_an_output_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path / "in", {"a.txt": "ok"})
    target = folder / "a.txt" / "out"
    with pytest.raises(InputError, match=f"cannot write {target}: Not a directory; choose a folder you may write to"):
        run_batch(Obedient(), [folder], target)

    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(InputError, match=r"cannot write .*: Read-only file system; choose a folder you may write to"):
        run_batch(Obedient(), [folder], tmp_path / "out")
