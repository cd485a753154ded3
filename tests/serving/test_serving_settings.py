"""What a serving engine is told: settings, budgets, refusals, and the rows that are kept. No engine is needed."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stgraph
from stgraph.errors import InputError, MissingSignalError, UnavailableError, UnknownNameError
from stgraph.serving.check.plans import plans
from stgraph.serving.check.prompts import PARITY, PROMPTS, RATES, from_plain
from stgraph.serving.releases import TESTED, check_names, standing
from stgraph.serving.settings import Settings, servable

GRID = stgraph.TokenGrid(8, 4, 4)
torch = pytest.importorskip("torch", reason="needs torch: the engines hand over tensors")


def features(grid: stgraph.TokenGrid = GRID, dtype: Any = None) -> Any:
    x = np.random.default_rng(0).normal(1.0, 0.3, (grid.n_nodes, 16)).astype(np.float32)
    return torch.from_numpy(x).to(dtype or torch.float32)


@pytest.mark.parametrize(
    ("rate", "vllm", "ratio"), [(0.0, 128, 128), (0.7, 38, 39), (0.5, 64, 64), (0.95, 16, 7), (0.999, 16, 1)]
)
def test_budgets(rate: float, vllm: int, ratio: int) -> None:
    assert Settings.of({"selector": "evs"}).n_keep(GRID, rate) == vllm
    assert Settings.of({"selector": "evs", "budget": "ratio"}).n_keep(GRID, rate) == ratio


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.floats(0, 0.999))
def test_a_budget_is_within_the_grid(T: int, H: int, W: int, rate: float) -> None:
    grid = stgraph.TokenGrid(T, H, W)
    assert Settings.of(None).n_keep(grid, rate) == max(H * W, int(T * H * W * (1 - rate))) <= grid.n_nodes
    assert 1 <= Settings.of({"budget": "ratio"}).n_keep(grid, rate) <= grid.n_nodes


@pytest.mark.parametrize("rate", [-0.1, 1, 1.0, math.nan, "0.5", None, True], ids=repr)
def test_a_bad_rate_is_named(rate: Any) -> None:
    with pytest.raises(InputError, match=r"video_pruning_rate is .*; it must be a number in \[0, 1\)"):
        Settings.of(None).n_keep(GRID, rate)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("st-simdiff", InputError, "must be a mapping"),
        ({"selector": "evz"}, UnknownNameError, "evz"),
        ({"selector": "evs", "tau": 1}, InputError, "no parameter 'tau'"),
        ({"selector": "evs", "retain_ratio": 0.3}, InputError, "retain_ratio cannot be set here"),
        ({"selector": "evs", "n_keep": 3}, InputError, "n_keep cannot be set here"),
        ({"budget": "frames"}, InputError, "budget is 'frames'"),
        ({"selector": "visionzip"}, MissingSignalError, "Selectors for serving: st-simdiff"),
        ({"selector": "fastv"}, MissingSignalError, "features alone"),
        ({"importance": "attention"}, MissingSignalError, "'importance'"),
        ({"selector": "st-simdiff-attention"}, MissingSignalError, "features alone"),
        ({"reduce": False}, InputError, "as the features decide"),
        ({"selector": "framefusion", "exact_count": False}, InputError, "as the features decide"),
    ],
    ids=str,
)
def test_what_cannot_be_served_is_refused_with_the_reason(given: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        Settings.of(given)


@pytest.mark.slow
def test_every_servable_selector_keeps_what_it_counted() -> None:
    names = servable()
    assert {"st-simdiff", "srts", "dets", "evs", "vidcom2", "framefusion", "sttm"} <= set(names)
    assert not {"fastv", "visionzip", "holitom", "st-simdiff-released"} & set(names)
    for name in names:
        served = Settings.of({"selector": name})
        for rate in (0.0, 0.4, 0.7, 0.99):
            n = served.n_keep(GRID, rate)
            rows, indices = served.keep(features(), GRID, n)
            assert rows.shape == (n, 16) and indices.shape == (n,), name
            assert (indices.diff() > 0).all() and 0 <= indices.min() and indices.max() < GRID.n_nodes, name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rows_are_the_encoders_own(dtype: str) -> None:
    x = features(dtype=getattr(torch, dtype))
    rows, indices = Settings.of(None).keep(x, GRID, 38)
    assert rows.dtype == x.dtype
    assert torch.equal(rows, x[indices])
    selector = stgraph.selector("st-simdiff", n_keep=38, importance="difference-then-centrality")
    expected = selector.select(stgraph.VideoTokens.from_array(x.reshape(8, 4, 4, 16)))
    assert indices.tolist() == torch.from_dlpack(expected).tolist()


def test_st_simdiff_says_that_it_is_approximate() -> None:
    exactness, renumbers = Settings.of(None).warm_up(features(stgraph.TokenGrid(3, 4, 4)))
    assert exactness == (
        "approximate: surplus candidates dropped by difference-then-centrality, not by the LLM's attention"
    )
    assert not renumbers
    assert Settings.of({"selector": "sttm"}).warm_up(features(stgraph.TokenGrid(3, 4, 4)))[1]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_bad_video_does_not_end_the_engine(value: float, caplog: pytest.LogCaptureFixture) -> None:
    x = features()
    x[77, 3] = value
    with caplog.at_level(logging.ERROR, "stgraph"):
        rows, indices = Settings.of(None).keep(x, GRID, 32)
    assert indices.tolist() == list(range(0, 128, 4)) and rows.shape == (32, 16)
    assert "first bad token is 77" in caplog.text and "evenly spaced" in caplog.text


def test_releases_are_told_apart() -> None:
    assert all(standing(release) is None for release in TESTED)
    assert standing("0.32.0+cpu") is None
    assert "0.33.0 was read, not tested" in str(standing("0.33.0"))
    for other in ("0.32.1", "0.9", "1.0.0rc1", "0.32"):
        assert f"vLLM {other} was not tested (tested: 0.32.0)" in str(standing(other))
    with pytest.raises(UnavailableError, match=r"vLLM 9: Settings has no _call_hf_processor\(\)"):
        check_names(Settings, ("keep", "_call_hf_processor"), "9")


def test_prompts_survive_json() -> None:
    for prompt in {**PROMPTS, **PARITY, **RATES}.values():
        assert from_plain(prompt.plain()) == prompt


def test_every_engine_of_the_check_but_the_stock_one_asks_for_the_plugin() -> None:
    for name, plan in plans("qwen2_5_vl").items():
        written = plan.written("folder", "qwen2_5_vl")["llm"]
        assert ("hf_overrides" in written) == (name != "stock")
        assert written["enable_prefix_caching"] == (name == "prefix cache")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_features_in_host_memory_are_not_copied(dtype: str) -> None:
    """What the selector gets is the memory the engine's encoder wrote."""
    seen: list[Any] = []

    class Watched:
        def select(self, tokens: Any, budget: Any) -> Any:
            seen.append(tokens.features)
            return stgraph.selector("evs", n_keep=budget.n_keep).select(tokens)

    x = features(dtype=getattr(torch, dtype))
    rows, _ = Settings(Watched(), "vllm").keep(x, GRID, 20)  # type: ignore[arg-type]
    assert seen[0].__array_interface__["data"][0] == x.data_ptr()
    assert rows.data_ptr() != x.data_ptr()
