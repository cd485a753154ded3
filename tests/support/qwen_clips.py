"""A tiny Qwen2-VL on disk and a processor made by hand for it, for transformers' own needs torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from task_clips import Tokenizer
from vlm_models import END, START, VIDEO, qwen_model, torch, transformers, with_token_types

PATCH = 8  # pixels; 2 x 2 patches of two frames are a token
SIDE = 2 * PATCH


class Frames:
    """Frames as patches in the order of Qwen2-VL's video processor, without resizing and normalisation."""

    patch_size, merge_size = PATCH, 2

    def __call__(self, videos: list[Any]) -> dict[str, Any]:
        (rgb,) = videos
        t, h, w = len(rgb) // 2, rgb.shape[1] // SIDE, rgb.shape[2] // SIDE
        x = torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 127.5 - 1
        x = x.view(t, 2, 3, h, 2, PATCH, w, 2, PATCH).permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
        patches = x.reshape(t * 4 * h * w, 3 * 2 * PATCH * PATCH)
        return {"pixel_values_videos": patches, "video_grid_thw": torch.tensor([[t, 2 * h, 2 * w]])}


class QwenProcessor:
    """Puts the placeholders that the frames' grid asks for."""

    def __init__(self) -> None:
        self.tokenizer = Tokenizer()
        self.video_processor = Frames()
        self.resized: list[bool] = []

    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        parts = messages[0]["content"]
        return " ".join("<video>" if part["type"] == "video" else part["text"] for part in parts) + " answer"

    def __call__(self, text: list[str], return_tensors: str, **given: Any) -> Any:
        ids = self.tokenizer(text[0], add_special_tokens=False)["input_ids"]
        data: dict[str, Any] = {}
        if "videos" in given:
            self.resized.append(given.get("do_resize", True))
            data = self.video_processor(given["videos"])
            at, n = ids.index(VIDEO), int(data["video_grid_thw"].prod()) // 4
            ids = [*ids[:at], START, *[VIDEO] * n, END, *ids[at + 1 :]]
        made = torch.tensor([ids])
        inputs = {"input_ids": made, "attention_mask": torch.ones_like(made), **data}
        return transformers.BatchFeature(with_token_types(qwen_model("Qwen2VL"), inputs))


def save_qwen(folder: Path) -> str:
    """The checkpoint; its path."""
    qwen_model("Qwen2VL").save_pretrained(folder)
    return str(folder)
