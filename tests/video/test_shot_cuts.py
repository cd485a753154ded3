"""Shot changes of one's own videos: found where a shot begins, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stgraph
from stgraph.video.shot_cuts import ShotCuts
from stgraph.viz.pages.frames import first_frames_of_shots


def cuts_of(pictures: list[np.ndarray], seconds: float = 1.0) -> list[float]:
    found = ShotCuts()
    for i, picture in enumerate(pictures):
        found.add(i * seconds, picture)
    return found.times.tolist()


def picture(seed: int) -> np.ndarray:
    """Large patches of chance colours."""
    cells = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    return cells.repeat(24, axis=0).repeat(24, axis=1)


def test_a_cut_lies_between_two_shots() -> None:
    assert cuts_of([picture(0)] * 3 + [picture(1)] * 2 + [picture(2)], 2.0) == [5.0, 9.0]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_still_video_has_none(n: int) -> None:
    assert cuts_of([picture(3)] * n) == []


def test_noise_and_a_slow_pan_are_no_cuts() -> None:
    chance = np.random.default_rng(1)
    noisy = [np.clip(picture(4) + chance.normal(0, 6, (96, 144, 3)), 0, 255).astype(np.uint8) for _ in range(4)]
    assert cuts_of(noisy) == []
    assert cuts_of([np.roll(picture(5), 3 * i, axis=1) for i in range(8)]) == []


@pytest.mark.parametrize("frames", [8, 16, 64])
def test_those_of_a_real_clip_are_found(frames: int) -> None:
    videos = pytest.importorskip("videos")
    tokens = stgraph.from_video(videos.CLIP, frames=frames, grid=(4, 4))
    found = tokens.signal("shot_cuts_s")
    step = 6.2 / frames
    assert len(found) == len(videos.CUTS_S)
    assert np.allclose(found, videos.CUTS_S, atol=step)
    times = tokens.signal("frame_time")
    assert first_frames_of_shots(tokens) == [int(np.argmax(times >= cut - 1e-3)) for cut in videos.CUTS_S]


def test_those_of_the_sample_are_found_in_its_pictures() -> None:
    av = pytest.importorskip("av")
    import io

    from stgraph.viz.pages.frames import frame_pictures

    tokens, found = stgraph.sample(), ShotCuts()
    for seconds, jpeg in zip(tokens.signal("frame_time"), frame_pictures(tokens) or [], strict=True):
        with av.open(io.BytesIO(jpeg)) as container:
            found.add(float(seconds), next(container.decode(video=0)).to_ndarray(format="rgb24"))
    times = tokens.signal("frame_time")
    assert np.searchsorted(times, found.times).tolist() == first_frames_of_shots(tokens)


def test_a_dump_made_before_shot_changes_is_made_again(tmp_path: Path) -> None:
    videos = pytest.importorskip("videos")
    from stgraph.video.dump import Sampling, dump_video
    from stgraph.video.patches import PatchEncoder
    from stgraph.vlm.encoder_source import EncoderSource

    source, sampling, target = (
        EncoderSource(PatchEncoder(grid=(2, 2))),
        Sampling(n_frames=4),
        tmp_path / "x.safetensors",
    )
    assert dump_video(videos.CLIP, target, source, sampling)
    assert not dump_video(videos.CLIP, target, source, sampling)
    old = stgraph.load(target)
    settings = {k: v for k, v in old.metadata["settings"].items() if k != "shot_cuts"}
    signals = {k: np.array(v) for k, v in old.signals.items() if k != "shot_cuts_s"}
    stgraph.VideoTokens(np.array(old.features), old.grid, signals, {**old.metadata, "settings": settings}).save(target)
    assert dump_video(videos.CLIP, target, source, sampling)
    assert "shot_cuts_s" in stgraph.load(target).signals
