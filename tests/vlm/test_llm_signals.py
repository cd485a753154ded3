"""Signals of the language model's layers in dumps: beside eager attention, and as the running model selects by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_dumps import eager, run, seen_inputs
from vlm_models import CASES, Case, torch

import stgraph
from stgraph.errors import InputError
from stgraph.selection.base import SELECTORS
from stgraph.signals import SIGNALS
from stgraph.tokens import VideoTokens
from stgraph.video.dump import Extracted
from stgraph.vlm import attention_row
from stgraph.vlm.llm_signals import BY_LAYER, LLM_SIGNALS, OF_ONE_LAYER
from stgraph.vlm.model_tokens import ALWAYS, PROMPT_SIGNALS, model_tokens
from stgraph.vlm.model_tower import LIVE_SIGNALS

FAMILIES = ["llava_onevision", "llava_next_video", "qwen2_vl", "qwen3_vl"]
TEXT = "llm_attn_text"


def loaded(found: Extracted) -> VideoTokens:
    return VideoTokens(found.features, found.grid, {**found.signals, **found.query}, found.metadata)


def behind(case: Case) -> Any:
    n = case.inputs["input_ids"].shape[1]
    return np.arange(int(case.columns(0)[-1]) + 1, n)


def test_a_dump_holds_what_selectors_ask_of_a_language_model() -> None:
    asked = {name for selector in SELECTORS.usable() for name in stgraph.selector(selector, n_keep=1).requires}
    known = {*LLM_SIGNALS, *PROMPT_SIGNALS, *ALWAYS, *LIVE_SIGNALS, "llm_attn_layers"}
    assert {"llm_attn_text", "llm_keys", "llm_attn_text_sum", "llm_attn_textmax"} <= asked
    assert asked <= known
    assert set(LLM_SIGNALS) <= SIGNALS.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_those_of_eager_attention(family: str) -> None:
    case = CASES[family](1)
    found = run(case, *BY_LAYER)
    columns = found.signals["seq_index"][found.grid.rows]
    every = torch.stack(eager(case).attentions)[:, 0].double()
    expected = {
        "llm_attn_last": every[:, :, -1].mean(1),
        TEXT: every[:, :, behind(case)].mean(1),
        "llm_attn_text_sum": every.amax(1)[:, behind(case)].sum(1),
        "llm_attn_visual_mean": every.amax(1)[:, columns].mean(1),
    }
    for name, values in expected.items():
        assert found.query[name].dtype == np.float32
        assert np.abs(found.query[name] - values.numpy()).max() < 1e-5, name
    assert found.query["llm_attn_layers"].tolist() == [0, 1, 2, 3]
    assert found.query["llm_attn_text_even"].shape == found.query[TEXT].shape
    loaded(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_signals_of_one_layer_are_those_of_a_plain_pass(family: str) -> None:
    case = CASES[family](1)
    found = run(case, *OF_ONE_LAYER, llm_layers=(1,))
    every = eager(case, output_hidden_states=True)
    textmax = every.attentions[1][0][:, behind(case)].amax((0, 1)).numpy()
    assert np.abs(found.query["llm_attn_textmax"] - textmax).max() < 1e-6
    states: list[Any] = []
    hook = case.text.layers[2].register_forward_pre_hook(
        lambda module, args, kwargs: states.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    eager(case)
    hook.remove()
    assert np.abs(found.query["llm_hidden"][0] - states[0][0].numpy()).max() < 1e-5
    assert np.array_equal(found.signals["llm_norm_weight"], case.text.norm.weight.detach().numpy())
    # keys: with the queries of the last token they give its attention
    assert found.query["llm_keys"].shape == (1, 2, len(seen_inputs(case)), 16)
    tokens = loaded(found)
    kept = stgraph.selector("dart", n_keep=7, n_layers=4).select(tokens)
    assert kept.exactness == "exact" and len(kept) == 7


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("version", ["1.5", "2.0"])
def test_a_dump_selects_as_the_running_model(family: str, version: str) -> None:
    case = CASES[family](1)
    signal = TEXT if version == "1.5" else "llm_attn_text_even"
    tokens = loaded(run(case, "text_embeds", signal, llm_layers=(1, 2)))
    for layer in (1, 2):
        how: dict[str, Any] = dict(layers=layer, table=1, n_layers=4, version=version, recycle=False)
        selector = stgraph.selector("sparsevlm", n_keep=6, **how)
        with torch.no_grad(), stgraph.compress(case.model, selector) as stats:
            case.model(**case.inputs)
        assert selector.select(tokens).nodes.tolist() == stats.videos[0].nodes.tolist()


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl"])
def test_other_selectors_run_on_a_dump_of_the_model(family: str) -> None:
    case = CASES[family](1)
    by_layer = loaded(run(case, *BY_LAYER, "text_embeds"))
    kept = stgraph.selector("fitprune", n_keep=6, deletions={0: 2, 1: 1, 2: 1}, n_layers=4).select(by_layer)
    assert len(kept) == 6
    kept = stgraph.selector("sparsevlm", n_keep=6, layers=(0, 1), table=(2, 1), n_layers=4).select(by_layer)
    assert len(kept) == 6 and kept.kind == "merge"
    one = loaded(run(case, "llm_attn_textmax", llm_layers=(1,)))
    assert len(stgraph.selector("prunevid-attention", n_keep=6, layer=1, n_layers=4).select(one)) == 6


def test_refused() -> None:
    case = CASES["qwen2_vl"](1)
    with pytest.raises(InputError, match="llm_attn_textmax belongs to one decoder layer: name exactly one"):
        run(case, "llm_attn_textmax")
    with pytest.raises(InputError, match="llm_keys belongs to one decoder layer"):
        run(case, "llm_keys", llm_layers=(1, 2))
    with pytest.raises(InputError, match="llm_hidden is the input of the layer after 3, but the text model has 4"):
        run(case, "llm_hidden", llm_layers=(3,))
    ids = case.inputs["input_ids"]
    cut = {
        **case.inputs,
        **{n: case.inputs[n][:, : int(case.columns(0)[-1]) + 1] for n in ("input_ids", "attention_mask")},
    }
    if "mm_token_type_ids" in cut:
        cut["mm_token_type_ids"] = cut["mm_token_type_ids"][:, : cut["input_ids"].shape[1]]
    assert cut["input_ids"].shape[1] < ids.shape[1]
    with pytest.raises(InputError, match="this prompt has none there"):
        model_tokens(case.model, cut, (TEXT,))


def test_long_texts_are_read_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result does not depend on how many."""
    g = torch.Generator().manual_seed(0)
    L, at, visual = 150, torch.arange(40, 150), torch.arange(3, 40)
    query, key = torch.randn(1, 4, L, 8, generator=g), torch.randn(1, 2, L, 8, generator=g)
    angles = torch.arange(L)[:, None] / 10 ** torch.arange(0, 1, 0.25).repeat(2)
    given = (query, key, None, torch.ones(1, L, dtype=torch.bool), {})
    scores = query[0] @ key[0].repeat_interleave(2, 0).transpose(1, 2) / 8**0.5
    weights = scores.masked_fill(torch.ones(L, L).triu(1).bool(), -torch.inf).softmax(-1)[:, at]
    plain = (angles[at].cos() @ angles.cos().T + angles[at].sin() @ angles.sin().T) / 8
    even = weights / plain.clamp(min=0.01)
    heads = even[:, ::2, visual].sum((1, 2)).argsort(descending=True)[:2]
    for chunk in (1, 64, 1000):
        monkeypatch.setattr(attention_row, "_CHUNK", chunk)
        assert (attention_row.text_mean(*given, at) - weights.mean(0)).abs().max() < 1e-6
        found = attention_row.text_mean(*given, at, (angles.cos(), angles.sin()), at[::2], visual)
        assert torch.allclose(found, even[heads].mean(0), rtol=1e-4, atol=1e-6)
        summed = attention_row.summed_maximum(*given, at)
        assert (summed - weights.amax(0).sum(0)).abs().max() < 1e-5
