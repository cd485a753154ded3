"""A checkpoint on disk, clips and questions for ``stgraph eval``, and a run of it that kills itself.

The processor is made by hand, for those of transformers need torchvision: words are numbers, a letter is a token.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import zlib
from pathlib import Path
from typing import Any

import torchvision_on_cpu
from lmms_eval_offline import COLOURS, save_clip
from vlm_models import FRAMES, VIDEO, onevision_model, torch, transformers

torchvision_on_cpu.define_operators()

UNKNOWN, FIRST_LETTER = 3, 60
TOKENS_A_FRAME = 9
CONFIGURATIONS = ("-s", "full", "-s", "blind", "-s", "st-simdiff", "-r", "0.3", "-r", "1")
N_CONFIGURATIONS = 4


class Tokenizer:
    """A token for each letter, with or without a space before it; other words are told apart by a checksum."""

    unk_token_id = UNKNOWN

    def __init__(self, letters: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ") -> None:
        self.letters = letters

    def convert_tokens_to_ids(self, piece: str) -> int:
        return FIRST_LETTER + self.letters.index(piece) if piece in self.letters else UNKNOWN

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [token for word in text.split() for token in self.tokens(word)]}

    def tokens(self, word: str) -> list[int]:
        if word == "<video>":
            return [VIDEO]
        if len(word) == 1:
            return [self.convert_tokens_to_ids(word)]
        return [4 + zlib.crc32(word.encode()) % 50]


class Processor:
    """Scales frames to the model's size, and puts a placeholder for each of their tokens and for the newline."""

    video_processor = object()

    def __init__(self, tokenizer: Tokenizer | None = None) -> None:
        self.tokenizer = tokenizer or Tokenizer()
        self.n_calls = 0

    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        assert options == {"tokenize": False, "add_generation_prompt": True}
        parts = messages[0]["content"]
        return " ".join("<video>" if part["type"] == "video" else part["text"] for part in parts) + " answer"

    def __call__(self, text: list[str], return_tensors: str, **given: Any) -> Any:
        self.n_calls += 1
        (words,) = text
        ids = self.tokenizer(words, add_special_tokens=False)["input_ids"]
        data = {}
        if "videos" in given:
            assert given["do_sample_frames"] is False
            (rgb,), (metadata,) = given["videos"], given["video_metadata"]
            assert len(metadata["frames_indices"]) == len(rgb)
            pictures = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 127.5 - 1
            data["pixel_values_videos"] = torch.nn.functional.interpolate(pictures, (48, 48))[None]
            at = ids.index(VIDEO)
            ids = ids[:at] + [VIDEO] * (len(rgb) * TOKENS_A_FRAME + 1) + ids[at + 1 :]
        made = torch.tensor([ids])
        return transformers.BatchFeature({"input_ids": made, "attention_mask": torch.ones_like(made), **data})


def save_model(folder: Path) -> str:
    """A tiny random LLaVA-OneVision, saved as a checkpoint is; its path."""
    onevision_model().save_pretrained(folder)
    return str(folder)


def questions() -> list[dict[str, Any]]:
    """Two questions on each of three clips; their options differ in number."""
    found = []
    for letter, colour in zip("ABC", COLOURS, strict=True):
        asked = {"video": f"clips/{colour}.mp4", "options": list(COLOURS), "answer": letter, "family": "colour"}
        found.append({**asked, "id": f"{colour}-colour", "question": "What colour is the square?"})
        asked |= {"family": "turn", "options": ["once", "never", "twice", "always"], "answer": 0}
        found.append({**asked, "id": f"{colour}-turn", "question": "How often does the gradient turn around?"})
    return found


def save_task(folder: Path, asked: list[dict[str, Any]] | None = None) -> Path:
    """The task file and its clips, which lie beside it."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for name, colour in COLOURS.items():
        save_clip(folder / "clips" / f"{name}.mp4", colour)
    path = folder / "task.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in asked or questions()), encoding="utf-8")
    return path


def arguments(model: str, task: Path, *more: str) -> list[str]:
    """A command line."""
    return ["eval", "--model", model, "--task", str(task), "-n", str(FRAMES), *CONFIGURATIONS, *more]


if __name__ == "__main__":
    # task_clips.py N ARGUMENTS...: the command, killed without warning when it has computed N rows.
    from stgraph.bench.answers.rows import TaskRows
    from stgraph.cli import main

    transformers.AutoProcessor.from_pretrained = lambda name: Processor()
    n_rows, add = int(sys.argv.pop(1)), TaskRows.add

    def add_and_die(self: TaskRows, rows: Any) -> None:
        self.save()  # what came before is on the disk, as it is when seconds have passed
        add(self, rows)
        if self.n_new == n_rows:
            os.kill(os.getpid(), signal.SIGKILL)

    TaskRows.add = add_and_die  # type: ignore[method-assign]
    sys.exit(main())
