"""A tiny model whose text model has layers without attention."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from vlm_models import (
    SPECIAL,
    TEXT,
    VIDEO,
    Case,
    finished,
    padded,
    qwen_pixels,
    qwen_runs,
    row_of,
    torch,
    transformers,
    with_token_types,
)


@cache
def _model() -> Any:
    vision = dict(depth=2, hidden_size=32, out_hidden_size=64, intermediate_size=64, num_position_embeddings=64)
    vision |= dict(patch_size=8, spatial_merge_size=2, temporal_patch_size=2, num_heads=2)
    text = TEXT | dict(head_dim=16, layer_types=["linear_attention", "full_attention"] * 2)
    text |= dict(linear_num_value_heads=4, linear_num_key_heads=2, linear_key_head_dim=16, linear_value_head_dim=16)
    text |= dict(rope_scaling={"mrope_section": [2, 3, 3], "rope_type": "default", "mrope_interleaved": True})
    config = transformers.Qwen3_5Config(vision_config=vision, text_config=text, **SPECIAL)
    return finished(transformers.Qwen3_5ForConditionalGeneration(config))


def qwen3_5() -> Case:
    """Qwen3.5 with one video of 4 frames."""
    if not hasattr(transformers, "Qwen3_5Config"):
        pytest.skip("needs transformers 5: Qwen3.5 is not in 4.57")
    model, grid = _model(), (4, 6, 8)
    inputs = padded([row_of(qwen_runs("Qwen3VL", grid), 0)])
    inputs |= {"pixel_values_videos": qwen_pixels([grid]), "video_grid_thw": torch.tensor([grid])}
    return Case(model, with_token_types(model, inputs), [(4, 3, 4)], VIDEO)
