"""compare_selectors: complete rows, honest figures, and what could not run is listed with its reason."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import CUT_FRAME, SHAPE, clip, nearest, unit_rows
from command_line import run
from refusals import Refused

import stgraph
from stgraph import Budget, VideoTokens
from stgraph.bench.compare import Comparison
from stgraph.bench.compare_selectors import compare_selectors
from stgraph.bench.synthetic import synthetic_signals
from stgraph.errors import InputError, MissingSignalError, UnknownNameError
from stgraph.selection.base import SELECTORS
from stgraph.selection.prefill_flops import SHAPES
from stgraph.selection.settings import selector_settings
from stgraph.viz.terminal.selector_comparison import kept_tables

Array = np.ndarray[Any, Any]
Row = dict[str, Any]
RATIOS = (0.1, 0.3, 0.5)
N = math.prod(SHAPE)
COLUMNS = {
    *("dump", "selector", "backend", "seed", "retain_ratio", "kind", "exactness", "positions", "n_kept", "n_visual"),
    *("n_input", "mean_layer_tokens", "mean_layer_ratio", "prune_layer", "n_layers", "newlines", "measured"),
    *("llm", "prefill_tflop", "flops_ratio", "select_s", "n_events_kept", "n_frames_kept", "frame_evenness"),
    *("fidelity_mean", "fidelity_p5"),
    *("event_fidelity_mean", "event_fidelity_p5", "cut_fidelity_mean", "cut_fidelity_p5"),
}


@pytest.fixture(scope="module")
def tokens() -> VideoTokens:
    return synthetic_signals(clip())


@pytest.fixture(scope="module")
def everything(tokens: VideoTokens) -> Comparison:
    return compare_selectors(tokens, selector_settings(seeds=(0, 1)), dump="a clip")


def test_a_count_by_another_rule_is_marked() -> None:
    text = run("compare", "-s", "st-simdiff-released,evs,uniform", "-r", "0.1", "--no-fidelity")
    assert re.search(r"^st-simdiff-released +≈# +988 ", text, re.MULTILINE)
    assert re.search(r"^evs +1,024 ", text, re.MULTILINE)
    assert "#: keeps another number" in " ".join(text.split())


def test_pages_mark_as_the_terminal_does(everything: Comparison) -> None:
    rows = {row["label"]: row for row in kept_tables(everything.rows)[0].on_page()["rows"]}
    assert [rows[name]["marks"] for name in ("evs", "framefusion", "st-simdiff-released")] == ["", "m≈", "≈#"]
    assert rows["framefusion"]["note"].startswith("merges tokens; approximate: ")
    assert rows["st-simdiff-released"]["note"].endswith("; keeps another number of tokens, by a rule of its own")
    assert rows["evs"]["note"] == ""


def test_every_selector_runs_at_every_ratio(everything: Comparison) -> None:
    expected = [
        (name, seed, ratio)
        for name in SELECTORS.names()
        for seed in ((0, 1) if name.startswith("random") else (None,))
        for ratio in RATIOS
    ]
    assert [(row["selector"], row["seed"], row["retain_ratio"]) for row in everything.rows] == expected
    assert everything.skipped == []
    for row in everything.rows:
        assert set(row) == COLUMNS
        assert row["dump"] == "a clip"
        assert row["select_s"] > 0
        target = math.ceil(Fraction(str(row["retain_ratio"])) * N)
        assert row["n_kept"] == target or (row["selector"] == "st-simdiff-released" and row["n_kept"] <= target)
        assert row["n_kept"] <= row["n_input"] <= row["n_visual"] == N
        layers = row["n_input"] * row["prune_layer"] + row["n_kept"] * (row["n_layers"] - row["prune_layer"])
        if row["selector"] == "pyramiddrop":  # cut in two layers before that
            layers = 8 * N + 8 * min(N, 4 * target) + 8 * min(N, 2 * target) + 4 * target
        if row["selector"] in ("fitprune", "sparsevlm"):  # in 26, and in three with what is recycled
            assert row["mean_layer_tokens"] < layers / row["n_layers"]
            continue
        assert row["mean_layer_tokens"] == pytest.approx(layers / row["n_layers"])
    assert {row["selector"] for row in everything.rows if row["kind"] == "merge"} >= {"sttm", "framefusion", "holitom"}
    assert {row["selector"] for row in everything.rows if row["prune_layer"]} >= {"fastv", "st-simdiff-released"}


def test_fidelity_is_the_cosine_to_the_nearest_token_handed_on(tokens: VideoTokens, everything: Comparison) -> None:
    unit = unit_rows(tokens).reshape(*SHAPE, -1)
    events, after_cut = np.zeros(SHAPE, np.bool_), np.zeros(SHAPE, np.bool_)
    events[1:] = (unit[1:] * unit[:-1]).sum(-1) < 0.2
    after_cut[CUT_FRAME] = True
    kinds = set()
    for row in everything.rows:
        seed = {} if row["seed"] is None else {"seed": row["seed"]}
        kept = stgraph.selector(row["selector"], retain_ratio=row["retain_ratio"], **seed).select(tokens)
        mask = kept.mask.reshape(-1)
        cosine = nearest(tokens, mask) if kept.features is None else nearest_of(tokens, kept.features)
        for name, among in {"fidelity": ~mask, "event_fidelity": events, "cut_fidelity": after_cut}.items():
            values = cosine[~mask & among.reshape(-1)]
            if values.size:
                kinds.add((name, kept.kind))
                assert row[f"{name}_mean"] == pytest.approx(values.mean(), abs=1e-5)
                assert row[f"{name}_p5"] == pytest.approx(np.percentile(values, 5), abs=1e-5)
            else:
                assert row[f"{name}_mean"] is None
        assert row["n_events_kept"] == np.count_nonzero(mask & events.reshape(-1))
        assert row["n_frames_kept"] == np.unique(kept.nodes // math.prod(SHAPE[1:])).size
    assert len(kinds) == 6


def nearest_of(tokens: VideoTokens, features: Array) -> Array:
    rows = features.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    best: Array = (unit_rows(tokens) @ np.divide(rows, lengths, out=rows * 0, where=lengths > 0).T).max(axis=1)
    return best


def test_overlap_holds_every_pair(tokens: VideoTokens) -> None:
    result = compare_selectors(tokens, selector_settings(("evs", "dets", "uniform")), fidelity=False)
    found = {(p["selector_a"], p["selector_b"], p["retain_ratio"]): p["jaccard"] for p in result.overlap}
    assert list(found) == [(a, b, r) for r in RATIOS for a, b in combinations(("evs", "dets", "uniform"), 2)]
    for (a, b, ratio), value in found.items():
        one, other = (set(stgraph.selector(n, retain_ratio=ratio).select(tokens).nodes.tolist()) for n in (a, b))
        assert value == pytest.approx(len(one & other) / len(one | other))
    assert all(row["fidelity_mean"] is None for row in result.rows)


def test_selectors_without_their_signals_are_listed() -> None:
    result = compare_selectors(clip(), fidelity=False)
    skipped = {row["selector"]: row["reason"] for row in result.skipped}
    assert skipped["fastervlm"] == "needs signal enc_cls_attn"
    assert skipped["vispruner"] == "needs signals enc_cls_attn, enc_features"
    assert skipped["st-simdiff-attention"] == "needs signal importance"
    assert {row["selector"] for row in result.rows} == set(SELECTORS.names()) - skipped.keys()
    assert {"evs", "st-simdiff", "st-simdiff-released", "sttm"}.isdisjoint(skipped)


def test_a_selector_asked_for_by_name_must_have_its_signals() -> None:
    with pytest.raises(MissingSignalError, match="selector 'fastervlm' needs signal enc_cls_attn, absent from a clip"):
        compare_selectors(clip(), selector_settings(("evs", "fastervlm")), dump="a clip")


def test_a_layer_that_was_not_saved_is_named(tokens: VideoTokens) -> None:
    """As in a dump of a model with fewer layers than the authors'."""
    few = {**tokens.signals, "llm_attn_layers": np.arange(len(tokens.signals["llm_attn_layers"])) + 100}
    shallow = VideoTokens(tokens.features, tokens.grid, few)
    reasons = {row["selector"]: row["reason"] for row in compare_selectors(shallow, fidelity=False).skipped}
    assert reasons.keys() == {
        *("fastv", "pyramiddrop", "fitprune", "sparsevlm", "flashvid-attention", "holitom-attention")
    }
    for name, reason in reasons.items():
        assert reason.startswith(f"{name} needs the signal") and "saved are layers 100, 101" in reason
    with pytest.raises(MissingSignalError, match="pyramiddrop needs the signal 'llm_attn_last' of decoder layer 8"):
        compare_selectors(shallow, selector_settings(("pyramiddrop",)))


def test_a_ratio_a_method_cannot_meet_is_listed(tokens: VideoTokens) -> None:
    result = compare_selectors(tokens, ratios=(0.05, 0.5), measured="layers", fidelity=False)
    cannot = [row for row in result.skipped if row["selector"] == "fastv"]
    assert [row["retain_ratio"] for row in cannot] == [0.05]
    assert "cannot be met by pruning at layer 2" in cannot[0]["reason"]
    (met,) = [row for row in result.rows if row["selector"] == "fastv"]
    assert met["mean_layer_tokens"] == pytest.approx(0.5 * N, abs=1)


def test_backends_and_options_go_to_the_selectors_that_know_them(tokens: VideoTokens) -> None:
    settings = selector_settings(
        ("st-simdiff", "evs", "srts"),
        ("lattice-components", "igraph-leiden"),
        parameters={"tau_sim": 0.6, "importance": "norm"},
    )
    assert [(one.selector, one.parameters.get("backend")) for one in settings] == [
        ("st-simdiff", "lattice-components"),
        ("st-simdiff", "igraph-leiden"),
        ("evs", None),
        ("srts", "lattice-components"),
        ("srts", "igraph-leiden"),
    ]
    one: Any = settings[1].build(Budget(0.3))
    assert (one.backend, one.tau_sim, one.importance) == ("igraph-leiden", 0.6, "norm")
    srts: Any = settings[3].build(Budget(0.3))
    assert (srts.tau_sim, srts.importance) == (0.6, "centrality")
    assert len(compare_selectors(tokens, settings, (0.3,)).rows) == 5


def test_the_seed_goes_to_a_seeded_backend(tokens: VideoTokens) -> None:
    settings = selector_settings(("st-simdiff",), ("igraph-leiden", "lattice-components"), seeds=(3, 4))
    built: Any = [one.build(Budget(0.3)) for one in settings]
    assert [(one.backend, one.seed) for one in built] == [("igraph-leiden", 3), ("lattice-components", 3)]
    rows = compare_selectors(tokens, settings, (0.3,), fidelity=False).rows
    assert [(row["backend"], row["seed"]) for row in rows] == [("igraph-leiden", 3), ("lattice-components", None)]


@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        ({"selectors": ("evs", "fastvlm")}, UnknownNameError, "no selector 'fastvlm'. Did you mean"),
        ({"ratios": (0.3, 1.5)}, InputError, "retain_ratio is 1.5"),
        ({"ratios": ()}, InputError, "retain_ratios is empty"),
        ({"seeds": ()}, InputError, "seeds is empty"),
        ({"measured": "input"}, InputError, "measured is 'input'"),
        ({"parameters": {"tau_sim": 7.0}}, InputError, "tau_sim is 7"),
    ],
)
def test_settings_are_checked_before_any_work(axes: Any, error: type[Exception], message: str) -> None:
    others = {name: axes.pop(name) for name in ("ratios", "measured") if name in axes}
    with pytest.raises(error, match=message):
        compare_selectors(clip(), selector_settings(**axes), **others)


def test_flops_are_those_of_the_named_llm(tokens: VideoTokens, everything: Comparison) -> None:
    ours = SHAPES["qwen2-7b"]
    for row in everything.rows:
        assert row["llm"] == "qwen2-7b"
        if row["selector"] == "fitprune":  # counts on 32 layers
            assert row["prefill_tflop"] is None and row["flops_ratio"] is None
        elif row["prune_layer"] == 0:
            assert row["prefill_tflop"] * 1e12 == pytest.approx(28 * ours.layer(row["n_kept"]))
            assert row["flops_ratio"] == pytest.approx(ours.layer(row["n_kept"]) / ours.layer(N))
    settings = selector_settings(("evs",))
    (other,) = compare_selectors(tokens, settings, (0.3,), llm="llama-7b").rows
    assert other["prefill_tflop"] * 1e12 == pytest.approx(32 * SHAPES["llama-7b"].layer(other["n_kept"]))
    with pytest.raises(UnknownNameError, match="no LLM 'llama'"):
        compare_selectors(tokens, settings, (0.3,), llm="llama")


def test_the_command_tells_methods_the_depth_of_the_llm(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "clip.safetensors"
    synthetic_signals(clip()).save(path)
    asked = ("compare", str(path), "-s", "fastv,fitprune", "-r", "0.3", "-q", "--no-fidelity", "--format", "json")
    rows = json.loads(run(*asked, "--llm", "llama-7b"))["rows"]
    assert [(row["selector"], row["n_layers"], row["llm"]) for row in rows] == [
        ("fastv", 32, "llama-7b"),
        ("fitprune", 32, "llama-7b"),
    ]
    assert all(row["prefill_tflop"] > 0 for row in rows)
    assert refused("compare", str(path), "--llm", "llama-7b").startswith("--llm belongs to --selector")
    assert refused("compare", str(path), "-s", "evs", "--llm", "qwen2-8b").startswith("no LLM 'qwen2-8b'")
