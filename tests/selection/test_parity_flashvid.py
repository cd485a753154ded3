"""FlashVID beside its plain restatement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles_flashvid import flashvid
from parity_cases import CASES, cases, parity

from stgraph import VideoTokens, selector
from stgraph.errors import InputError

SMALL = [case for case in CASES if case.T * case.H * case.W <= 300]
MOVING = [case for case in cases("scenes", "random", "cut") if 1 < case.T < 40 and case.H < 7]
LOOSE = {"exact_ties": False, "max_excused": 3}


@pytest.mark.slow
@pytest.mark.parametrize("true_means", [True, False])
@pytest.mark.parametrize("exact_count", [True, False])
def test_flashvid(exact_count: bool, true_means: bool) -> None:
    values = {"exact_count": exact_count, "true_means": true_means}
    parity("flashvid", flashvid(**values), on=SMALL, **LOOSE, **values)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 0.0, "segments": 1, "segment_tau": 0.0},
        {"alpha": 0.3, "tau": 0.2, "segments": 2, "segment_tau": 0.3},
        {"tau": 1.0, "alpha": 0.5, "segments": 1, "segment_tau": -1.0},
        {"alpha": 1.0},
    ],
)
def test_flashvid_parameters(options: dict[str, Any]) -> None:
    parity("flashvid", flashvid(**options), on=MOVING, **LOOSE, **options)


def chain(n_frames: int = 4) -> VideoTokens:
    """One picked token a frame, and one that is the same in all frames."""
    x = np.zeros((n_frames, 1, 2, 8), np.float32)
    x[:, 0, 0, :2] = [[0, 9], [3, 9], [0, 9], [3, 9]]
    x[:, 0, 1, 4] = 2
    return VideoTokens.from_array(x, signals={"enc_recv_attn": np.tile(np.float32([0.9, 0.1]), (n_frames, 1))})


@pytest.mark.parametrize(("true_means", "size"), [(True, 2.0), (False, 4.0)])
def test_a_chain_of_equal_tokens(true_means: bool, size: float) -> None:
    """As released it comes out half its length too large."""
    options = {"segments": 1, "segment_tau": -1.0, "alpha": 0.5, "true_means": true_means, "tau": 0.5}
    found = selector("flashvid", n_keep=5, **options).select(chain())
    (merged,) = found.features[np.diff(found.assignment.indptr) == 4]
    assert merged[4] == size and not merged[:4].any()


@pytest.mark.parametrize("ratio", [0.79, 0.85, 0.99])
def test_almost_everything_can_be_kept(ratio: float) -> None:
    """Theirs crashes from r = 0.79 on, and returns indices twice."""
    for case in (CASES[4], CASES[17], CASES[25]):
        found = selector("flashvid", retain_ratio=ratio, exact_count=False).select(case.tokens())
        assert np.unique(found.indices).size == len(found)


@pytest.mark.parametrize(
    "options", [{"alpha": 1.2}, {"tau": 2.0}, {"segment_tau": -3}, {"segments": 0}, {"true_means": 1}]
)
def test_parameters_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        selector("flashvid", n_keep=1, **options)
