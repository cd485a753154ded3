"""Videos that are encoded once for several prompts: each prompt gets the grid of its own video."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from vlm_models import (
    CASES,
    IMAGE,
    START,
    VIDEO,
    padded,
    qwen_model,
    qwen_pixels,
    qwen_runs,
    row_of,
    torch,
    transformers,
)
from vlm_models import with_token_types as with_types

import stgraph
from stgraph.errors import GridError, StgraphError

GREEDY = dict(max_new_tokens=4, do_sample=False)


def evs() -> Any:
    return stgraph.selector("evs", retain_ratio=0.3)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", [name for name in CASES if name != "smolvlm"])
def test_without_a_cache_each_step_is_a_prompt_of_its_own(family: str, batch: int) -> None:
    case = CASES[family](batch)
    how = GREEDY | {"suppress_tokens": [IMAGE, VIDEO, START]}  # a prompt that ends in START breaks Qwen2.5-VL of 4.57
    with stgraph.compress(case.model, evs()) as stats:
        expected = case.model.generate(**case.inputs, **how)
        stats.videos.clear()
        assert torch.equal(case.model.generate(**case.inputs, **how, use_cache=False), expected)
    assert len(stats.videos) == 4 * batch
    assert {video.grid for video in stats.videos} == set(case.grids)


def same_count(name: str, grid: tuple[int, int, int], seed: int) -> dict[str, Any]:
    """A prompt about a video of 48 tokens, of this grid before merging."""
    inputs = padded([row_of(qwen_runs(name, grid), 0)])
    inputs |= {"pixel_values_videos": qwen_pixels([grid], seed), "video_grid_thw": torch.tensor([grid])}
    return with_types(qwen_model(name), inputs)


needs_encoding_ahead = pytest.mark.skipif(
    transformers.__version__ < "5.18", reason="needs transformers 5.18: mm_encoder_outputs"
)


@needs_encoding_ahead
@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("says", ["grid in the call", "grid on the features"])
@pytest.mark.parametrize("name", ["Qwen2VL", "Qwen3VL"])
def test_features_encoded_ahead_keep_their_own_grid(name: str, says: str, beams: int) -> None:
    """Two videos of as many tokens in other shapes, both encoded before either is asked about."""
    model, grids = qwen_model(name), [(4, 6, 8), (4, 8, 6)]
    prompts = [same_count(name, grid, seed) for seed, grid in enumerate(grids)]
    how = GREEDY | {"num_beams": beams}
    with torch.no_grad(), stgraph.compress(model, evs()) as stats:
        expected = [model.generate(**prompt, **how) for prompt in prompts]
        own = [video.grid for video in stats.videos]
        encoded = []
        for prompt in prompts:
            thw = prompt["video_grid_thw"]
            encoded.append(model.get_video_features(prompt["pixel_values_videos"], thw, return_dict=True))
        stats.videos.clear()
        for prompt, features, wanted in zip(prompts, encoded, expected, strict=True):
            rest = {key: value for key, value in prompt.items() if key != "pixel_values_videos"}
            if says == "grid in the call":
                logits = model(**prompt).logits
                found = model(**rest, mm_encoder_outputs={"video": features}).logits
                assert torch.equal(found, logits)
            else:
                again = model.generate(**rest, mm_encoder_outputs={"video": features}, **how)
                assert torch.equal(again, wanted)
    seen = [video.grid for video in stats.videos]
    assert seen == ([grid for grid in own for _ in range(2)] if says == "grid in the call" else own)
    assert own == [(4, 3, 4), (4, 4, 3)]


@needs_encoding_ahead
def test_features_encoded_before_the_block() -> None:
    """The call's own grid decides, in forward and in generate(); without one it is refused, not guessed."""
    model, grids = qwen_model("Qwen2VL"), [(4, 6, 8), (4, 8, 6)]
    first, second = (same_count("Qwen2VL", grid, seed) for seed, grid in enumerate(grids))
    rest = {key: value for key, value in first.items() if key != "pixel_values_videos"}
    with torch.no_grad():
        features = model.get_video_features(first["pixel_values_videos"], first["video_grid_thw"], return_dict=True)
        with stgraph.compress(model, evs()) as stats:
            expected = model(**first).logits
            model(**second)
            assert torch.equal(model(**rest, mm_encoder_outputs={"video": features}).logits, expected)
            for beams in (1, 2):
                wanted = model.generate(**first, **GREEDY, num_beams=beams)
                encoded = {"mm_encoder_outputs": {"video": copy.deepcopy(features)}}  # beams write into it
                assert torch.equal(model.generate(**rest, **encoded, **GREEDY, num_beams=beams), wanted)
            encoded = {"mm_encoder_outputs": {"video": features}}
            with pytest.raises(GridError, match="pass video_grid_thw along, or pass grids="):
                positions = torch.arange(rest["input_ids"].shape[1]).expand(3, 1, -1)
                model(input_ids=rest["input_ids"], position_ids=positions, **encoded)
    grids_seen = [video.grid for video in stats.videos]
    assert grids_seen == [(4, 3, 4), (4, 4, 3), (4, 3, 4), *[(4, 3, 4)] * 4]


def test_a_video_that_only_another_prompt_encoded_is_refused() -> None:
    """A prompt without its video: the grid of the prompt before it does not stand in."""
    case = CASES["qwen2_vl"](1)
    with torch.no_grad(), stgraph.compress(case.model, evs()):
        case.model(**case.inputs)
        with pytest.raises(StgraphError, match="not run on them inside"):
            case.model(input_ids=case.inputs["input_ids"])
    assert VIDEO in case.inputs["input_ids"]
