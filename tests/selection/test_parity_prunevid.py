"""PruneVid beside its plain restatement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles_prunevid import prunevid, prunevid_attention, quotas, windows_of
from parity_cases import CASES, cases, parity

from stgraph import VideoTokens, selector
from stgraph.errors import InputError
from stgraph.selection.rivals.prunevid import shared
from stgraph.selection.rivals.scene_windows import contiguous

SMALL = [case for case in CASES if case.T * case.H * case.W <= 300]
MODEST = [case for case in CASES if case.T * case.H * case.W < 700]
MOVING = [case for case in cases("scenes", "random", "cut") if 1 < case.T < 40 and case.H < 8]
LOOSE = {"exact_ties": False, "max_excused": 2}


@pytest.mark.slow
@pytest.mark.parametrize("exact_count", [True, False])
def test_prunevid(exact_count: bool) -> None:
    parity("prunevid", prunevid(exact_count), on=MODEST, exact_count=exact_count, **LOOSE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"tau": 0.5}, {"tau": 0.95, "segment_ratio": 0.5}, {"segment_ratio": 0.0}, {"cluster_ratio": 0.1}],
)
def test_prunevid_parameters(options: dict[str, Any]) -> None:
    for exact_count in (True, False):
        values = {**options, "exact_count": exact_count}
        parity("prunevid", prunevid(**values), on=MOVING, **LOOSE, **values)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"alpha": 0.9}, {"exact_count": False}])
def test_prunevid_attention(options: dict[str, Any]) -> None:
    parity("prunevid-attention", prunevid_attention(**options), on=SMALL, **LOOSE, **options)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_windows_are_the_authors(labels: list[int]) -> None:
    assert contiguous(labels) == windows_of(labels)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.data())
def test_groups_share_the_budget(sizes: list[int], data: Any) -> None:
    n = data.draw(st.integers(0, sum(sizes)))
    counts = shared(np.array(sizes), n).tolist()
    assert counts == quotas(sizes, n)
    assert sum(counts) == n
    assert all(count <= size for count, size in zip(counts, sizes, strict=True))
    assert n < len(sizes) or min(counts) >= 1


def test_a_single_frame_stands_nowhere_still() -> None:
    """Theirs divides by W (W - 1) = 0, and rounding decides what is static."""
    x = np.random.default_rng(0).standard_normal((1, 5, 5, 16)).astype(np.float32)
    found = selector("prunevid", n_keep=9).select(VideoTokens.from_array(x))
    assert found.report["n_still"] == 0 and len(found) == 9


def test_what_the_attention_cut_costs() -> None:
    tokens = CASES[5].tokens()
    found = selector("prunevid-attention", retain_ratio=0.2, layer=3, n_layers=20).select(tokens)
    account = found.account
    assert (account.prune_layer, account.n_input) == (4, -(-len(found) * 10 // 4))
    assert account.per_layer == [account.n_input] * 4 + [len(found)] * 16


@pytest.mark.parametrize("options", [{"alpha": 0}, {"alpha": 1.5}, {"layer": -1}, {"layer": 27}, {"tau": 2.0}])
def test_parameters_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        selector("prunevid-attention", n_keep=1, **options)
