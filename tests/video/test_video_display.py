"""Frames as they are meant to be looked at: turned, mirrored, of one size; pixels that are not square."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import TURNS, numbered, turned_any
from videos import CLIP, av, grey, remuxed

import stgraph
from stgraph.video.dump import Sampling, dump_video
from stgraph.video.frames import probe_video, read_frames
from stgraph.video.patches import PatchEncoder
from stgraph.vlm.encoder_source import EncoderSource
from stgraph.vlm.prompt_video import prompt_video

EXPECTED = {
    "upright": lambda picture: picture,
    "90": lambda picture: np.rot90(picture, -1),
    "180": lambda picture: np.rot90(picture, 2),
    "270": lambda picture: np.rot90(picture, 1),
    "mirrored": np.fliplr,
    "upside down": np.flipud,
    "transposed": lambda picture: picture.swapaxes(0, 1),
    "transversed": lambda picture: np.rot90(picture.swapaxes(0, 1), 2),
}


@pytest.mark.parametrize("turn", TURNS)
def test_all_eight_orientations(tmp_path: Path, turn: str) -> None:
    path = turned_any(remuxed(tmp_path / "phone.mp4"), TURNS[turn])
    upright = read_frames(CLIP, n_frames=3)
    for seek in (None, True, False):
        found = read_frames(path, n_frames=3, seek=seek)
        assert np.array_equal(found.rgb, np.stack([EXPECTED[turn](picture) for picture in upright.rgb]))
    assert found.size == found.rgb.shape[1:3] == probe_video(path).size
    prompted = prompt_video(path, 3)
    assert np.array_equal(prompted.rgb, found.rgb)
    assert (prompted.metadata["height"], prompted.metadata["width"]) == found.size


def test_the_eight_orientations_are_eight() -> None:
    picture = read_frames(CLIP, n_frames=1).rgb[0, :100, :100]
    assert len({turn(picture).tobytes() for turn in EXPECTED.values()}) == 8  # type: ignore[no-untyped-call]


def test_scale_and_slant_of_the_matrix_are_left_out(tmp_path: Path) -> None:
    """Frames keep their pixels; a matrix between two quarter turns is taken for the nearer one."""
    upright = read_frames(CLIP, n_frames=1).rgb
    for matrix, turn in (((2, 0, 0, 2), "upright"), ((0, 3, -3, 0), "90"), ((3, 1, -1, 3), "upright")):
        path = turned_any(remuxed(tmp_path / "odd.mp4"), matrix)
        assert np.array_equal(read_frames(path, n_frames=1).rgb[0], EXPECTED[turn](upright[0]))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_pixels_that_are_not_square(tmp_path: Path, suffix: str) -> None:
    path = numbered(tmp_path / f"anamorphic.{suffix}", "mpeg4", aspect=Fraction(4, 3))
    info = probe_video(path)
    assert (info.sample_aspect_ratio, info.size) == (Fraction(4, 3), (64, 96))
    assert read_frames(path, n_frames=1).rgb.shape == (1, 64, 96, 3)
    dumped = tmp_path / "anamorphic.safetensors"
    dump_video(path, dumped, EncoderSource(PatchEncoder(grid=(1, 1))), Sampling(n_frames=1))
    assert stgraph.load(dumped).metadata["video"]["sample_aspect_ratio"] == [4, 3]
    assert probe_video(CLIP).sample_aspect_ratio == 1


def test_pixels_that_are_not_square_lie_on_their_side(tmp_path: Path) -> None:
    path = turned_any(numbered(tmp_path / "phone.mp4", "mpeg4", aspect=Fraction(4, 3)), TURNS["90"])
    info = probe_video(path)
    assert (info.sample_aspect_ratio, info.size) == (Fraction(3, 4), (96, 64))


def _changing(path: Path, sizes: list[tuple[int, int]]) -> Path:
    """A transport stream of 1 s at each size (h, w), the left half of its pictures dark."""
    parts = []
    for k, (height, width) in enumerate(sizes):
        part = path.with_suffix(f".{k}.ts")
        with av.open(str(part), "w", format="mpegts", options={"output_ts_offset": str(k)}) as target:
            stream = target.add_stream("mpeg2video", rate=25)
            stream.height, stream.width, stream.pix_fmt, stream.gop_size = height, width, "yuv420p", 5
            picture = grey(200, height, width)
            picture[:, : width // 2] = 50
            for _ in range(25):
                target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            target.mux(stream.encode(None))
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("sizes", [[(64, 96), (96, 64)], [(96, 64), (64, 96), (32, 48)], [(32, 48), (128, 192)]])
def test_sizes_that_change_on_the_way(tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
    path = _changing(tmp_path / "joined.ts", sizes)
    for seek in (None, True, False):
        found = read_frames(path, n_frames=10, seek=seek)
        assert found.rgb.shape == (10, *sizes[0], 3)
        assert found.size == probe_video(path).size == sizes[0]
        width = sizes[0][1]
        for picture in found.rgb.astype(int):
            assert abs(picture[:, : width // 2 - 4].mean() - 50) < 8
            assert abs(picture[:, width // 2 + 4 :].mean() - 200) < 8
    assert prompt_video(path, 4).rgb.shape == (4, *sizes[0], 3)
