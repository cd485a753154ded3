"""NVILA's kinds of checkpoint, made of the tiny one: its tower and language model, and another projector."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from author_checkpoints import nvila, save_tokenizer, torch

Array = np.ndarray[Any, Any]
CHANNELS, WIDTH = 16, 64  # of the tower and of the language model


def save_nvila(folder: Path, n: int, scaled: bool, pool: tuple[int, int, int], hf: bool) -> tuple[Path, dict[str, Any]]:
    """(folder, weights by their stored names with the part before them)."""
    from safetensors.torch import load_file, save_file

    encoder: Any = {"_target_": "llava.model.encoders.BasicVideoEncoder"}
    if pool != (1, 1, 1):  # written as JSON in a string, as VILA's arguments are
        encoder = json.dumps({"_target_": "llava.model.encoders.TSPVideoEncoder", "pool_sizes": [pool]})
    made = nvila(folder, video_encoder=encoder, dynamic_s2=scaled, mm_projector_cfg={})
    g = torch.Generator().manual_seed(n)

    def random(*shape: int) -> Any:
        return torch.randn(*shape, generator=g) / math.sqrt(shape[-1])

    c = CHANNELS * (3 if scaled else 1)
    shapes: dict[str, tuple[int, ...]] = {"1": (4 * c,), "2": (WIDTH, 4 * c), "4": (WIDTH, WIDTH)}
    if n == 3:
        shapes = {"1": (9 * c,), "2": (3 * c, 9 * c), "4": (3 * c,), "5": (WIDTH, 3 * c), "7": (WIDTH, WIDTH)}
    projector = {f"layers.{at}.weight": random(*shape) for at, shape in shapes.items()}
    projector |= {f"layers.{at}.bias": random(shape[0]) for at, shape in shapes.items()}
    save_file(projector, made / "mm_projector" / "model.safetensors")
    kind = {2: "mlp_downsample", 3: "mlp_downsample_3x3_fix"}[n]
    (made / "mm_projector" / "config.json").write_text(json.dumps({"mm_projector_type": kind}))
    weights = {
        f"{part}.{name}": tensor
        for part in ("llm", "vision_tower", "mm_projector")
        for name, tensor in load_file(made / part / "model.safetensors").items()
    }
    if not hf:
        return made, weights
    one = folder / "hf"
    one.mkdir()
    save_file(weights, one / "model.safetensors")
    said = {
        name: json.loads((made / part / "config.json").read_text())
        for name, part in (("text_config", "llm"), ("vision_config", "vision_tower"))
    }
    said |= {"model_type": "nvila", "architectures": ["NVILAForConditionalGeneration"]}
    (one / "config.json").write_text(json.dumps(said | {"image_token_id": 150, "video_token_id": 151}))
    save_tokenizer(one, "<vila/video>")
    return one, weights


def projected(patches: Array, weights: dict[str, Any], n: int) -> Array:
    """[..., d] of joined patches [..., n * n * c], in float64."""
    x = patches
    steps = {2: "norm 1, linear 2, gelu, linear 4", 3: "norm 1, linear 2, gelu, norm 4, linear 5, gelu, linear 7"}
    for step in steps[n].split(", "):
        kind, _, at = step.partition(" ")
        if kind == "gelu":
            x = 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
            continue
        weight, bias = (weights[f"mm_projector.layers.{at}.{name}"].double().numpy() for name in ("weight", "bias"))
        if kind == "norm":
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias
        else:
            x = x @ weight.T + bias
    return x
