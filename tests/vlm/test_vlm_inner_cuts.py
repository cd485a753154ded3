"""FlashVID and HoliTom inside a running model: merged before it, cut and merged between its layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from encoder_oracle import FAMILIES, seen
from merged_reference import MergedReference
from vlm_generating import first_of_copies
from vlm_levels import hidden_run, keep_rows
from vlm_models import CASES, Case, torch
from vlm_oracle import positions_of, seen_by_text_model

import stgraph

GREEDY = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)
TOWERS = [family for family in sorted(CASES) if family in FAMILIES]


@contextmanager
def joined_before(case: Case, reference: MergedReference, layer: int, best: list[list[int]]) -> Iterator[None]:
    """Before ``layer`` every merged token but the ``best`` is averaged into one of these, one after the other."""
    first = [sum(len(reference.columns(row)) for row in range(row)) for row in range(len(best))]

    def join(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        hidden = (args[0] if args else kwargs["hidden_states"]).clone()
        for row, stays in enumerate(best):
            columns = reference.columns(row).tolist()
            before = hidden[row].clone()
            for place in reference.states[row].rows.tolist():
                if place in stays:
                    continue
                alike = [torch.cosine_similarity(before[columns[place]], before[columns[to]], 0) for to in stays]
                to = stays[int(torch.stack(alike).argmax())]
                hidden[row, columns[to]] = (hidden[row, columns[to]] + hidden[row, columns[place]]) / 2
                for features in reference.deep[layer:]:
                    features[first[row] + to] = (features[first[row] + to] + features[first[row] + place]) / 2
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    handle = case.text.layers[layer].register_forward_pre_hook(join, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def check(case: Case, family: str, name: str, layer: int, **how: Any) -> Any:
    """The records, once all logits are those of the whole prompt with what went hidden, and joined if it is."""
    selector = stgraph.selector(name, n_keep=5, layer=layer, n_layers=4)
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY)
    with stgraph.compress(case.model, selector) as stats:
        out = case.model.generate(**case.inputs, **GREEDY | how)
    reference, positions = MergedReference(case, selector, seen(case, family)[0]), positions_of(plain)
    n = case.inputs["input_ids"].shape[1]
    cut, best = case.inputs["attention_mask"].bool().clone(), []
    attention = reference.attention(positions, layer - 1, by_text=False)
    for row, video in enumerate(first_of_copies(stats, len(case.grids)).videos):
        rows = reference.states[row].rows.tolist()
        best.append(sorted(sorted(rows, key=lambda i: -attention[row][i])[:5]))
        assert video.nodes.tolist() == best[-1]
        assert video.account.per_layer == [len(rows)] * layer + [5] * (4 - layer) and len(rows) > 5
        keep_rows(case, cut, row, torch.tensor(best[-1]))
    levels = {0: reference.merged, layer: cut}
    with seen_by_text_model(case, reference.inputs):
        if name == "holitom-attention":
            with joined_before(case, reference, layer, best):
                logits = hidden_run(case, levels, out.sequences[:, :-1], positions).logits[:, n - 1 :]
        else:
            logits = hidden_run(case, levels, out.sequences[:, :-1], positions).logits[:, n - 1 :]
    assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5
    return stats


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["flashvid-attention", "holitom-attention"])
@pytest.mark.parametrize("family", TOWERS)
def test_as_in_the_whole_prompt(family: str, name: str, attention: str, batch: int) -> None:
    case = CASES[family](batch)
    case.model.set_attn_implementation(attention)
    try:
        check(case, family, name, 2)
    finally:
        case.model.set_attn_implementation("sdpa")


@pytest.mark.parametrize("layer", [1, 3])
def test_deeper_features_are_joined_alike(layer: int) -> None:
    check(CASES["qwen3_vl"](2), "qwen3_vl", "holitom-attention", layer)


@pytest.mark.parametrize("name", ["flashvid-attention", "holitom-attention"])
def test_static_caches(name: str) -> None:
    check(CASES["qwen2_vl"](2), "qwen2_vl", name, 2, cache_implementation="static")
