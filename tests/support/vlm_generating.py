"""Ways of generating, with the copies of rows that they make, and a prompt of images, videos and text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from vlm_models import (
    IMAGE,
    START,
    VIDEO,
    Case,
    padded,
    qwen_model,
    qwen_pixels,
    qwen_runs,
    row_of,
    torch,
    transformers,
    with_token_types,
)

from stgraph.vlm.stats import Stats

WAYS = [
    {"num_beams": 3, "num_return_sequences": 2},
    {"num_beams": 2, "do_sample": True},
    {"do_sample": True, "num_return_sequences": 3},
    {"cache_implementation": "static"},
]


def first_of_copies(stats: Any, batch: int) -> Any:
    """The records of the rows before expansion: beams and returned sequences are copies of one row."""
    return Stats([replace(video, sample=row) for row, video in enumerate(stats.videos[:batch])])


def skip_broken_copies(family: str, copies: bool) -> None:
    """What does not work, or mixes up the videos of rows, without compression too."""
    old = transformers.__version__ < "5"
    if copies and old and family in ("qwen3_vl", "Qwen3VL", "qwen2_5_omni_thinker"):
        pytest.skip("transformers 4.57 cannot copy rows of Qwen3-VL and Qwen2.5-Omni with video, compressed or not")
    if not copies and old and family == "qwen2_5_omni_thinker":
        pytest.skip("transformers 4.57 cannot run Qwen2.5-Omni's thinker with a static cache, compressed or not")
    if copies and not old and family == "glm4v":
        pytest.skip("transformers 5 cannot copy rows of GLM-4.1V with video, compressed or not")


def mixed_prompt(name: str) -> Case:
    """A row with an image and two videos, one with a video, one of text alone."""
    model, image, videos = qwen_model(name), (1, 4, 4), [(3, 4, 4), (2, 6, 8), (4, 4, 4)]
    first = [[START, *[IMAGE] * 4], *qwen_runs(name, videos[0]), [50, 51], *qwen_runs(name, videos[1])]
    inputs = padded([row_of(first, 0), row_of(qwen_runs(name, videos[2]), 1), row_of([[9] * 12], 2)])
    inputs |= {"pixel_values": qwen_pixels([image], seed=1), "image_grid_thw": torch.tensor([image])}
    inputs |= {"pixel_values_videos": qwen_pixels(videos, seed=2), "video_grid_thw": torch.tensor(videos)}
    return Case(model, with_token_types(model, inputs), [], VIDEO)
