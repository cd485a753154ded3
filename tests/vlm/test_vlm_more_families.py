"""What is particular to later families: markers, several videos, images, layers without attention."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from vlm_models import (
    IMAGE,
    TEXT,
    VIDEO,
    Case,
    finished,
    padded,
    qwen_pixels,
    row_of,
    torch,
    transformers,
    with_token_types,
)
from vlm_more_models import ALL, MORE, frames_in_markers, run_a_frame
from vlm_oracle import extended, kept_columns, masked_logits, seen_by_text_model

import stgraph
from stgraph.errors import GridError, InputError
from stgraph.vlm.families import FAMILIES, parts_of
from stgraph.vlm.grids import videos_of

GLM = ("glm4v", "glm4v_moe", "glm46v", "glmga", "glm_ocr")


def evs(retain_ratio: float = 0.4) -> Any:
    return stgraph.selector("evs", retain_ratio=retain_ratio)


@pytest.mark.parametrize("family", MORE)
def test_each_is_a_type_of_its_own(family: str) -> None:
    case = MORE[family](1)
    assert case.model.config.model_type == family
    assert family in FAMILIES
    found = videos_of(parts_of(case.model), case.inputs)
    assert [video.grid.shape for video in found] == case.grids


def test_every_known_type_is_run() -> None:
    elsewhere = {"nvila", "llava", "llava_next"}  # test_author_families.py, test_vlm_images.py
    assert set(FAMILIES) == set(ALL) | elsewhere | {"qwen3_5", "qwen3_5_moe"}


@torch.no_grad()
@pytest.mark.parametrize("family", MORE)
def test_grids_of_the_caller_say_the_same(family: str) -> None:
    case = MORE[family](2)
    with stgraph.compress(case.model, evs()) as known:
        expected = case.model(**case.inputs).logits
    given = [[video.grid] for video in videos_of(parts_of(case.model), case.inputs)]
    # Text between frames is no part of what the caller says; CLS tokens are.
    plain: Any = given if family == "video_llava" else [[grid] for grid in case.grids]
    with stgraph.compress(case.model, evs(), grids=plain) as told:
        assert torch.equal(case.model(**case.inputs).logits, expected)
    assert [video.nodes.tolist() for video in told.videos] == [video.nodes.tolist() for video in known.videos]
    with stgraph.compress(case.model, evs(), grids=plain), pytest.raises(GridError, match="no placeholder of video"):
        case.model(input_ids=torch.tensor([[5, 6, 7]] * 2))


@torch.no_grad()
@pytest.mark.parametrize("family", GLM)
def test_two_videos_of_one_row_and_markers(family: str) -> None:
    """Each pair of markers is a video; the rows differ in how many they have."""
    model, grids = MORE[family](1).model, [(3, 4, 4), (2, 6, 8), (4, 4, 4)]
    first = [*frames_in_markers(*grids[0]), [9], *frames_in_markers(*grids[1])]
    inputs = padded([row_of(first, 0), row_of(frames_in_markers(*grids[2]), 1)])
    inputs |= {"pixel_values_videos": qwen_pixels(grids), "video_grid_thw": torch.tensor(grids)}
    inputs = with_token_types(model, inputs)
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = 2 * (inputs["input_ids"] == IMAGE).long()
    case = Case(model, inputs, [], IMAGE)
    with seen_by_text_model(case) as plain:
        model(**inputs)
    with stgraph.compress(model, evs()) as stats:
        found = model(**inputs).logits
    assert [(video.sample, video.grid) for video in stats.videos] == [(0, (3, 2, 2)), (0, (2, 3, 4)), (1, (4, 2, 2))]
    keep, used = inputs["attention_mask"].bool().clone(), [0, 0]
    for video in stats.videos:
        n = len(case.columns(video.sample)[used[video.sample] :][: torch.tensor(video.grid).prod()])
        columns = case.columns(video.sample)[used[video.sample] : used[video.sample] + n]
        used[video.sample] += n
        keep[video.sample, columns] = False
        keep[video.sample, columns[torch.from_numpy(video.nodes)]] = True
    expected = masked_logits(case, keep, inputs["input_ids"], plain[0]["position_ids"])
    for row, columns in enumerate(keep):
        assert (found[row, -int(columns.sum()) :] - expected[row, columns]).abs().max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("family", GLM)
def test_images_under_the_same_placeholder_are_left_alone(family: str) -> None:
    model = MORE[family](1).model
    inputs = padded([row_of([[122, *[IMAGE] * 12, 123]], 0)])
    inputs |= {"pixel_values": qwen_pixels([(1, 6, 8)]), "image_grid_thw": torch.tensor([[1, 6, 8]])}
    inputs = with_token_types(model, inputs)
    expected = model(**inputs).logits
    with stgraph.compress(model, evs()) as stats:
        assert torch.equal(model(**inputs).logits, expected)
    assert stats.videos == [] and stats.prompts == []


@torch.no_grad()
@pytest.mark.parametrize("family", GLM)
def test_a_video_without_its_markers_is_not_passed_over(family: str) -> None:
    case = MORE[family](1)
    ids = case.inputs["input_ids"]
    bare = case.inputs | {"input_ids": torch.where((ids == 124) | (ids == 125), 9, ids)}
    if transformers.__version__ < "5":
        pytest.skip("transformers 4.57 itself finds the video by its markers")
    with stgraph.compress(case.model, evs()), pytest.raises(GridError, match=r"between video_start_token_id 124 and"):
        case.model(**bare)
    with stgraph.compress(case.model, evs(), grids=[case.grids]) as stats:
        case.model(**bare)
    assert stats.videos[0].grid == case.grids[0]


@torch.no_grad()
def test_an_unknown_type_that_writes_the_placeholder_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names a video token, as GLM-4.1V does; with grids= the one it writes is found."""
    case = MORE["glm4v"](1)
    with stgraph.compress(case.model, evs()):
        expected = case.model(**case.inputs).logits
    monkeypatch.setattr(case.model.config, "model_type", "brand_new")
    with stgraph.compress(case.model, evs(), grids=[case.grids]) as stats:
        assert torch.equal(case.model(**case.inputs).logits, expected)
        assert stats.videos[0].grid == case.grids[0]
    image = padded([row_of([[122, *[IMAGE] * 12, 123]], 0)])
    image |= {"pixel_values": qwen_pixels([(1, 6, 8)]), "image_grid_thw": torch.tensor([[1, 6, 8]])}
    image = with_token_types(case.model, image)
    expected = case.model(**image).logits
    with stgraph.compress(case.model, evs(), grids=lambda ids: [[] for _ in ids]) as stats:
        assert torch.equal(case.model(**image).logits, expected)
    assert stats.videos == []


def test_the_thinker_is_what_can_be_compressed() -> None:
    whole = SimpleNamespace(config=SimpleNamespace(model_type="qwen2_5_omni"), thinker=object(), generate=None)
    with pytest.raises(InputError, match=r"pass its \.thinker"):
        parts_of(whole)


@torch.no_grad()
@pytest.mark.parametrize("name", ["Qwen3_5", "Qwen3_5Moe"])
def test_layers_without_attention_are_said_in_the_records(name: str) -> None:
    """Three of four layers of Qwen3.5 carry a state along: what is left runs, but is not as if masked."""
    kind = getattr(transformers, f"{name}ForConditionalGeneration", None)
    if kind is None:
        pytest.skip(f"transformers {transformers.__version__} has no {name}ForConditionalGeneration")
    vision = dict(depth=2, hidden_size=32, out_hidden_size=64, intermediate_size=64, num_position_embeddings=64)
    vision |= dict(patch_size=8, spatial_merge_size=2, temporal_patch_size=2, num_heads=2)
    rope = dict(rope_type="default", rope_theta=1e4, mrope_section=[2, 3, 3], partial_rotary_factor=1.0)
    rope |= dict(mrope_interleaved=True)
    text: dict[str, Any] = {**TEXT, "head_dim": 16, "rope_parameters": rope, "linear_num_key_heads": 2}
    text |= dict(linear_num_value_heads=4, linear_key_head_dim=16, linear_value_head_dim=16)
    if name == "Qwen3_5Moe":
        text |= dict(moe_intermediate_size=32, shared_expert_intermediate_size=32, num_experts=4, num_experts_per_tok=2)
    ids = dict(image_token_id=IMAGE, video_token_id=VIDEO, vision_start_token_id=122, vision_end_token_id=123)
    config = getattr(transformers, f"{name}Config")(vision_config=vision, text_config=text, **ids)
    model = finished(kind(config))
    grid = (4, 6, 8)
    inputs = padded([row_of(run_a_frame(*grid), 0)])
    inputs |= {"pixel_values_videos": qwen_pixels([grid]), "video_grid_thw": torch.tensor([grid])}
    inputs = with_token_types(model, inputs)
    expected = model(**inputs).logits
    with stgraph.compress(model, evs(1.0)):
        assert torch.equal(model(**inputs).logits, expected)
    with stgraph.compress(model, evs()) as stats:
        model.generate(**inputs, max_new_tokens=3, do_sample=False)
    (video,) = stats.videos
    assert video.grid == (4, 3, 4)
    assert video.n_kept == 20
    assert "linear_attention" in video.exactness


def gemma_case(bidirectional: str | None) -> Case:
    """Gemma 4, of no known type: its base model makes masks by name, and inputs for each layer and token."""
    if not hasattr(transformers, "Gemma4ForConditionalGeneration"):
        pytest.skip(f"transformers {transformers.__version__} has no Gemma4ForConditionalGeneration")
    kinds = ["sliding_attention"] * 3 + ["full_attention"]
    text = {**TEXT, "head_dim": 16, "global_head_dim": 16, "sliding_window": 4096, "layer_types": kinds}
    text |= dict(
        vocab_size_per_layer_input=128, hidden_size_per_layer_input=8, use_bidirectional_attention=bidirectional
    )
    vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, head_dim=16)
    config = transformers.Gemma4Config(
        text_config=text,
        vision_config=vision | dict(num_key_value_heads=2, patch_size=8),
        audio_config=None,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
    )
    model = finished(transformers.Gemma4ForConditionalGeneration(config))
    inputs = padded([row_of([[122, *[VIDEO] * 6, 123] for _ in range(4)], b) for b in range(2)])
    return Case(model, with_token_types(model, inputs), [(4, 2, 3)] * 2, VIDEO)


@torch.no_grad()
@pytest.mark.parametrize("bidirectional", [None, "vision"])
def test_masks_by_name_and_inputs_for_each_layer(bidirectional: str | None) -> None:
    case = gemma_case(bidirectional)
    greedy = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)
    selector = stgraph.selector("random", retain_ratio=0.4)
    with stgraph.compress(case.model, selector, grids=[[grid] for grid in case.grids]) as stats:
        found = case.model(**case.inputs).logits
        generated = case.model.generate(**case.inputs, **greedy)
    keep = kept_columns(case, stats)
    S = keep.shape[1]

    def masked(kwargs: dict[str, Any]) -> dict[str, Any]:
        n_new = kwargs["inputs_embeds"].shape[1] - S
        hidden = ~torch.nn.functional.pad(keep, (0, n_new), value=True)[:, None, None, :]
        masks = {name: mask.masked_fill(hidden, False) for name, mask in kwargs["attention_mask"].items()}
        return {**kwargs, "attention_mask": masks}

    with seen_by_text_model(case, masked):
        expected = case.model(**case.inputs).logits
        whole = case.model(**extended(case, generated.sequences[:, :-1])).logits[:, S - 1 :]
    for row, columns in enumerate(keep):
        wanted = expected[row, columns]
        assert (found[row, -len(wanted) :] - wanted).abs().max() < 3e-5
    assert (torch.stack(generated.logits, 1) - whole).abs().max() < 3e-5
