"""DART inside a running model: pivots by keys, similarity by states under the final norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_dumps import run
from vlm_levels import hidden_run, levels_of
from vlm_models import CASES, Case, torch
from vlm_oracle import positions_of, seen_by_text_model

import stgraph

GREEDY = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)
FAMILIES = ["llava_onevision", "llava_next_video", "qwen2_vl", "qwen3_vl"]


def of_a_plain_pass(case: Case, layer: int) -> tuple[Any, Any]:
    """[B, S] norms of keys in the layer before, and [B, S, d] states before ``layer`` under the final norm."""
    keys: list[Any] = []
    states: list[Any] = []
    attention = case.text.layers[layer - 1].self_attn
    name = attention.config._attn_implementation
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def noting(module: Any, query: Any, key: Any, *args: Any, **options: Any) -> Any:
        if module is attention:
            keys.append(key)
        return plain(module, query, key, *args, **options)

    plain = ALL_ATTENTION_FUNCTIONS[name]
    ALL_ATTENTION_FUNCTIONS[name] = noting
    hook = case.text.layers[layer].register_forward_pre_hook(
        lambda module, args, kwargs: states.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    try:
        with torch.no_grad():
            case.model.generate(**case.inputs, max_new_tokens=1, do_sample=False)  # positions without padding
            return keys[0].double().abs().sum((1, 3)), case.text.norm(states[0]).double()
    finally:
        hook.remove()
        ALL_ATTENTION_FUNCTIONS[name] = plain


def restated(norms: Any, states: Any, visual: Any, text: Any, n_keep: int) -> list[int]:
    """Four pivots of either kind by norm; the least similar to each in turn."""
    mine = visual[norms[visual].argsort(descending=True, stable=True)[:4]]
    theirs = text[norms[text].argsort(descending=True, stable=True)[:4]]
    pool = [int(i) for i in visual if i not in mine]
    left, kept = n_keep - len(mine), mine.tolist()
    pivots = [*mine.tolist(), *theirs.tolist()]
    for i, pivot in enumerate(pivots):
        count = (left + len(pivots) - 1 - i) // len(pivots)
        alike = [float(torch.cosine_similarity(states[pivot], states[j], 0)) for j in pool]
        picked = [pool[j] for j in np.argsort(alike, kind="stable")[:count]]
        kept += picked
        pool = [j for j in pool if j not in picked]
    return sorted(int((visual == column).nonzero()) for column in kept)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_by_keys_and_states_and_as_if_hidden(family: str, batch: int) -> None:
    case = CASES[family](batch)
    with seen_by_text_model(case) as calls:
        case.model.generate(**case.inputs, **GREEDY)
    positions, layer = positions_of(calls), 2
    norms, states = of_a_plain_pass(case, layer)
    with stgraph.compress(case.model, stgraph.selector("dart", n_keep=13, n_layers=4)) as stats:
        out = case.model.generate(**case.inputs, **GREEDY)
    n = case.inputs["input_ids"].shape[1]
    for row, video in enumerate(stats.videos):
        patches = case.columns(row)[: int(np.prod(case.grids[row]))]
        text = torch.arange(int(case.columns(row)[-1]) + 1, n)
        assert video.nodes.tolist() == restated(norms[row], states[row], patches, text, 13)
        assert video.account.per_layer == [video.n_visual] * 2 + [13] * 2
        assert video.exactness == "exact"
    logits = hidden_run(case, levels_of(case, stats), out.sequences[:, :-1], positions).logits[:, n - 1 :]
    assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [1, 3])
def test_a_dump_selects_as_the_running_model(family: str, layer: int) -> None:
    case = CASES[family](1)
    found = run(case, "llm_keys", "llm_hidden", llm_layers=(layer - 1,))
    tokens = stgraph.VideoTokens(found.features, found.grid, {**found.signals, **found.query})
    chosen = stgraph.selector("dart", n_keep=9, layer=layer, n_layers=4, pivots=2, text_pivots=3)
    with torch.no_grad(), stgraph.compress(case.model, chosen) as stats:
        case.model(**case.inputs)
    kept = chosen.select(tokens)
    assert kept.nodes.tolist() == stats.videos[0].nodes.tolist()
    assert (kept.exactness, stats.videos[0].exactness) == ("exact", "exact")
    whole = stgraph.selector("dart", retain_ratio=1.0, n_layers=4)
    with torch.no_grad(), stgraph.compress(case.model, whole) as stats:
        case.model(**case.inputs)
    assert stats.videos[0].n_kept == stats.videos[0].n_visual
