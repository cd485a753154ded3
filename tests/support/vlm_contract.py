"""The contract of compress() on one case: equal at r = 1, as if masked below, and the probe is eager attention.

``kept`` gives the columns that stay, where a family drops more than patches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vlm_models import CACHE, Case, torch
from vlm_oracle import kept_columns, masked_logits, positions_of, seen_by_text_model

import stgraph
from stgraph.vlm.attention_probe import last_token_attention, probed
from stgraph.vlm.sequence import with_positions
from stgraph.vlm.stats import Stats

Kept = Callable[[Any, Stats], Any]

GREEDY = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)


def st_simdiff(retain_ratio: float, **parameters: Any) -> Any:
    """Communities of several tokens even on random features, so that there is something to reduce."""
    return stgraph.selector("st-simdiff", retain_ratio=retain_ratio, tau_sim=0.1, **parameters)


@torch.no_grad()
def forward(case: Case) -> Any:
    return case.model(**case.inputs).logits


@torch.no_grad()
def eager_attention(case: Case, inputs: dict[str, Any], layer: int) -> Any:
    """[B, S]: attention of the last token in one layer, mean over heads, by the model's own eager attention."""
    before = case.text.config._attn_implementation
    case.model.set_attn_implementation("eager")
    try:
        plain = {name: value for name, value in inputs.items() if name not in (CACHE, "use_cache")}
        out = case.text(**plain | {"output_attentions": True, "use_cache": False})
    finally:
        case.model.set_attn_implementation(before)
    return out.attentions[layer][:, :, -1].mean(1)


def everything_kept_is_bit_identical(case: Case) -> None:
    logits, out = forward(case), case.model.generate(**case.inputs, **GREEDY)
    with stgraph.compress(case.model, st_simdiff(1.0)) as stats:
        assert torch.equal(forward(case), logits)
        again = case.model.generate(**case.inputs, **GREEDY)
    assert torch.equal(again.sequences, out.sequences)
    assert all(torch.equal(a, b) for a, b in zip(again.logits, out.logits, strict=True))
    assert [v.n_kept for v in stats.videos] == [v.n_visual for v in stats.videos]
    assert len(stats.videos) == 2 * len(case.grids)


def dropped_tokens_are_as_if_masked(case: Case, kept: Kept = kept_columns) -> None:
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY)
    with stgraph.compress(case.model, st_simdiff(0.3)) as stats, seen_by_text_model(case) as cut:
        out = case.model.generate(**case.inputs, **GREEDY)
    shapes = [video.grid for video in stats.videos]
    assert shapes == case.grids
    assert [v.n_kept for v in stats.videos] == [-(-3 * T * H * W // 10) for T, H, W in shapes]
    # The probe pass is the first call; then come the prompt and the steps.
    assert cut[-4]["inputs_embeds"].shape[1] < plain[0]["inputs_embeds"].shape[1]
    positions = positions_of(plain)
    assert torch.equal(positions_of(cut[-3:]), positions[..., -3:])

    keep = kept(case, stats)
    assert stats.prompts[0].entered == tuple(keep.sum(1).tolist())
    expected = masked_logits(case, keep, out.sequences[:, :-1], positions)[:, keep.shape[1] - 1 :]
    found = torch.stack(out.logits, 1)
    assert (found - expected).abs().max() < 1e-5


def forward_alone_is_as_if_masked(case: Case, kept: Kept = kept_columns) -> None:
    with seen_by_text_model(case) as plain:
        forward(case)
    with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.4)) as stats:
        found = forward(case)
    keep = kept(case, stats)
    expected = masked_logits(case, keep, case.inputs["input_ids"], with_positions(plain[0])["position_ids"])
    assert found.shape[1] == int(keep.sum(1).max())
    for row, columns in enumerate(keep):
        wanted = expected[row, columns]
        assert (found[row, -len(wanted) :] - wanted).abs().max() < 1e-5


@torch.no_grad()
def the_probe_is_eager_attention(case: Case, layer: int) -> None:
    with seen_by_text_model(case) as calls:
        forward(case)
    inputs = with_positions(calls[0]) | {"attention_mask": case.inputs["attention_mask"]}
    with probed(case.text, layer):
        found = last_token_attention(case.text, inputs, case.inputs["attention_mask"].bool())
    assert case.text.layers[layer].self_attn.config is case.text.layers[1].self_attn.config
    expected = eager_attention(case, inputs, layer)
    assert (found - expected).abs().max() < 1e-6
    assert torch.allclose(found.sum(1), torch.ones(len(case.grids)))
