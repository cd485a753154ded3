"""Every selector that computes where the features lie: as on the CPU, and no features leave for host memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_zoo import newline_per_row
from host_copies import CopiedToHost, none_as_large_as
from tensors import tensor

import stgraph
from stgraph import TokenGrid, VideoTokens
from stgraph.bench.synthetic import synthetic_signals, synthetic_tokens
from stgraph.devices import is_tensor, to_host
from stgraph.errors import FeatureError
from stgraph.selection.base import SELECTORS

pytestmark = pytest.mark.usefixtures("interpreter")
Array = np.ndarray[Any, Any]
ON_GPU = [name for name in SELECTORS.names() if getattr(SELECTORS.get(name), "on_gpu", False)]
FREE = [name for name in ON_GPU if "exact_count" in stgraph.selection.base.parameters_of(name)]
GRAPH = ("st-simdiff", "st-simdiff-attention", "srts", "dets")  # of tests/gpu/test_gpu_engine.py
MINE = [name for name in ON_GPU if name not in GRAPH]
SHAPE = (6, 5, 4)
D = 48


def pair(x: Array, grid: TokenGrid | None = None) -> tuple[VideoTokens, VideoTokens]:
    """The same tokens with every signal for the CPU engine and for the GPU engine."""
    grid = grid or TokenGrid(*x.shape[:3])
    cpu = synthetic_signals(VideoTokens(x, grid))
    return cpu, VideoTokens(tensor(x), grid, cpu.signals, cpu.metadata)


def scenes(shape: tuple[int, int, int] = SHAPE, dtype: str = "float32") -> Array:
    import ml_dtypes

    x = synthetic_tokens(*shape, D, seed=3)
    return x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def check(name: str, cpu: VideoTokens, gpu: VideoTokens, ratio: float = 0.3, **options: Any) -> None:
    """Same tokens for the same reasons; and nothing as large as the features goes to host memory."""
    chosen = stgraph.selector(name, retain_ratio=ratio, **options)
    expected = chosen.select(cpu)
    with none_as_large_as(gpu.features.numel()):
        found = chosen.select(gpu)
    assert "host_copy" not in found.report
    assert is_tensor(found.indices) and is_tensor(found.reason) and is_tensor(found.scores)
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.reason.tolist() == expected.reason.tolist()
    np.testing.assert_allclose(to_host(found.scores), expected.scores, rtol=1e-5, atol=2e-5)
    assert (found.kind, found.exactness, found.account) == (expected.kind, expected.exactness, expected.account)
    same_report({**found.report, "seconds": None}, {**expected.report, "seconds": None})
    if expected.kind == "merge":
        np.testing.assert_allclose(found.assignment.toarray(), expected.assignment.toarray(), atol=1e-6)
        assert is_tensor(found.features) and found.features.dtype == gpu.features.dtype
        merged = expected.features.astype(np.float64)
        atol = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}[cpu.dtype] * np.abs(merged).max()
        np.testing.assert_allclose(to_host(found.features.double()), merged, atol=atol)


def same_report(found: Any, expected: Any) -> None:
    """Equal but for rounding."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same_report(one, other)
    else:
        assert found == (pytest.approx(expected, abs=2e-5, rel=1e-5) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize("ratio", [0.07, 0.3, 0.8])
def test_as_on_the_cpu(name: str, ratio: float) -> None:
    check(name, *pair(scenes()), ratio)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fastvid", {"segments": 1, "tau": -1.0, "anchor_step": 2, "context": 0.9}),
        ("holitom", {"tau": 0.5}),
        ("llava-scissor", {"tau": 0.8}),
        ("llava-scissor", {"tau": 0.4, "exact_count": False}),
        ("sttm", {"tau_s": 0.05, "root_level": 0}),
        ("sttm", {"tau_s": 0.3, "root_level": 0, "exact_count": False}),
        ("flashvid", {"segments": 1, "segment_tau": -1.0, "alpha": 0.3, "tau": 0.5}),
        ("flashvid", {"segments": 1, "segment_tau": -1.0, "alpha": 0.1, "true_means": False}),
    ],
)
def test_where_most_tokens_are_merged(name: str, options: dict[str, Any]) -> None:
    check(name, *pair(scenes()), 0.15, **options)


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_dtypes(name: str, dtype: str) -> None:
    check(name, *pair(scenes(dtype=dtype)))


@pytest.mark.parametrize("name", [name for name in MINE if name in FREE])
def test_the_authors_counts(name: str) -> None:
    check(name, *pair(scenes()), exact_count=False)


@pytest.mark.parametrize(("name", "ratio"), [("fastvid", 1e-6), ("holitom", 0.01)])
def test_the_authors_count_may_be_no_token(name: str, ratio: float) -> None:
    cpu, gpu = pair(np.ones((6, 5, 1, 33), np.float32))
    chosen = stgraph.selector(name, retain_ratio=ratio, exact_count=False)
    found, expected = chosen.select(gpu), chosen.select(cpu)
    assert len(found) == len(expected) == 0
    assert found.features is not None and tuple(found.features.shape) == (0, 33)


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize("shape", [(1, 5, 6), (2, 1, 7), (9, 2, 2)], ids=str)
def test_odd_grids(name: str, shape: tuple[int, int, int]) -> None:
    check(name, *pair(scenes(shape)), 0.4)


@pytest.mark.parametrize("name", MINE)
def test_a_view_with_gaps_that_a_model_may_learn_from(name: str) -> None:
    """Between the view's rows and channels lies NaN, and gradients are not followed."""
    import torch

    x = scenes()
    cpu, whole = pair(x)
    wide = torch.full((SHAPE[0] + 1, SHAPE[2] + 2, SHAPE[1], D, 2), torch.nan)
    view = wide[1:, 1:-1, :, :, 1].transpose(1, 2)
    view.copy_(whole.features)
    gpu = VideoTokens(view.requires_grad_(), whole.grid, whole.signals, whole.metadata)
    assert not gpu.features.is_contiguous()
    check(name, cpu, gpu)
    assert not stgraph.selector(name, retain_ratio=0.3).select(gpu).scores.requires_grad


@pytest.mark.parametrize("name", MINE)
def test_newlines(name: str) -> None:
    kind = newline_per_row(*SHAPE)
    features = np.full((kind.size, D), 0.25, np.float32)
    features[kind == 0] = scenes().reshape(-1, D)
    check(name, *pair(features, TokenGrid(*SHAPE, kind)))


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize("what", ["zeros", "all zero", "huge", "tiny"])
def test_degenerate_features(name: str, what: str) -> None:
    """The budget is met exactly, and what is kept is finite; ties may be broken by rounding."""
    x = scenes()
    if what == "zeros":
        x.reshape(-1, D)[::3] = 0
    else:
        x *= {"all zero": 0, "huge": 1e18, "tiny": 1e-22}[what]
    cpu, gpu = pair(x)
    chosen = stgraph.selector(name, retain_ratio=0.3)
    found, expected = chosen.select(gpu), chosen.select(cpu)
    assert len(found) == len(expected)
    assert bool(found.scores.isfinite().all())
    assert bool(found.gather(gpu.features).isfinite().all())
    if what in ("huge", "tiny"):
        assert found.indices.tolist() == expected.indices.tolist()


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_features_are_refused(name: str, bad: float) -> None:
    x = scenes()
    x[2, 1, 3, 5] = bad
    gpu = VideoTokens(tensor(x), TokenGrid(*SHAPE), pair(scenes())[0].signals)
    with pytest.raises(FeatureError, match=r"token 47|frame 2, row 1, column 3"):
        stgraph.selector(name, retain_ratio=0.3).select(gpu)


def test_every_selector_is_here() -> None:
    assert ON_GPU == SELECTORS.names() and len(ON_GPU) >= 40


def test_one_that_computes_in_host_memory_gets_a_copy_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = pair(scenes())
    chosen = stgraph.selector("evs", retain_ratio=0.3)
    monkeypatch.setattr(type(chosen), "on_gpu", False)
    found, expected = chosen.select(gpu), chosen.select(cpu)
    assert found.indices.tolist() == expected.indices.tolist()
    assert found.report["host_copy"] == "evs does not compute on cpu, where the features were"
    with pytest.raises(CopiedToHost), none_as_large_as(gpu.features.numel()):
        chosen.select(gpu)
