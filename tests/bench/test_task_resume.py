"""``stgraph eval --model`` goes on after any end: nothing is lost, nothing is computed twice, nothing is mixed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from refusals import Refused
from task_clips import N_CONFIGURATIONS, Processor, arguments, questions, save_task
from task_runs import (  # noqa: F401 (fixtures)
    N_ROWS,
    Row,
    call,
    read,
    run,
    the_done_before,
    the_model,
    the_processor,
    the_task,
    the_whole,
    the_whole_file,
)

import stgraph
from stgraph.bench.answers import model as task_model

pytest.importorskip("av", reason="needs PyAV: pip install -e '.[video]'")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_the_same_command_again_loads_no_model(
    model: str, task: Path, processor: Processor, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow: pip install -e '.[arrow]'")
    target = task.parent / f"rows.{suffix}"
    first = run(*arguments(model, task, "-o", str(target)))
    content = target.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("stgraph.vlm.checkpoint.load", fail)
    again = run(*arguments(model, task, "-o", str(target)))
    assert again.endswith(f"Nothing to do: all {N_ROWS} rows are already in {target}\n")
    assert again.partition("Nothing")[0] == first.partition("Wrote")[0]  # the same table
    assert target.read_bytes() == content


@pytest.mark.slow
def test_a_killed_run_goes_on(model: str, task: Path, processor: Processor, whole: list[Row]) -> None:
    target = task.parent / "rows.jsonl"
    script = Path(__file__).parents[1] / "support" / "task_clips.py"
    args = arguments(model, task, "-q", "-o", str(target))
    done = subprocess.run([sys.executable, str(script), "7", *args], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert read(target) == whole[:6]  # in the middle of a question; the last row was not saved yet
    text = run(*args[: args.index("-q")], "-o", str(target))
    assert text.endswith(f"rows.jsonl: {N_ROWS - 6} new rows, {N_ROWS} in all\n")
    assert read(target) == whole


@pytest.mark.parametrize(
    ("end", "status"), [(KeyboardInterrupt, 130), (signal.SIGTERM, 143), (TypeError("a bug"), 1)], ids=str
)
def test_any_other_end_saves_every_row(
    model: str,
    task: Path,
    processor: Processor,
    whole: list[Row],
    end: Any,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, real, n = task.parent / "rows.jsonl", task_model.letter_scores, []

    def scores(*args: Any) -> Any:
        n.append(1)
        if len(n) == 6:
            if isinstance(end, signal.Signals):
                os.kill(os.getpid(), end)
            else:
                raise end
        return real(*args)

    handler = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(task_model, "letter_scores", scores)
        done = call(*arguments(model, task, "-o", str(target)))
    assert done.exit_code == status
    assert signal.getsignal(signal.SIGTERM) is handler
    assert read(target) == whole[:5]
    if status > 128:
        assert done.stderr.endswith(f"Interrupted: {target} holds 5 rows; run the same command again to resume\n")
    run(*arguments(model, task, "-q", "-o", str(target)))
    assert read(target) == whole


def test_only_what_changed_is_asked_again(model: str, task: Path, processor: Processor, done_before: Path) -> None:
    target = done_before
    asked = questions()
    asked[1]["question"] = "Does the gradient turn around?"
    save_task(task.parent, asked)
    text = run(*arguments(model, task, "-o", str(target)))
    assert f"{N_CONFIGURATIONS} new rows, {N_ROWS + N_CONFIGURATIONS} in all" in text
    more = run(*arguments(model, task, "-s", "uniform", "-o", str(target)))
    assert "12 new rows" in more  # two ratios
    clip = task.parent / "clips" / "red.mp4"
    clip.write_bytes((task.parent / "clips" / "blue.mp4").read_bytes() + b"\0")
    replaced = run(*arguments(model, task, "-o", str(target)))
    assert f"Wrote {target}: {2 * N_CONFIGURATIONS} new rows" in replaced


def test_other_frames_are_other_rows(model: str, task: Path, processor: Processor) -> None:
    target = task.parent / "rows.csv"
    base = ["eval", "--model", model, "--task", str(task), "-s", "full", "--limit", "2", "-q", "-o", str(target)]
    for more in (["-n", "4"], ["--fps", "2"], ["--fps", "2", "-n", "3"], ["-n", "4", "--dtype", "bfloat16"]):
        run(*base, *more)
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [(row["frames"], row["fps"], row["n_frames"], row["computed_in"]) for row in rows[::2]] == [
        ("4", "", "4", "float32"),
        ("", "2.0", "6", "float32"),
        ("3", "2.0", "3", "float32"),
        ("4", "", "4", "bfloat16"),
    ]


def test_rows_of_another_model_or_version(
    refused: Refused,
    model: str,
    task: Path,
    processor: Processor,
    done_before: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = done_before
    content = target.read_bytes()
    remedy = "; name another output, or replace it with --restart"
    assert refused(*arguments("some/other", task, "-o", str(target))) == (
        f"{target} holds rows of model {model}, this is some/other{remedy}"
    )
    before = stgraph.__version__
    monkeypatch.setattr("stgraph.__version__", "9.9")
    assert refused(*arguments(model, task, "-o", str(target))) == (
        f"{target} holds rows of stgraph {before}, this is 9.9{remedy}"
    )
    assert target.read_bytes() == content
    run(*arguments(model, task, "-q", "--limit", "1", "--restart", "-o", str(target)))
    assert len(read(target)) == N_CONFIGURATIONS
