"""What a stream refuses, and that a refused frame changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feature_zoo import features
from streams import parts_of

import stgraph
from stgraph.errors import FeatureError, GridError, InputError
from stgraph.selection.st_simdiff.parts import join_selections


@pytest.mark.parametrize(
    ("given_all", "message"),
    [
        ({"window": 1}, "window is 1; it must be an integer of at least 2"),
        ({"window": 2.0}, "window is 2.0; it must be"),
        ({"overlap": 0}, "overlap is 0; it must be an integer of at least 1"),
        ({"window": 4, "overlap": 4}, "overlap is 4; it must be less than the window of 4 frames"),
        ({"retain_ratio": 0}, "retain_ratio is 0; it must lie in"),
        ({"tau_sim": 2}, "tau_sim is 2; a cosine"),
        ({"tau_diff": "p101"}, "tau_diff is 'p101'"),
        ({"backend": "igraph-leidn"}, "no community backend 'igraph-leidn'"),
        ({"reduce": False}, "stream has no parameter 'reduce'; it has: window, overlap, tau_sim, tau_diff"),
        ({"importance": np.ones(3)}, "importance is an array; in a stream it comes with each frame"),
    ],
)
def test_wrong_parameters(given_all: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        stgraph.stream(**given_all)
    assert message in str(error.value)


def test_a_bad_frame_is_not_taken_in() -> None:
    x = features((7, 3, 4, 8))
    bad = x[0].copy()
    bad[1, 2, 3] = np.nan
    wrong: list[tuple[Any, Any, type[Exception], str]] = [
        (bad, None, FeatureError, r"the first bad token is {at} \(frame {t}, row 1, column 2\)"),
        (x[0, 0], None, FeatureError, r"frame has shape \(4, 8\); expected \[H, W, d\]"),
        (x[0].astype(np.float64), None, FeatureError, "frame has dtype float64; supported are"),
        (x[0].astype(np.float16), None, FeatureError, "frame has dtype float16; those before have float32"),
        (x[0, :2], None, GridError, r"frame has shape \(2, 4, 8\); those before have \(3, 4, 8\)"),
        (x[0], np.ones((3, 4)), InputError, "frame comes with importance; those before came without"),
        (x[0], np.ones((4, 3)), GridError, r"importance has shape \(4, 3\); expected \[3, 4\]"),
        (x[0], np.full((3, 4), np.nan), InputError, "importance holds NaN or Inf"),
    ]
    stream, clean = stgraph.stream(0.8, 0.3, 3), stgraph.stream(0.8, 0.3, 3)
    with pytest.raises(FeatureError):
        stream.push(bad)  # not even as the first
    parts = []
    for t, frame in enumerate(x):
        parts.append(stream.push(frame))
        for odd, score, kind, message in wrong:
            with pytest.raises(kind, match=message.format(at=12 * (t + 1) + 6, t=t + 1)):
                stream.push(odd, score)
    found = join_selections([part for part in [*parts, stream.finish()] if part is not None])
    assert found.indices.tolist() == join_selections(parts_of(clean, x)).indices.tolist()


def test_attention_that_is_missing() -> None:
    with pytest.raises(InputError, match="importance='attention' needs the attention of every frame"):
        stgraph.stream(0.8, 0.3, 3, importance="attention").push(features((1, 2, 2, 4))[0])


def test_an_ended_stream() -> None:
    stream = stgraph.stream(0.8, 0.3, 3)
    with pytest.raises(InputError, match="the stream has no frame yet"):
        stream.finish()
    stream.push(features((1, 2, 2, 4))[0])
    stream.finish()
    with pytest.raises(InputError, match="the stream is already finished"):
        stream.finish()
    with pytest.raises(InputError, match="the stream is finished; start another"):
        stream.push(features((1, 2, 2, 4))[0])


def test_parts_that_do_not_belong_together() -> None:
    first, second = parts_of(stgraph.stream(0.8, 0.3, 3), features((5, 2, 2, 4)))
    with pytest.raises(InputError, match="no selection to join"):
        join_selections([])
    with pytest.raises(InputError, match="part 0 begins at frame 3 with grid 2x2x2; expected frame 0"):
        join_selections([second, first])
