"""What an answer costs: FLOPs against torch's own counter, and the baseline with smaller frames."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torchvision_on_cpu
from newline_models import llava_video
from qwen_clips import PATCH, SIDE, Frames, QwenProcessor, save_qwen
from task_clips import Processor, save_model, save_task
from task_runs import Row, call, run
from vlm_models import FRAMES, torch, transformers

import stgraph
from stgraph.bench.answers.model import TaskModel
from stgraph.bench.answers.plan import TaskPlan
from stgraph.bench.answers.prompts import Clip
from stgraph.bench.answers.questions import read_task
from stgraph.selection.prefill_flops import shape_of
from stgraph.vlm.checkpoint import Checkpoint
from stgraph.vlm.downsampling import resized, token_pixels

pytest.importorskip("av", reason="needs PyAV: pip install -e '.[video]'")

NEWEST = transformers.__version__ >= "5"
ROWS, COLUMNS = 3, 4  # tokens of a clip's frame, 48 x 64 pixels


@pytest.fixture(name="task", scope="module")
def the_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_task(tmp_path_factory.mktemp("task"))


@pytest.fixture(name="qwen", scope="module")
def the_qwen(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_qwen(tmp_path_factory.mktemp("qwen"))


@pytest.mark.parametrize("family", ["onevision", "qwen"])
def test_flops_are_what_torch_counts_in_the_decoder_layers(family: str, task: Path, qwen: str, tmp_path: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    path = qwen if family == "qwen" else save_model(tmp_path)
    # Eager: torch's counter knows no fused attention of a CPU.
    model = transformers.AutoModelForImageTextToText.from_pretrained(path, attn_implementation="eager").eval()
    plan = TaskPlan(selectors=("full", "blind", "evs", "st-simdiff"))
    processor: Any = QwenProcessor() if family == "qwen" else Processor()
    answering = TaskModel(Checkpoint(path, model, processor, "float32", "cpu"), plan.trials, 4)
    question, found = read_task(task)[0], {}
    for trial in plan.trials:
        with FlopCounterMode(display=False) as counter:
            row = answering.answer(question, trial, Clip(FRAMES, None))
        counts = {name: sum(values.values()) for name, values in counter.get_flop_counts().items()}
        found[trial.name] = counts, row["prefill_tflop"] * 1e12
    counts, flops = found["full"]
    name = type(model).__name__
    assert flops == pytest.approx(sum(counts[f"{name}.model.language_model.layers.{i}"] for i in range(4)), rel=1e-12)
    tower = counts["Global"] - flops - counts[f"{name}.lm_head"]  # in transformers 4 also angles of rotation
    for trial, (counts, flops) in found.items():  # st-simdiff reads attention in a pass of its own
        beside = counts[f"{name}.lm_head"] + (0 if trial == "blind" else tower)
        assert flops == pytest.approx(counts["Global"] - beside, rel=1e-12 if NEWEST else 1e-3), trial
    assert found["full"][1] > found["st-simdiff"][1] > found["evs"][1] > found["blind"][1]


def test_cuts_inside_the_model_are_counted_layer_by_layer(task: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForImageTextToText.from_pretrained(save_model(tmp_path)).eval()
    plan = TaskPlan(selectors=("full", "fastv"), options={"n_layers": 4})
    answering = TaskModel(Checkpoint("m", model, Processor(), "float32", "cpu"), plan.trials, 4)
    question, clip = read_task(task)[0], Clip(FRAMES, None)
    full, cut = (answering.answer(question, trial, clip) for trial in plan.trials)
    length = answering.prompts.full(question, clip).length
    assert answering._shape is not None
    layer = answering._shape.layer
    assert full["prefill_tflop"] * 1e12 == pytest.approx(4 * layer(length))
    left = length - full["n_visual"] + cut["n_kept"]
    assert cut["prefill_tflop"] * 1e12 == pytest.approx(2 * layer(length) + 2 * layer(left))


def test_newlines_that_are_dropped_between_layers_are_counted_in_the_layers_before() -> None:
    case = llava_video("grid", 1)
    with stgraph.compress(case.model, stgraph.selector("fastv", retain_ratio=0.3, n_layers=4)) as stats:
        case.model(**case.inputs)
    answering: Any = TaskModel.__new__(TaskModel)
    answering._shape = shape_of(case.text.config)
    (prompt,), layer = stats.prompts, answering._shape.layer
    assert prompt.length - prompt.kept_length > stats.videos[0].n_visual - stats.videos[0].n_kept  # newlines, too
    assert answering._tflop(None, stats) * 1e12 == pytest.approx(
        2 * layer(prompt.length) + 2 * layer(prompt.kept_length)
    )


def ask(model: str, task: Path, *more: str) -> list[Row]:
    text = run("eval", "--model", model, "--task", str(task), "-n", str(FRAMES), "--format", "jsonl", *more)
    return [json.loads(line) for line in text.splitlines()]


def test_smaller_frames(qwen: str, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = QwenProcessor()
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda name: processor)
    ratios = (0.1, 0.3, 0.5, 1.0)
    rows = ask(qwen, task, "-s", "full", "-s", "downsampled", *(w for r in ratios for w in ("-r", str(r))))
    n_visual = FRAMES // 2 * ROWS * COLUMNS
    grids = {0.1: (1, 1), 0.3: (2, 2), 0.5: (2, 3), 1.0: (3, 4)}
    for full, *smaller in (rows[i : i + 5] for i in range(0, len(rows), 5)):
        assert (full["selector"], full["n_kept"], full["retain_ratio"]) == ("full", n_visual, None)
        for row, ratio in zip(smaller, ratios, strict=True):
            h, w = grids[ratio]
            assert (row["selector"], row["retain_ratio"]) == ("downsampled", ratio)
            assert (row["n_visual"], row["n_kept"]) == (n_visual, FRAMES // 2 * h * w)
            assert row["n_kept"] <= math.ceil(ratio * n_visual)
            assert row["parameters"] is None and row["error"] is None
        assert smaller[-1]["p_answer"] == full["p_answer"]  # frames of their own size
        assert len({row["p_answer"] for row in smaller}) == 4
        flops = [row["prefill_tflop"] for row in smaller]
        assert flops == sorted(flops) and flops[-1] == full["prefill_tflop"]
    assert len(rows) == 5 * 6
    assert processor.resized == [True, False, False, False, False] * 6


def test_transformers_own_processor_leaves_frames_in_their_size() -> None:
    if find_spec("torchvision") is None or find_spec("PIL") is None:
        pytest.skip("needs torchvision and Pillow: transformers prepares video with them")
    torchvision_on_cpu.define_operators()
    processor = transformers.Qwen2VLVideoProcessor(
        patch_size=PATCH, merge_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    assert token_pixels(SimpleNamespace(video_processor=processor), "qwen2_vl") == SIDE
    rgb = torch.randint(0, 256, (4, 2 * SIDE, 3 * SIDE, 3), dtype=torch.uint8).numpy()
    own = processor([rgb], do_sample_frames=False, do_resize=False, return_tensors="pt")
    made = Frames()([rgb])
    assert own["video_grid_thw"].tolist() == made["video_grid_thw"].tolist() == [[2, 4, 6]]
    assert torch.allclose(own["pixel_values_videos"], made["pixel_values_videos"], atol=1e-5)


def test_smaller_frames_are_the_frames_resized() -> None:
    rgb = torch.arange(2 * 48 * 64 * 3, dtype=torch.int64).remainder(251).to(torch.uint8).view(2, 48, 64, 3).numpy()
    assert (resized(rgb, 48, 64) == rgb).all()
    flat = rgb * 0 + 77
    small = resized(flat, 2 * SIDE, 3 * SIDE)
    assert small.shape == (2, 32, 48, 3) and small.dtype == rgb.dtype and (small == 77).all()


def test_fewer_tokens_than_frames_is_an_error_of_that_row(
    qwen: str, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda name: QwenProcessor())
    asked = ("--model", qwen, "--task", str(task), "-n", "4", "--limit", "1", "--format", "jsonl")
    done = call("eval", *asked, "-s", "downsampled", "-r", "0.04")
    assert "1 tokens are fewer than the 2 frames the vision tower sees; raise retain_ratio" in done.stdout


def test_towers_of_one_size_are_refused_before_any_question(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda name: Processor())
    done = call("eval", "--model", save_model(tmp_path), "--task", str(task), "-s", "downsampled")
    assert done.exit_code != 0 and not done.stdout
    assert "that of llava_onevision gets all frames in one size. Take the selector pool" in str(done.exception)
