"""SparseVLM inside a running model: cut behind layers by the attention of text raters, tokens recycled by states."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from oracles_sparsevlm import merged
from parity_cases import Margin
from staged_selectors import Steps
from vlm_levels import hidden_run, keep_rows
from vlm_models import CASES, Case, torch
from vlm_oracle import positions_of, seen_by_text_model

import stgraph
from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.stages import AttentionRead, Stage

GREEDY = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)
FAMILIES = ["llava_onevision", "qwen2_vl", "qwen3_vl"]


class Whole:
    """The whole prompt in the unmodified model: raters, rotation, attention and states with columns hidden."""

    def __init__(self, case: Case) -> None:
        self.case, self.turned = case, []
        handle = case.text.rotary_emb.register_forward_hook(lambda module, args, out: self.turned.append(out))
        with seen_by_text_model(case) as calls:
            case.model.generate(**case.inputs, **GREEDY)
        handle.remove()
        self.embeds, self.positions = calls[0]["inputs_embeds"], positions_of(calls)

    def columns(self, row: int) -> Any:
        T, H, W = self.case.grids[row]
        return self.case.columns(row)[: T * H * W]

    def raters(self, row: int) -> Any:
        """Columns of them."""
        ids = self.case.inputs["input_ids"][row]
        behind = torch.arange(len(ids)) > self.case.columns(row)[-1]
        text = self.embeds[row, behind].double()
        shares = (self.embeds[row, self.columns(row)].double() @ text.T).softmax(1).mean(0)
        return behind.nonzero()[:, 0][shares > shares.mean()]

    def seen(self, levels: dict[int, Any], layer: int, row: int, even: bool) -> Any:
        """[N] attention of the raters in a layer, columns hidden by levels."""
        out = (
            hidden_run(self.case, levels, self.case.inputs["input_ids"], self.positions, output_attentions=True)
            .attentions[layer][row]
            .double()
        )
        raters, columns = self.raters(row), self.columns(row)
        rows = out[:, raters]
        if even:
            cosine, sine = (part.double() for part in self.turned[0])
            half = cosine.shape[-1] // 2
            side = torch.cat([-torch.ones(half), torch.ones(half)])
            ones = (cosine + side * sine)[row if len(cosine) > 1 else 0]
            rows = rows / ((ones[raters] @ ones.T) / cosine.shape[-1]).clamp(min=0.01)
            keep = next((levels[at] for at in sorted(levels, reverse=True)), None)
            there = columns if keep is None else columns[keep[row, columns]]
            rows = rows[rows[:, :, there].sum((1, 2)).argsort(descending=True)[: (len(rows) + 1) // 2]]
        return rows.mean((0, 1))[columns].numpy()


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("version", ["1.5", "2.0"])
@pytest.mark.parametrize("family", FAMILIES)
def test_cut_by_the_raters_and_as_if_hidden(family: str, version: str, batch: int) -> None:
    case, whole = CASES[family](batch), Whole(CASES[family](batch))
    if whole.turned[0][0].ndim == 4:
        pytest.skip("these transformers hand out the rotation of each axis")
    how: dict[str, Any] = dict(layers=(0, 1), table=(2, 1), n_layers=4, version=version, recycle=False)
    with stgraph.compress(case.model, stgraph.selector("sparsevlm", n_keep=7, **how)) as stats:
        out = case.model.generate(**case.inputs, **GREEDY)
    levels: dict[int, Any] = {}
    left = [np.arange(len(whole.columns(row))) for row in range(batch)]
    for layer, count in ((0, 14), (1, 7)):
        keep = case.inputs["attention_mask"].bool().clone()
        for row in range(batch):
            found = whole.seen(levels, layer, row, version == "2.0")
            left[row] = np.sort(left[row][np.argsort(-found[left[row]], kind="stable")[:count]])
            keep_rows(case, keep, row, torch.from_numpy(left[row]))
        levels[layer + 1] = keep
    for row, video in enumerate(stats.videos):
        assert video.nodes.tolist() == left[row].tolist()
        assert video.account.per_layer == [video.n_visual, 14, 7, 7]
        assert video.exactness == ("exact" if version == "2.0" else "approximate: no token is recycled")
    n = case.inputs["input_ids"].shape[1]
    logits = hidden_run(case, levels, out.sequences[:, :-1], whole.positions).logits[:, n - 1 :]
    assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5


@contextmanager
def states_replaced(layer: Any, change: Any) -> Iterator[None]:
    def enter(module: Any, args: Any, kwargs: Any) -> Any:
        named = not args
        hidden = change((kwargs["hidden_states"] if named else args[0]).clone())
        return (args, {**kwargs, "hidden_states": hidden}) if named else ((hidden, *args[1:]), kwargs)

    handle = layer.register_forward_pre_hook(enter, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_recycled_by_the_states_behind_a_layer(family: str) -> None:
    case, whole = CASES[family](2), Whole(CASES[family](2))
    with stgraph.compress(case.model, stgraph.selector("sparsevlm", n_keep=12, layers=0, table=1, n_layers=4)) as stats:
        out = case.model.generate(**case.inputs, **GREEDY)
    states: list[Any] = []
    with states_replaced(case.text.layers[1], lambda hidden: states.append(hidden) or hidden):
        hidden_run(case, {}, case.inputs["input_ids"], whole.positions)
    keep, means = case.inputs["attention_mask"].bool().clone(), []
    for row, video in enumerate(stats.videos):
        found, n = whole.seen({}, 0, row, False), video.n_visual
        order = np.argsort(-found, kind="stable")
        stay = next(k for k in range(12, 0, -1) if k + (3 * (n - k) // 10 + 1) // 10 + 1 <= 12)
        best = np.sort(order[stay : stay + 3 * (n - stay) // 10 + 1])
        points = states[0][row, whole.columns(row)].double().numpy()
        clusters = [best[cluster] for cluster in merged(points[best], 12 - stay, Margin())]
        nodes = np.sort([*order[:stay], *(cluster[0] for cluster in clusters)])
        assert video.nodes.tolist() == nodes.tolist()
        assert video.kind == "merge" and video.exactness.startswith("approximate: recycled tokens stand")
        keep_rows(case, keep, row, torch.from_numpy(nodes))
        means += [(row, whole.columns(row)[cluster[0]], whole.columns(row)[cluster]) for cluster in clusters]

    def recycled(hidden: Any) -> Any:
        for row, at, members in [(row, at, hidden[row, members].mean(0)) for row, at, members in means]:
            hidden[row, at] = members
        return hidden

    n = case.inputs["input_ids"].shape[1]
    with states_replaced(case.text.layers[1], recycled):
        logits = hidden_run(case, {1: keep}, out.sequences[:, :-1], whole.positions).logits[:, n - 1 :]
    if not hasattr(case.text, "_deepstack_process"):  # which adds to the columns behind layers that are merged here
        assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5


def test_the_rank_rule_and_everything_kept() -> None:
    case = CASES["qwen2_vl"](1)
    how: dict[str, Any] = dict(layers=(0, 1), table=(2, 1), n_layers=4)
    with torch.no_grad():
        adaptive = stgraph.selector("sparsevlm", n_keep=9, exact_count=False, adaptive=True, version="2.0", **how)
        with stgraph.compress(case.model, adaptive) as stats:
            case.model(**case.inputs)
        assert 1 <= stats.videos[0].n_kept <= len(Whole(case).raters(0))
        with stgraph.compress(case.model, stgraph.selector("sparsevlm", retain_ratio=1.0, **how)) as stats:
            case.model(**case.inputs)
        assert stats.videos[0].n_kept == stats.videos[0].n_visual and stats.videos[0].exactness == "exact"


def test_refused() -> None:
    case = CASES["qwen2_vl"](1)
    with pytest.raises(InputError, match="between decoder layers alone"):
        stgraph.compress(case.model, stgraph.selector("sparsevlm", n_keep=9, layers=1, table=1), where="before")
    with pytest.raises(InputError, match="reads the attention of the prompt's text in decoder layer 1, before which"):
        stgraph.compress(case.model, Steps(Stage(1, AttentionRead(1, fixed=True, by="raters"))))
    with pytest.raises(MissingSignalError, match="clip_joint"):
        stgraph.compress(case.model, stgraph.selector("cdpruner", n_keep=9, relevance="clip"))
