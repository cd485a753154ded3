"""Checkpoints in their authors' layouts, with a tokenizer of few tokens, and what the authors' code makes of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REASON = "needs transformers and torch: pip install -e '.[hf]'"
torch: Any = pytest.importorskip("torch", reason=REASON)
transformers: Any = pytest.importorskip("transformers", reason=REASON)

DATA = Path(__file__).parents[1] / "data"
LLAVA_VIDEO, NVILA = DATA / "llava_video_tiny", DATA / "nvila_tiny"
HEADS = {"num_attention_heads": 2}  # of LLaVA-Video's tiny tower, which no file of that layout says
NEWLINE = 3  # the token of "\n", as in what the authors' code was run with


def original(folder: Path) -> dict[str, Any]:
    """Arrays of the authors' forward."""
    with np.load(folder / "original_forward.npz") as stored:
        return dict(stored)


def copied(source: Path, target: Path, **changes: Any) -> Path:
    """A copy of a checkpoint whose config.json says something else."""
    shutil.copytree(source, target)
    path = target / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return target


def save_tokenizer(folder: Path, video: str, chat_template: str | None = None) -> None:
    """A tokenizer of Qwen2's class with 160 tokens: one for each character, a line's end and the markers."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    markers = {"<pad>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "<image>": 150, video: 151}
    characters = {"\N{LATIN CAPITAL LETTER C WITH DOT ABOVE}": NEWLINE, "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}": 4}
    characters |= {chr(code): code - 33 + 5 for code in range(33, 127)}
    taken = {*markers.values(), *characters.values()}
    unused = {f"unused{i}": i for i in range(160) if i not in taken}
    made = Tokenizer(models.BPE(markers | characters | unused, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(markers))
    made.save(str(folder / "tokenizer.json"))
    said = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<pad>", "bos_token": None}
    said |= {} if chat_template is None else {"chat_template": chat_template}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def nvila(folder: Path, **changes: Any) -> Path:
    """The tiny NVILA with its tokenizer."""
    made = copied(NVILA, folder / "nvila", **changes)
    save_tokenizer(made / "llm", "<vila/video>")
    return made


def llava_video(folder: Path, **changes: Any) -> Path:
    """The tiny LLaVA-Video with a tokenizer."""
    made = copied(LLAVA_VIDEO, folder / "llava-video", **changes)
    save_tokenizer(made, "<video>")
    return made
