"""All that lmms-eval needs without a network: a tiny random checkpoint, three clips, a task with a question on each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FRAMES, SIDE, PATCH = 12, 48, 8
TOKENS_A_FRAME = 9  # 6 x 6 patches, pooled to 3 x 3
TASK = "stgraph_clips"
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230)}
WORDS = "what colour is the square that moves ? answer with one letter . a b c red green blue".split()

TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'video' %}<video> "
    "{% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
)

TASK_YAML = """\
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {questions}
test_split: test
output_type: generate_until
doc_to_visual: !function clips_task.doc_to_visual
doc_to_text: !function clips_task.doc_to_text
doc_to_target: answer
process_results: !function clips_task.process_results
generation_kwargs:
  max_new_tokens: 4
  temperature: 0
  num_beams: 1
  do_sample: false
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""

TASK_CODE = """\
def doc_to_visual(doc):
    return [doc["video"]]


def doc_to_text(doc):
    return "what colour is the square that moves ? a red b green c blue . answer with one letter ."


def process_results(doc, results):
    return {"acc": float(results[0] == doc["answer"])}
"""


def save_checkpoint(folder: Path, words: Sequence[str] = WORDS) -> None:
    """A random LLaVA-OneVision of two layers with its processor, loadable by name of the folder alone."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        PreTrainedTokenizerFast,
        Qwen2Config,
        SiglipVisionConfig,
    )

    special = ["<pad>", "<eos>", "<unk>", "<image>", "<video>"]
    vocabulary = {word: i for i, word in enumerate([*special, *words])}
    level = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    level.pre_tokenizer = WhitespaceSplit()  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=level,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=["<image>", "<video>"],
    )
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
    )
    text = Qwen2Config(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=vocabulary["<eos>"],
        pad_token_id=vocabulary["<pad>"],
        tie_word_embeddings=False,
    )
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=vocabulary["<image>"],
        video_token_index=vocabulary["<video>"],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    model = LlavaOnevisionForConditionalGeneration(config)
    torch.manual_seed(3)
    for weight in model.parameters():
        if weight.ndim >= 2:  # spread out, so that each clip and each selection gets an answer of its own
            torch.nn.init.normal_(weight, std=1.5 * weight.shape[-1] ** -0.5)
    model.lm_head.weight.data[: len(special)] = 0  # answers are words
    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=(SIDE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE,
    ).save_pretrained(folder)


def save_clip(path: Path, colour: tuple[int, int, int], n_frames: int = 24, fps: int = 8) -> None:
    """A square of one colour that moves over a grey gradient; in the middle the gradient turns around."""
    import av

    ramp = np.linspace(40, 160, 64).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for t in range(n_frames):
            picture = np.repeat((ramp if t < n_frames // 2 else ramp[::-1])[None, :, None], 48, axis=0)
            picture = np.repeat(picture, 3, axis=2)
            picture[16:32, 2 * t : 2 * t + 16] = colour
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def save_task(folder: Path) -> None:
    """The task, its three questions and their clips."""
    folder.mkdir(parents=True, exist_ok=True)
    questions = folder / "questions.jsonl"
    with questions.open("w", encoding="utf-8") as out:
        for answer, (name, colour) in zip("abc", COLOURS.items(), strict=True):
            clip = folder / f"{name}.mp4"
            save_clip(clip, colour)
            out.write(json.dumps({"video": str(clip), "answer": answer}) + "\n")
    (folder / f"{TASK}.yaml").write_text(TASK_YAML.format(task=TASK, questions=questions), encoding="utf-8")
    (folder / "clips_task.py").write_text(TASK_CODE, encoding="utf-8")


if __name__ == "__main__":
    import sys

    import torchvision_on_cpu

    torchvision_on_cpu.define_operators()
    save_checkpoint(Path(sys.argv[1], "checkpoint"))
    save_task(Path(sys.argv[1], "task"))
