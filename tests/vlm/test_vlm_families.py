"""The contract of compress() on every family, alone and in a batch of unequal rows."""

from __future__ import annotations

import pytest
import vlm_contract as contract
from vlm_contract import eager_attention, forward, st_simdiff
from vlm_more_models import ALL as CASES
from vlm_oracle import seen_by_text_model

import stgraph
from stgraph.vlm.sequence import with_positions

EVERY = pytest.mark.parametrize("batch", [1, 2])


@pytest.fixture(params=CASES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@EVERY
def test_everything_kept_is_bit_identical(family: str, batch: int) -> None:
    contract.everything_kept_is_bit_identical(CASES[family](batch))


@EVERY
def test_dropped_tokens_are_as_if_masked(family: str, batch: int) -> None:
    contract.dropped_tokens_are_as_if_masked(CASES[family](batch))


@EVERY
def test_forward_alone_is_as_if_masked(family: str, batch: int) -> None:
    contract.forward_alone_is_as_if_masked(CASES[family](batch))


@EVERY
@pytest.mark.parametrize("layer", [0, 2])
def test_the_probe_is_eager_attention(family: str, batch: int, layer: int) -> None:
    contract.the_probe_is_eager_attention(CASES[family](batch), layer)


@EVERY
def test_the_last_cut_is_by_attention_among_the_candidates(family: str, batch: int) -> None:
    """Candidates from features alone, their eager attention with all else masked, and the ceil(r N) best of them."""
    case = CASES[family](batch)
    with seen_by_text_model(case) as plain:
        forward(case)
    with stgraph.compress(case.model, st_simdiff(0.3)) as stats, seen_by_text_model(case) as calls:
        forward(case)
    assert calls[0]["inputs_embeds"].shape[1] == stats.prompts[0].probe_length
    keep, places, candidates = case.inputs["attention_mask"].bool().clone(), [], []
    for row, (T, H, W) in enumerate(case.grids):
        columns = case.columns(row)[: T * H * W]
        features = plain[0]["inputs_embeds"][row, columns].view(T, H, W, -1)
        chosen = st_simdiff(0.3, reduce=False).select(stgraph.VideoTokens.from_array(features))
        keep[row, columns] = False
        keep[row, columns[chosen.indices]] = True
        places.append(columns)
        candidates.append(chosen.indices)
    attention = eager_attention(case, with_positions(plain[0]) | {"attention_mask": keep.long()}, layer=1)
    for row, video in enumerate(stats.videos):
        assert video.exactness == "exact"
        assert video.n_candidates == len(candidates[row]) > video.n_kept
        ranked = attention[row, places[row][candidates[row]]].argsort(descending=True)[: video.n_kept].numpy()
        assert sorted(candidates[row][ranked]) == video.nodes.tolist()
