"""Several turns: a further question on a compressed cache, by ``generate``."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from vlm_levels import hidden_run, levels_of
from vlm_models import CACHE, CASES, VIDEO, torch
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
