"""The contract of compress() on LLaVA-Video (its four layouts of newlines) and NVILA, as on every other family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vlm_contract as contract
import vlm_oracle
from encoder_oracle import eager_signals, seen
from newline_models import LAYOUTS, NewlineCase, llava_video, nvila
from vlm_levels import hidden_run
from vlm_models import torch
from vlm_turns import GREEDY, turns

import stgraph


def kept_columns(case: NewlineCase, stats: Any) -> Any:
    """Newlines of rows, which these selectors leave out, go; all others stay."""
    keep = vlm_oracle.kept_columns(case, stats)
    if case.newlines == "grid":
        for row in range(len(keep)):
            newline = case.inputs["input_ids"][row] == case.token
            newline[case.columns(row)] = False
            keep[row, newline] = False
    return keep


MADE = {
    **{f"llava_video {name}": lambda batch, name=name: llava_video(name, batch) for name in LAYOUTS},
    "nvila": lambda batch: nvila(2, 1, batch),
    "nvila video": lambda batch: nvila(2, 4, batch),
    "nvila lite": lambda batch: nvila(3, 1, batch),
}
WITH_SIGNALS = {
    **{name: made for name, made in MADE.items() if name.startswith("llava_video")},
    "nvila": lambda batch: nvila(2, 1, batch, 6),
    "nvila lite": lambda batch: nvila(3, 1, batch, 6),
}


def cut_between_layers_is_as_if_hidden(case: NewlineCase) -> None:
    with vlm_oracle.seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **contract.GREEDY)
    selector = stgraph.selector("fastv", retain_ratio=0.4, n_layers=4)
    with stgraph.compress(case.model, selector) as stats:
        out = case.model.generate(**case.inputs, **contract.GREEDY)
    keep = kept_columns(case, stats)
    assert stats.prompts[0].entered == tuple(case.inputs["attention_mask"].sum(1).tolist())
    positions = vlm_oracle.positions_of(plain)
    logits = hidden_run(case, {2: keep}, out.sequences[:, :-1], positions).logits[:, keep.shape[1] - 1 :]
    assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5
    for video in stats.videos:
        assert video.account.per_layer == [video.n_visual] * 2 + [video.n_kept] * 2


def two_turns_are_as_if_masked(case: NewlineCase) -> None:
    with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.4)) as stats:
        out = turns(case, 2)[-1]
    steps = out.sequences.shape[1] - case.inputs["input_ids"].shape[1]
    with vlm_oracle.seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY | {"max_new_tokens": steps})
    keep, positions = kept_columns(case, stats), vlm_oracle.positions_of(plain)
    logits = vlm_oracle.masked_logits(case, keep, out.sequences[:, :-1], positions)[:, -len(out.logits) :]
    assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5


CHECKS = {
    "r = 1": contract.everything_kept_is_bit_identical,
    "as masked": lambda case: contract.dropped_tokens_are_as_if_masked(case, kept_columns),
    "forward": lambda case: contract.forward_alone_is_as_if_masked(case, kept_columns),
    "probe": lambda case: contract.the_probe_is_eager_attention(case, 2),
    "inside": cut_between_layers_is_as_if_hidden,
    "turns": two_turns_are_as_if_masked,
}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("family", MADE)
def test_the_contract(family: str, check: str, batch: int) -> None:
    CHECKS[check](MADE[family](batch))
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", WITH_SIGNALS)
def test_encoder_signals_are_those_of_eager_attention(family: str, batch: int) -> None:
    """The towers are SigLIP's, as in LLaVA-OneVision."""
    case = WITH_SIGNALS[family](batch)
    found, logits = seen(case, "llava_onevision", every=1)
    expected = eager_signals(case, "llava_onevision")
    assert len(found) == len(expected) == batch
    for tokens, video in zip(found, expected, strict=True):
        assert set(tokens.signals) == set(video) >= {"enc_recv_attn", "enc_features"}
        for name, x in video.items():
            assert tokens.signals[name].shape == x.shape
            assert np.abs(tokens.signals[name] - x).max() < 1e-6 * max(1, np.abs(x).max()), name
    with torch.no_grad():
        assert torch.equal(logits, case.model(**case.inputs).logits)


METHODS: dict[str, dict[str, Any]] = {  # of the paper's tables 1 and 2
    "fastv": {},
    "prumerge": {"attention": "received"},
    "fastervlm": {"attention": "received"},
    "visionzip": {"attention": "received"},
    "framefusion-attention": {"n_layers": 4, "tau": 0.9},
    "st-simdiff": {},
}


@torch.no_grad()
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("family", WITH_SIGNALS)
def test_the_paper_s_methods_run(family: str, name: str) -> None:
    case = WITH_SIGNALS[family](2)
    with stgraph.compress(case.model, stgraph.selector(name, retain_ratio=0.3, **METHODS[name])) as stats:
        case.model(**case.inputs)
    for video in stats.videos:
        n_kept, layers = -(-3 * video.n_visual // 10), video.account.per_layer
        assert video.n_kept == n_kept == layers[-1]
        assert (layers[0] > n_kept) == (name in ("fastv", "framefusion-attention"))
