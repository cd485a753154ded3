"""The named configurations of ST-SimDiff: rows of the paper's ablation, and selectors that are one part of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stgraph import VideoTokens, selector
from stgraph.bench.synthetic import synthetic_tokens
from stgraph.errors import InputError, MissingSignalError, UnknownNameError
from stgraph.selection.st_simdiff.presets import ABLATION, PRESETS, ablation, preset

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def video() -> Array:
    return synthetic_tokens(8, 6, 7, 24, seed=1)


@pytest.mark.parametrize("name", list(ABLATION))
def test_ablation_rows_are_configurations(name: str, video: Array) -> None:
    attention = np.random.default_rng(7).random((8, 6, 7), np.float32)
    tokens = VideoTokens.from_array(video, importance=attention)
    result = selector("st-simdiff", retain_ratio=0.3, **ablation(name)).select(tokens)
    assert len(result) == 101
    assert result.report["importance"] == "attention"
    if name == "attention-only":
        best = np.argsort(-attention.reshape(-1), kind="stable")[:101]
        assert result.indices.tolist() == sorted(best.tolist())
    assert (result.report["n_events"] > 0) == (name == "full")


def test_presets_are_parameters_that_others_overrule(video: Array) -> None:
    tokens = VideoTokens.from_array(video)
    for name, parameters in PRESETS.items():
        chosen = selector("st-simdiff", retain_ratio=0.3, preset=name)
        assert chosen == selector("st-simdiff", retain_ratio=0.3, **parameters)
    assert selector("st-simdiff", retain_ratio=0.3, preset="paper") == selector("st-simdiff", retain_ratio=0.3)
    robust = selector("st-simdiff", retain_ratio=0.3, preset="robust")
    assert robust.select(tokens).report["importance"] == "coverage"
    attended = VideoTokens.from_array(video, importance=np.random.default_rng(0).random(video.shape[:3], np.float32))
    assert robust.select(attended).report["importance"] == "attention"
    assert (
        selector("st-simdiff", retain_ratio=0.3, preset="robust", tau_sim=0.7, backend="igraph-leiden").tau_sim == 0.7
    )
    assert preset("spatial") == ablation("spatial")
    with pytest.raises(UnknownNameError, match=r"no preset 'rbust'\. Known: paper, robust, attention-only"):
        selector("st-simdiff", retain_ratio=0.3, preset="rbust")
    with pytest.raises(InputError, match="selector 'evs' has no parameter 'preset'"):
        selector("evs", retain_ratio=0.3, preset="robust")


def test_unknown_ablation_row() -> None:
    with pytest.raises(UnknownNameError, match=r"no preset 'everything'\. Known: attention-only, spatial"):
        ablation("everything")


def test_presets_fix_what_names_them(video: Array) -> None:
    tokens = VideoTokens.from_array(video)
    halves = selector("srts", retain_ratio=0.3, tau_sim=0.7).select(tokens)
    same = selector("st-simdiff", retain_ratio=0.3, tau_sim=0.7, events=False, importance="centrality").select(tokens)
    assert halves.indices.tolist() == same.indices.tolist()
    assert halves.reasons() == {"representative": 101}
    with pytest.raises(InputError, match="'srts' has no parameter 'events'"):
        selector("srts", retain_ratio=0.3, events=True)
    with pytest.raises(InputError, match="'st-simdiff-attention' has no parameter 'importance'"):
        selector("st-simdiff-attention", retain_ratio=0.3, importance="norm")
    with pytest.raises(MissingSignalError, match="needs the signal 'importance'"):
        selector("st-simdiff-attention", retain_ratio=0.3).select(tokens)
