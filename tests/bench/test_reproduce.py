"""``stgraph reproduce``: the paper's figures as data, rows run anew beside them, what is missing, going on."""

from __future__ import annotations

import json
import math
import sys
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torchvision_on_cpu
from author_checkpoints import HEADS, llava_video, nvila
from refusals import Refused
from task_clips import Processor, questions, save_model, save_task
from task_runs import Row, call
from vlm_models import FRAMES, transformers

from stgraph.bench.reproduce import local
from stgraph.bench.reproduce.benchmarks import logged_answer
from stgraph.bench.reproduce.paper import paper_table
from stgraph.errors import InputError

pytest.importorskip("av", reason="needs PyAV: pip install -e '.[video]'")

FAKE = Path(__file__).parents[1] / "support" / "fake_lmms_eval.py"
LAUNCHER = f"{sys.executable} {FAKE}"


def reproduce(table: str, model: str, *more: str, status: int = 0) -> tuple[list[Row], Any]:
    done = call("reproduce", table, "--model", model, "--format", "jsonl", *more)
    assert done.exit_code == status, done.output
    return [json.loads(line) for line in done.stdout.splitlines()], done


@pytest.fixture(name="task", scope="module")
def the_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions whose families are those of VideoMME."""
    asked = [{**line, "family": ("short", "long")[i % 2]} for i, line in enumerate(questions())]
    return save_task(tmp_path_factory.mktemp("task"), asked)


@pytest.fixture(name="model", scope="module")
def the_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(name="small")
def the_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hand-made processor, and rows of as few frames as the clips are good for."""
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda name: Processor())
    plan = local.TaskPlan
    monkeypatch.setattr(local, "TaskPlan", lambda **given: plan(**{**given, "frames": FRAMES, "fps": None}))


def video_needs() -> None:
    """Skip where transformers' own processors cannot run."""
    if find_spec("torchvision") is None or find_spec("PIL") is None:
        pytest.skip("needs torchvision and Pillow: transformers prepares video with them")
    torchvision_on_cpu.define_operators()


# Local questions


def test_a_table_end_to_end(
    small: None, model: str, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that fails says why, and the others are run."""
    target, real = tmp_path / "rows.jsonl", local.LocalRunner.answers

    def answers(self: Any, row: Any, file: Path) -> Any:
        if row.selector == "prumerge":
            raise InputError("made up")
        return real(self, row, file)

    monkeypatch.setattr(local.LocalRunner, "answers", answers)
    rows, done = reproduce("table1", model, "--tasks", f"videomme={task}", "-o", str(target), "-q", status=1)
    assert rows == [] and "r = 0.3, PruMerge, videomme: InputError: made up" in done.stderr
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert list(dict.fromkeys(row["row"] for row in rows)) == [row.name for row in paper_table("table1").rows]
    failed = {row["row"] for row in rows if row["error"] is not None}
    assert failed == {"r = 0.3, PruMerge", "r = 0.5, PruMerge"}
    for row in (row for row in rows if row["error"] is None):
        assert (row["quantity"], row["benchmark"], row["task"]) == ("accuracy", "videomme", str(task))
        assert row["n_questions"] == {"overall": 6}.get(row["subset"], 3)
        n_right = row["here"] * row["n_questions"] / 100
        assert n_right == pytest.approx(round(n_right)) and 0 <= row["here"] <= 100
        known = next(found for found in paper_table("table1").rows if found.name == row["row"])
        assert row["paper"] == known.figures["videomme"][row["subset"]]
        assert row["deviation"] == (None if row["paper"] is None else row["here"] - row["paper"])
        full = row["selector"] == "full"
        assert row["kept_ratio"] == (1 if full else pytest.approx(row["retain_ratio"], abs=0.03))
    assert [row["subset"] for row in rows if row["row"] == "full"] == ["short", "long", "overall"]
    # the same question by question, as stgraph eval asks them
    done = call(
        *("eval", "--model", model, "--task", str(task), "-n", str(FRAMES), "-s", "full,fastv", "-r", "0.3"),
        *("--format", "jsonl"),
    )
    asked = [json.loads(line) for line in done.stdout.splitlines()]
    for name, selector in (("full", "full"), ("r = 0.3, FastV", "fastv")):
        right = [row["correct"] for row in asked if row["selector"] == selector]
        (here,) = (row["here"] for row in rows if row["row"] == name and row["subset"] == "overall")
        assert here == pytest.approx(100 * sum(right) / 6)


def test_a_second_run_does_what_is_missing(
    small: None, model: str, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, real, asked = tmp_path / "rows.csv", local.LocalRunner.answers, []

    def answers(self: Any, row: Any, file: Path) -> Any:
        asked.append(row.name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(self, row, file)

    monkeypatch.setattr(local.LocalRunner, "answers", answers)
    words = ("reproduce", "table4", "--model", model, "--tasks", f"egoschema={task}", "--limit", "2", "-o", str(target))
    assert call(*words).exit_code == 130
    asked += [""]  # not interrupted again
    done = call(*words)
    assert done.exit_code == 0, done.output
    names = [row.name for row in paper_table("table4").rows]
    assert [name for name in asked if name] == [*names[:3], *names[2:]]
    for piece in ("64 frames, full", "egoschema", "overall", "63.0", "tokens: share of the visual tokens"):
        assert piece in done.stdout
    assert "Nothing to do" in call(*words).stdout


def test_changed_questions_are_asked_again_and_other_rows_are_refused(
    small: None,
    model: str,
    task: Path,
    tmp_path: Path,
    refused: Refused,
) -> None:
    target, asked = tmp_path / "rows.csv", Path(task.parent, "changing.jsonl")
    lines = task.read_text().splitlines(keepends=True)
    asked.write_text("".join(lines[:2]))
    words = ("reproduce", "table4", "--model", model, "--tasks", f"videomme={asked}", "-o", str(target))
    assert "rows, 18 in all" in call(*words).stdout  # six rows: short, long, overall
    asked.write_text(lines[0])
    done = call(*words)
    assert "Wrote " in done.stdout and "rows, 12 in all" in done.stdout  # nothing is left of the former answers
    assert refused(*words, "--dtype", "float32").startswith(f"{target} holds rows of dtype None, this is float32")


def test_costs_are_time_and_memory(small: None, model: str, task: Path) -> None:
    rows, _ = reproduce("figure3", model, "--tasks", str(task), "--limit", "3")
    assert [(row["row"], row["quantity"]) for row in rows[:4]] == [
        *(("32 frames, full", quantity) for quantity in ("seconds", "peak_gb")),
        *(("32 frames, ST-SimDiff", quantity) for quantity in ("seconds", "peak_gb")),
    ]
    assert [row["paper"] for row in rows[-2:]] == [4.54, 23.9]
    assert all(row["here"] > 0 for row in rows if row["quantity"] == "seconds")
    assert all(row["here"] is None for row in rows if row["quantity"] == "peak_gb")  # a CPU
    assert all(row["benchmark"] == "task" for row in rows)


def test_an_author_s_folder(task: Path, tmp_path: Path) -> None:
    """NVILA's own layout, with its own processor: nothing is replaced but the sizes."""
    video_needs()
    table = "figure6"
    rows, _ = reproduce(table, str(nvila(tmp_path)), "--tasks", f"videomme={task}", "--limit", "1")
    assert [row["row"] for row in rows if row["subset"] == "overall"] == [row.name for row in paper_table(table).rows]
    assert {row["frames"] for row in rows} == {64}
    by_name = {row["row"]: row for row in rows if row["subset"] == "overall"}
    assert by_name["tau_sim = 0.8"]["paper"] == 60.2 and by_name["tau_sim = 0.6"]["paper"] is None
    assert all(row["kept_ratio"] == pytest.approx(0.3, abs=0.01) for row in rows)


@pytest.mark.parametrize(("pooling", "side"), [("bilinear", 14), ("average", 13)])
def test_llava_video_s_own_folder(small: None, pooling: str, side: int, task: Path, tmp_path: Path) -> None:
    """The paper's table of it: its own layout and processor, 27 x 27 patches a frame, newlines behind its rows."""
    video_needs()
    model = llava_video(tmp_path, vision_config=HEADS)
    words = ("--tasks", f"videomme={task}", "--limit", "1", "--pooling", pooling)
    rows, _ = reproduce("table1", str(model), *words)
    overall = {row["row"]: row for row in rows if row["subset"] == "overall"}
    assert list(overall) == [row.name for row in paper_table("table1").rows]
    for name, row in overall.items():
        assert row["pooling"] == pooling
        n = FRAMES * side * (side + (row["selector"] == "framefusion-attention"))  # which counts newlines
        kept = 1 if name == "full" else math.ceil(Fraction(str(row["retain_ratio"])) * n) / n
        assert (row["kept_ratio"], row["here"] in (0, 100), row["error"]) == (kept, True, None)
    words = ("--task", str(task), "--limit", "1", "-n", str(FRAMES), "-s", "full", "--pooling", pooling)
    done = call("eval", "--model", str(model), *words, "--format", "jsonl")
    (asked,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (asked["n_visual"], asked["pooling"]) == (FRAMES * side * side, pooling)


# lmms-eval


def test_a_table_through_lmms_eval(tmp_path: Path) -> None:
    words = ("--launcher", LAUNCHER, "--logs", str(tmp_path / "logs"))
    rows, done = reproduce("table1", "lmms-lab/LLaVA-Video-7B-Qwen2", *words, status=1)
    full = [(row["benchmark"], row["subset"], row["here"]) for row in rows if row["row"] == "full"]
    assert full == [
        *(("videomme", subset, 100) for subset in ("short", "medium", "long", "overall")),
        *(("longvideobench", subset, 100) for subset in ("perception", "relation", "overall")),
        ("egoschema", "overall", 100),
    ]
    fastv = {(row["benchmark"], row["subset"]): row for row in rows if row["row"] == "r = 0.3, FastV"}
    assert fastv["videomme", "short"]["here"] == 0 and fastv["videomme", "overall"]["here"] == 50
    assert fastv["videomme", "overall"]["deviation"] == pytest.approx(50 - 59.3)
    assert fastv["longvideobench", "relation"]["here"] == pytest.approx(200 / 3)
    assert fastv["egoschema", "overall"]["kept_ratio"] == 0.3
    assert "lmms-eval ended with 0 and no samples: MissingSignalError: prumerge needs" in done.stderr


def test_costs_through_lmms_eval(tmp_path: Path) -> None:
    words = ("--launcher", LAUNCHER, "--logs", str(tmp_path / "logs"), "--tasks", "a_task")
    rows, _ = reproduce("figure3", "m", *words)
    assert [row["here"] for row in rows[:2]] == [4.0, 7.0]  # mean of 2 to 6 s, most of 2 to 7 GB
    accuracy, _ = reproduce("table4", "m", *words)
    assert accuracy[0]["here"] == 100 and accuracy[0]["paper"] is None  # no benchmark of the paper


@pytest.mark.parametrize(
    ("benchmark", "sample", "expected"),
    [
        (
            "videomme",
            {"videomme_perception_score": {"duration": "long", "pred_answer": "c", "answer": "C"}},
            (True, "long"),
        ),
        (
            "longvideobench",
            {"lvb_acc": {"question_category": "SOS", "parsed_pred": "B", "answer": "A"}},
            (False, "relation"),
        ),
        ("egoschema", {"score": {"pred": 3, "ground_truth": "3"}}, (True, None)),
        ("other", {"acc": 0.0}, (False, None)),
    ],
)
def test_samples_of_the_benchmarks(benchmark: str, sample: dict[str, Any], expected: tuple[bool, str | None]) -> None:
    found = logged_answer(sample, benchmark, "acc")
    assert (found.correct, found.subset, found.kept_ratio) == (*expected, None)
    with pytest.raises(InputError, match=f"a sample of {benchmark} in lmms-eval's log has no answer"):
        logged_answer({}, benchmark, "acc")


# Plans and errors


def test_a_dry_run_prints_the_commands_and_what_is_missing(task: Path, tmp_path: Path) -> None:
    model = "lmms-lab/LLaVA-Video-7B-Qwen2"
    words = ("reproduce", "table3", "--model", model, "--dry-run", "--limit", "8", "--pooling", "bilinear")
    done = call(*words, "--tasks", "videomme", "--tasks", f"egoschema={task}", "--logs", str(tmp_path))
    assert done.exit_code == 0, done.output
    commands = [line for line in done.stdout.splitlines() if " --model" in line]
    assert len(commands) == 20
    assert (
        "-m lmms_eval --model stgraph_hf --model_args pretrained=lmms-lab/LLaVA-Video-7B-Qwen2,selector=st-simdiff,"
        "retain_ratio=0.3,spatial=False,temporal=False,events=False,frames=64,fps=1,time_instruction=True,"
        "pooling=bilinear --tasks videomme --batch_size 1 --log_samples"
    ) in commands[0]
    assert commands[0].endswith("--limit 8") and commands[1].endswith("--limit 8 --pooling bilinear")
    assert commands[1].startswith(f"stgraph eval --model {model} --task {task} -s st-simdiff -r 0.3 -n 64 --fps 1 ")
    assert "-p spatial=false" in commands[1]
    assert f"  the checkpoint {model}: it is not a folder here" in done.stdout
    assert not any(tmp_path.iterdir())


def test_a_dry_run_of_local_questions_is_a_command_that_parses(model: str, task: Path) -> None:
    done = call("reproduce", "table4", "--model", model, "--tasks", f"videomme={task}", "--dry-run")
    words = next(line for line in done.stdout.splitlines() if "-s st-simdiff" in line).split()
    assert words[:2] == ["stgraph", "eval"]
    assert "lmms_eval" not in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("table9", "--model", "m"), "no table 'table9'. Did you mean 'table"),
        (("table1", "--model", "m", "--tasks", "videomme=none.jsonl"), "cannot read none.jsonl: it is not there"),
        (("table1", "--model", "m", "--tasks", "videomme,videomme"), "the benchmark 'videomme' is named twice"),
        (("table1", "--model", "a,b"), "--model is 'a,b'; lmms-eval takes no name with a comma"),
        (("table1", "--model", "m", "--dtype", "int4"), "dtype is 'int4'"),
    ],
)
def test_wrong_command_lines(refused: Refused, words: tuple[str, ...], message: str) -> None:
    assert refused("reproduce", *words).startswith(message)


def test_a_launcher_that_is_not_there(tmp_path: Path) -> None:
    words = ("--tasks", "videomme", "--launcher", "no-such-program", "--logs", str(tmp_path))
    rows, _ = reproduce("table4", "m", *words, status=1)
    assert all(row["error"].startswith("UnavailableError: cannot run no-such-program") for row in rows)
