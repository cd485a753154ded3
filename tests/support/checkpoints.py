"""Tiny vision backbones with random weights, saved to disk as a checkpoint is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

REASON = "needs transformers and torch: pip install -e '.[hf]'"
torch: Any = pytest.importorskip("torch", reason=REASON)
transformers: Any = pytest.importorskip("transformers", reason=REASON)

SIZES: dict[str, int] = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2)
TEXT: dict[str, int] = {**SIZES, "vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
STEPS: dict[str, Any] = dict(do_resize=True, do_rescale=True, do_normalize=True, rescale_factor=1 / 255, resample=3)
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]

CROPPED = dict(size={"shortest_edge": 36}, do_center_crop=True, crop_size={"height": 32, "width": 32})
SQUASHED = dict(size={"height": 32, "width": 32})

# name -> (tokens before the patches, preprocessing beyond STEPS)
BACKBONES: dict[str, tuple[int, dict[str, Any]]] = {
    "clip": (1, CROPPED),
    "siglip": (0, SQUASHED),
    "dinov2": (1, CROPPED),
    "registers": (5, SQUASHED),
}


def _model(name: str) -> Any:
    pixels = dict(image_size=32, patch_size=8)
    if name == "dinov2":
        return transformers.Dinov2Model(transformers.Dinov2Config(**SIZES, **pixels))
    if name == "registers":
        config = transformers.Dinov2WithRegistersConfig(**SIZES, **pixels, num_register_tokens=4)
        return transformers.Dinov2WithRegistersModel(config)
    kind = {"clip": "CLIP", "siglip": "Siglip"}[name]
    config = getattr(transformers, f"{kind}Config")(text_config=TEXT, vision_config={**SIZES, **pixels})
    return getattr(transformers, f"{kind}Model")(config)


def save_backbone(name: str, folder: Path) -> str:
    """The path of a checkpoint made there."""
    torch.manual_seed(1)
    model = _model(name)
    for weight in model.parameters():  # larger than the usual initialisation, so that patches differ
        if weight.ndim >= 2:
            torch.nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    model.save_pretrained(folder)
    steps = {**STEPS, **BACKBONES[name][1], "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").write_text(json.dumps(steps))
    return str(folder)
