"""``compress`` with the GPU engine (in the interpreter): the same tokens as on the CPU, features not copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from host_copies import CopiedToHost, none_as_large_as
from vlm_models import CASES, torch

import stgraph
from stgraph.devices import is_tensor
from stgraph.selection.base import Selector

pytestmark = pytest.mark.usefixtures("interpreter")


@torch.no_grad()
def run(family: str, selector: Selector, batch: int = 1) -> tuple[Any, Any]:
    """(logits, statistics) of one prompt."""
    case = CASES[family](batch)
    with stgraph.compress(case.model, selector) as stats:
        return case.model(**case.inputs).logits, stats


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs with the CPU engine, for comparison."""
    from stgraph import devices

    def call(*args: Any) -> tuple[Any, Any]:
        with monkeypatch.context() as patch:
            patch.setattr(devices, "_devices", type(devices._devices)("none", default=()))
            return run(*args)

    return call


@pytest.mark.parametrize(
    ("family", "batch", "options"),
    [
        ("qwen2_vl", 2, {"importance": "attention", "tau_sim": 0.3, "max_size": None}),
        ("llava_onevision", 1, {"importance": "difference", "tau_diff": "p90", "tau_sim": 0.3}),
        ("qwen3_vl", 1, {"importance": "centrality", "tau_sim": 0.3, "max_size": None}),
    ],
    ids=str,
)
def test_the_same_tokens_reach_the_model(family: str, batch: int, options: dict[str, Any], on_cpu: Any) -> None:
    selector = stgraph.selector("st-simdiff", retain_ratio=0.4, **options)
    expected, plain = on_cpu(family, selector, batch)
    smallest = min(np.prod(grid) for grid in CASES[family](batch).grids) * 64
    with none_as_large_as(smallest) as seen:
        logits, stats = run(family, selector, batch)
    assert seen
    assert (logits - expected).abs().max() < 1e-5
    for found, video in zip(stats.videos, plain.videos, strict=True):
        assert found.nodes.tolist() == video.nodes.tolist()
        assert (found.n_candidates, found.exactness) == (video.n_candidates, video.exactness)
        assert (found.host_copy, found.graph_host_copy) == (None, None)
        assert found.to_dict()["graph_host_copy"] is None


def test_a_cpu_backend_gets_the_graph_alone() -> None:
    case = CASES["qwen2_vl"](1)
    selector = stgraph.selector("st-simdiff", retain_ratio=0.4, backend="igraph-leiden", tau_sim=0.1, max_size=None)
    with none_as_large_as(np.prod(case.grids[0]) * 64):
        _, stats = run("qwen2_vl", selector)
    assert stats.videos[0].host_copy is None
    assert "igraph-leiden runs on the CPU" in stats.videos[0].graph_host_copy


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("evs", {}),
        ("fastv", {}),
        ("framefusion", {}),
        ("framefusion-attention", {}),
        ("vidcom2", {}),
        ("uniform", {}),
        ("prunevid", {}),
        ("st-simdiff-released", {"tau_sim": 0.0}),
        ("dart", {"layer": 2, "n_layers": 4}),
        ("flashvid-attention", {"layer": 2, "n_layers": 4}),
        ("holitom-attention", {"layer": 2, "n_layers": 4}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_selectors_read_the_features_in_place(name: str, options: dict[str, Any], on_cpu: Any) -> None:
    selector = stgraph.selector(name, retain_ratio=0.4, **options)
    expected, plain = on_cpu("qwen2_vl", selector)
    n_elements = np.prod(CASES["qwen2_vl"](1).grids[0]) * 64
    with none_as_large_as(n_elements):
        logits, stats = run("qwen2_vl", selector)
    assert (logits - expected).abs().max() < 1e-5
    assert stats.videos[0].host_copy is None and plain.videos[0].host_copy is None
    assert stats.videos[0].nodes.tolist() == plain.videos[0].nodes.tolist()
    assert stats.videos[0].exactness == plain.videos[0].exactness


def test_those_that_get_a_copy_say_so(monkeypatch: pytest.MonkeyPatch, on_cpu: Any) -> None:
    selector = stgraph.selector("evs", retain_ratio=0.4)
    monkeypatch.setattr(type(selector), "on_gpu", False)
    expected, plain = on_cpu("qwen2_vl", selector)
    logits, stats = run("qwen2_vl", selector)
    assert (logits - expected).abs().max() < 1e-6
    assert stats.videos[0].host_copy == "evs does not compute on cpu, where the features were"
    assert plain.videos[0].host_copy is None
    n_elements = np.prod(CASES["qwen2_vl"](1).grids[0]) * 64
    with pytest.raises(CopiedToHost), none_as_large_as(n_elements):
        run("qwen2_vl", selector)


def test_without_triton_features_are_copied_and_the_statistics_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgraph.kernels.find_spec", lambda name: None)
    _, stats = run("qwen2_vl", stgraph.selector("st-simdiff", retain_ratio=0.4, importance="norm"))
    assert stats.videos[0].host_copy == "the GPU engine needs Triton, which is not installed"


def test_a_selector_says_that_it_computes_on_a_gpu() -> None:
    """A third party's selector gets tensors where it asks for them, host memory otherwise."""
    inner = stgraph.selector("st-simdiff", retain_ratio=0.5, importance="norm", max_size=None)

    class Own:
        name, requires, on_gpu = "own", frozenset[str](), True

        def count(self, grid: Any, budget: Any = None) -> int | None:
            return inner.count(grid, budget)

        def select(self, tokens: Any, budget: Any = None) -> Any:
            seen.append(tokens.features)
            return inner.select(tokens, budget)

    seen: list[Any] = []
    _, stats = run("qwen2_vl", Own())
    Own.on_gpu = False
    _, copied = run("qwen2_vl", Own())
    assert [is_tensor(features) for features in seen] == [True, False]
    assert stats.videos[0].host_copy is None
    assert copied.videos[0].host_copy is not None
    assert stats.videos[0].nodes.tolist() == copied.videos[0].nodes.tolist()
