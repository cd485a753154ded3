"""A tiny model of each supported family with random weights, and inputs made by hand: no tokenizer, no processor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

REASON = "needs transformers and torch: pip install -e '.[hf]'"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

torch.set_num_threads(1)  # at this size more threads only wait for each other

PAD, IMAGE, VIDEO, START, END = 0, 120, 121, 122, 123
TEXT = dict(
    vocab_size=128,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=4096,
    pad_token_id=PAD,
    bos_token_id=1,
    eos_token_id=None,
)
SPECIAL = dict(image_token_id=IMAGE, video_token_id=VIDEO, vision_start_token_id=START, vision_end_token_id=END)
FRAMES = 4

# transformers 5.24 renamed the cache, of arguments and of outputs.
CACHE = "cache" if tuple(map(int, transformers.__version__.split(".")[:2])) >= (5, 24) else "past_key_values"

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Case:
    """A model, the inputs of a batch, and the grid of each row's video."""

    model: Any
    inputs: dict[str, Any]
    grids: list[Shape]
    token: int
    cls: bool = False  # whether the first placeholder of each frame is no patch

    @property
    def text(self) -> Any:
        """The text model inside."""
        base = self.model.model
        found = getattr(base, "language_model", None) or getattr(base, "text_model", None)
        return base if found is None else found  # transformers 4: a thinker's is model.model itself

    def columns(self, row: int) -> Any:
        """Columns of the row's placeholders, of patches alone."""
        columns = (self.inputs["input_ids"][row] == self.token).nonzero()[:, 0]
        return columns.view(self.grids[row][0], -1)[:, 1:].reshape(-1) if self.cls else columns


def finished(model: Any) -> Any:
    """Larger weights than the usual initialisation, so that what is dropped shows."""
    g = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 or "newline" in name:
            weight.data = torch.randn(weight.shape, generator=g) * weight.shape[-1] ** -0.5
    model.eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = PAD
    model.generation_config.suppress_tokens = [IMAGE, VIDEO]
    return model


def noise(*shape: int, seed: int = 0) -> Any:
    """Normal noise of this shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def row_of(runs: list[list[int]], row: int) -> list[int]:
    """A prompt: text, the runs, text; rows differ in length."""
    g = torch.Generator().manual_seed(row)
    before, after = (torch.randint(2, 100, (n,), generator=g).tolist() for n in (5 + 2 * row, 7))
    return [*before, *(token for run in runs for token in run), *after]


def padded(rows: list[list[int]]) -> dict[str, Any]:
    """Token ids and mask, padded on the left."""
    length = max(map(len, rows))
    ids = torch.tensor([[PAD] * (length - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


def with_token_types(model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Newer Qwen models want to be told which tokens are images and which are video."""
    if "mm_token_type_ids" in inspect.signature(model.forward).parameters:
        ids = inputs["input_ids"]
        inputs["mm_token_type_ids"] = (ids == IMAGE).long() + 2 * (ids == VIDEO).long()
    return inputs


@cache
def onevision_model() -> Any:
    vision = transformers.SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=48, patch_size=8
    )
    config = transformers.LlavaOnevisionConfig(
        vision_config=vision,
        text_config=transformers.Qwen2Config(**TEXT, tie_word_embeddings=False),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    return finished(transformers.LlavaOnevisionForConditionalGeneration(config))


def llava_onevision(batch: int = 1) -> Case:
    rows = [row_of([[VIDEO] * (FRAMES * 9 + 1)], b) for b in range(batch)]
    inputs = {**padded(rows), "pixel_values_videos": noise(batch, FRAMES, 3, 48, 48)}
    return Case(onevision_model(), inputs, [(FRAMES, 3, 3)] * batch, VIDEO)


def clip() -> Any:
    """The configuration of a vision tower with a CLS token, of 4 x 4 patches."""
    return transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=32,
    )


@cache
def next_video_model() -> Any:
    config = transformers.LlavaNextVideoConfig(
        vision_config=clip(),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        spatial_pool_stride=2,
        image_grid_pinpoints=[[32, 64]],
    )
    return finished(transformers.LlavaNextVideoForConditionalGeneration(config))


def llava_next_video(batch: int = 1) -> Case:
    rows = [row_of([[VIDEO] * (FRAMES * 4)], b) for b in range(batch)]
    inputs = {**padded(rows), "pixel_values_videos": noise(batch, FRAMES, 3, 32, 32)}
    return Case(next_video_model(), inputs, [(FRAMES, 2, 2)] * batch, VIDEO)


def _rope(**more: Any) -> dict[str, Any]:
    return {**TEXT, "rope_theta": 10000.0, "rope_scaling": {"mrope_section": [2, 3, 3], **more}}


@cache
def qwen_model(name: str) -> Any:
    patches = dict(patch_size=8, spatial_merge_size=2, temporal_patch_size=2, num_heads=2)
    if name == "Qwen2VL":
        vision = dict(depth=2, embed_dim=32, hidden_size=64, mlp_ratio=2, **patches)
        text = _rope(type="mrope", rope_type="default")
    elif name == "Qwen2_5_VL":
        vision = dict(depth=2, hidden_size=32, out_hidden_size=64, intermediate_size=64, window_size=32, **patches)
        vision |= dict(fullatt_block_indexes=[1], tokens_per_second=2)
        text = _rope(type="mrope", rope_type="default")
    else:
        vision = dict(depth=3, hidden_size=32, out_hidden_size=64, intermediate_size=64, **patches)
        vision |= dict(deepstack_visual_indexes=[0, 1], num_position_embeddings=64)
        text = {**_rope(rope_type="default", mrope_interleaved=True), "head_dim": 16}
    config = getattr(transformers, f"{name}Config")(vision_config=vision, text_config=text, **SPECIAL)
    return finished(getattr(transformers, f"{name}ForConditionalGeneration")(config))


def qwen_pixels(grids: list[Shape], seed: int = 0) -> Any:
    """Patches of videos or images with these grids (before merging 2 x 2)."""
    return noise(sum(t * h * w for t, h, w in grids), 3 * 2 * 8 * 8, seed=seed)


def qwen_runs(name: str, grid: Shape) -> list[list[int]]:
    """Placeholders of one video: one run, or for Qwen3 one a frame behind its time in text."""
    t, h, w = grid
    if name == "Qwen3VL":
        return [[30 + i, 31, START, *[VIDEO] * (h * w // 4), END] for i in range(t)]
    return [[START, *[VIDEO] * (t * h * w // 4), END]]


def qwen_case(name: str, batch: int) -> Case:
    model = qwen_model(name)
    grids = [(FRAMES + b, 6, 8) for b in range(batch)]  # videos of different lengths
    inputs = padded([row_of(qwen_runs(name, grid), b) for b, grid in enumerate(grids)])
    inputs |= {"pixel_values_videos": qwen_pixels(grids), "video_grid_thw": torch.tensor(grids)}
    if name == "Qwen2_5_VL":
        inputs["second_per_grid_ts"] = torch.ones(batch) if transformers.__version__ >= "5" else [1.0] * batch
    return Case(model, with_token_types(model, inputs), [(t, h // 2, w // 2) for t, h, w in grids], VIDEO)


def qwen2_vl(batch: int = 1) -> Case:
    return qwen_case("Qwen2VL", batch)


def qwen2_5_vl(batch: int = 1) -> Case:
    return qwen_case("Qwen2_5_VL", batch)


def qwen3_vl(batch: int = 1) -> Case:
    return qwen_case("Qwen3VL", batch)


@cache
def internvl_model() -> Any:
    vision = transformers.InternVLVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=[32, 32],
        patch_size=[4, 4],
    )
    text = transformers.Qwen2Config(**TEXT)
    config = transformers.InternVLConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE, image_seq_length=16, downsample_ratio=0.5
    )
    return finished(transformers.InternVLForConditionalGeneration(config))


def frame_rows(batch: int) -> list[list[int]]:
    """Frames of 16 placeholders each, behind their number in text."""
    return [row_of([[40 + i, START, *[IMAGE] * 16, END] for i in range(FRAMES)], b) for b in range(batch)]


def internvl(batch: int = 1) -> Case:
    inputs = {**padded(frame_rows(batch)), "pixel_values": noise(batch * FRAMES, 3, 32, 32)}
    return Case(internvl_model(), inputs, [(FRAMES, 4, 4)] * batch, IMAGE)


@cache
def smolvlm_model() -> Any:
    vision = transformers.SmolVLMVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=4
    )
    text = transformers.LlamaConfig(**TEXT)
    config = transformers.SmolVLMConfig(vision_config=vision, text_config=text, image_token_id=IMAGE, scale_factor=2)
    return finished(transformers.SmolVLMForConditionalGeneration(config))


def smolvlm(batch: int = 1) -> Case:
    inputs = {**padded(frame_rows(batch)), "pixel_values": noise(batch, FRAMES, 3, 32, 32)}
    return Case(smolvlm_model(), inputs, [(FRAMES, 4, 4)] * batch, IMAGE)


@cache
def video_llama_model() -> Any:
    vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, patch_size=8)
    config = transformers.VideoLlama3Config(
        vision_config=vision,
        text_config=dict(model_type="qwen2", **TEXT),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
    )
    return finished(transformers.VideoLlama3ForConditionalGeneration(config))


def video_llama_3(batch: int = 1) -> Case:
    if not hasattr(transformers, "VideoLlama3Config"):
        pytest.skip("needs transformers 5: VideoLLaMA3 is not in 4.57")
    rows = [row_of([[40 + i, *[VIDEO] * 12] for i in range(FRAMES)], b) for b in range(batch)]
    inputs = padded(rows) | {
        "pixel_values_videos": noise(batch * FRAMES * 48, 3 * 8 * 8),
        "video_grid_thw": torch.tensor([[FRAMES, 6, 8]] * batch),
        "video_merge_sizes": torch.tensor([2] * batch),
        "video_compression_mask": torch.ones(batch * FRAMES * 12, dtype=torch.bool),
    }
    return Case(video_llama_model(), inputs, [(FRAMES, 3, 4)] * batch, VIDEO)


CASES: dict[str, Callable[[int], Case]] = {
    "llava_onevision": llava_onevision,
    "llava_next_video": llava_next_video,
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "internvl": internvl,
    "smolvlm": smolvlm,
    "video_llama_3": video_llama_3,
}
