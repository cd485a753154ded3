"""Prefill with and without compression: a random model as deep as a 7B one, on the same video."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from stgraph.errors import missing_dependency
from stgraph.selection.base import selector
from stgraph.vlm.compress import compress

Row = dict[str, Any]
_VIDEO, _TEXT = 5, 40  # token id of the placeholder, text tokens around it


@dataclass(frozen=True)
class PrefillCase:
    """A random LLaVA-OneVision-like model and a video: ``side`` squared tokens per frame."""

    n_frames: int = 12
    side: int = 13
    n_layers: int = 28
    width: int = 512
    retain_ratio: float = 0.3

    @property
    def n_tokens(self) -> int:
        """Patch tokens of the video."""
        return self.n_frames * self.side**2


def measure_prefill(
    case: PrefillCase | None = None, n_rounds: int = 3, tell: Callable[[str], None] = lambda label: None
) -> list[Row]:
    """Seconds of one prefill: the full prompt; pruned before the LLM; and reduced by attention in two passes.

    Rows hold medians over ``n_rounds`` and ``speedup``, the full prefill's time over the row's; vision tower, selection
    and probe are within the times.

    Raises
    ------
    MissingDependencyError
        torch or transformers is not installed
    """
    case = case or PrefillCase()
    try:
        import torch
        import transformers  # noqa: F401  (the error names both)
    except ImportError:
        raise missing_dependency("the prefill benchmark", "transformers", "hf") from None
    tell("prefill: building a random model")
    model, inputs = _model_and_prompt(case)
    r = case.retain_ratio
    ways: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "full": nullcontext,
        "evs": lambda: compress(model, selector("evs", retain_ratio=r)),
        "st-simdiff, one pass": lambda: compress(
            model, selector("st-simdiff", retain_ratio=r, importance="centrality")
        ),
        "st-simdiff, two passes": lambda: compress(
            model, selector("st-simdiff", retain_ratio=r, importance="attention")
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    stats: dict[str, Any] = {}
    for i in range(n_rounds + 1):  # the first round compiles and does not count
        for name, way in ways.items():
            tell(f"prefill: {name}")
            with way() as stats[name], torch.inference_mode():
                start = perf_counter()
                model(**inputs, logits_to_keep=1)
                if i:
                    taken[name].append(perf_counter() - start)
    full = median(taken["full"])
    return [_row(case, name, median(seconds), full, stats[name]) for name, seconds in taken.items()]


def _row(case: PrefillCase, name: str, seconds: float, full: float, stats: Any) -> Row:
    video = stats.videos[-1] if stats is not None else None
    return {
        "case": f"{case.n_layers} layers of {case.width}, {case.n_frames}x{case.side}x{case.side}",
        "stage": "prefill",
        "by": name,
        "n_tokens": case.n_tokens,
        "retain_ratio": None if video is None else case.retain_ratio,
        "n_kept": case.n_tokens if video is None else video.n_kept,
        "n_candidates": None if video is None else video.n_candidates,
        "seconds": seconds,
        "speedup": full / seconds,
        "select_s": 0.0 if video is None else video.select_s,
        "probe_s": 0.0 if video is None else video.probe_s,
    }


def _model_and_prompt(case: PrefillCase) -> tuple[Any, dict[str, Any]]:
    import torch
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        Qwen2Config,
        SiglipVisionConfig,
    )

    vision = SiglipVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=16 * case.side,
        patch_size=8,
    )
    heads = max(1, case.width // 64)
    text = Qwen2Config(
        vocab_size=256,
        hidden_size=case.width,
        intermediate_size=case.width * 11 // 2,  # the proportions of Qwen2-7B
        num_hidden_layers=case.n_layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 4),
        max_position_embeddings=1 << 15,
    )
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=_VIDEO - 1,
        video_token_index=_VIDEO,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    torch.manual_seed(0)
    model = LlavaOnevisionForConditionalGeneration(config).eval()
    ids = np.random.default_rng(0).integers(10, 200, _TEXT + case.n_tokens + 1)  # one newline ends the video
    ids[_TEXT // 2 : _TEXT // 2 + case.n_tokens + 1] = _VIDEO
    pixels = torch.from_numpy(_moving_picture(case.n_frames, 16 * case.side))
    input_ids = torch.from_numpy(ids)[None]
    inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "pixel_values_videos": pixels}
    return model, inputs


def _moving_picture(n_frames: int, size: int) -> np.ndarray[Any, Any]:
    """[1, F, 3, size, size] float32: a still picture, a patch of noise that moves over it, a cut half-way."""
    rng = np.random.default_rng(1)
    picture = rng.normal(0, 1, (2, 3, size, size)).astype(np.float32)
    frames = np.repeat(picture, [n_frames - n_frames // 2, n_frames // 2], axis=0)
    side = size // 4
    for t, frame in enumerate(frames):
        at = t * (size - side) // max(1, n_frames - 1)
        frame[:, at : at + side, at : at + side] = rng.normal(0, 1, (3, side, side))
    return frames[None]
