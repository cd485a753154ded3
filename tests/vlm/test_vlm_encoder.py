"""Selectors of encoder signals in a running model: each prompt gets those of its own videos, however it is asked."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
from encoder_oracle import FAMILIES, Recording, blocks_of, eager_signals, seen, signals_of
from transformers.modeling_outputs import BaseModelOutputWithPooling
from vlm_models import (
    CASES,
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
from vlm_more_models import ALL
from vlm_state import state_of, warm
from vlm_threads import last_logits, other_video, skip_shared_state, together

import stgraph
from stgraph import VideoTokens
from stgraph.errors import MissingSignalError, StgraphError, UnavailableError
from stgraph.vlm.encoder_signals import OF_CLS
from stgraph.vlm.stats import Stats

GREEDY = dict(max_new_tokens=4, do_sample=False)
OF_RECEIVED = ("holitom", "flashvid")
OF_CLS_TOKEN = ("fastervlm", "vispruner", "visionzip", "prumerge", "prumerge+")  # or with attention="received"
LIVE: list[tuple[str, str, dict[str, Any]]] = [(family, name, {}) for family in FAMILIES for name in OF_RECEIVED]
LIVE += [(family, name, {"attention": "received"}) for family in CASES for name in OF_CLS_TOKEN]
LIVE += [(family, name, {}) for family in FAMILIES if OF_CLS[0] in signals_of(family) for name in OF_CLS_TOKEN]


def nodes_of(stats: Stats) -> list[list[int]]:
    return [video.nodes.tolist() for video in stats.videos]


def offline(case: Case, family: str, selector: Any) -> list[list[int]]:
    """What the selector keeps of tokens that carry the signals of eager attention, as a dump would."""
    found, _ = seen(case, family)
    return [
        selector.select(VideoTokens(tokens.features, tokens.grid, eager, tokens.metadata)).nodes.tolist()
        for tokens, eager in zip(found, eager_signals(case, family), strict=True)
    ]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("family", "name", "parameters"), LIVE)
def test_live_selections_are_those_of_a_dump(family: str, name: str, parameters: dict[str, Any], batch: int) -> None:
    case, selector = ALL[family](batch), stgraph.selector(name, retain_ratio=0.4, **parameters)
    with stgraph.compress(case.model, selector) as stats:
        case.model.generate(**case.inputs, **GREEDY | {"suppress_tokens": [IMAGE, VIDEO, START]})
    assert nodes_of(stats) == offline(case, family, selector)
    assert [video.sample for video in stats.videos] == list(range(batch))
    assert all(video.n_kept < video.n_visual for video in stats.videos)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", ["llava_onevision", "llava_next_video", "qwen2_vl", "qwen2_5_vl", "internvl"])
def test_beams_and_copies_select_once(family: str, batch: int) -> None:
    if transformers.__version__ < "5" and family in ("qwen2_5_vl", "internvl"):
        pytest.skip("transformers 4.57 cannot repeat the rows of these, or repeats their frames in place")
    case, selector = CASES[family](batch), stgraph.selector("holitom", retain_ratio=0.4)
    expected = offline(case, family, selector)
    for how in ({"num_beams": 2}, {"do_sample": True, "num_return_sequences": 2}):
        with stgraph.compress(case.model, selector) as stats:
            case.model.generate(**case.inputs, **GREEDY | how)
        assert nodes_of(stats) == expected
        assert [video.n_rows for video in stats.videos] == [2] * batch


@pytest.mark.parametrize("name", ["Qwen2VL", "Qwen2_5_VL", "Qwen3VL"])
def test_images_and_several_videos_of_other_lengths(name: str) -> None:
    """Each of three videos is kept as if it were alone, also behind images with as many patches."""
    model, selector = qwen_model(name), stgraph.selector("holitom", retain_ratio=0.4)
    grids, images = [(3, 4, 6), (2, 8, 4), (4, 4, 4)], [(1, 4, 6), (1, 4, 6)]
    pixels = [qwen_pixels([grid], seed) for seed, grid in enumerate(grids)]
    expected = []
    for grid, own in zip(grids, pixels, strict=True):
        inputs = padded([row_of(qwen_runs(name, grid), 0)])
        inputs |= {"pixel_values_videos": own, "video_grid_thw": torch.tensor([grid])}
        recording: Any = Recording(frozenset({"enc_recv_attn"}))
        with torch.no_grad(), stgraph.compress(model, recording):
            model(**with_token_types(model, inputs))
        expected.append(recording.seen[0].signals["enc_recv_attn"])
    shown = [[START, *[IMAGE] * (h * w // 4)] for _, h, w in images]
    inputs = padded([row_of([*shown, *(run for grid in grids for run in qwen_runs(name, grid))], 0)])
    inputs |= {"pixel_values_videos": torch.cat(pixels), "video_grid_thw": torch.tensor(grids)}
    inputs |= {"pixel_values": qwen_pixels(images, 9), "image_grid_thw": torch.tensor(images)}
    recording = Recording(frozenset({"enc_recv_attn"}))
    with torch.no_grad(), stgraph.compress(model, recording):
        model(**with_token_types(model, inputs))
    assert len(recording.seen) == 3
    for tokens, alone in zip(recording.seen, expected, strict=True):
        assert np.abs(tokens.signals["enc_recv_attn"] - alone).max() < 1e-6
    with stgraph.compress(model, selector) as stats:
        model.generate(**with_token_types(model, inputs), **GREEDY)
    assert len(stats.videos) == 3


@pytest.mark.skipif(transformers.__version__ < "5", reason="transformers 4 gives features, no output of the tower")
@pytest.mark.parametrize("beams", [1, 2])
def test_a_tower_that_is_given_frames_in_chunks(beams: int) -> None:
    """Also where what comes out of the model's own function is not what came out of the tower."""
    case, selector = CASES["llava_onevision"](2), stgraph.selector("holitom", retain_ratio=0.4)
    base, original = case.model.model, type(case.model.model).get_video_features
    expected, how = offline(case, "llava_onevision", selector), GREEDY | {"num_beams": beams}

    def chunked(pixel_values_videos: Any, **options: Any) -> Any:
        rows = []
        for video in pixel_values_videos:
            parts = [original(base, part[None], **options).pooler_output for part in video.split(3)]
            rows.append(torch.cat([*(x[:, :-1] for x in parts), parts[0][:, -1:]], 1))
        features = torch.cat(rows)
        return BaseModelOutputWithPooling(last_hidden_state=features, pooler_output=features)

    base.get_video_features = chunked
    try:
        with stgraph.compress(case.model, selector) as stats:
            case.model(**case.inputs)
            case.model.generate(**case.inputs, **how)
    finally:
        del base.get_video_features
    assert nodes_of(stats) == expected * 2


needs_encoding_ahead = pytest.mark.skipif(
    transformers.__version__ < "5.18", reason="needs transformers 5.18: mm_encoder_outputs"
)


@needs_encoding_ahead
@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("name", ["Qwen2VL", "Qwen2_5_VL"])
def test_videos_encoded_ahead_keep_their_own_signals(name: str, beams: int) -> None:
    """Two videos of one shape, both encoded before either is asked about; one that was encoded outside is refused."""
    model, selector, grid = qwen_model(name), stgraph.selector("holitom", retain_ratio=0.4), (4, 6, 8)
    words = padded([row_of(qwen_runs(name, grid), 0)]) | {"video_grid_thw": torch.tensor([grid])}
    words, pixels = with_token_types(model, words), [qwen_pixels([grid], seed) for seed in range(2)]
    how = GREEDY | {"num_beams": beams}
    with torch.no_grad(), stgraph.compress(model, selector) as stats:
        for own in pixels:
            model.generate(**words, pixel_values_videos=own, **how)
        ahead = [model.get_video_features(own, words["video_grid_thw"], return_dict=True) for own in pixels]
        for features in ahead:
            model.generate(**words, mm_encoder_outputs={"video": features}, **how)
    first, second, again, and_again = nodes_of(stats)
    assert first != second
    assert [again, and_again] == [first, second]
    with torch.no_grad():
        outside = model.get_video_features(pixels[0], words["video_grid_thw"], return_dict=True)
        with stgraph.compress(model, selector) as stats:
            for ask in (model, lambda **given: model.generate(**given, **how)):
                with pytest.raises(MissingSignalError, match="enc_recv_attn is needed, but this video came encoded"):
                    ask(**words, mm_encoder_outputs={"video": outside})
    assert stats.videos == []


@pytest.mark.parametrize(("family", "name"), [("llava_onevision", "holitom"), ("qwen2_5_vl", "holitom")])
def test_threads_get_the_signals_of_their_own_videos(family: str, name: str) -> None:
    skip_shared_state(family)
    case, selector = warm(family, 2), stgraph.selector(name, retain_ratio=0.4)
    prompts, before = [other_video(case, seed) for seed in range(3)], state_of(case.model)
    with stgraph.compress(case.model, selector) as alone:
        expected = [last_logits(case, prompt) for prompt in prompts]
    with stgraph.compress(case.model, selector) as stats:
        results = together([lambda p=p: [last_logits(case, p) for _ in range(3)] for p in prompts])
    for found, wanted in zip(results, expected, strict=True):
        assert not isinstance(found, Exception), found
        assert all(torch.allclose(logits, wanted, atol=1e-5) for logits in found)
    assert sorted(nodes_of(stats)) == sorted(nodes_of(alone) * 3)
    assert state_of(case.model) == before


@pytest.mark.parametrize("family", ["llava_onevision", "llava_next_video", "qwen2_5_vl"])
@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_a_pass_that_fails_leaves_nothing(family: str, error: type[BaseException]) -> None:
    if transformers.__version__ < "5" and family == "llava_onevision":
        pytest.skip("transformers 4.57 leaves its own patches of forward() behind an exception")
    case, selector = warm(family), stgraph.selector("holitom", retain_ratio=0.4)
    before, (_, blocks) = state_of(case.model), blocks_of(case, family)

    def fails(module: Any, args: Any, output: Any) -> None:
        raise error("made up")

    with torch.no_grad(), stgraph.compress(case.model, selector) as stats:
        expected = case.model(**case.inputs).logits
        handle = blocks[-1].register_forward_hook(fails)
        with pytest.raises(error):
            case.model(**case.inputs)
        handle.remove()
        assert torch.equal(case.model(**case.inputs).logits, expected)
        with pytest.raises(StgraphError):  # a prompt without its video, after all these
            case.model(**{key: x for key, x in case.inputs.items() if not key.startswith(("pixel", "video_grid"))})
    assert nodes_of(stats) == nodes_of(stats)[:1] * 2
    assert state_of(case.model) == before


def test_what_the_tower_does_not_give_is_refused_on_entering() -> None:
    case = CASES["qwen2_5_vl"](1)
    for name in OF_CLS_TOKEN:
        with pytest.raises(
            MissingSignalError, match=rf"{re.escape(name)}: \w+_cls_attn .* does not have; enc_recv_attn"
        ):
            stgraph.compress(case.model, stgraph.selector(name, retain_ratio=0.4))
    tower, _ = blocks_of(case, "qwen2_5_vl")
    full, tower.fullatt_block_indexes = tower.fullatt_block_indexes, [0]
    try:
        with pytest.raises(MissingSignalError, match="cannot be read from block 1, which sees windows alone"):
            stgraph.compress(case.model, stgraph.selector("holitom", retain_ratio=0.4))
    finally:
        tower.fullatt_block_indexes = full
    case = CASES["llava_onevision"](1)
    case.model.config.vision_feature_layer = [-1, -2]
    try:
        with pytest.raises(MissingSignalError, match="several layers are joined"):
            stgraph.compress(case.model, stgraph.selector("holitom", retain_ratio=0.4))
    finally:
        case.model.config.vision_feature_layer = -1


def test_a_compiled_tower_is_refused() -> None:
    case = CASES["llava_onevision"](1)
    model = copy.deepcopy(case.model)
    model.model.vision_tower.compile(backend="eager")
    with pytest.raises(UnavailableError, match="the vision tower was compiled"):
        with stgraph.compress(model, stgraph.selector("holitom", retain_ratio=0.4)):
            pass
    with stgraph.compress(model, stgraph.selector("evs", retain_ratio=0.4)):
        pass
