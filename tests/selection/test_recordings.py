"""When selections are recorded and what is forgotten; recording itself needs a CUDA device (test_capture.py)."""

from __future__ import annotations

import contextvars
import logging
from typing import Any

import numpy as np
import pytest
from feature_zoo import newline_per_row, separator_per_frame
from recorder_on_the_host import OnTheHost
from selection_oracles import features
from taken_memory import bytes_taken
from tensors import same, tensor
from vlm_threads import together

import stgraph
from stgraph import TokenGrid, VideoTokens
from stgraph.devices import to_host
from stgraph.errors import FeatureError
from stgraph.selection.capture import unread
from stgraph.selection.recorder import CudaRecorder
from stgraph.selection.recordings import ROUNDING, SHARE, Recordings, memory

pytestmark = pytest.mark.usefixtures("interpreter")


def tokens_of(T: int, seed: int = 3) -> VideoTokens:
    return VideoTokens.from_array(tensor(features(seed, (T, 2, 2, 8))))


def srts(asked: bool = False, most: int = 4) -> tuple[OnTheHost, Recordings]:
    recorder = OnTheHost()
    return recorder, Recordings(stgraph.selector("srts", retain_ratio=0.5), asked, recorder, most)


def test_the_third_video_of_a_shape_is_recorded_the_second_if_asked_and_each_result_is_the_selection() -> None:
    selector = stgraph.selector("srts", retain_ratio=0.5)
    later = {False: [None, None, "recorded", "replayed"], True: [None, "recorded", "replayed", "replayed"]}
    for asked, expected in later.items():
        recorder, recordings = srts(asked)
        did = []
        for seed in range(4):
            found, note = recordings.replay(tokens_of(3, seed))
            did.append(None if found is None else note)
            if found is None:
                assert note.startswith(f"not recorded: number {seed + 1} of its shape, which is recorded from number ")
                continue
            plain = selector.select(tokens_of(3, seed))
            for name in ("indices", "reason", "scores"):
                same(getattr(found, name), to_host(getattr(plain, name)))
            assert {**found.report, "seconds": 0} == {**plain.report, "seconds": 0}
        assert did == expected
        assert recorder.recorded == [3]


def test_shapes_grids_and_dtypes_are_told_apart() -> None:
    recorder, recordings = srts(asked=True)
    x = tensor(features(3, (4, 2, 2, 8)))
    for one in (x, x.reshape(2, 4, 2, 8), x.bfloat16(), x.reshape(4, 2, 1, 16)):
        assert recordings.replay(VideoTokens.from_array(one))[0] is None
    assert recordings.replay(VideoTokens.from_array(x))[1] == "recorded"
    assert recorder.recorded == [4]


def test_the_least_recently_used_recording_goes_and_has_to_come_twice_as_often() -> None:
    recorder, recordings = srts(asked=True, most=2)

    def comes(T: int) -> str:
        return recordings.replay(tokens_of(T))[1].split(":")[0]

    for T in (2, 3):
        assert [comes(T), comes(T)] == ["not recorded", "recorded"]
    assert comes(2) == "replayed"
    assert [comes(4), comes(4)] == ["not recorded", "recorded"]  # 3 goes
    assert [comes(2), comes(4)] == ["replayed", "replayed"]
    assert [comes(3) for _ in range(4)] == ["not recorded", "not recorded", "recorded", "replayed"]
    assert recorder.recorded == [2, 3, 4, 3]


def test_a_recording_that_fails_is_told_once_and_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    recorder, recordings = srts(asked=True)
    recorder.mishap = RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more")
    recordings.replay(tokens_of(2))
    with caplog.at_level(logging.WARNING, "stgraph"):
        notes = [recordings.replay(tokens_of(2)) for _ in range(3)]
    why = "recording failed (RuntimeError: CUDA error: operation not permitted when stream is capturing)"
    assert notes == [(None, f"not recorded: {why}")] * 3
    assert [entry.getMessage() for entry in caplog.records] == [f"srts of shape 2x2x2 is selected unrecorded: {why}"]
    recorder.mishap = None
    assert recordings.replay(tokens_of(2))[0] is None
    recordings.replay(tokens_of(3))
    assert recordings.replay(tokens_of(3))[1] == "recorded"


def test_a_recording_that_gives_other_tokens_is_told_and_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """At its first replay, or at the second, where memory that was gone may have been written to."""
    for right in (0, 1):
        recorder, recordings = srts(asked=True)
        recorder.wrong_after = right
        with caplog.at_level(logging.WARNING, "stgraph"):
            notes = [recordings.replay(tokens_of(3, seed)) for seed in range(5)]
        why = "not recorded: the recorded selection differed from the unrecorded one"
        expected = ["recorded", "replayed"][:right]
        assert [note for found, note in notes if found is not None] == expected
        assert [note for _, note in notes][1 + right :] == [why] * (4 - right)
        assert (len(recorder.recorded), len(caplog.records)) == (1, 1)
        caplog.clear()


def test_no_recording_takes_more_than_its_share_of_the_free_memory() -> None:
    recorder, recordings = srts(asked=True)
    needed = memory(tokens_of(2)) / SHARE
    recordings.replay(tokens_of(2))
    recorder.left = needed - 100
    assert recordings.replay(tokens_of(2)) == (
        None,
        "not recorded: it would take 32.0 MB, and 10% of the 320.0 MB free are allowed",
    )
    recorder.left = needed + 100
    assert [recordings.replay(tokens_of(2))[0] is None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("options", [{}, {"importance": "coverage"}, {"max_size": None, "tau_sim": -1.0}], ids=str)
def test_the_memory_of_a_selection_is_no_more_than_is_reckoned_with(options: dict[str, Any]) -> None:
    tokens = VideoTokens.from_array(tensor(features(3, (11, 7, 7, 96))))
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3, **{"importance": "centrality", **options})
    with bytes_taken(tokens.features) as taken:
        unread(selector, tokens)
    x = tokens.features
    reckoned = memory(tokens) - ROUNDING - x.numel() * x.element_size()
    assert 0.4 * reckoned < taken() < reckoned


@pytest.mark.parametrize("kinds", [newline_per_row, separator_per_frame])
@pytest.mark.parametrize("newlines", ["in", "out"])
def test_tokens_between_which_others_recur_evenly_are_recorded_as_well(kinds: Any, newlines: str) -> None:
    kind = kinds(3, 2, 2)
    selector = stgraph.selector("srts", retain_ratio=0.5, newlines=newlines if kinds is newline_per_row else "out")
    recordings = Recordings(selector, True, OnTheHost())

    def of(seed: int) -> VideoTokens:
        x = features(seed, (1, 1, kind.size, 8)).reshape(-1, 8)
        return VideoTokens(tensor(x), TokenGrid(3, 2, 2, kind))

    recordings.replay(of(1))
    for seed in (2, 3):
        found, plain = recordings.replay(of(seed))[0], selector.select(of(seed))
        assert found is not None
        same(found.indices, to_host(plain.indices))
        assert (found.account, found.provenance["newlines"]) == (plain.account, plain.provenance["newlines"])
    bad = of(2)
    bad.features[int(bad.grid.rows[7])] = float("inf")
    with pytest.raises(FeatureError, match="frame 1, row 1, column 1"):
        recordings.replay(bad)


def test_tokens_that_are_gathered_are_not_recorded() -> None:
    kind = np.array([0, 1, 0, 0, 0], np.uint8)
    tokens = VideoTokens(tensor(features(1, (1, 1, 5, 8)).reshape(5, 8)), TokenGrid(1, 2, 2, kind))
    recordings = Recordings(stgraph.selector("srts", retain_ratio=0.5), True, OnTheHost())
    notes = [recordings.replay(tokens)[1] for _ in range(3)]
    assert set(notes) == {
        "not recorded: the patches do not recur evenly among the tokens, and are gathered by numbers in host memory"
    }


def test_nothing_is_recorded_while_somebody_else_records_or_others_might_be_hurt() -> None:
    recorder, recordings = srts()
    recorder.someone_else = True
    assert [recordings.replay(tokens_of(2))[1] for _ in range(4)] == [
        "not recorded: the caller's stream is being recorded"
    ] * 4
    recorder.someone_else, recorder.danger = False, "others could not sample"
    assert [recordings.replay(tokens_of(2))[1] for _ in range(4)] == ["not recorded: others could not sample"] * 4
    recorder, recordings = srts(asked=True)
    recorder.danger = "others could not sample"
    assert [recordings.replay(tokens_of(2))[0] is None for _ in range(2)] == [True, False]


@pytest.mark.parametrize(("version", "safe"), [("2.12.1+cu130", False), ("2.13.0", True), ("3.0.0a0+git1", True)])
def test_from_which_torch_on_recordings_leave_other_threads_alone(
    version: str, safe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.__version__", version)
    hazard = CudaRecorder().hazard()
    assert hazard is None if safe else f"under torch {version} other threads could not sample" in str(hazard)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("st-simdiff", {}, "the selection waits for the model's attention"),
        ("evs", {}, "evs reads sizes back"),
        ("srts", {"backend": "scipy-components"}, "backend scipy-components reads sizes back"),
        ("srts", {"split": "raster"}, "splitter raster runs on the CPU"),
    ],
)
def test_what_cannot_be_recorded_says_why(name: str, options: dict[str, Any], why: str) -> None:
    recorder = OnTheHost()
    recordings = Recordings(stgraph.selector(name, retain_ratio=0.5, **options), True, recorder)
    for _ in range(3):
        found, note = recordings.replay(tokens_of(2))
        assert found is None and note.startswith(f"not recorded: {why}")
    assert recorder.recorded == []


def test_on_another_device_nothing_is_recorded() -> None:
    recordings = Recordings(stgraph.selector("srts", retain_ratio=0.5))
    assert [recordings.replay(tokens_of(2)) for _ in range(4)] == [
        (None, "not recorded: features on cpu, not on a CUDA device")
    ] * 4


def test_bad_tokens_are_named_by_a_replay_and_spoil_nothing() -> None:
    recorder, recordings = srts(asked=True)
    recordings.replay(tokens_of(2))
    bad = tokens_of(2)
    bad.features[1, 0, 1, 3] = float("nan")
    for _ in range(2):
        with pytest.raises(FeatureError, match="token is 5 "):
            recordings.replay(bad)
    assert recordings.replay(tokens_of(2))[1] == "replayed"
    assert recorder.recorded == [2]


def test_threads_share_a_recording_and_each_gets_its_own_result() -> None:
    recorder, recordings = srts()
    selector = stgraph.selector("srts", retain_ratio=0.5)
    expected = [to_host(selector.select(tokens_of(3, seed)).indices).tolist() for seed in range(3)]

    def asks(seed: int) -> list[Any]:
        found = [recordings.replay(tokens_of(3, seed))[0] for _ in range(3)]
        return [to_host(one.indices).tolist() for one in found if one is not None]

    # A new thread does not know that tensors in host memory go to the GPU engine.
    contexts = [contextvars.copy_context() for _ in range(3)]
    results = together([lambda seed=seed, own=own: own.run(asks, seed) for seed, own in enumerate(contexts)])
    assert all(not isinstance(one, Exception) for one in results), results
    assert all(one == expected[seed] for seed, found in enumerate(results) for one in found)
    assert sum(map(len, results)) == 3 * 3 - 2
    assert recorder.recorded == [3]
