"""Tiny models of further families, most of Qwen's or GLM's kind; skipped where transformers has no such class."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from vlm_models import (
    CASES,
    FRAMES,
    IMAGE,
    SPECIAL,
    START,
    TEXT,
    VIDEO,
    Case,
    _rope,
    clip,
    finished,
    noise,
    padded,
    qwen_pixels,
    row_of,
    torch,
    transformers,
    with_token_types,
)

END, VIDEO_START, VIDEO_END, AUDIO = 123, 124, 125, 126
PATCHES = dict(patch_size=8, spatial_merge_size=2, temporal_patch_size=2, num_heads=2)
WINDOWED = dict(depth=2, hidden_size=32, out_hidden_size=64, intermediate_size=64, window_size=32, **PATCHES)
WINDOWED |= dict(fullatt_block_indexes=[1])
DEEP = dict(depth=3, hidden_size=32, out_hidden_size=64, intermediate_size=64, **PATCHES)
DEEP |= dict(deepstack_visual_indexes=[0, 1], num_position_embeddings=64)
MARKERS = dict(image_start_token_id=START, image_end_token_id=END, image_token_id=IMAGE, video_token_id=VIDEO)
MARKERS |= dict(video_start_token_id=VIDEO_START, video_end_token_id=VIDEO_END)
EXPERTS = dict(moe_intermediate_size=32, num_experts=4, num_experts_per_tok=2)


def built(name: str, **config: Any) -> Any:
    """The tiny model ``{name}ForConditionalGeneration`` of a configuration."""
    kind = getattr(transformers, f"{name}Config", None)
    if kind is None or not hasattr(transformers, f"{name}ForConditionalGeneration"):
        pytest.skip(f"transformers {transformers.__version__} has no {name}ForConditionalGeneration")
    return finished(getattr(transformers, f"{name}ForConditionalGeneration")(kind(**config)))


def one_run(t: int, h: int, w: int) -> list[list[int]]:
    return [[START, *[VIDEO] * (t * h * w // 4), END]]


def run_a_frame(t: int, h: int, w: int) -> list[list[int]]:
    return [[30 + i, 31, START, *[VIDEO] * (h * w // 4), END] for i in range(t)]


def frames_in_markers(t: int, h: int, w: int) -> list[list[int]]:
    """As GLM: frames under the placeholder of images, each followed by its time, inside markers of a video."""
    frames = [[START, *[IMAGE] * (h * w // 4), END, 30 + i] for i in range(t)]
    return [[VIDEO_START], *frames, [VIDEO_END]]


def grid_case(model: Any, batch: int, runs: Callable[..., list[list[int]]], token: int = VIDEO, step: int = 1) -> Case:
    """Videos of different lengths, whose vision tower is told the grid."""
    grids = [(step * (FRAMES + b), 6, 8) for b in range(batch)]
    shown = [(t // step, h, w) for t, h, w in grids]
    inputs = padded([row_of(runs(*grid), b) for b, grid in enumerate(shown)])
    inputs |= {"pixel_values_videos": qwen_pixels(grids), "video_grid_thw": torch.tensor(grids)}
    inputs = with_token_types(model, inputs)
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = 2 * (inputs["input_ids"] == token).long()
    return Case(model, inputs, [(t, h // 2, w // 2) for t, h, w in shown], token)


@cache
def qwen3_moe_model() -> Any:
    text = {**_rope(rope_type="default", mrope_interleaved=True), "head_dim": 16, **EXPERTS}
    return built("Qwen3VLMoe", vision_config=DEEP, text_config=text, **SPECIAL)


def qwen3_vl_moe(batch: int = 1) -> Case:
    return grid_case(qwen3_moe_model(), batch, run_a_frame)


AUDIO_TOWER = dict(
    num_mel_bins=8, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=32, d_model=32, output_dim=64
)


@cache
def omni_model() -> Any:
    return built(
        "Qwen2_5OmniThinker",
        vision_config=WINDOWED,
        audio_config=AUDIO_TOWER,
        text_config=_rope(rope_type="default"),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        audio_token_index=AUDIO,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )


def qwen2_5_omni_thinker(batch: int = 1) -> Case:
    case = grid_case(omni_model(), batch, one_run)
    case.inputs["video_second_per_grid"] = torch.ones(batch)
    return case


@cache
def omni_moe_model() -> Any:
    text = {**_rope(rope_type="default", mrope_interleaved=True), "head_dim": 16, **EXPERTS}
    return built(
        "Qwen3OmniMoeThinker",
        vision_config=DEEP,
        audio_config=AUDIO_TOWER,
        text_config=text,
        audio_token_id=AUDIO,
        **SPECIAL,
    )


def qwen3_omni_moe_thinker(batch: int = 1) -> Case:
    case = grid_case(omni_moe_model(), batch, one_run)
    case.inputs["video_second_per_grid"] = torch.ones(batch)
    return case


@cache
def exaone_model() -> Any:
    text = dict(model_type="exaone4", **TEXT, sliding_window=None, layer_types=["full_attention"] * 4)
    return built("Exaone4_5_", vision_config=WINDOWED | dict(num_key_value_heads=1), text_config=text, **SPECIAL)


def exaone4_5(batch: int = 1) -> Case:
    return grid_case(exaone_model(), batch, one_run)


@cache
def hyperclovax_model() -> Any:
    text = dict(model_type="hyperclovax", **TEXT)
    return built(
        "HyperCLOVAXVisionV2",
        vision_config=dict(model_type="qwen2_5_vl_vision", **WINDOWED),
        text_config=text,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
    )


def hyperclovax_vision_v2(batch: int = 1) -> Case:
    return grid_case(hyperclovax_model(), batch, one_run)


@cache
def ernie_model() -> Any:
    vision = dict(depth=2, hidden_size=32, num_heads=2, patch_size=8, spatial_merge_size=2, temporal_merge_size=2)
    text = {**TEXT, "rope_parameters": dict(rope_type="default", rope_theta=1e4, mrope_section=[3, 3, 2])}
    text |= dict(moe_intermediate_size=[32, 16], moe_k=2, moe_num_experts=4, moe_num_shared_experts=1)
    return built("Ernie4_5_VLMoe", vision_config=vision | dict(intermediate_size=64), text_config=text, **MARKERS)


def ernie4_5_vl_moe(batch: int = 1) -> Case:
    case = grid_case(ernie_model(), batch, one_run, step=2)
    ids = case.inputs["input_ids"]
    patches = sum(2 * t * h * w * 4 for t, h, w in case.grids)
    case.inputs["pixel_values_videos"] = noise(patches, 3 * 8 * 8)
    case.inputs["moe_mm_token_type_ids"] = ((ids == VIDEO) | (ids == START) | (ids == END)).long()
    return case


@cache
def glm_model(name: str) -> Any:
    vision = dict(depth=2, hidden_size=32, out_hidden_size=64, intermediate_size=64, image_size=64, **PATCHES)
    rope = dict(rope_type="default", rope_theta=1e4, mrope_section=[3, 3, 2], partial_rotary_factor=1.0)
    text: dict[str, Any] = {**TEXT, "rope_parameters": rope, "rope_scaling": rope, "partial_rotary_factor": 1.0}
    if name == "Glm4vMoe":
        text |= dict(moe_intermediate_size=32, n_routed_experts=4, num_experts_per_tok=2, first_k_dense_replace=1)
    if name == "Glmga":  # a configuration of its own, the classes of another
        if not hasattr(transformers, "GlmgaConfig"):
            pytest.skip(f"transformers {transformers.__version__} has no GlmgaConfig")
        config = transformers.GlmgaConfig(vision_config=vision, text_config=text, **MARKERS)
        return finished(transformers.Glm46VForConditionalGeneration(config))
    return built(name, vision_config=vision, text_config=text, **MARKERS)


def glm4v(batch: int = 1) -> Case:
    return grid_case(glm_model("Glm4v"), batch, frames_in_markers, token=IMAGE)


def glm4v_moe(batch: int = 1) -> Case:
    return grid_case(glm_model("Glm4vMoe"), batch, frames_in_markers, token=IMAGE)


def glm46v(batch: int = 1) -> Case:
    return grid_case(glm_model("Glm46V"), batch, frames_in_markers, token=IMAGE)


def glmga(batch: int = 1) -> Case:
    return grid_case(glm_model("Glmga"), batch, frames_in_markers, token=IMAGE)


def glm_ocr(batch: int = 1) -> Case:
    return grid_case(glm_model("GlmOcr"), batch, frames_in_markers, token=IMAGE)


@cache
def cosmos_edge_model() -> Any:
    vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, patch_size=8)
    text = {**TEXT, "head_dim": 16}
    text["rope_parameters"] = dict(rope_type="default", rope_theta=1e4, mrope_section=[2, 3, 3])
    return built("Cosmos3Edge", vision_config=vision | dict(num_patches=64), text_config=text, **SPECIAL)


def cosmos3_edge(batch: int = 1) -> Case:
    case = grid_case(cosmos_edge_model(), batch, run_a_frame)
    case.inputs["pixel_values_videos"] = noise(sum(t * h * w * 4 for t, h, w in case.grids), 3 * 8 * 8)
    return case


@cache
def cosmos_omni_model() -> Any:
    text = {**_rope(rope_type="default", mrope_interleaved=True), "head_dim": 16}
    return built("Cosmos3Omni", vision_config=DEEP, text_config=text, **SPECIAL)


def cosmos3_omni(batch: int = 1) -> Case:
    return grid_case(cosmos_omni_model(), batch, run_a_frame)


@cache
def compass_model() -> Any:
    rope = dict(rope_type="default", rope_theta=1e4, mrope_section=[2, 3, 3], mrope_interleaved=True)
    text = {**TEXT, "rope_parameters": {"full_attention": rope}}
    return built("CohereCompass", vision_config=DEEP, text_config=text, **SPECIAL)


def cohere_compass(batch: int = 1) -> Case:
    return grid_case(compass_model(), batch, run_a_frame)


@cache
def video_llava_model() -> Any:
    return built(
        "VideoLlava",
        vision_config=clip(),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
    )


def video_llava(batch: int = 1) -> Case:
    """One run of placeholders; the first of each frame is the CLS token of the vision tower, which is no patch."""
    rows = [row_of([[VIDEO] * (FRAMES * 17)], b) for b in range(batch)]
    inputs = padded(rows) | {"pixel_values_videos": noise(batch, FRAMES, 3, 32, 32)}
    return Case(video_llava_model(), inputs, [(FRAMES, 4, 4)] * batch, VIDEO, cls=True)


MORE: dict[str, Callable[[int], Case]] = {
    "qwen3_vl_moe": qwen3_vl_moe,
    "qwen2_5_omni_thinker": qwen2_5_omni_thinker,
    "qwen3_omni_moe_thinker": qwen3_omni_moe_thinker,
    "exaone4_5": exaone4_5,
    "hyperclovax_vision_v2": hyperclovax_vision_v2,
    "ernie4_5_vl_moe": ernie4_5_vl_moe,
    "glm4v": glm4v,
    "glm4v_moe": glm4v_moe,
    "glm46v": glm46v,
    "glmga": glmga,
    "glm_ocr": glm_ocr,
    "cosmos3_edge": cosmos3_edge,
    "cosmos3_omni": cosmos3_omni,
    "cohere_compass": cohere_compass,
    "video_llava": video_llava,
}
ALL = CASES | MORE
