"""``stgraph batch eval``: the rows of ``stgraph eval --model --task``, video by video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batch_inline import here, summary  # noqa: F401 (fixture)
from batch_jobs import rows
from batch_questions import answers, arguments, offline
from refusals import Refused
from task_clips import N_CONFIGURATIONS, Processor, questions
from task_runs import (  # noqa: F401 (fixtures)
    N_ROWS,
    Row,
    call,
    run,
    the_model,
    the_processor,
    the_task,
    the_whole,
    the_whole_file,
)
from vlm_models import transformers

from stgraph.bench.answers import model as task_model
from stgraph.bench.answers.summary import summarise
from stgraph.bench.batch import job_eval
from stgraph.bench.batch.inputs import expand
from stgraph.bench.batch.job_eval import EvalJob, answered
from stgraph.bench.batch.run import run_batch
from stgraph.bench.tables.experiments import ANSWERS
from stgraph.errors import InputError

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pytest.importorskip("av", reason="needs PyAV: pip install -e '.[video]'")

A_VIDEO = 2 * N_CONFIGURATIONS


@pytest.fixture(autouse=True)
def fresh() -> None:
    """No model of another test."""
    job_eval._answering.cache_clear()


@pytest.mark.usefixtures("here")
def test_the_rows_are_those_of_eval_and_the_second_run_finds_them(
    model: str, task: Path, processor: Processor, whole: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, loaded = task.parent / "out", []
    load = job_eval.load_checkpoint
    monkeypatch.setattr(job_eval, "load_checkpoint", lambda *a, **k: loaded.append(1) or load(*a, **k))
    text = run(*arguments(model, task))
    assert "3 done in " in text
    assert len(loaded) == 1  # for three videos
    assert answers(out, whole) == whole
    found = rows(out)
    assert len(found) == N_ROWS
    assert {row["status"] for row in found} == {"done"}
    assert {(row["job"], Path(row["input"]).name) for row in found} == {
        ("eval", f"{colour}.mp4") for colour in ("red", "green", "blue")
    }
    again = run(*arguments(model, task))
    assert again.endswith(f"0 done, 3 already there, 0 failed: {out}/rows\n")
    assert again.partition("0 done")[0] == text.partition("3 done")[0]  # the same table
    assert len(loaded) == 1
    assert rows(out) == found


@pytest.mark.usefixtures("here")
def test_the_table_is_that_of_eval(model: str, task: Path, processor: Processor, whole_file: Path) -> None:
    text = run(*arguments(model, task))
    for piece in ("6 questions on 3 videos, 29.2 by chance", "Accuracy by family", "fewer than 20 videos", "- full"):
        assert piece in " ".join(text.split())
    expected = summarise([json.loads(line) for line in whole_file.read_text().splitlines()])
    got = summarise(list(answered(task.parent / "out")))
    assert [{k: v for k, v in row.items() if not k.endswith("_s")} for row in got] == [
        {k: v for k, v in row.items() if not k.endswith("_s")} for row in expected
    ]


@pytest.mark.usefixtures("here")
def test_a_broken_video_is_a_row_and_the_rest_goes_on(
    model: str, task: Path, processor: Processor, whole: list[Row]
) -> None:
    out, clip = task.parent / "out", task.parent / "clips" / "red.mp4"
    content = clip.read_bytes()
    clip.write_bytes(b"no video")
    done = call(*arguments(model, task))
    assert done.exit_code == 1
    assert f"error: {clip}: cannot read {clip}: " in done.stderr
    assert "2 done in " in done.stdout
    assert "2 of 6 questions have no row: their videos failed, or are not inputs of this batch" in done.stdout
    (failed,) = (row for row in rows(out) if row["status"] == "failed")
    assert failed["error"].startswith(f"cannot read {clip}")
    empty = [name for name in ANSWERS.columns if name not in ("stgraph", "error") and not name.endswith("_s")]
    assert {failed[name] for name in empty} == {None}
    assert len(rows(out)) == 2 * A_VIDEO + 1
    clip.write_bytes(content)
    assert "1 done in " in run(*arguments(model, task))
    assert answers(out, whole) == whole


@pytest.mark.usefixtures("here")
def test_a_question_that_fails_is_a_row_and_its_video_is_tried_again(
    model: str, task: Path, processor: Processor, whole: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, n, out = task_model.letter_scores, [], task.parent / "out"

    def scores(*args: Any) -> Any:
        n.append(1)
        if len(n) == 3:
            raise RuntimeError("out of\nmemory")
        return real(*args)

    monkeypatch.setattr(task_model, "letter_scores", scores)
    done = call(*arguments(model, task))
    assert done.exit_code == 1
    assert f"blue.mp4: 1 of {A_VIDEO} rows failed, the first: RuntimeError: out of memory\n" in done.stderr
    found = rows(out)
    assert len(found) == N_ROWS
    assert [row["status"] for row in found].count("failed") == 1
    (failed,) = (row for row in found if row["error"])
    assert (failed["selector"], failed["status"], failed["correct"]) == ("st-simdiff", "failed", None)
    assert "Failed and left out: st-simdiff 1 questions." in done.stdout
    assert "1 done in " in run(*arguments(model, task))
    assert answers(out, whole) == whole


@pytest.mark.usefixtures("here")
def test_a_question_that_changes_has_its_video_done_again(model: str, task: Path, processor: Processor) -> None:
    clips, out = task.parent / "clips", task.parent / "out"
    assert summary(run_batch(offline(model, task), [clips], out)) == (3, 0, 0)
    asked = questions()
    asked[1]["question"] = "Does the gradient turn around?"
    asked.append({**asked[2], "id": "more"})
    task.write_text("".join(json.dumps(line) + "\n" for line in asked))
    before = {row["digest"] for row in rows(out)}
    assert summary(run_batch(offline(model, task), [clips], out)) == (2, 1, 0)
    assert len({row["digest"] for row in rows(out)} - before) == 2
    assert len(rows(out)) == N_ROWS + N_CONFIGURATIONS
    more = offline(model, task, selectors=("full", "uniform"))
    assert summary(run_batch(more, [clips / "red.mp4"], out)) == (1, 0, 0)
    assert {row["selector"] for row in rows(out) if "red" in row["video"]} == {"full", "uniform"}


# Which videos


def test_of_a_folder_the_videos_that_are_asked_about_are_taken(
    model: str,
    task: Path,
    refused: Refused,
) -> None:
    clips = task.parent / "clips"
    other = clips / "other.mp4"
    other.write_bytes(b"")
    asked = EvalJob(model=model, task=str(task))
    inputs = inputs_of(asked, clips)
    assert inputs == {"red.mp4": 2, "green.mp4": 2, "blue.mp4": 2}
    (task.parent / "link").symlink_to(clips)
    assert inputs_of(asked, task.parent / "link") == inputs
    expected = (
        f"{task} asks nothing about {other}, but about {clips / 'red.mp4'}; name videos it asks about, or folders"
    )
    args = arguments(model, task)
    assert refused(*args[:2], str(other), *args[3:]).startswith(expected)
    (task.parent / "none").mkdir()
    (task.parent / "none" / "red.mp4").write_bytes(b"")
    assert refused(*args[:2], str(task.parent / "none"), *args[3:]).startswith(
        f"{task.parent / 'none'} holds no input: {task} asks nothing about "
    )
    assert refused(*args, "-p", "n_letters=3").endswith("has a parameter 'n_letters'")
    assert not (task.parent / "out").exists()


def inputs_of(task: EvalJob, folder: Path) -> dict[str, int]:
    """How many questions each video of a folder gets, by its name."""
    found, _ = expand([folder], task, folder / "out")
    return {Path(path).name: sum(map(len, own.questions.values())) for path, own in found.items()}  # type: ignore[attr-defined]


# Errors before work


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": ""}, "batch eval lacks model; give it NAME_OR_PATH of a checkpoint"),
        ({"task": ""}, r"batch eval lacks task; give it a file of questions \(\.jsonl\)"),
        ({"task": "none.jsonl"}, r"cannot read .*none\.jsonl: No such file"),
        ({"selectors": "evz"}, "no selector 'evz'. Did you mean 'evs'?"),
        ({"retain_ratios": "half"}, r"retain_ratio is 'half'; it must be a number in \(0, 1\]"),
        ({"fps": "x"}, "fps is 'x'; it must be a positive number of frames per second"),
        ({"options": {"tau_smi": 1}}, "none of the selectors full, blind, st-simdiff has a parameter 'tau_smi'"),
    ],
)
def test_wrong_parameters(task: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EvalJob(**{"model": "m", "task": str(task), **given})


@pytest.mark.usefixtures("here")
def test_a_model_that_cannot_be_loaded_stops_the_batch(
    task: Path,
    model: str,
    processor: Processor,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped = "Stopped with 0 of 3 inputs done; run the same command again to resume"
    (task.parent / "empty, here").mkdir()
    message = refused(*arguments(f"{task.parent}/empty, here", task))
    assert message.startswith(f"cannot load {task.parent}/empty, here: ")
    assert message.endswith(stopped)

    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError("too large")

    monkeypatch.setattr(transformers.AutoModelForImageTextToText, "from_pretrained", full)
    assert refused(*arguments(model, task)) == f"cannot load {model}: MemoryError: too large. {stopped}"


# Workers


@pytest.mark.slow
def test_a_process_gives_the_same_rows(model: str, task: Path, whole: list[Row]) -> None:
    out = task.parent / "out"
    assert summary(run_batch(offline(model, task), [task.parent / "clips"], out)) == (3, 0, 0)
    assert answers(out, whole) == whole


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_threads_of_a_dask_worker_take_turns_at_the_model(
    model: str, task: Path, processor: Processor, whole: list[Row]
) -> None:
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    out = task.parent / "out"
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=3, processes=False, dashboard_address=None
    ) as cluster:
        where = {"runner": "dask", "scheduler_address": cluster.scheduler_address}
        assert summary(run_batch(offline(model, task), [task.parent / "clips"], out, **where)) == (3, 0, 0)
    assert answers(out, whole) == whole
