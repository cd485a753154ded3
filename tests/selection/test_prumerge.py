"""PruMerge and PruMerge+: neighbours, the extra token, the grid between the outliers, the authors' count."""

from __future__ import annotations

import numpy as np
import pytest
from encoder_videos import Shape, frames, replaced, select, video

import stgraph
from stgraph.selection.reasons import ATTENTION, CONTEXT, SAMPLE
from stgraph.selection.rivals.prumerge import outlier_counts


@pytest.mark.parametrize("name", ("prumerge", "prumerge+"))
@pytest.mark.parametrize("per_frame", [1, 2, 7, 20, 40, 41])
def test_prumerge_adds_neighbours_and_sums_what_is_left(name: str, per_frame: int) -> None:
    tokens = video()
    attention = tokens.signals["prumerge_cls_attn"].reshape(-1)
    kept = select(name, tokens, 5 * per_frame)
    matrix = kept.assignment.toarray()
    extra = kept.reason == CONTEXT
    assert extra.sum() == 5 * (per_frame > 1)
    whole = {t: set(range(42 * t, 42 * t + 42)) for t in range(5)}
    plain = {t: set(kept.indices[~extra & (kept.indices // 42 == t)].tolist()) for t in range(5)}
    for at, is_extra, row in zip(kept.indices.tolist(), extra, matrix, strict=True):
        t, members = at // 42, set(np.flatnonzero(row).tolist())
        if is_extra:
            left = sorted(whole[t] - plain[t])
            assert members == set(left)
            assert at == left[int(np.argmax(attention[left]))]
        else:
            assert row[at] == 1
            members -= {at}
            assert len(members) == 32
            assert members < whole[t]
        np.testing.assert_array_equal(row[sorted(members)], attention[sorted(members)])


@pytest.mark.parametrize("name", ("prumerge", "prumerge+"))
def test_prumerge_leaves_a_frame_kept_whole_as_it_is(name: str) -> None:
    tokens = video((4, 3, 3))
    kept = select(name, tokens, 34)
    assert frames(kept).tolist() == [8, 9, 8, 9]
    whole = np.isin(kept.indices // 9, [1, 3])
    np.testing.assert_array_equal(kept.features[whole], tokens.features.reshape(36, -1)[kept.indices[whole]])


def test_prumerge_plus_samples_between_the_outliers() -> None:
    attention = np.full((1, 40), 0.01, np.float32)
    attention[0, [4, 30]] = 0.3
    tokens = replaced(video((1, 5, 8)), prumerge_cls_attn=attention)
    kept = select("prumerge+", tokens, 7)
    rest = np.delete(np.arange(40), [4, 30])
    assert kept.indices[kept.reason == ATTENTION].tolist() == [4, 30]
    assert kept.indices[kept.reason == SAMPLE].tolist() == rest[(2 * np.arange(4) + 1) * 38 // 8].tolist()
    assert kept.indices[kept.reason == CONTEXT].tolist() == [0]
    few = select("prumerge+", tokens, 2)
    assert few.indices[few.reason == ATTENTION].tolist() == [4]


def test_prumerge_by_the_authors_count() -> None:
    tokens = video((4, 8, 9))
    attention = tokens.signals["prumerge_cls_attn"]
    attention[0, [3, 50]] = 5
    attention[1] = 1 / 72  # no outlier at all
    shares = outlier_counts(attention) / 72
    for name in ("prumerge", "prumerge+"):
        chosen = stgraph.selector(name, retain_ratio=0.3, exact_count=False)
        assert chosen.count(tokens.grid) is None
        kept = chosen.select(tokens)
        for t, share in enumerate(shares):
            top = set(np.argsort(-attention[t], kind="stable")[: max(1, int(72 * share))].tolist())
            if name == "prumerge+":
                top |= set(range(0, 71, max(1, int(int(1 / (share or 1 / 72)) / 3))))
            there = kept.indices[(kept.indices // 72 == t) & (kept.reason != CONTEXT)] - 72 * t
            assert set(there.tolist()) == top
        assert np.count_nonzero(kept.reason == CONTEXT) == 4
    assert shares[1] == 0


@pytest.mark.parametrize("name", ("prumerge", "prumerge+"))
@pytest.mark.parametrize("shape", [(3, 1, 1), (2, 1, 2), (1, 3, 1)])
def test_prumerge_by_the_authors_count_on_tiny_frames(name: str, shape: Shape) -> None:
    kept = select(name, video(shape), 0.5, exact_count=False)
    assert (frames(kept) >= 1).all()
    assert np.isfinite(kept.features).all()
