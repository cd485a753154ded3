"""Prompts and frames of checkpoints in their authors' layouts, and the commands that ask them."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision_on_cpu
from author_checkpoints import HEADS, NEWLINE, llava_video, nvila, save_tokenizer, torch, transformers
from command_line import run
from typer.testing import CliRunner
from vlm_models import END, START, VIDEO, qwen2_5_vl, qwen_pixels, with_token_types

import stgraph
from stgraph.cli import app
from stgraph.errors import InputError
from stgraph.vlm import load, load_processor
from stgraph.vlm.checkpoints.tokenizers import chat_template, placeholder, read_tokenizer
from stgraph.vlm.families import NEWLINE_POSITIONS, POOL_MODES
from stgraph.vlm.prompt_video import chat_text, prompt_inputs

torchvision_on_cpu.define_operators()
torch.set_num_threads(1)
ASKED = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What?"}]}]
HEADS_SAID = {"vision_config": HEADS}
LLAVA_PROMPT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<video>\nWhat?<|im_end|>\n"
    "<|im_start|>assistant\n"
)
NVILA_PROMPT = (
    "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\n<vila/video>What?<|im_end|>\n"
    "<|im_start|>assistant\n"
)


def needs_torchvision() -> None:
    pytest.importorskip("torchvision", reason="needs torchvision: transformers prepares video with it")


def video(n_frames: int, seed: int = 0) -> tuple[Any, dict[str, Any]]:
    """(frames, metadata) as a processor takes them."""
    rgb = np.random.default_rng(seed).integers(0, 256, (n_frames, 40, 60, 3), dtype=np.uint8)
    said = {"total_num_frames": n_frames, "fps": 1.0, "duration": float(n_frames), "height": 40, "width": 60}
    return rgb, said | {"frames_indices": list(range(n_frames)), "video_backend": "pyav"}


def rendered(template: str, messages: list[dict[str, Any]], **options: Any) -> str:
    """The text of a chat."""
    from transformers.utils.chat_template_utils import render_jinja_template

    (text,), _ = render_jinja_template([messages], chat_template=template, **options)
    return str(text)


def test_chats_are_those_of_the_authors() -> None:
    """LLaVA-NeXT's qwen_1_5, VILA's qwen2.jinja: of several turns, with and without a system's message."""
    llava = chat_template("You are a helpful assistant.", "<video>", "<image>", "\n")
    assert rendered(llava, ASKED, add_generation_prompt=True) == LLAVA_PROMPT
    vila = chat_template("You are a helpful assistant", "<vila/video>", "<image>", "")
    assert rendered(vila, ASKED, add_generation_prompt=True) == NVILA_PROMPT
    turns = [{"role": "system", "content": "Be brief."}, *ASKED, {"role": "assistant", "content": "A cat's."}]
    expected = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<vila/video>What?<|im_end|>\n"
        "<|im_start|>assistant\nA cat's.<|im_end|>\n"
    )
    assert rendered(vila, turns) == expected


def test_tokenizers(tmp_path: Path) -> None:
    """A placeholder that is not in the vocabulary is added behind it, if the embedding has a row for it."""
    assert read_tokenizer(tmp_path) is None
    save_tokenizer(tmp_path, "<video>")
    tokenizer = read_tokenizer(tmp_path)
    assert tokenizer.padding_side == "left"
    assert tokenizer("\n")["input_ids"] == [NEWLINE]
    assert placeholder(tokenizer, "<video>", 160) == 151
    n = len(tokenizer)
    assert placeholder(tokenizer, "<other>", 1000) == n
    with pytest.raises(InputError, match=r"gives <third> the id .*but the embedding has 160 rows"):
        placeholder(tokenizer, "<third>", 160)


def test_a_chat_of_nvila_that_is_not_known(tmp_path: Path) -> None:
    folder = nvila(tmp_path)
    save_tokenizer(folder / "llm", "<vila/video>", "{% for message in messages %}{{ message['content'] }}{% endfor %}")
    with pytest.raises(InputError, match="the tokenizer's chat template is not known here; known is Qwen2's"):
        load_processor(folder)


@pytest.mark.parametrize(("where", "mode"), list(product(NEWLINE_POSITIONS, POOL_MODES)))
def test_placeholders_of_llava_video(where: str, mode: str, tmp_path: Path) -> None:
    """As many as the model has tokens, for videos of different lengths."""
    needs_torchvision()
    folder = llava_video(tmp_path, mm_newline_position=where, mm_spatial_pool_mode=mode, **HEADS_SAID)
    processor = load_processor(folder)
    text = chat_text(processor, ASKED)
    assert text == LLAVA_PROMPT
    side = 14 if mode == "bilinear" else 13
    for n_frames in (1, 3):
        made = prompt_inputs(processor, [text], [video(n_frames)], device="cpu", dtype=torch.float32)
        newlines = {"grid": n_frames * side, "frame": n_frames, "one_token": 1, "no_token": 0}[where]
        assert int((made["input_ids"] == 151).sum()) == n_frames * side * side + newlines
        assert made["pixel_values_videos"].shape == (1, n_frames, 3, 384, 384)


def test_frames_reach_the_model_as_siglip_wants_them(tmp_path: Path) -> None:
    """Squashed by bicubic interpolation, mean and deviation 0.5."""
    needs_torchvision()
    from PIL import Image

    processor = load_processor(llava_video(tmp_path, **HEADS_SAID))
    rgb, said = video(2)
    made = prompt_inputs(processor, [LLAVA_PROMPT], [(rgb, said)], device="cpu", dtype=torch.float32)
    for frame, found in zip(rgb, made["pixel_values_videos"][0], strict=True):
        squashed = np.asarray(Image.fromarray(frame).resize((384, 384), Image.Resampling.BICUBIC), np.float32)
        assert np.abs(found.numpy() - (squashed / 255 - 0.5).transpose(2, 0, 1) / 0.5).max() < 2.5 / 127.5


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_times_are_not_rounded_to_the_models_dtype(dtype: Any) -> None:
    """64 frames of a film: Qwen2.5-VL's positions along time are those of the model in float32."""
    case = qwen2_5_vl(1)
    ids = torch.tensor([[5, START, *[VIDEO] * 32, END, 6]])
    given = with_token_types(case.model, {"input_ids": ids}) | {"video_grid_thw": torch.tensor([[32, 2, 2]])}
    given |= {"pixel_values_videos": qwen_pixels([(32, 2, 2)]), "second_per_grid_ts": torch.tensor([18.806])}

    def processor(**options: Any) -> Any:
        return transformers.BatchFeature(dict(given))

    made = prompt_inputs(processor, ["?"], device="cpu", dtype=dtype)
    assert made["pixel_values_videos"].dtype == dtype
    assert set(made) == set(given)
    positions = [
        case.model.model.get_rope_index(**{k: v for k, v in inputs.items() if k != "pixel_values_videos"})[0]
        for inputs in (made, given)
    ]
    assert torch.equal(*positions)
    assert made["second_per_grid_ts"].dtype == torch.float32


@pytest.mark.slow
def test_two_prompts_are_padded_on_the_left(tmp_path: Path) -> None:
    """And answered alike alone and together, compressed or not."""
    needs_torchvision()
    ready = load(llava_video(tmp_path, mm_spatial_pool_mode="average", **HEADS_SAID), device="cpu")
    long = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What is that over there?"}]}]
    texts = [chat_text(ready.processor, messages) for messages in (ASKED, long)]
    videos = [video(2, seed) for seed in (1, 2)]
    both = prompt_inputs(ready.processor, texts, videos, device="cpu", dtype=torch.float32)
    assert both["attention_mask"][:, 0].tolist() == [0, 1]
    options = {"max_new_tokens": 3, "do_sample": False}
    with torch.no_grad(), stgraph.compress(ready.model, stgraph.selector("evs", retain_ratio=0.5)) as stats:
        together = ready.model.generate(**both, **options)[:, both["input_ids"].shape[1] :]
        for i, text in enumerate(texts):
            alone = prompt_inputs(ready.processor, [text], [videos[i]], device="cpu", dtype=torch.float32)
            assert ready.model.generate(**alone, **options)[0, alone["input_ids"].shape[1] :].tolist() == (
                together[i].tolist()
            )
    assert {found.grid for found in stats.videos} == {(2, 13, 13)}


def test_prompts_of_nvila(tmp_path: Path) -> None:
    """A line's end after each group of frames; frames that are no whole groups, and images, are refused."""
    needs_torchvision()
    encoder = {"_target_": "llava.model.encoders.TSPVideoEncoder", "pool_sizes": [[4, 1, 1]]}
    processor = load_processor(nvila(tmp_path, video_encoder=encoder))
    text = chat_text(processor, ASKED)
    assert text == NVILA_PROMPT
    made = prompt_inputs(processor, [text], [video(8)], device="cpu", dtype=torch.float32)
    assert int((made["input_ids"] == 151).sum()) == 2 * (2 * 2 + 1)
    with pytest.raises(ValueError, match="a video has 6 frames, which this model averages 4 at a time; give a multi"):
        prompt_inputs(processor, [text], [video(6)], device="cpu", dtype=torch.float32)
    with pytest.raises(ValueError, match="images are not read here"):
        processor(images=[video(1)[0][0]], text=["<image>What?"])


@pytest.mark.slow
def test_converted_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By transformers alone, with the class beside the weights, and by the one door, the same prompts."""
    needs_torchvision()
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    for source in (llava_video(tmp_path, **HEADS_SAID), nvila(tmp_path)):
        out = tmp_path / f"{source.name}-converted"
        run("convert", str(source), str(out), "-q")
        expected = load_processor(source)
        prompt = chat_text(expected, ASKED)
        wanted = prompt_inputs(expected, [prompt], [video(2)], device="cpu", dtype=torch.float32)
        for processor in (
            transformers.AutoProcessor.from_pretrained(out, trust_remote_code=True),
            load_processor(out),
        ):
            processor.tokenizer.padding_side = "left"
            assert chat_text(processor, ASKED) == prompt
            found = prompt_inputs(processor, [prompt], [video(2)], device="cpu", dtype=torch.float32)
            assert torch.equal(found["input_ids"], wanted["input_ids"])
            assert torch.equal(found["pixel_values_videos"], wanted["pixel_values_videos"])


def succeeds(*arguments: str) -> None:
    """Runs a command; transformers 5 shows on stderr that it reads weights."""
    done = CliRunner().invoke(app, list(arguments), prog_name="stgraph")
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_commands_read_such_folders(tmp_path: Path) -> None:
    """stgraph dump and stgraph eval, by --model."""
    needs_torchvision()
    pytest.importorskip("av", reason="needs PyAV: pip install -e '.[video]'")
    from task_clips import save_task
    from videos import CLIP

    llava = llava_video(tmp_path, mm_spatial_pool_mode="max", **HEADS_SAID)
    out = tmp_path / "clip.safetensors"
    succeeds("dump", str(CLIP), "-o", str(out), "--model", str(llava), "-n", "2", "-q", "--device", "cpu")
    tokens = stgraph.load(out)
    assert (tokens.grid.shape, tokens.grid.n_newline_rows) == ((2, 13, 13), 2 * 13)
    task, rows = save_task(tmp_path), tmp_path / "rows.jsonl"
    model = nvila(tmp_path)
    succeeds(
        "eval",
        "--model",
        str(model),
        "--task",
        str(task),
        "-n",
        "2",
        "--limit",
        "2",
        "-o",
        str(rows),
        "-q",
        "-s",
        "full",
        "-s",
        "evs",
        "-r",
        "0.5",
        "--device",
        "cpu",
    )
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    assert len(found) == 4
    assert {row["error"] for row in found} == {None}
