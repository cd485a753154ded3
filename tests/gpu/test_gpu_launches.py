"""How much an unrecorded selection asks of a GPU: the host's share of its time."""

from __future__ import annotations

import pytest
from feature_zoo import features
from launches import counted
from tensors import tensor

import stgraph

pytestmark = pytest.mark.usefixtures("interpreter")


@pytest.mark.parametrize("selector", ["st-simdiff", "srts"])
def test_a_selection_starts_at_most_50_pieces_of_work(selector: str) -> None:
    """Every step is taken: there are more tokens than a group may have without being cut into blocks."""
    tokens = stgraph.VideoTokens.from_array(tensor(features((11, 7, 7, 8))))
    chosen = stgraph.selector(selector, retain_ratio=0.3)
    with counted() as started:
        chosen.select(tokens)
    assert {"_products", "_trees", "_block_sums", "_rank", "_tally"} <= set(started)
    assert len(started) <= 50, started
