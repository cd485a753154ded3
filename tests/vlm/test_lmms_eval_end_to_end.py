"""lmms-eval finds ``stgraph_hf`` and runs three questions through it: a checkpoint on disk, clips, no network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from lmms_eval_offline import FRAMES, TASK, TOKENS_A_FRAME

from stgraph.bench.reproduce.benchmarks import Task
from stgraph.bench.reproduce.by_lmms_eval import LmmsEvalRunner
from stgraph.bench.reproduce.local import LocalRunner
from stgraph.bench.reproduce.paper import PaperRow, PaperTable
from stgraph.bench.reproduce.run import ReproducedRows, Reproduction

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("lmms_eval") is None,
        reason="needs lmms-eval and what it needs: pip install --no-deps lmms-eval; docs/reproduce.md has the rest",
    ),
]

TESTS = Path(__file__).parents[1]
RUNS = {
    "full": ("selector=none", 1),
    "all": ("retain_ratio=1.0", 1),
    "third": ("retain_ratio=0.3,backend=igraph-leiden,tau_diff=p95", 1),
    "third-of-two": ("retain_ratio=0.3,backend=igraph-leiden,tau_diff=p95", 2),
    "evs": ("selector=evs,retain_ratio=0.3,time_instruction=true", 1),
    "encoder": ("selector=visionzip,attention=received,retain_ratio=0.3", 1),
}
N = FRAMES * TOKENS_A_FRAME
KEPT = 33  # ceil(0.3 * 108)


def run(*arguments: str, home: Path) -> str:
    """The output of a script, which must find what it needs on this machine."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(home / "hf")}
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=home,
        env={**os.environ, **offline},
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def samples(home: Path) -> dict[str, list[dict[str, Any]]]:
    """The logged samples of each run, by document."""
    common = {"model": "stgraph_hf", "tasks": TASK, "include_path": str(home / "task"), "device": "cpu"}
    configs = [
        {
            **common,
            "model_args": f"pretrained={home / 'checkpoint'},frames={FRAMES},{arguments}",
            "batch_size": batch,
            "output_path": str(home / "out" / name),
            "log_samples": True,
        }
        for name, (arguments, batch) in RUNS.items()
    ]
    (home / "runs.json").write_text(json.dumps(configs), encoding="utf-8")  # JSON is YAML, which --config reads
    out = run(str(TESTS / "support" / "lmms_eval_command.py"), "--config", str(home / "runs.json"), home=home)
    found = {}
    for name in RUNS:
        logs = list((home / "out" / name).rglob(f"*samples_{TASK}.jsonl"))
        assert len(logs) == 1, out  # lmms-eval exits with 0 after an error, too
        rows = [json.loads(line) for line in logs[0].read_text(encoding="utf-8").splitlines()]
        found[name] = sorted(rows, key=lambda row: row["doc_id"])
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint and a task of lmms-eval."""
    found = tmp_path_factory.mktemp("lmms_eval")
    run(str(TESTS / "support" / "lmms_eval_offline.py"), str(found), home=found)
    return found


def answers(rows: list[dict[str, Any]]) -> list[str]:
    return [row["filtered_resps"] for row in rows]


def counts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row["token_counts"][0] for row in rows]


@pytest.mark.parametrize("name", RUNS)
def test_every_question_is_answered_and_scored(name: str, samples: dict[str, list[dict[str, Any]]]) -> None:
    rows = samples[name]
    assert [row["doc_id"] for row in rows] == [0, 1, 2]
    assert [row["target"] for row in rows] == list("abc")
    assert all(answers(rows)) and all(row["acc"] in (0.0, 1.0) for row in rows)
    assert all(row["generate_s"] > 0 for row in counts(rows))


def test_all_tokens_answer_as_the_model_itself(samples: dict[str, list[dict[str, Any]]]) -> None:
    full, same = samples["full"], samples["all"]
    assert len(set(answers(full))) == 3
    assert answers(same) == answers(full)
    assert [row["input_tokens"] for row in counts(same)] == [row["input_tokens"] for row in counts(full)]
    assert all("n_kept" not in row for row in counts(full))
    assert all(row["n_kept"] == row["n_visual"] == N for row in counts(same))


def test_the_log_says_what_was_kept(samples: dict[str, list[dict[str, Any]]]) -> None:
    assert answers(samples["third"]) != answers(samples["full"])
    for before, after in zip(counts(samples["full"]), counts(samples["third"]), strict=True):
        assert (after["n_visual"], after["n_kept"]) == (N, KEPT)
        assert after["input_tokens"] == before["input_tokens"] - (N - KEPT)
        assert after["select_s"] > 0 and after["probe_s"] > 0
        (video,) = after["videos"]
        assert video["grid"] == f"{FRAMES}x3x3"
        assert video["selector"] == "st-simdiff"
        assert KEPT < after["n_candidates"] <= N


def test_a_batch_answers_as_its_questions_alone(samples: dict[str, list[dict[str, Any]]]) -> None:
    alone, together = samples["third"], samples["third-of-two"]
    assert answers(together) == answers(alone)
    assert [row["n_kept"] for row in counts(together)] == [KEPT] * 3
    assert [len(row["videos"]) for row in counts(together)] == [1, 1, 1]


def test_another_selector_and_the_time_instruction(samples: dict[str, list[dict[str, Any]]]) -> None:
    for before, after in zip(counts(samples["full"]), counts(samples["evs"]), strict=True):
        assert after["videos"][0]["selector"] == "evs"
        instruction = after["input_tokens"] - before["input_tokens"] + (N - KEPT)
        assert instruction > 20  # words of the sentence about length and times


def test_a_selector_of_encoder_signals(samples: dict[str, list[dict[str, Any]]]) -> None:
    for row in counts(samples["encoder"]):
        (video,) = row["videos"]
        assert (video["selector"], video["n_kept"]) == ("visionzip", KEPT)
        assert "ranks by the attention each patch receives" in video["exactness"]


def test_reproduce_runs_lmms_eval(
    home: Path, samples: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    made = [
        PaperRow("all", "full", None, {}, FRAMES, None, False, {TASK: {"overall": 50.0}}, {}),
        PaperRow("some", "st-simdiff", 0.3, {"tau_diff": "p95"}, FRAMES, None, True, {}, {}),
        PaperRow(
            "timed",
            "pyramiddrop",
            0.3,
            {"layers": [1], "ratios": [1], "n_layers": 2},
            FRAMES,
            None,
            False,
            {},
            {"seconds": 4.0, "peak_gb": None},
        ),
    ]
    launcher = [sys.executable, str(TESTS / "support" / "lmms_eval_command.py")]
    checkpoint = str(home / "checkpoint")
    runner = LmmsEvalRunner(
        checkpoint, home / "logs", include_path=home / "task", launcher=launcher, device="cpu", dtype="float32"
    )
    table = PaperTable("table0", "a table", "a model", tuple(made))
    reproduction = Reproduction(table, [Task(TASK)], LocalRunner(checkpoint), runner)
    rows = reproduction.run(ReproducedRows(reproduction.local))
    assert [row["error"] for row in rows] == [None] * 4, rows
    right = 100 * sum(row["acc"] for row in samples["full"]) / 3
    assert rows[0]["here"] == pytest.approx(right) and rows[0]["deviation"] == pytest.approx(right - 50)
    assert (rows[1]["n_questions"], rows[1]["kept_ratio"]) == (3, pytest.approx(KEPT / N))
    assert [row["quantity"] for row in rows[2:]] == ["seconds", "peak_gb"]
    assert rows[2]["here"] > 0 and rows[3]["here"] is None
