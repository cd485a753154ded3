"""How much an unrecorded selection asks of a GPU: the host's share of its time."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from feature_zoo import features
from launches import counted
from tensors import tensor

import stgraph

pytestmark = pytest.mark.usefixtures("interpreter")
SETTINGS: list[dict[str, Any]] = [
    *({"importance": name} for name in ("centrality", "difference", "norm", "attention")),
    *(
        {"importance": importance, "tau_diff": tau_diff, "protect_events": protect}
        for importance, tau_diff, protect in product(
            ("difference-then-centrality", "coverage"), (0.2, "p95"), (False, True)
        )
    ),
]


@pytest.mark.parametrize(
    ("selector", "options", "most"),
    [
        ("st-simdiff", {}, 46),
        ("srts", {}, 45),
        ("dets", {}, 24),
        ("st-simdiff", {"events": False}, 50),
        ("st-simdiff", {"reduce": False}, 50),
        *[("st-simdiff", options, 50) for options in SETTINGS],
    ],
    ids=str,
)
def test_a_selection_starts_at_most_50_pieces_of_work(selector: str, options: dict[str, Any], most: int) -> None:
    """Every step is taken: there are more tokens than a group may have without being cut into blocks."""
    x = features((11, 7, 7, 8))
    tokens = stgraph.VideoTokens.from_array(tensor(x), signals={"importance": abs(x[..., 0])})
    chosen = stgraph.selector(selector, retain_ratio=0.3, **options)
    with counted() as started:
        chosen.select(tokens)
    steps = {"_products"} if selector == "dets" else {"_products", "_trees", "_block_sums", "_rank", "_tally"}
    assert steps <= set(started)
    assert len(started) <= most, started
