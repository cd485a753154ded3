"""Selection over frames as they arrive: the offline result where the window covers the clip, exact counts beyond."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_zoo import DTYPES, GRIDS, LOOKS, disguise, features, irregular, newline_per_row
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import parts_of

import stgraph
from stgraph import TokenGrid, VideoTokens
from stgraph.dump import iter_frames
from stgraph.errors import DumpFormatError, InputError
from stgraph.selection.st_simdiff.parts import join_selections
from stgraph.selection.st_simdiff.window import Window

Array = np.ndarray[Any, Any]


def look(shape: tuple[int, ...], dtype: Any, seed: int, kind: str) -> Array:
    x = features(shape, dtype, seed)
    disguise(x, kind, 3)
    return x


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(GRIDS),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 3),
    kind=st.sampled_from(LOOKS),
    ratio=st.sampled_from([0.01, 0.07, 0.3, 0.5, 1.0]),
    tau_sim=st.sampled_from([-0.2, 0.3, 0.8]),
    tau_diff=st.sampled_from([0.2, 0.6, "p0", "p60"]),
    spare=st.integers(0, 2),
    options=st.sampled_from(
        [
            {},
            {"max_size": None},
            {"backend": "scipy-components"},
            {"temporal": False},
            {"right": False, "events": False},
            {"importance": "norm", "protect_events": True},
            {"split": "redetect", "max_size": 4},
        ]
    ),
)
def test_a_window_over_the_clip_gives_the_offline_result(
    shape: tuple[int, ...],
    dtype: Any,
    seed: int,
    kind: str,
    ratio: float,
    tau_sim: float,
    tau_diff: Any,
    spare: int,
    options: dict[str, Any],
) -> None:
    x = look(shape, dtype, seed, kind)
    given_all: dict[str, Any] = {"tau_sim": tau_sim, "retain_ratio": ratio, "tau_diff": tau_diff, **options}
    offline = stgraph.selector("st-simdiff", **given_all).select(VideoTokens.from_array(x))
    window = max(2, len(x) + spare)
    stream = stgraph.stream(window=window, **given_all)
    (streamed,) = parts_of(stream, x)
    for name in ("indices", "reason", "scores"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(offline, name))
    assert streamed.grid == offline.grid
    assert streamed.exactness == offline.exactness
    assert streamed.account == offline.account
    same = offline.report.keys() - {"seconds"}
    assert {k: streamed.report[k] for k in same} == {k: offline.report[k] for k in same}
    assert stream.features is not None
    assert stream.features.tobytes() == offline.gather(x).tobytes()
    assert join_selections([streamed]) is streamed


@settings(max_examples=60, deadline=None)
@given(
    n_frames=st.integers(1, 14),
    window=st.integers(2, 7),
    overlap=st.integers(1, 6),
    ratio=st.sampled_from([0.001, 0.03, 0.3, 0.77, 1.0]),
    kind=st.sampled_from(LOOKS),
    dtype=st.sampled_from(DTYPES),
    options=st.sampled_from([{}, {"tau_diff": "p60", "protect_events": True}, {"backend": "igraph-leiden"}]),
)
def test_counts_are_exact_and_delays_bounded(
    n_frames: int, window: int, overlap: int, ratio: float, kind: str, dtype: Any, options: dict[str, Any]
) -> None:
    overlap = min(overlap, window - 1)
    x = look((n_frames, 3, 4, 6), dtype, 1, kind)
    stream = stgraph.stream(0.4, ratio, window, overlap=overlap, **options)
    decided, parts = 0, []
    for t, frame in enumerate(x):
        part = stream.push(frame)
        if part is not None:
            parts.append(part)
            assert part.report["first_frame"] == decided
            decided += part.grid.T
            assert part.grid.T == (window if len(parts) == 1 else window - overlap)
            assert part.exactness.endswith(f"decided within {window} frames of the stream")
        assert t + 1 - decided <= window
        assert (stream.n_frames, stream.n_decided) == (t + 1, decided)
        assert stream.n_kept == (math.ceil(Fraction(str(ratio)) * decided * 12) if decided else 0)
    parts.append(stream.finish())
    whole = join_selections(parts)
    assert whole.grid.shape == (n_frames, 3, 4)
    assert len(whole) == stream.n_kept == math.ceil(Fraction(str(ratio)) * n_frames * 12)
    assert (np.diff(whole.indices) > 0).all()
    assert whole.indices.min() >= 0
    assert whole.indices.max() < n_frames * 12
    assert len(whole.reason) == len(whole.scores) == len(whole)
    assert (whole.exactness == "exact" or "decided within" not in whole.exactness) == (n_frames <= window)


def test_later_parts_are_the_offline_analysis_of_the_frames_they_see() -> None:
    """Restated: analyse window and context offline, take representatives among the new tokens, rank and cut."""
    x = stgraph.sample().lattice[20:36].astype(np.float32)
    window, overlap, ratio = 7, 3, Fraction(3, 10)
    parts = parts_of(stgraph.stream(0.8, 0.3, window, overlap=overlap, importance="norm"), x)
    one: Any = stgraph.selector("st-simdiff", retain_ratio=0.3)
    first, before = 0, 0
    for part in parts:
        start = max(0, first - overlap)
        stop = min(start + window, len(x))
        seen = one.analyse(VideoTokens.from_array(x[start:stop]))
        size = 256
        new = np.arange((first - start) * size, (stop - start) * size)
        chosen = set()
        for c in np.unique(seen.partition.labels[new]):
            members = [i for i in new if seen.partition.labels[i] == c]
            members.sort(key=lambda i: (-float(seen.centrality[i]), i))
            chosen.update(members[: math.ceil(len(members) * ratio)])
        candidates = chosen | {i for i in new if seen.events[i]}
        norms = seen.graph.norms.reshape(-1)
        ranked = sorted(candidates, key=lambda i: (-norms[i], i))
        target = math.ceil(ratio * stop * size) - before
        expected = sorted(i - new[0] for i in ranked[:target])
        assert part.indices.tolist() == expected
        assert part.report["n_context_frames"] == first - start
        assert part.report["n_communities"] == seen.partition.n_communities
        first, before = stop, before + target
    assert first == len(x)
    assert len(parts) == 4


def test_an_event_at_a_seam_is_found() -> None:
    x = np.zeros((6, 1, 4, 4), np.float32)
    x[:3, ..., 0] = 1
    x[3:, ..., 1] = 1  # the cut lies between the first part and the second
    _, second, _ = parts_of(stgraph.stream(0.8, 0.3, 3), x)
    assert second.report["first_frame"] == 3
    assert second.report["n_events"] == 4


def test_attention_comes_with_the_frames() -> None:
    x = features((5, 3, 4, 8))
    score = np.random.default_rng(0).random((5, 3, 4), np.float32)
    tokens = VideoTokens.from_array(x, importance=score)
    for importance in ("auto", "attention"):
        offline = stgraph.selector("st-simdiff", retain_ratio=0.2, importance=importance).select(tokens)
        (streamed,) = parts_of(stgraph.stream(0.8, 0.2, 5, importance=importance), x, score)
        assert streamed.indices.tolist() == offline.indices.tolist()
        assert streamed.exactness == offline.exactness
    parts = parts_of(stgraph.stream(0.8, 0.2, 2), x, score)
    np.testing.assert_array_equal(
        np.concatenate([part.scores for part in parts]), score.reshape(-1)[join_selections(parts).indices]
    )


def test_torch_frames_may_be_reused() -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(features((6, 3, 4, 8))).to(torch.bfloat16)
    room, stream = torch.empty_like(x[0]), stgraph.stream(0.8, 0.3, 8)
    for frame in x:
        room.copy_(frame)
        assert stream.push(room) is None
    offline = stgraph.selector("st-simdiff", retain_ratio=0.3).select(VideoTokens.from_array(x))
    assert stream.finish().indices.tolist() == offline.indices.tolist()


def test_thread_count_changes_nothing(threads: None) -> None:
    x = features((9, 5, 4, 33))
    found = []
    for n in (1, 2, 5):
        stgraph.set_num_threads(n)
        found.append(join_selections(parts_of(stgraph.stream(0.3, 0.3, 4), x)).indices.tolist())
    assert found[0] == found[1] == found[2]


# Memory


def test_the_window_bounds_what_is_held() -> None:
    x = features((1, 3, 4, 8))[0]
    stream = stgraph.stream(0.8, 0.3, 5)
    sizes = []
    for _ in range(40):
        stream.push(x)
        window: Any = stream._window
        sizes.append(sum(a.nbytes for a in window._arrays.values()))
    assert max(sizes[6:]) == sizes[6]
    assert window._arrays["features"].shape[0] == 6


def test_a_short_clip_costs_what_it_holds() -> None:
    stream = stgraph.stream(0.8, 0.3, 10**9)
    stream.push(features((1, 3, 4, 8))[0])
    window: Any = stream._window
    assert window._arrays["features"].shape[0] == 16


def test_no_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> Any:
        raise MemoryError

    stream, frame = stgraph.stream(0.8, 0.3, 100), features((1, 3, 4, 8))[0]
    monkeypatch.setattr("stgraph.selection.st_simdiff.window.np.concatenate", none_left)
    with pytest.raises(InputError, match=r"16 frames need 6,144 bytes; pass a smaller window"):
        stream.push(frame)


# Dumps


@pytest.mark.parametrize("kinds", [None, newline_per_row, irregular])
def test_a_dump_frame_by_frame(tmp_path: Path, kinds: Any) -> None:
    x = features((5, 3, 4, 8), np.float16)
    tokens = VideoTokens.from_array(x, importance=np.random.default_rng(1).random((5, 3, 4)))
    if kinds is not None:
        kind = kinds(5, 3, 4)
        rows = np.full((kind.size, 8), 9, np.float16)
        rows[kind == 0] = x.reshape(-1, 8)
        tokens = VideoTokens(rows, TokenGrid(5, 3, 4, kind), tokens.signals)
    tokens.save(tmp_path / "clip.safetensors")
    np.testing.assert_array_equal(np.stack(list(iter_frames(tmp_path / "clip.safetensors"))), x)
    parts = list(stgraph.stream(0.8, 0.3, 8).select(tmp_path / "clip.safetensors"))
    offline = stgraph.selector("st-simdiff", retain_ratio=0.3).select(tokens)
    assert join_selections(parts).nodes.tolist() == offline.nodes.tolist()
    assert offline.report["importance"] == parts[0].report["importance"] == "attention"


def test_a_dump_that_is_cut_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "clip.safetensors"
    VideoTokens.from_array(features((5, 3, 4, 8))).save(path)
    frames = iter_frames(path)
    next(frames)
    path.write_bytes(path.read_bytes()[:1200])
    with pytest.raises(DumpFormatError, match="it has changed since it was opened; open it again"):
        list(frames)
    path.unlink()
    with pytest.raises(DumpFormatError, match="it does not exist"):
        next(iter_frames(path))


def test_dropped_frames_leave_the_others_as_they_were() -> None:
    x = features((6, 3, 4, 8))
    window = Window((3, 4, 8), x.dtype, 6, attention=False)
    for t, frame in enumerate(x):
        window.add(frame, None, t)
    whole = window.graph(6, 0.5)
    window.drop(2)
    rest = window.graph(4, 0.5)
    np.testing.assert_array_equal(rest.similarity, whole.similarity[:, 2:])
    np.testing.assert_array_equal(rest.norms, whole.norms[2:])
    np.testing.assert_array_equal(window.tokens(4).features, x[2:])
