"""Frames of a video: which ones, when, and what is said about files that cannot be read."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from videos import BAD, CLIP, CUTS_S, N_FRAMES, RATE, av, encoded, grey, remuxed, turned

from stgraph.errors import InputError, MissingDependencyError
from stgraph.video.file import VideoInfo
from stgraph.video.frames import iter_frames, probe_video, read_frames, sample_times
from stgraph.video.thumbnails import jpeg, thumbnail_signals


def test_probe() -> None:
    assert probe_video(CLIP) == VideoInfo(N_FRAMES / RATE, RATE, (180, 320), "h264", N_FRAMES)


@pytest.mark.parametrize("given", [{"n_frames": 1}, {"n_frames": 7}, {"n_frames": N_FRAMES}, {"fps": 2.5}, {"fps": 24}])
def test_seeking_and_reading_through_give_the_same_frames(given: dict[str, Any]) -> None:
    through, sought = (read_frames(CLIP, **given, seek=seek) for seek in (False, True))
    assert np.array_equal(through.rgb, sought.rgb)
    assert np.array_equal(through.times, sought.times)
    assert (through.fps, through.size, through.rgb.shape[1:]) == (RATE, (180, 320), (180, 320, 3))


def test_the_frames_are_those_of_the_file() -> None:
    with av.open(str(CLIP)) as container:
        every = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    found = read_frames(CLIP, n_frames=N_FRAMES)
    assert np.array_equal(found.rgb, np.stack([rgb for _, rgb in every]))
    assert found.times.tolist() == pytest.approx([time for time, _ in every])


def test_centres_of_equal_spans() -> None:
    found = read_frames(CLIP, n_frames=6)
    centres = (np.arange(6) + 0.5) * (N_FRAMES / RATE) / 6
    assert np.all((found.times <= centres + 1e-6) & (centres < found.times + 1 / RATE + 1e-6))


def test_frames_a_second_start_with_the_first() -> None:
    assert read_frames(CLIP, fps=2).times.tolist() == pytest.approx([i / 2 for i in range(13)])
    assert read_frames(CLIP, fps=0.01).times.tolist() == [0.0]


def test_cuts_are_where_they_are_said_to_be() -> None:
    frames = read_frames(CLIP, n_frames=N_FRAMES)
    change = np.abs(np.diff(frames.rgb.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    two = np.sort(np.argsort(change)[-2:]) + 1
    assert frames.times[two].tolist() == pytest.approx(list(CUTS_S), abs=1e-3)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mov"])
def test_other_containers(tmp_path: Path, suffix: str) -> None:
    path = remuxed(tmp_path / f"clip.{suffix}")
    expected, through = read_frames(CLIP, n_frames=5), read_frames(path, n_frames=5, seek=False)
    assert np.array_equal(through.rgb, expected.rgb)
    assert np.abs(through.times - expected.times).max() < 1e-3
    assert np.array_equal(read_frames(path, n_frames=5, seek=True).rgb, expected.rgb)


def test_uneven_times(tmp_path: Path) -> None:
    """A picture is on display until the next one comes, however long that takes."""
    levels, times = [20, 80, 140, 200], [0.0, 0.1, 4.0, 4.2]
    path = encoded(tmp_path / "slides.mkv", [grey(level) for level in levels], times)
    for seek in (False, True):
        found = list(iter_frames(path, [0.05, 0.5, 3.9, 4.1, 4.2], seek=seek))
        assert [round(time, 3) for time, _ in found] == [0.0, 0.1, 0.1, 4.0, 4.2]
        assert [abs(int(rgb.mean()) - level) < 6 for (_, rgb), level in zip(found, [20, 80, 80, 140, 200], strict=True)]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotation(tmp_path: Path, turns: int) -> None:
    path = turned(tmp_path / "phone.mp4", turns)
    upright, found = read_frames(CLIP, n_frames=2), read_frames(path, n_frames=2)
    assert np.array_equal(found.rgb, np.rot90(upright.rgb, -turns, axes=(1, 2)))
    assert found.size == found.rgb.shape[1:3] == probe_video(path).size


def test_odd_sizes(tmp_path: Path) -> None:
    path = encoded(tmp_path / "odd.mkv", [grey(90, 33, 47)] * 6, [i / RATE for i in range(6)])
    assert read_frames(path, n_frames=3).rgb.shape == (3, 33, 47, 3)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("seek", [False, True])
def test_bad_files(tmp_path: Path, name: str, seek: bool) -> None:
    make, says = BAD[name]
    path = make(tmp_path / name)
    with pytest.raises(InputError, match=says) as caught:
        read_frames(path, n_frames=6, seek=seek)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("path", "says"), [("nothing.mp4", "does not exist"), (".", "is a folder")])
def test_no_file(path: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        probe_video(path)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "give one of them"),
        ({"n_frames": 3, "fps": 1.0}, "give one of them"),
        ({"n_frames": 0}, "n_frames is 0"),
        ({"n_frames": True}, "n_frames is True"),
        ({"fps": 0.0}, "fps is 0"),
        ({"fps": float("nan")}, "fps is nan"),
    ],
)
def test_wrong_sampling(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        sample_times(probe_video(CLIP), **given)
    with pytest.raises(InputError, match="bbb_6s"):
        read_frames(CLIP, **given)


def test_without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for call in (lambda: probe_video(CLIP), lambda: jpeg(grey(1))):
        with pytest.raises(MissingDependencyError, match=r"pip install -e '\.\[video\]'"):
            call()


@pytest.mark.parametrize(("size", "small"), [((180, 320), (180, 320)), ((720, 1280), (180, 320)), ((5, 7), (16, 16))])
def test_thumbnails(size: tuple[int, int], small: tuple[int, int]) -> None:
    ramp = np.linspace(30, 220, size[1]).astype(np.uint8)
    picture = np.broadcast_to(ramp[None, :, None], (*size, 3))
    signals = thumbnail_signals([jpeg(picture)] * 2)
    assert signals["frame_jpeg_len"].sum() == signals["frame_jpeg"].size
    with av.open(io.BytesIO(signals["frame_jpeg"][: signals["frame_jpeg_len"][0]].tobytes())) as opened:
        rgb = next(opened.decode(video=0)).to_ndarray(format="rgb24")
    assert rgb.shape == (*small, 3)
    assert np.abs(rgb[small[0] // 2, ::4].astype(int).mean(axis=1) - np.linspace(30, 220, small[1])[::4]).max() < 20


def test_the_former_paths_lead_to_the_same_functions() -> None:
    from stgraph.video import file, frames
    from stgraph.vlm import video, video_file

    assert video.read_frames is frames.read_frames
    assert (video_file.probe_video, video_file.VideoInfo) == (file.probe_video, file.VideoInfo)
