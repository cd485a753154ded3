"""``stgraph eval --model --task`` as a user types it: rows, going on after any end, failures, early errors."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from lmms_eval_offline import WORDS, save_checkpoint
from refusals import Refused
from task_clips import N_CONFIGURATIONS, TOKENS_A_FRAME, Processor, Tokenizer, arguments, questions, save_task
from task_runs import N_ROWS, Row, call, read, run, the_model, the_processor, the_task, the_whole, the_whole_file  # noqa: F401 (fixtures)
from vlm_models import FRAMES, torch, transformers

import stgraph
from stgraph.bench.answers import model as task_model
from stgraph.vlm.multiple_choice import choice_chat
from stgraph.vlm.prompt_video import chat_text, prompt_inputs, prompt_video

pytest.importorskip("av", reason="needs PyAV: pip install -e '.[video]'")

N_VISUAL = FRAMES * TOKENS_A_FRAME
KEPT = -(-3 * N_VISUAL // 10)


def test_rows_and_summary(model: str, task: Path, processor: Processor) -> None:
    target = task.parent / "rows.jsonl"
    text = run(*arguments(model, task, "-o", str(target)))
    rows = read(target)
    assert text.endswith(f"rows.jsonl: {N_ROWS} new rows, {N_ROWS} in all\n")
    assert [row["id"] for row in rows[::N_CONFIGURATIONS]] == [line["id"] for line in questions()]
    for i, row in enumerate(rows):
        name, kept, ratio = (
            ("full", N_VISUAL, None),
            ("blind", 0, None),
            ("st-simdiff", KEPT, 0.3),
            ("st-simdiff", N_VISUAL, 1.0),
        )[i % N_CONFIGURATIONS]
        assert (row["selector"], row["n_kept"], row["retain_ratio"]) == (name, kept, ratio)
        assert row["n_visual"] == (0 if name == "blind" else N_VISUAL)
        assert row["correct"] is (row["prediction"] == row["answer"])
        assert row["prediction"] in "ABCD"[: row["n_options"]]
        assert 0 < row["p_letters"] <= 1
        assert 0 < row["p_answer"] < 1
        assert (row["model"], row["stgraph"], row["error"]) == (model, stgraph.__version__, None)
        assert (row["device"], row["computed_in"], row["frames"]) == ("cpu", "float32", FRAMES)
    third = rows[2]
    assert (third["backend"], third["split"], third["exactness"]) == ("lattice-components", "tree", "exact")
    assert third["n_candidates"] > third["n_kept"]
    assert 1 < third["n_communities"] < N_VISUAL
    assert 0 <= third["oversized_ratio"] <= 1
    assert json.loads(third["parameters"])["tau_sim"] == 0.8
    for row in (rows[0], rows[1]):
        assert {row[name] for name in ("backend", "split", "parameters", "exactness", "n_communities")} == {None}
    # one processor pass a question, and one without the video
    assert processor.n_calls == 12
    for piece in ("6 questions on 3 videos, 29.2 by chance", "Accuracy by family", "fewer than 20 videos", "- full"):
        assert piece in " ".join(text.split())


def test_all_tokens_kept_is_the_full_model(whole: list[Row]) -> None:
    full, all_kept = whole[0::N_CONFIGURATIONS], whole[3::N_CONFIGURATIONS]
    some_kept = whole[2::N_CONFIGURATIONS]
    for name in ("prediction", "p_answer", "p_letters", "correct"):
        assert [row[name] for row in full] == [row[name] for row in all_kept]
    assert all(a["p_letters"] != b["p_letters"] for a, b in zip(full, some_kept, strict=True))


def test_two_runs_give_the_same_rows(model: str, task: Path, processor: Processor, whole: list[Row]) -> None:
    target = task.parent / "again.jsonl"
    run(*arguments(model, task, "-q", "-o", str(target)))
    assert read(target) == whole


def test_scores_are_the_models_own(model: str, task: Path, processor: Processor, whole: list[Row]) -> None:
    network = transformers.AutoModelForImageTextToText.from_pretrained(model).eval()
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3)
    for i, line in enumerate(questions()):
        video = prompt_video(task.parent / line["video"], FRAMES)
        asked = choice_chat(line["question"], line["options"])
        inputs = prompt_inputs(
            processor, [chat_text(processor, asked)], [(video.rgb, video.metadata)], device="cpu", dtype=torch.float32
        )
        with torch.no_grad():
            full = network(**inputs).logits[0, -1]
            with stgraph.compress(network, selector):
                cut = network(**inputs).logits[0, -1]
        n = len(line["options"])
        answer = line["answer"] if isinstance(line["answer"], int) else "ABC".index(line["answer"])
        for row, logits in ((whole[4 * i], full), (whole[4 * i + 2], cut)):
            letters = logits.double().softmax(0)[60 : 60 + n].numpy()
            assert row["prediction"] == "ABCD"[int(letters.argmax())]
            assert row["p_letters"] == pytest.approx(letters.sum(), rel=1e-5)
            assert row["p_answer"] == pytest.approx(letters[answer] / letters.sum(), rel=1e-5)


def test_a_checkpoint_with_its_own_processor(task: Path) -> None:
    if find_spec("torchvision") is None or find_spec("PIL") is None:
        pytest.skip("needs torchvision and Pillow: transformers prepares video with them")
    folder = task.parent / "checkpoint"
    save_checkpoint(folder, [*WORDS, "A", "B", "C", "D"])
    run(*arguments(str(folder), task, "-q", "-o", str(task.parent / "rows.jsonl")))
    rows = read(task.parent / "rows.jsonl")
    assert len(rows) == N_ROWS
    assert {row["n_visual"] for row in rows if row["selector"] != "blind"} == {N_VISUAL}
    full, blind, third, whole = (rows[i::N_CONFIGURATIONS] for i in range(N_CONFIGURATIONS))
    assert [row["p_answer"] for row in full] == [row["p_answer"] for row in whole]
    assert [row["p_answer"] for row in full] != [row["p_answer"] for row in third]
    assert len({row["p_answer"] for row in full}) == 6  # each video and question has its own
    assert [row["p_letters"] for row in blind[::2]] == [blind[0]["p_letters"]] * 3  # the question alone


def test_options_reach_the_rows(model: str, task: Path, processor: Processor) -> None:
    axes = ("-b", "lattice-components", "-b", "igraph-leiden", "--split", "tree", "--split", "raster")
    more = ("--tau-sim", "0.7", "--tau-diff", "p90", "--max-size", "5", "--importance", "norm", "-p", "right=false")
    base = ("eval", "--model", model, "--task", str(task), "-n", "4", "--limit", "1", "--format", "jsonl")
    rows = [json.loads(line) for line in run(*base, "-s", "uniform", "-s", "st-simdiff", *axes, *more).splitlines()]
    assert [(row["selector"], row["backend"], row["split"]) for row in rows] == [
        ("uniform", None, None),
        *[("st-simdiff", b, s) for b in ("lattice-components", "igraph-leiden") for s in ("tree", "raster")],
    ]
    for row in rows[1:]:
        wanted = {"tau_sim": 0.7, "tau_diff": "p90", "max_size": 5, "importance": "norm", "right": False, "seed": 0}
        assert json.loads(row["parameters"]).items() >= wanted.items()
        assert row["largest_community"] <= 5
    assert "tau_sim" not in rows[0]["parameters"]


# Failures


def test_a_video_that_cannot_be_read_is_a_row_and_the_rest_goes_on(
    model: str, task: Path, processor: Processor, whole: list[Row]
) -> None:
    target, clip = task.parent / "rows.jsonl", task.parent / "clips" / "red.mp4"
    content = clip.read_bytes()
    clip.write_bytes(b"no video")
    (task.parent / "clips" / "blue.mp4").rename(task.parent / "clips" / "elsewhere.mp4")
    args = arguments(model, task, "-o", str(target))
    done = call(*args)
    assert done.exit_code == 1
    rows = read(target)
    assert [row["digest"] for row in rows] == [row["digest"] for row in whole]
    read_ones = [row for row in rows if row["error"] is None]
    # blind needs no video
    assert {row["video"] for row in read_ones if row["selector"] != "blind"} == {"clips/green.mp4"}
    assert [{**row, "video_bytes": 0} for row in read_ones] == [
        {**row, "video_bytes": 0} for row in whole if row["selector"] == "blind" or row["video"] == "clips/green.mp4"
    ]
    failed = next(row for row in rows if row["error"] is not None)
    assert failed["error"].startswith(f"InputError: cannot read {clip}")
    assert {failed[name] for name in ("prediction", "correct", "p_answer", "n_kept", "n_visual")} == {None}
    assert f"error: red-colour: InputError: cannot read {clip}" in done.stderr
    assert done.stderr.endswith("Failed questions: 4; the same command retries them\n")
    assert "Wrote " in done.stdout
    clip.write_bytes(content)
    (task.parent / "clips" / "elsewhere.mp4").rename(task.parent / "clips" / "blue.mp4")
    run(*args)
    assert read(target) == whole  # mended, the failures are answered, in their place


def test_a_failing_selection_is_a_row_of_its_own(
    model: str, task: Path, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, n = task_model.letter_scores, []

    def scores(*args: Any) -> Any:
        n.append(1)
        if len(n) == 3:
            raise RuntimeError("out of\nmemory")
        return real(*args)

    monkeypatch.setattr(task_model, "letter_scores", scores)
    done = call(*arguments(model, task, "--limit", "1", "--format", "jsonl"))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert [row["error"] for row in rows] == [None, None, "RuntimeError: out of memory", None]


def test_a_failure_leaves_nothing_to_the_next_question(
    model: str, task: Path, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, n = task_model.letter_scores, []

    def scores(*args: Any) -> Any:
        found = real(*args)
        n.append(1)
        if len(n) == 3:
            raise RuntimeError("too late")
        return found

    monkeypatch.setattr(task_model, "letter_scores", scores)
    done = call(*arguments(model, task, "--limit", "2", "--format", "jsonl"))
    assert [json.loads(line)["error"] is None for line in done.stdout.splitlines()] == [True] * 2 + [False] + [True] * 5


def test_names_from_the_file_do_not_steer_the_terminal(model: str, task: Path, processor: Processor) -> None:
    asked = [
        {**line, "id": f"[/x]\x1b[2J{i}", "family": f"[bold]\x1b[31m{i % 2}"} for i, line in enumerate(questions())
    ]
    text = run(*arguments(model, save_task(task.parent, asked)))
    assert "\x1b" not in text
    assert "[bold]\\x1b[31m0" in text


# Errors before work


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-s", "evz"), "no selector 'evz'. Did you mean 'evs'?"),
        (("-s", "evs", "-b", "igraph-leiden"), "none of the selectors evs has a parameter 'backend'"),
        (("-s", "full", "--tau-sim", "0.7"), "none of the selectors full has a parameter 'tau_sim'"),
        (("-b", "igraph-leidn"), "no community backend 'igraph-leidn'. Did you mean 'igraph-leiden'?"),
        (("--split", "rastr"), "no splitter 'rastr'. Did you mean 'raster'?"),
        (("-r", "0"), "retain_ratio is 0.0; it must lie in (0, 1]"),
        (("--tau-sim", "2"), "tau_sim is 2.0; a cosine similarity threshold lies in [-1, 1]"),
        (("-p", "tau_sym=1"), "none of the selectors full, blind, st-simdiff has a parameter 'tau_sym'"),
        (("--fps", "0"), "fps is 0.0; it must be a positive number of frames per second"),
        (("--dtype", "int4"), "dtype is 'int4'; it must be one of float32, float16, bfloat16"),
        (("-o", "rows.json"), "cannot tell the format of rows.json by its suffix"),
        (("-o", "nowhere/rows.csv"), "cannot write nowhere/rows.csv: choose an existing folder"),
        (("--restart",), "--restart replaces the output file; name one with -o"),
    ],
)
def test_wrong_command_lines(
    refused: Refused,
    task: Path,
    args: tuple[str, ...],
    message: str,
) -> None:
    assert refused("eval", "--model", "m", "--task", str(task), *args).startswith(message)


def test_both_or_none(refused: Refused, tmp_path: Path) -> None:
    assert refused("eval", "--model", "m").startswith("--model and --task belong together")
    assert "`stgraph probe`" in refused("eval")
    assert refused("eval", "--task", str(tmp_path / "none.jsonl")).startswith("--model and --task belong together")


def test_a_checkpoint_that_is_none(refused: Refused, task: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refused(*arguments(str(tmp_path / "empty"), task)).startswith("cannot load the processor of ")


def test_a_tokenizer_without_letters(
    refused: Refused,
    model: str,
    task: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Processor(Tokenizer("ABC"))
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda name: made)
    message = refused.stderr(*arguments(model, task)).splitlines()[-1]
    assert message.startswith("error: the tokenizer (Tokenizer) has no token of its own for the answer 'D'")
