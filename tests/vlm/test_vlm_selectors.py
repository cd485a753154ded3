"""Selectors in a running model: merged tokens, attention as a signal, positions, newlines; and what the records say."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from vlm_models import CACHE, CASES, torch
from vlm_oracle import kept_columns, masked_logits, plain_inputs, positions_of, seen_by_text_model, video_tokens

import stgraph
from stgraph.errors import InputError, MissingSignalError

GREEDY = dict(max_new_tokens=3, do_sample=False, output_logits=True, return_dict_in_generate=True)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl", "qwen3_vl"])
def test_merged_tokens_stand_where_kept_ones_did(family: str, batch: int) -> None:
    case = CASES[family](batch)
    selector = stgraph.selector("framefusion", retain_ratio=0.5)
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY)
    with stgraph.compress(case.model, selector) as stats:
        out = case.model.generate(**case.inputs, **GREEDY)
    merged = [selector.select(video_tokens(case, row)) for row in range(batch)]
    assert all(selection.kind == "merge" for selection in merged)

    def replace(kwargs: dict[str, Any]) -> dict[str, Any]:
        """Merged embeddings, and for Qwen3 merged deep features, by dense matrices."""
        embeds, levels = kwargs["inputs_embeds"].clone(), kwargs.get("deepstack_visual_embeds")
        levels = levels and [level.clone() for level in levels]
        for row, selection in enumerate(merged):
            T, H, W = case.grids[row]
            columns, weights = case.columns(row)[: T * H * W], torch.from_numpy(selection.assignment.toarray())
            kept = torch.from_numpy(selection.indices)
            embeds[row, columns[kept]] = weights @ embeds[row, columns]
            for level in levels or []:
                first = sum(np.prod(grid) for grid in case.grids[:row])
                rows = level[first : first + T * H * W]
                rows[kept] = weights @ rows
        return {**kwargs, "inputs_embeds": embeds} | ({"deepstack_visual_embeds": levels} if levels else {})

    keep = kept_columns(case, stats)
    sequences = out.sequences[:, :-1]
    expected = masked_logits(case, keep, sequences, positions_of(plain), replace)[:, keep.shape[1] - 1 :]
    assert (torch.stack(out.logits, 1) - expected).abs().max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize(("name", "layer"), [("fastv", 1), ("st-simdiff-released", 1)])
def test_attention_is_the_selectors_signal(name: str, layer: int) -> None:
    """Before the model: the same choice as on a dump that carries the eager attention of the sequence it wants."""
    case = CASES["qwen2_vl"](1)
    selector = stgraph.selector(name, retain_ratio=0.4, **({"tau_sim": 0.0} if "released" in name else {}))
    with stgraph.compress(case.model, selector, where="before") as stats:
        case.model(**case.inputs)
    inputs, columns, tokens = plain_inputs(case), case.columns(0), video_tokens(case)
    keep = case.inputs["attention_mask"].clone()
    if "released" in name:
        survivors = stgraph.selector(name, retain_ratio=0.4, tau_sim=0.0, importance="norm", reduce=False)
        keep[0, columns] = 0
        keep[0, columns[torch.from_numpy(survivors.select(tokens).indices)]] = 1
    case.model.set_attn_implementation("eager")
    try:
        plain = {name: value for name, value in inputs.items() if name not in (CACHE, "use_cache")}
        weights = case.text(**plain | {"attention_mask": keep, "output_attentions": True}).attentions
    finally:
        case.model.set_attn_implementation("sdpa")
    attention = weights[layer][:, :, -1].mean(1).numpy()
    signals = {
        "importance": attention[0][columns].reshape(case.grids[0]),
        "llm_attn_last": attention,
        "llm_attn_layers": np.array([layer]),
        "seq_index": columns.numpy(),
    }
    expected = selector.select(stgraph.VideoTokens(tokens.features, tokens.grid, signals))
    (video,) = stats.videos
    assert video.nodes.tolist() == expected.nodes.tolist()
    assert "pruned before the LLM" in video.exactness
    assert (video.account.prune_layer, video.account.n_input) == (0, video.n_kept)


def test_two_passes_only_where_candidates_are_surplus() -> None:
    case = CASES["qwen2_vl"](1)
    selector = stgraph.selector("st-simdiff", retain_ratio=0.5, tau_sim=-1.0, max_size=None, events=False)
    with stgraph.compress(case.model, selector) as stats, seen_by_text_model(case) as calls:
        case.model(**case.inputs)
    (video,) = stats.videos
    assert video.n_candidates == video.n_kept == 24
    assert len(calls) == 1
    assert stats.prompts[0].probe_length is None
    assert video.exactness == "exact"


def test_a_selector_that_renumbers_and_the_ablation_do_the_same() -> None:
    """sttm counts positions anew; positions="compact" makes any selector do so, and decoding goes on from there."""
    for family in ("llava_onevision", "qwen2_5_vl"):
        case = CASES[family](2)
        for name, positions in (("sttm", "original"), ("uniform", "compact")):
            selector = stgraph.selector(name, retain_ratio=0.3)
            with stgraph.compress(case.model, selector, positions=positions) as stats:
                with seen_by_text_model(case) as calls:
                    case.model.generate(**case.inputs, **GREEDY)
            assert [video.positions for video in stats.videos] == ["compact"] * 2
            found = positions_of(calls)
            lengths = kept_columns(case, stats).sum(1)
            for row, length in enumerate(lengths):
                steps = int(length) + GREEDY["max_new_tokens"] - 1
                assert (found[..., row, -steps:] == torch.arange(steps)).all()


@pytest.mark.parametrize(("newlines", "n_kept", "extra"), [("out", 15, 0), ("in", 20, 0)])
def test_llava_video_rows_end_in_newlines(newlines: str, n_kept: int, extra: int) -> None:
    """LLaVA-Video's layout: 3 x 4 tokens a frame of 3 x 3 patches; with "in" newlines are tokens like the others."""
    from stgraph.vlm.grids import newline_grid

    case = CASES["qwen2_vl"](1)  # 48 placeholders, which may as well be 4 frames of 3 rows of 3 patches and a newline
    grid = newline_grid(4, 3, 3, "row")
    selector = stgraph.selector("uniform", retain_ratio=0.4, newlines=newlines)
    with stgraph.compress(case.model, selector, grids=[[grid]]) as stats:
        logits = case.model(**case.inputs).logits
    (video,) = stats.videos
    assert (video.n_visual, video.n_kept, video.n_extra) == (48 if newlines == "in" else 36, n_kept, extra)
    assert logits.shape[1] == case.inputs["input_ids"].shape[1] - 48 + n_kept
    assert video.account.newlines == newlines
    expected = case.model(**case.inputs).logits
    with stgraph.compress(case.model, stgraph.selector("uniform", retain_ratio=1.0), grids=[[grid]]):
        assert torch.equal(case.model(**case.inputs).logits, expected)


def test_a_final_newline_always_stays() -> None:
    case = CASES["llava_onevision"](1)
    with stgraph.compress(case.model, stgraph.selector("uniform", n_keep=1)) as stats:
        logits = case.model(**case.inputs).logits
    (video,) = stats.videos
    assert (video.n_visual, video.n_kept, video.n_extra) == (36, 1, 1)
    assert logits.shape[1] == case.inputs["input_ids"].shape[1] - 35


@torch.no_grad()
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl", "llava_onevision"])
def test_features_are_read_in_place(family: str) -> None:
    """No copy: what the selector gets lies inside the input embeddings, text between frames included."""
    case, seen, inner = CASES[family](1), [], stgraph.selector("uniform", retain_ratio=0.5)

    class Spy:
        name, requires = "spy", frozenset[str]()

        def count(self, grid: Any, budget: Any = None) -> int | None:
            return inner.count(grid, budget)

        def select(self, tokens: Any, budget: Any = None) -> Any:
            seen.append(tokens)
            return inner.select(tokens, budget)

    with seen_by_text_model(case) as calls, stgraph.compress(case.model, Spy()) as stats:
        case.model(**case.inputs)
    assert np.shares_memory(seen[0].features, calls[0]["inputs_embeds"].numpy())
    assert np.shares_memory(seen[0].lattice, calls[0]["inputs_embeds"].numpy())
    assert stats.videos[0].host_copy is None


def test_half_precision_features_stay_in_their_dtype() -> None:
    case = CASES["qwen2_vl"](1)
    model = copy.deepcopy(case.model).to(torch.bfloat16)
    with stgraph.compress(model, stgraph.selector("framefusion", retain_ratio=0.5)) as stats:
        inputs = case.inputs | {"pixel_values_videos": case.inputs["pixel_values_videos"].bfloat16()}
        logits = model(**inputs).logits
    assert logits.dtype == torch.bfloat16
    assert stats.videos[0].n_kept == 24


def test_signals_that_the_model_lacks_are_refused() -> None:
    case = CASES["qwen2_vl"](1)
    with pytest.raises(MissingSignalError, match=r"fastervlm: enc_cls_attn .* CLS token, which Qwen2\w+ does not have"):
        stgraph.compress(case.model, stgraph.selector("fastervlm", retain_ratio=0.5))
    with pytest.raises(InputError, match="measured='kept'"):
        selector = stgraph.selector("fastv", retain_ratio=0.5, measured="layers", n_layers=4)
        stgraph.compress(case.model, selector, where="before")


def test_records_are_rows() -> None:
    case = CASES["qwen2_vl"](2)
    with stgraph.compress(case.model, stgraph.selector("st-simdiff", retain_ratio=0.5)) as stats:
        case.model(**case.inputs)
        case.model(**case.inputs)
    assert [(v.call, v.sample, v.index) for v in stats.videos] == [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)]
    row = stats.videos[1].to_dict()
    assert (row["grid"], row["n_visual"], row["n_kept"], row["n_layers"]) == ("5x3x4", 60, 30, 4)
    assert "4 videos in 2 prompts, 108 of 216 visual tokens kept" in repr(stats)


@pytest.mark.parametrize("name", ["srts", "st-simdiff", "evs"])
def test_recording_changes_nothing_where_there_is_no_device(name: str) -> None:
    case, selector = CASES["llava_onevision"](1), stgraph.selector(name, retain_ratio=0.3)
    kept = []
    for record in (False, True):
        with stgraph.compress(case.model, selector, record=record) as stats, torch.no_grad():
            case.model(**case.inputs)
            case.model(**case.inputs)
        kept.append([(video.selector, video.exactness, video.nodes.tolist()) for video in stats.videos])
    assert kept[0] == kept[1]
