"""FitPrune inside a running model: tokens deleted behind layers by the product of text's and visual attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from vlm_levels import hidden_run, keep_rows
from vlm_models import CASES, torch
from vlm_oracle import positions_of, seen_by_text_model

import stgraph
from stgraph.errors import InputError

GREEDY = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)
FAMILIES = ["llava_onevision", "qwen2_vl", "qwen3_vl"]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_deleted_by_the_product_and_as_if_hidden(family: str, batch: int) -> None:
    case = CASES[family](batch)
    with seen_by_text_model(case) as calls:
        case.model.generate(**case.inputs, **GREEDY)
    positions = positions_of(calls)
    chosen = stgraph.selector("fitprune", n_keep=7, deletions={0: 2, 1: 0, 2: 1}, n_layers=4)
    with stgraph.compress(case.model, chosen) as stats:
        out = case.model.generate(**case.inputs, **GREEDY)
    ids, levels = case.inputs["input_ids"], dict[int, Any]()
    columns = [case.columns(row)[: int(np.prod(case.grids[row]))] for row in range(batch)]
    left = [np.arange(len(of_row)) for of_row in columns]
    counts: list[list[int]] = [[] for _ in range(batch)]
    for layer, share in ((0, 2), (2, 1)):
        seen = hidden_run(case, levels, ids, positions, output_attentions=True).attentions[layer].double().amax(1)
        keep = case.inputs["attention_mask"].bool().clone()
        for row in range(batch):
            behind = torch.arange(ids.shape[1]) > case.columns(row)[-1]
            cross = seen[row, behind][:, columns[row]].sum(0)
            own = seen[row, columns[row][left[row]]][:, columns[row]].mean(0)
            product = (cross * own).numpy()
            n = len(columns[row])
            goes = (n - 7) * 2 // 3 + ((n - 7) * 2 % 3 == 2) if share == 2 else len(left[row]) - 7
            order = left[row][np.argsort(-product[left[row]], kind="stable")]
            left[row] = np.sort(order[: len(order) - goes])
            counts[row].append(len(left[row]))
            keep_rows(case, keep, row, torch.from_numpy(left[row]))
        levels[layer + 1] = keep
    for row, video in enumerate(stats.videos):
        assert video.nodes.tolist() == left[row].tolist()
        assert video.account.per_layer == [video.n_visual, counts[row][0], counts[row][0], 7]
        assert video.exactness == "exact"
    n = ids.shape[1]
    logits = hidden_run(case, levels, out.sequences[:, :-1], positions).logits[:, n - 1 :]
    assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_a_dump_deletes_as_the_running_model(family: str) -> None:
    from model_dumps import run

    case = CASES[family](1)
    found = run(case, "llm_attn_text_sum", "llm_attn_visual_mean")
    tokens = stgraph.VideoTokens(found.features, found.grid, {**found.signals, **found.query})
    for layer in (0, 2):
        chosen = stgraph.selector("fitprune", n_keep=7, deletions={layer: 1}, n_layers=4)
        with torch.no_grad(), stgraph.compress(case.model, chosen) as stats:
            case.model(**case.inputs)
        kept = chosen.select(tokens)
        assert kept.nodes.tolist() == stats.videos[0].nodes.tolist()
        assert (kept.exactness, stats.videos[0].exactness) == ("exact", "exact")


def test_everything_kept_and_layers_that_are_not_there() -> None:
    case = CASES["qwen2_vl"](1)
    whole = stgraph.selector("fitprune", retain_ratio=1.0, deletions={0: 1}, n_layers=4)
    with torch.no_grad(), stgraph.compress(case.model, whole) as stats:
        case.model(**case.inputs)
    assert stats.videos[0].n_kept == stats.videos[0].n_visual
    none = stgraph.selector("fitprune", retain_ratio=0.5, exact_count=False, deletions={0: 1}, n_layers=4)
    with torch.no_grad(), stgraph.compress(case.model, none) as stats:  # a 576th of so few tokens is none
        case.model(**case.inputs)
    assert stats.videos[0].n_kept == stats.videos[0].n_visual
    with pytest.raises(InputError, match="drops tokens before decoder layer 4, but"):
        stgraph.compress(case.model, stgraph.selector("fitprune", n_keep=9))
    with pytest.raises(InputError, match="between decoder layers alone"):
        stgraph.compress(case.model, whole, where="before")
