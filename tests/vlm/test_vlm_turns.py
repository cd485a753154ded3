"""Several turns: a further question on a compressed cache, by ``generate``."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from vlm_levels import hidden_run, levels_of
from vlm_models import (
    CACHE,
    CASES,
    END,
    IMAGE,
    PAD,
    START,
    VIDEO,
    noise,
    qwen_pixels,
    torch,
    transformers,
    with_token_types,
)
from vlm_more_models import ALL
from vlm_oracle import kept_columns, masked_logits, positions_of, seen_by_text_model
from vlm_turns import GREEDY, question, turns

import stgraph
from stgraph.errors import InputError


@pytest.mark.parametrize("name", ["evs", "st-simdiff", "fastv"])
@pytest.mark.parametrize(("family", "batch"), [*((f, 1) for f in CASES), *((f, 2) for f in ALL)])
def test_three_turns_are_as_if_masked(family: str, name: str, batch: int) -> None:
    """Each turn's logits equal those of the whole conversation in the unmodified model, dropped tokens hidden."""
    case = ALL[family](batch)
    with stgraph.compress(case.model, stgraph.selector(name, retain_ratio=0.4)) as stats:
        outs = turns(case, 3)
    # What the unmodified model counts for the same tokens, in one go.
    steps = outs[-1].sequences.shape[1] - case.inputs["input_ids"].shape[1]
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY | {"max_new_tokens": steps})
    positions = positions_of(plain)
    for out in outs:
        n = len(out.logits)
        if name == "fastv":
            expected = hidden_run(case, levels_of(case, stats), out.sequences[:, :-1], positions).logits
        else:
            expected = masked_logits(case, kept_columns(case, stats), out.sequences[:, :-1], positions)
        assert (torch.stack(out.logits, 1) - expected[:, -n:]).abs().max() < 1e-5


def test_a_conversation_that_begins_otherwise_is_refused() -> None:
    case = CASES["llava_onevision"](1)
    with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.4)):
        (out,) = turns(case, 1)
        cache = out.get(CACHE, out.get("past_key_values"))
        inputs = question(case, out.sequences, 1)
        inputs["input_ids"][0, 0] += 1
        with pytest.raises(InputError, match="does not begin with the prompt that is in the cache"):
            case.model.generate(**inputs, **{CACHE: cache}, **GREEDY)


@pytest.mark.parametrize("name", ["evs", "fastv"])
def test_a_video_in_a_later_turn_is_refused(name: str) -> None:
    case = CASES["llava_onevision"](1)
    with stgraph.compress(case.model, stgraph.selector(name, retain_ratio=0.4)):
        (out,) = turns(case, 1)
        cache = out.get(CACHE, out.get("past_key_values"))
        new = [*[VIDEO] * (4 * 9 + 1), 5, 6]
        ids = torch.cat([out.sequences, torch.tensor([new])], 1)
        held = int(cache.get_seq_length())
        feed = ids[:, -len(new) :]
        with pytest.raises(
            InputError,
            match=f"a video or an image comes in a later turn, or in pieces, when the cache already holds {held} ",
        ):
            case.model(input_ids=feed, pixel_values_videos=case.inputs["pixel_values_videos"], **{CACHE: cache})
        assert np.array_equal(cache.get_seq_length(), held)


def test_a_copied_cache_goes_on_as_its_original() -> None:
    """Two questions about one video, each on its own copy, without a mask."""
    case = CASES["smolvlm"](1)
    with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.4)):
        (out,) = turns(case, 1)
        cache = out.get(CACHE, out.get("past_key_values"))
        copies = [copy.deepcopy(cache) for _ in range(2)]
        asked = [question(case, out.sequences, seed)["input_ids"] for seed in (1, 2)]
        found = [
            case.model.generate(input_ids=ids, **{CACHE: one}, **GREEDY) for ids, one in zip(asked, copies, strict=True)
        ]
        again = case.model.generate(input_ids=asked[0], **{CACHE: cache}, **GREEDY)
    assert torch.equal(again.sequences, found[0].sequences)
    assert not torch.equal(found[0].logits[0], found[1].logits[0])


@pytest.mark.parametrize("name", ["evs", "fastv"])
@pytest.mark.parametrize("family", CASES)
def test_padding_between_turns_is_not_counted(family: str, name: str) -> None:
    """Conversations of a batch differ in length: the second row's answer and question are shorter."""
    if name == "fastv" and "qwen" in family and transformers.__version__ < "5":
        pytest.skip("transformers 4 counts padding between turns of Qwen, compressed or not")
    case = ALL[family](2)
    with stgraph.compress(case.model, stgraph.selector(name, retain_ratio=0.4)) as stats:
        (first,) = turns(case, 1)
        inputs, n = question(case, first.sequences, 1), first.sequences.shape[1]
        inputs["input_ids"][1, n - 2 : n + 1] = PAD
        inputs["attention_mask"][1, n - 2 : n + 1] = 0
        cache = first.get(CACHE, first.get("past_key_values"))
        out = case.model.generate(**inputs, **{CACHE: cache}, **GREEDY)
    conversation = replace(case, inputs={**case.inputs, **inputs})
    with seen_by_text_model(case) as plain:
        case.model.generate(**conversation.inputs, **GREEDY)
    positions, behind = positions_of(plain), inputs["attention_mask"][:, case.inputs["input_ids"].shape[1] :]
    if name == "fastv":
        levels = {layer: torch.cat([keep, behind.bool()], 1) for layer, keep in levels_of(case, stats).items()}
        expected = hidden_run(conversation, levels, out.sequences[:, :-1], positions).logits
    else:
        keep = torch.cat([kept_columns(case, stats), behind.bool()], 1)
        expected = masked_logits(conversation, keep, out.sequences[:, :-1], positions)
    assert (torch.stack(out.logits, 1) - expected[:, -len(out.logits) :]).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl"])
def test_an_image_in_a_later_turn_is_refused_where_it_has_positions_on_several_axes(family: str) -> None:
    case = CASES[family](1)
    picture = {"pixel_values": qwen_pixels([(1, 4, 8)], seed=3), "image_grid_thw": torch.tensor([(1, 4, 8)])}
    picture["video_grid_thw"] = case.inputs["video_grid_thw"]
    with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.4)):
        (first,) = turns(case, 1)
        new = torch.tensor([[START, *[IMAGE] * 8, END, 5, 6]])
        ids = torch.cat([first.sequences, new], 1)
        inputs = with_token_types(case.model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        cache = first.get(CACHE, first.get("past_key_values"))
        with pytest.raises(InputError, match="a video or an image comes in a later turn"):
            case.model.generate(**inputs, **picture, **{CACHE: cache}, **GREEDY)


def test_an_image_in_a_later_turn_is_as_if_masked_where_it_is_counted_like_text() -> None:
    if transformers.__version__ < "5":
        pytest.skip("generate() of transformers 4 hands on no image behind a cache")
    case = CASES["llava_onevision"](1)
    picture = {"pixel_values": noise(2, 1, 3, 48, 48, seed=3), "image_sizes": torch.tensor([[48, 48]] * 2)}
    picture["batch_num_images"] = torch.tensor([2])  # of which the model makes no tiles
    with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.4)) as stats:
        (first,) = turns(case, 1)
        ids = torch.cat([first.sequences, torch.tensor([[7, *[IMAGE] * 74, 5, 6]])], 1)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        cache = first.get(CACHE, first.get("past_key_values"))
        out = case.model.generate(**inputs, **picture, **{CACHE: cache}, **GREEDY)
    conversation = replace(case, inputs={**case.inputs, **inputs, **picture})
    positions = torch.arange(out.sequences.shape[1])[None]
    expected = masked_logits(conversation, kept_columns(case, stats), out.sequences[:, :-1], positions)
    assert (torch.stack(out.logits, 1) - expected[:, -len(out.logits) :]).abs().max() < 1e-5


def test_a_cache_cut_between_layers_is_refused_without_hooks_on_the_layers() -> None:
    case = CASES["llava_onevision"](2)
    with stgraph.compress(case.model, stgraph.selector("fastv", retain_ratio=0.4)):
        (first,) = turns(case, 1)
    cache, inputs = first.get(CACHE, first.get("past_key_values")), question(case, first.sequences, 1)
    with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.4)):
        with pytest.raises(InputError, match=r"cut between decoder layers, .* but evs cuts before the first"):
            case.model.generate(**inputs, **{CACHE: cache}, **GREEDY)
    with stgraph.compress(case.model, stgraph.selector("fastv", retain_ratio=0.8)):
        case.model.generate(**inputs, **{CACHE: cache}, **GREEDY)
