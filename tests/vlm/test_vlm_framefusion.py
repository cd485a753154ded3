"""FrameFusion's merges behind the attention of layer after layer, and its cut: as in the model at full length."""

from __future__ import annotations

from typing import Any

import pytest
from framefusion_reference import Reference
from vlm_generating import first_of_copies
from vlm_models import CASES, Case, torch
from vlm_more_models import ALL, MORE
from vlm_oracle import positions_of, seen_by_text_model

import stgraph
from stgraph.errors import InputError, UnavailableError

GREEDY = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)
TAU = {family: 0.3 for family in sorted(CASES)} | {  # by which there are several merges
    "llava_next_video": 0.5,
    "llava_onevision": 0.6,
    "smolvlm": 0.25,
}
BROKEN_OFF = "approximate: merging had not come to its end at the last layer"


def compressed(case: Case, how: dict[str, Any], **more: Any) -> tuple[Any, Any, Any]:
    """The records, what was generated, and the positions without compression."""
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY)
    selector = stgraph.selector("framefusion-attention", **{"n_layers": 4, **how})
    with stgraph.compress(case.model, selector) as stats:
        out = case.model.generate(**case.inputs, **GREEDY | more)
    return stats, out, positions_of(plain)


def distance(case: Case, reference: Reference, out: Any, positions: Any) -> float:
    logits = reference.run(out.sequences[:, :-1], positions)[:, case.inputs["input_ids"].shape[1] - 1 :]
    return float((torch.stack(out.logits, 1) - logits).abs().max())


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", TAU)
def test_the_whole_cascade_for_exactly_k(family: str, attention: str, batch: int) -> None:
    case = CASES[family](batch)
    reference = Reference(case, TAU[family], kept=9)
    case.model.set_attn_implementation(attention)
    try:
        stats, out, positions = compressed(case, dict(n_keep=9, tau=TAU[family]))
    finally:
        case.model.set_attn_implementation("sdpa")
    assert distance(case, reference, out, positions) < 1e-5
    assert max(reference.n_merges) >= 2
    for video in stats.videos:
        row = video.sample
        assert video.account.per_layer == reference.left[row] and video.n_kept == 9
        assert case.columns(row)[torch.from_numpy(video.nodes)].tolist() == reference.alive[row]
        assert len(video.report["left"]) == reference.n_merges[row]
        assert video.exactness == (BROKEN_OFF if reference.broken_off[row] else "exact")


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl", "qwen3_vl", "smolvlm"])
@pytest.mark.parametrize("cost", [0.5, 0.7, 0.9])
def test_the_authors_count_is_the_mean_over_the_layers(family: str, cost: float) -> None:
    case = CASES[family](2)
    reference = Reference(case, 0.3, cost=cost)
    stats, out, positions = compressed(case, dict(retain_ratio=cost, tau=0.3, exact_count=False))
    assert distance(case, reference, out, positions) < 1e-5
    for video, left in zip(stats.videos, reference.left, strict=True):
        assert video.account.per_layer == left
        assert abs(video.account.mean_over_layers - cost * video.n_visual) <= 1


@pytest.mark.parametrize("how", [dict(num_beams=2), dict(cache_implementation="static")], ids=str)
def test_beams_and_static_caches(how: dict[str, Any]) -> None:
    case = CASES["qwen2_vl"](2)
    stats, out, positions = compressed(case, dict(n_keep=9, tau=0.3), output_scores=True, **how)
    reference = Reference(case, 0.3, kept=9)
    logits = reference.run(out.sequences[:, :-1], positions)[:, case.inputs["input_ids"].shape[1] - 1 :]
    first = first_of_copies(stats, 2)
    assert [video.account.per_layer for video in first.videos] == reference.left
    if "num_beams" in how:
        chosen = logits.log_softmax(-1).gather(-1, out.sequences[:, -4:, None])[..., 0]
        assert (chosen.mean(1) - out.sequences_scores).abs().max() < 1e-5
    else:
        assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5


def test_before_the_model_the_merges_inside_are_left_out() -> None:
    case = CASES["qwen2_vl"](1)
    selector = stgraph.selector("framefusion-attention", n_keep=9, tau=0.3)
    with stgraph.compress(case.model, selector, where="before") as stats, torch.no_grad():
        case.model(**case.inputs)
    assert stats.videos[0].account.per_layer == [9] * 4
    assert "the merges inside the LLM are left out; pruned before the LLM" in stats.videos[0].exactness


def test_what_cannot_be_met_or_merged_is_refused() -> None:
    case = CASES["qwen2_vl"](1)
    selector = stgraph.selector("framefusion-attention", retain_ratio=0.2, tau=0.3, n_layers=4, exact_count=False)
    with stgraph.compress(case.model, selector), torch.no_grad():
        with pytest.raises(InputError, match=r"0\.2, as the mean over 4 layers, cannot be met: .* still merged"):
            case.model(**case.inputs)
    layer = case.text.layers[1]
    norm = layer.post_attention_layernorm
    del layer.post_attention_layernorm
    layer.ln_2 = norm
    try:
        with pytest.raises(UnavailableError, match=r"decoder layer 1 .* has no post_attention_layernorm"):
            stgraph.compress(case.model, selector)
        stgraph.compress(case.model, selector, where="before")
    finally:
        del layer.ln_2
        layer.post_attention_layernorm = norm


@pytest.mark.parametrize("family", [family for family in MORE if family != "cohere_compass"])
def test_families_whose_layers_are_built_in_other_ways(family: str) -> None:
    case = ALL[family](2)
    reference = Reference(case, 0.2, kept=9)
    stats, out, positions = compressed(case, dict(n_keep=9, tau=0.2))
    assert distance(case, reference, out, positions) < 1e-5
    assert [video.account.per_layer for video in stats.videos] == reference.left and max(reference.n_merges) >= 2


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_and_feed_forward_block_side_by_side(attention: str, batch: int) -> None:
    """Nothing lies between them: the merges follow the whole layer, and the records say so."""
    case = ALL["cohere_compass"](batch)
    reference = Reference(case, 0.2, kept=9)
    case.model.set_attn_implementation(attention)
    try:
        stats, out, positions = compressed(case, dict(n_keep=9, tau=0.2))
    finally:
        case.model.set_attn_implementation("sdpa")
    assert reference.parallel
    assert distance(case, reference, out, positions) < 1e-5
    assert [video.account.per_layer for video in stats.videos] == reference.left and max(reference.n_merges) >= 2
    for video in stats.videos:
        assert video.exactness.endswith(
            "merged after whole layers, whose attention and feed-forward block run side by side"
        )


@pytest.mark.parametrize("grad", [False, True])
def test_states_are_merged_with_gradients_as_without(grad: bool) -> None:
    case = CASES["qwen3_vl"](2)
    selector = stgraph.selector("framefusion-attention", n_keep=9, tau=0.3)
    found = []
    for enabled in (False, grad):
        with torch.set_grad_enabled(enabled), stgraph.compress(case.model, selector):
            found.append(case.model(**case.inputs).logits)
    assert torch.equal(found[0], found[1].detach())
    if grad:
        found[1].sum().backward()
        case.model.zero_grad()
