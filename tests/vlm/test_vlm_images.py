"""Images in compress(): each a frame of one; logits and tokens of the full prompt that hides what was dropped."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from encoder_oracle import Recording
from image_prompts import GREEDY, PROMPTS, Pictures, qwen
from vlm_levels import hidden_run
from vlm_models import CACHE, IMAGE, START, padded, qwen_runs, row_of, torch, with_token_types
from vlm_oracle import masked_logits, positions_of, seen_by_text_model

import stgraph
from stgraph.errors import GridError, InputError, MissingSignalError

SELECTORS: dict[str, dict[str, Any]] = {
    "st-simdiff": {},
    "st-simdiff by centrality": {"importance": "centrality"},
    "divprune": {},
    "fastv": {"n_layers": 4},
}


def made(name: str, retain_ratio: float = 0.3) -> Any:
    return stgraph.selector(name.partition(" ")[0], retain_ratio=retain_ratio, **SELECTORS[name])


def n_target(grid: tuple[int, int, int]) -> int:
    return math.ceil(3 * math.prod(grid) / 10)


def plain(prompt: Pictures) -> tuple[Any, list[dict[str, Any]]]:
    """What the unmodified model generates, and what reaches its text model."""
    with seen_by_text_model(prompt.case) as calls:
        out = prompt.case.model.generate(**prompt.case.inputs, **GREEDY)
    return out, calls


@pytest.mark.parametrize("name", ["st-simdiff", "st-simdiff by centrality", "divprune"])
@pytest.mark.parametrize("family", PROMPTS)
def test_it_is_the_full_prompt_with_the_dropped_tokens_hidden(family: str, name: str) -> None:
    prompt = PROMPTS[family]()
    case = prompt.case
    _, calls = plain(prompt)
    with stgraph.compress(case.model, made(name), images=True) as stats:
        out = case.model.generate(**case.inputs, **GREEDY)
    assert [(record.sample, record.medium, record.grid) for record in stats.videos] == [p[:3] for p in prompt.pictures]
    assert [record.n_kept for record in stats.videos] == [n_target(p[2]) for p in prompt.pictures]
    keep = prompt.kept(stats)
    assert stats.prompts[0].kept_length == int(keep.sum(1).max())
    logits = masked_logits(case, keep, out.sequences[:, :-1], positions_of(calls))[:, keep.shape[1] - 1 :]
    assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5
    logits[..., case.model.generation_config.suppress_tokens] = -torch.inf
    assert logits.argmax(-1).tolist() == out.sequences[:, keep.shape[1] :].tolist()


@torch.no_grad()
@pytest.mark.parametrize("family", PROMPTS)
def test_features_are_those_of_the_image_in_raster_order(family: str) -> None:
    """What the selector is given, against the embeddings at the columns where the test says that patches lie."""
    prompt = PROMPTS[family]()
    given: list[Any] = []

    class Watching:
        name, requires, on_gpu = "watching", frozenset[str](), False

        def count(self, grid: Any, budget: Any = None) -> int:
            return int(grid.n_nodes)

        def select(self, tokens: Any, budget: Any = None) -> Any:
            given.append(np.array(tokens.lattice))
            return stgraph.selector("uniform", retain_ratio=1.0).select(tokens)

    with seen_by_text_model(prompt.case) as calls, stgraph.compress(prompt.case.model, Watching(), images=True):
        prompt.case.model(**prompt.case.inputs)
    embeds = calls[0]["inputs_embeds"]
    assert len(given) == len(prompt.pictures)
    for which, lattice in enumerate(given):
        row, _, grid, _, _ = prompt.pictures[which]
        expected = embeds[row, prompt.columns(which)].reshape(*grid, -1).numpy()
        assert np.array_equal(lattice, expected)


@torch.no_grad()
@pytest.mark.parametrize("family", PROMPTS)
def test_all_tokens_kept_is_the_model_itself(family: str) -> None:
    case = PROMPTS[family]().case
    expected = case.model(**case.inputs).logits
    with stgraph.compress(case.model, made("st-simdiff", 1.0), images=True) as stats:
        assert torch.equal(case.model(**case.inputs).logits, expected)
    assert {record.n_kept == record.n_visual for record in stats.videos} == {True}


@pytest.mark.parametrize("family", PROMPTS)
def test_cuts_inside_the_model_are_as_if_hidden(family: str) -> None:
    prompt = PROMPTS[family]()
    case = prompt.case
    _, calls = plain(prompt)
    with stgraph.compress(case.model, made("fastv"), images=True) as stats:
        out = case.model.generate(**case.inputs, **GREEDY)
    for record in stats.videos:
        assert record.account.per_layer[:2] == [record.n_visual] * 2
        assert record.account.per_layer[2:] == [record.n_kept] * 2 == [n_target(record.grid)] * 2
    keep = prompt.kept(stats)
    hidden = hidden_run(case, {2: keep}, out.sequences[:, :-1], positions_of(calls)).logits[:, keep.shape[1] - 1 :]
    assert (torch.stack(out.logits, 1) - hidden).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl"])
def test_beams_share_a_selection(family: str) -> None:
    prompt = PROMPTS[family]()
    case = prompt.case
    with stgraph.compress(case.model, made("st-simdiff"), images=True) as stats:
        case.model.generate(**case.inputs, max_new_tokens=3, num_beams=2, do_sample=False)
    assert [record.n_rows for record in stats.videos] == [2] * len(prompt.pictures)


# Signals of the vision encoder

ENCODER = {
    "llava": ("fastervlm", "visionzip", "prumerge", "vispruner", "holitom"),
    "internvl": ("fastervlm", "visionzip"),
    "qwen2_vl": ("holitom",),
    "qwen2_5_vl": ("holitom",),
    "qwen3_vl": ("holitom",),
}
SEEN = frozenset({"enc_recv_attn", "enc_keys_mean"})


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in ENCODER for name in ENCODER[family]])
def test_selectors_that_read_the_encoder(family: str, name: str) -> None:
    prompt = PROMPTS[family]()
    case = prompt.case
    with stgraph.compress(case.model, stgraph.selector(name, retain_ratio=0.4), images=True) as stats:
        case.model.generate(**case.inputs, **GREEDY)
    assert [record.medium for record in stats.videos] == [medium for _, medium, *_ in prompt.pictures]
    assert all(record.n_kept < record.n_visual for record in stats.videos)


def recorded(model: Any, inputs: dict[str, Any], generate: bool) -> list[stgraph.VideoTokens]:
    """The tokens a selector is given, in the order of the prompt."""
    recording: Any = Recording(SEEN, every=1)
    with torch.no_grad(), stgraph.compress(model, recording, images=True):
        if generate:
            model.generate(**inputs, max_new_tokens=1, do_sample=False)
        else:
            model(**inputs)
    return recording.seen


@pytest.mark.parametrize("generate", [False, True])
@pytest.mark.parametrize("name", ["Qwen2VL", "Qwen2_5_VL", "Qwen3VL"])
def test_each_picture_gets_its_own_signals(name: str, generate: bool) -> None:
    """Images and a video in one prompt, against each of them alone."""
    prompt = qwen(name)
    inputs, model = prompt.case.inputs, prompt.case.model
    together = recorded(model, inputs, generate)
    images, video = inputs["image_grid_thw"], inputs["video_grid_thw"]
    ends = images.prod(1).cumsum(0).tolist()
    alone = []
    for i, (t, h, w) in enumerate(images.tolist()):
        own = padded([row_of([[START, *[IMAGE] * (h * w // 4)]], 0)])
        own["pixel_values"] = inputs["pixel_values"][ends[i] - t * h * w : ends[i]]
        alone += recorded(model, with_token_types(model, {**own, "image_grid_thw": images[i : i + 1]}), False)
    own = padded([row_of(qwen_runs(name, tuple(video[0].tolist())), 0)])
    own |= {"pixel_values_videos": inputs["pixel_values_videos"], "video_grid_thw": video}
    (moving,) = recorded(model, with_token_types(model, own), False)
    for found, expected in zip(together, [alone[0], moving, alone[1], alone[2]], strict=True):
        assert found.grid.shape == expected.grid.shape
        for signal in SEEN:
            assert np.abs(found.signals[signal] - expected.signals[signal]).max() < 1e-6


@pytest.mark.parametrize("generate", [False, True])
def test_signals_of_images_are_those_of_eager_attention(generate: bool) -> None:
    case = PROMPTS["llava"]().case
    found = recorded(case.model, case.inputs, generate)
    tower = case.model.model.vision_tower
    eager = copy.deepcopy(tower)
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        attention = eager(case.inputs["pixel_values"], output_attentions=True).attentions
    # hidden state -2 is what the block before the last makes; the CLS token stands first
    received = attention[-2].mean(1)[:, :, 1:].mean(1).numpy()
    for tokens, expected in zip(found, received, strict=True):
        assert np.abs(tokens.signals["enc_recv_attn"].reshape(-1) - expected).max() < 1e-6


@torch.no_grad()
def test_images_are_left_alone_unless_asked_for() -> None:
    case = PROMPTS["qwen2_vl"]().case
    with stgraph.compress(case.model, made("st-simdiff")) as stats:
        case.model(**case.inputs)
    assert [(record.medium, record.grid) for record in stats.videos] == [("video", (3, 2, 2))]


def test_tiles_of_a_picture_without_whole_rows_are_an_error() -> None:
    prompt = PROMPTS["llava_next"]()
    case = prompt.case
    ids = case.inputs["input_ids"].clone()
    ids[0, (ids[0] == IMAGE).nonzero()[0, 0]] = 9
    inputs = {**case.inputs, "input_ids": ids}
    with stgraph.compress(case.model, made("st-simdiff"), images=True), pytest.raises((GridError, ValueError)):
        case.model(**inputs)


@pytest.mark.parametrize(
    ("family", "selector", "options", "error", "message"),
    [
        ("llava", "st-simdiff", {}, InputError, "LlavaForConditionalGeneration takes no videos; pass images=True"),
        ("qwen2_vl", "st-simdiff", {"images": True, "grids": [[]]}, InputError, "grids= says where everything is"),
        ("llava_next", "visionzip", {"images": True}, MissingSignalError, "not read for images that llava_next cuts"),
    ],
)
def test_what_is_refused(
    family: str, selector: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = PROMPTS[family]().case.model
    with pytest.raises(error, match=message):
        stgraph.compress(model, stgraph.selector(selector, retain_ratio=0.3), **options)


def test_families_whose_images_are_not_known_are_refused() -> None:
    from vlm_models import smolvlm_model

    with pytest.raises(InputError, match="does not know the images of model type 'smolvlm'; known are llava_onevision"):
        stgraph.compress(smolvlm_model(), made("st-simdiff"), images=True)


def test_an_image_in_a_later_turn_is_refused() -> None:
    case = PROMPTS["llava"]().case
    with stgraph.compress(case.model, made("st-simdiff"), images=True):
        out = case.model.generate(**case.inputs, **GREEDY)
        ids = torch.cat([out.sequences, case.inputs["input_ids"]], 1)
        with pytest.raises(InputError, match="a video or an image comes in a later turn"):
            case.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=case.inputs["pixel_values"],
                max_new_tokens=2,
                **{CACHE: out[CACHE]},
            )
