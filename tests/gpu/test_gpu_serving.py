"""What a serving engine hands over stays on its device (the GPU engine, in the interpreter)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from host_copies import CopiedToHost, none_as_large_as
from tensors import same, tensor

import stgraph
from stgraph.selection.budget import Budget
from stgraph.serving.mrope import own_positions, with_channels
from stgraph.serving.settings import Settings

pytestmark = pytest.mark.usefixtures("interpreter")
GRID = stgraph.TokenGrid(4, 3, 4)


def features() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(1.0, 0.3, (GRID.n_nodes, 24)).astype(np.float32)


@pytest.mark.parametrize("name", ["st-simdiff", "srts", "dets", "evs"])
def test_selection_copies_no_features(name: str) -> None:
    settings, x = Settings.of({"selector": name}), features()
    n = settings.n_keep(GRID, 0.6)
    tokens = stgraph.VideoTokens.from_array(x.reshape(*GRID.shape, -1))  # NumPy: the CPU engine
    expected = settings.selector.select(tokens, Budget(n_keep=n))
    on_device = tensor(x)
    with none_as_large_as(x.size):
        rows, indices = settings.keep(on_device, GRID, n)
        out = with_channels(rows, own_positions(*GRID.shape, 2.0, rows.device)[indices])
    assert out.shape == (n, 24 + 6)
    same(indices, expected.indices)
    same(rows, x[expected.indices])


def test_a_selector_that_copies_is_seen() -> None:
    """Otherwise the test above could not fail."""

    class Copies:
        def select(self, tokens: stgraph.VideoTokens, budget: Budget) -> stgraph.Selection:
            return stgraph.selector("evs", n_keep=budget.n_keep).select(tokens.to("cpu"))

    x = tensor(features())
    with pytest.raises(CopiedToHost), none_as_large_as(x.numel()):
        Settings(Copies(), "vllm").keep(x, GRID, 20)  # type: ignore[arg-type]
