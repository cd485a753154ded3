"""Tokens straight from a video file: the same as through a dump, and refused with what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run

import stgraph
from stgraph import VideoTokens
from stgraph.errors import InputError, MissingDependencyError, UnknownNameError


@pytest.fixture(scope="module")
def clip() -> Path:
    return Path(pytest.importorskip("videos").CLIP)


@pytest.fixture(scope="module")
def tokens(clip: Path) -> VideoTokens:
    return stgraph.from_video(clip, frames=4, grid=(3, 5))


def test_a_video_becomes_tokens(tokens: VideoTokens) -> None:
    assert tokens.grid.shape == (4, 3, 5)
    assert (tokens.dimension, tokens.dtype) == (100, "float32")
    assert np.allclose(np.linalg.norm(np.asarray(tokens), axis=1), 1, atol=1e-5)
    assert tokens.signal("frame_time").shape == (4,)
    assert {"frame_jpeg", "frame_jpeg_len"} <= set(tokens.signals)
    assert tokens.metadata["source"] == "bbb_6s.mp4"
    assert tokens.metadata["encoder"] == "patches"
    assert stgraph.selector("st-simdiff", retain_ratio=0.3).select(tokens).report["n_target"] == 18


def test_it_is_what_a_dump_holds(tokens: VideoTokens, clip: Path, tmp_path: Path) -> None:
    run("dump", str(clip), "-o", str(tmp_path / "x.safetensors"), "-n", "4", "--grid", "3x5", "-q")
    dumped = stgraph.load(tmp_path / "x.safetensors")
    assert dumped.features.tobytes() == tokens.features.tobytes()
    assert {**dumped.metadata, "producer": None} == {**tokens.metadata, "producer": None}
    assert all(np.array_equal(dumped.signals[name], tokens.signals[name]) for name in tokens.signals)


def test_a_path_may_be_text_and_pictures_may_be_left_out(clip: Path, tokens: VideoTokens) -> None:
    again = stgraph.from_video(str(clip), frames=4, grid=(3, 5), thumbnails=False)
    assert again.features.tobytes() == tokens.features.tobytes()
    assert set(again.signals) == {"frame_time", "shot_cuts_s"}


def test_frames_by_rate_and_by_default(clip: Path, tmp_path: Path) -> None:
    assert stgraph.from_video(clip, fps=1, grid=(2, 2)).grid.T == 7
    videos = pytest.importorskip("videos")
    short = videos.encoded(tmp_path / "short.mkv", [videos.grey(level) for level in (0, 90, 180)], [0.0, 0.5, 1.0])
    assert stgraph.from_video(short, grid=(2, 2)).grid.T == 3  # 64 by default, but no more than are shown


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"frames": 4, "fps": 1.0}, InputError, "frames is 4 and fps is 1.0; give one of them"),
        ({"frames": 0}, InputError, "n_frames is 0"),
        ({"batch": 0}, InputError, "batch is 0"),
        ({"grid": (0, 3)}, InputError, "grid is"),
        ({"encoder": "patchs"}, UnknownNameError, "no encoder 'patchs'"),
        ({"layer": 3}, InputError, "'layer' belongs to encoders with layers"),
    ],
)
def test_what_does_not_fit_is_refused(clip: Path, options: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        stgraph.from_video(clip, **options)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.mp4", "cannot read missing.mp4: it does not exist"),
        ("https://example.com/a.mp4", "cannot read https://example.com/a.mp4: addresses are not opened; download"),
        (7, "path is int; give the path of a video file"),
    ],
)
def test_what_is_not_a_video_file_is_refused_before_an_encoder_is_loaded(
    path: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av")
    monkeypatch.setattr("stgraph.vlm.from_video.frame_encoder", lambda *a, **k: 1 / 0)
    with pytest.raises(InputError, match=message):
        stgraph.from_video(path)


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"stgraph.from_video\(\) needs the package 'av'.*\[video\]"):
        stgraph.from_video(tmp_path / "clip.mp4")
