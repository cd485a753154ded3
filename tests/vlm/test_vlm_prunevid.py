"""PruneVid inside a running model: merged before, cut behind a layer by the attention of the prompt's text."""

from __future__ import annotations

from typing import Any

import pytest
from merged_reference import MergedReference
from staged_selectors import Steps
from vlm_generating import first_of_copies, mixed_prompt
from vlm_levels import eager, hidden_run, keep_rows
from vlm_models import CACHE, CASES, torch
from vlm_oracle import seen_by_text_model

import stgraph
from stgraph.errors import InputError
from stgraph.selection.stages import AttentionRead, Stage

GREEDY = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)
HOW: dict[str, Any] = dict(n_keep=5, layer=1, n_layers=4, tau=-1.0)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", sorted(CASES))
def test_cut_by_the_text_and_hidden_in_every_cache(family: str, attention: str, batch: int) -> None:
    case = CASES[family](batch)
    selector = stgraph.selector("prunevid-attention", **HOW)
    case.model.set_attn_implementation(attention)
    try:
        with stgraph.compress(case.model, selector) as stats, seen_by_text_model(case) as calls:
            out = case.model.generate(**case.inputs, **GREEDY)
    finally:
        case.model.set_attn_implementation("sdpa")
    expected = MergedReference(case, selector)
    n = case.inputs["input_ids"].shape[1]
    positions = expected.positions(3, calls[0]["position_ids"].ndim if "position_ids" in calls[0] else 2)
    cut = case.inputs["attention_mask"].bool().clone()
    for row, found in enumerate(expected.attention(positions, 1, by_text=True)):
        video = stats.videos[row]
        assert video.nodes.tolist() == expected.states[row].resume(found).nodes.tolist()
        keep_rows(case, cut, row, torch.from_numpy(video.nodes))
        merged = len(expected.states[row].rows)
        assert video.account.per_layer == [merged] * 2 + [5] * 2 and merged > 5
        assert video.positions == "compact"
    with seen_by_text_model(case, expected.inputs):
        levels = {0: expected.merged, 2: cut}
        logits = hidden_run(case, levels, out.sequences[:, :-1], positions, generated=cut).logits[:, n - 1 :]
    assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl", "qwen3_vl"])
def test_a_further_turn_does_not_see_what_went_either(family: str) -> None:
    case, selector = CASES[family](1), stgraph.selector("prunevid-attention", **HOW)
    question = torch.tensor([[7, 11, 13, 17, 19]])
    with stgraph.compress(case.model, selector) as stats, seen_by_text_model(case) as calls:
        first = case.model.generate(**case.inputs, **GREEDY)
        ids = torch.cat([first.sequences, question], 1)
        held = {CACHE: first.get(CACHE, first.get("past_key_values"))}
        again = case.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **held, **GREEDY)
    expected = MergedReference(case, selector)
    positions = expected.positions(13, calls[0]["position_ids"].ndim if "position_ids" in calls[0] else 2)
    cut = case.inputs["attention_mask"].bool().clone()
    keep_rows(case, cut, 0, torch.from_numpy(stats.videos[0].nodes))
    with seen_by_text_model(case, expected.inputs):
        levels = {0: expected.merged, 2: cut}
        logits = hidden_run(case, levels, again.sequences[:, :-1], positions, generated=cut).logits
    assert (torch.stack(again.logits, 1) - logits[:, ids.shape[1] - 1 :]).abs().max() < 1e-5


@torch.no_grad()
def test_the_text_behind_each_of_several_videos() -> None:
    case, read = mixed_prompt("Qwen2VL"), AttentionRead(1, fixed=True, by="text")
    selector = Steps(Stage(2, read))
    with stgraph.compress(case.model, selector) as stats:
        case.model(**case.inputs)
    with eager(case.model):
        weights = case.model(**case.inputs, output_attentions=True).attentions[1]
    ids, used = case.inputs["input_ids"], [0, 0, 0]
    for video, found in zip(stats.videos, selector.read, strict=True):
        row, n = video.sample, video.n_visual
        columns = case.columns(row)[used[row] : used[row] + n]
        used[row] += n
        behind = (ids[row] != case.token) & (torch.arange(ids.shape[1]) > columns[-1])
        expected = weights[row][:, behind].amax((0, 1))[columns]
        assert (torch.from_numpy(found[2]) - expected).abs().max() < 1e-6


def test_beams_and_static_caches() -> None:
    case = CASES["qwen2_vl"](2)
    with stgraph.compress(case.model, stgraph.selector("prunevid-attention", **HOW)) as stats:
        plain = case.model.generate(**case.inputs, **GREEDY)
        static = case.model.generate(**case.inputs, **GREEDY, cache_implementation="static")
        case.model.generate(**case.inputs, **GREEDY | dict(num_beams=2))
    assert (torch.stack(static.logits, 1) - torch.stack(plain.logits, 1)).abs().max() < 1e-5
    kept = [video.nodes.tolist() for video in first_of_copies(stats, 2).videos]
    assert [video.nodes.tolist() for video in stats.videos] == kept * 3


def test_refused() -> None:
    case, selector = CASES["qwen2_vl"](1), stgraph.selector("prunevid-attention", **HOW)
    with pytest.raises(InputError, match=r"the attention of the prompt's text, which .* between decoder layers alone"):
        stgraph.compress(case.model, selector, where="before")
    with pytest.raises(InputError, match="drops tokens before decoder layer 11"):
        stgraph.compress(case.model, stgraph.selector("prunevid-attention", retain_ratio=0.3))
    with pytest.raises(InputError, match="text in decoder layer 2, before which it cuts"):
        stgraph.compress(case.model, Steps(Stage(2, AttentionRead(2, fixed=True, by="text"))))
    with pytest.raises(InputError, match="attention must be read by one of 'last', 'text', "):
        stgraph.compress(case.model, Steps(Stage(2, AttentionRead(1, by="mean"))))
    with pytest.raises(InputError, match="reads the states 'output'; they must be 'input', 'normed' or 'mlp'"):
        stgraph.compress(case.model, Steps(Stage(2, states="output")))
    with stgraph.compress(case.model, selector), pytest.raises(InputError, match="guesses in assisted decoding"):
        case.model(**case.inputs, logits_to_keep=3)


@torch.no_grad()
def test_everything_is_kept_at_r_1_and_by_the_authors_count_less() -> None:
    case = CASES["qwen2_vl"](1)
    plain = case.model(**case.inputs).logits
    how = HOW | dict(n_keep=None, retain_ratio=1.0)
    with stgraph.compress(case.model, stgraph.selector("prunevid-attention", **how)):
        assert torch.equal(case.model(**case.inputs).logits, plain)
    with stgraph.compress(case.model, stgraph.selector("prunevid-attention", **how, exact_count=False)) as stats:
        case.model(**case.inputs)
    assert 0 < stats.videos[0].n_kept < 48
