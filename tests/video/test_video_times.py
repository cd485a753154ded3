"""Times of frames: what decoding shows, in every container and however its times are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numbered_videos import EVEN, LATE, UNEVEN, N, lying, numbered, numbers, played
from videos import av, remuxed

from stgraph.errors import InputError
from stgraph.video import timeline as timelines
from stgraph.video.file_kind import missing_bytes
from stgraph.video.frames import VideoInfo, probe_video, read_frames, sample_times
from stgraph.vlm.prompt_video import prompt_video

CODED = {  # container -> codecs
    "mp4": ("libx264", "libx265", "mpeg4"),
    "mov": ("libx264",),
    "m4v": ("mpeg4",),
    "mkv": ("libx264", "libx265", "mpeg2video"),
    "webm": ("libvpx", "libvpx-vp9"),
    "ts": ("libx264", "libx265", "mpeg2video"),
    "flv": ("libx264",),
    "wmv": ("wmv2",),
    "avi": ("mpeg4", "libx264"),
    "h264": ("libx264",),
    "hevc": ("libx265",),
    "ivf": ("libvpx",),
}
ANOMALIES: dict[str, dict[str, Any]] = {
    "even": {},
    "uneven": {"times": UNEVEN},
    "late": {"times": LATE},
    "no B-frames": {"times": UNEVEN, "n_between": 0},
    "cut between key frames": {"dropped": 17},
    "trimmed": {"shift_s": -0.4, "avoid_negative_ts": "disabled"},
}
EDITED = ("mp4", "mov", "m4v")  # containers with edit lists
CASES = [
    pytest.param(suffix, codec, anomaly, id=f"{suffix}-{codec}-{anomaly}")
    for suffix, codecs in CODED.items()
    for codec in codecs
    for anomaly in ANOMALIES
    if not (anomaly == "trimmed" and suffix not in EDITED)
    and not (codec == "mpeg2video" and anomaly in ("uneven", "no B-frames", "late"))  # has fixed rates
]


def coded(codec: str) -> None:
    """Skip where PyAV was built without an encoder."""
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV here has no encoder {codec}")


@pytest.mark.parametrize(("suffix", "codec", "anomaly"), CASES)
def test_every_sampled_frame_is_the_one_that_playing_shows(
    tmp_path: Path, suffix: str, codec: str, anomaly: str
) -> None:
    coded(codec)
    given = ANOMALIES[anomaly]
    path = numbered(tmp_path / f"clip.{suffix}", codec, **given)
    shown = [number for _, number in played(path)]
    first = 10 if anomaly == "trimmed" else shown[0]
    assert shown == list(range(first, N))
    if suffix in ("h264", "hevc"):  # no times at all
        times = np.arange(len(shown)) / 25
    else:
        times = np.array(given.get("times", EVEN))[shown]
        times -= times[0]
    info = probe_video(path)
    assert info.n_frames == len(shown)
    # AVI tells when packets are decoded: where frames are uneven, some get the time of one before them.
    loose = suffix == "avi" and "times" in given and anomaly != "late"
    assert loose or times[-1] < info.duration_s <= times[-1] + 1
    for seek in (None, True, False):
        every = read_frames(path, n_frames=1000, seek=seek)
        assert numbers(every.rgb) == shown
        assert loose or every.times == pytest.approx(times, abs=2e-3)
        for n_frames in (1, 5, 13):
            some = read_frames(path, n_frames=n_frames, seek=seek)
            centres = (np.arange(n_frames) + 0.5) * info.duration_s / n_frames
            at = np.searchsorted(every.times, centres + 1e-6, side="right") - 1
            assert numbers(some.rgb) == [shown[i] for i in at]
            assert some.times == pytest.approx(every.times[at])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("duration", [0, 1, 2**31 - 1])
def test_durations_in_headers_are_not_believed(tmp_path: Path, suffix: str, duration: int) -> None:
    coded("libx264")
    path = numbered(tmp_path / f"clip.{suffix}", "libx264", UNEVEN)
    honest = probe_video(path)
    assert probe_video(lying(path, duration)) == honest
    assert numbers(read_frames(path, n_frames=1000).rgb) == list(range(N))


def test_a_last_frame_that_is_held_for_days(tmp_path: Path) -> None:
    """Its duration is the one thing no frame after it tells; beyond what is plausible it is not believed."""
    path = numbered(tmp_path / "clip.mkv", "mpeg4", n_between=0)
    info = probe_video(path)
    packets = timelines.read_packets(path)
    for held_s, end_s in ((0.04, 1.6), (5.0, 6.56), (86400.0, 1.6), (0.0, 1.6), (-1.0, 1.6)):
        line = timelines._line(info.timeline.times, held_s, packets.rate, None, packets.is_key)  # type: ignore[union-attr]
        assert line.end_s == pytest.approx(end_s, abs=2e-3)


def test_a_stream_that_begins_between_key_frames_in_bytes(tmp_path: Path) -> None:
    coded("libx264")
    data = numbered(tmp_path / "whole.ts", "libx264").read_bytes()
    path = tmp_path / "cut.ts"
    for start in (len(data) // 3, len(data) // 3 // 188 * 188):
        path.write_bytes(data[start:])
        shown = [number for _, number in played(path)]
        assert 0 < shown[0] < shown[-1] == N - 1
        found = read_frames(path, n_frames=1000)
        assert numbers(found.rgb) == shown
        assert found.times[0] == 0
        assert found.times == pytest.approx([(number - shown[0]) / 25 for number in shown])


def test_recordings_behind_each_other(tmp_path: Path) -> None:
    """The times of the second begin anew: it is shown behind the first, not in it."""
    coded("libx264")
    one = numbered(tmp_path / "one.ts", "libx264").read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(one + one)
    found = read_frames(path, n_frames=1000)
    assert numbers(found.rgb) == [*range(N), *range(N)]
    assert np.diff(found.times) == pytest.approx(1 / 25)
    assert numbers(read_frames(path, n_frames=5).rgb) == [8, 24, 0, 16, 32]


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_frames_that_others_refer_to_and_that_are_not_shown(tmp_path: Path, codec: str) -> None:
    coded(codec)
    hidden = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good"}
    path = numbered(tmp_path / "clip.webm", codec, coder=hidden, key_every=40)
    assert numbers(read_frames(path, n_frames=1000, seek=True).rgb) == list(range(N))


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_key_frames_that_frames_before_them_refer_to(tmp_path: Path, suffix: str) -> None:
    coded("libx264")
    coder = {"x264-params": "open-gop=1:bframes=3:keyint=8:scenecut=0"}
    path = numbered(tmp_path / f"clip.{suffix}", "libx264", coder=coder)
    assert numbers(read_frames(path, n_frames=1000, seek=True).rgb) == list(range(N))


def test_fragments(tmp_path: Path) -> None:
    coded("libx264")
    path = numbered(tmp_path / "clip.mp4", "libx264", UNEVEN, movflags="frag_keyframe+empty_moov")
    found = read_frames(path, n_frames=1000)
    assert numbers(found.rgb) == list(range(N))
    assert found.times == pytest.approx(UNEVEN)


def test_the_header_is_enough_where_packets_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is decoded to the end but what has to be."""

    def decodes(*_: object) -> None:
        raise AssertionError("all of it was decoded")

    monkeypatch.setattr(timelines, "_from_frames", decodes)
    assert probe_video(remuxed(tmp_path / "clip.ts")).n_frames == 147
    with pytest.raises(AssertionError):
        probe_video(remuxed(tmp_path / "clip.h264"))


# More than there is


@pytest.mark.parametrize("given", [{"n_frames": 5}, {"n_frames": 4}, {"n_frames": 1000}, {"fps": 5.0}, {"fps": 1e6}])
def test_no_frame_is_copied_where_more_are_asked_for_than_are_shown(tmp_path: Path, given: dict[str, Any]) -> None:
    times = [0.0, 0.1, 4.0, 4.2]
    path = numbered(tmp_path / "slides.mkv", "mpeg4", times, n_between=0)
    found = read_frames(path, **given)
    assert numbers(found.rgb) == [0, 1, 2, 3]
    assert found.times == pytest.approx(times)
    assert sample_times(probe_video(path), **given) == pytest.approx(times)
    asked = {"frames": given.get("n_frames"), "fps": given.get("fps")}
    prompted = prompt_video(path, **asked)
    assert len(prompted.times) == len(prompted.metadata["frames_indices"]) == prompted.metadata["total_num_frames"] == 4
    assert "4 frames are uniformly sampled" in prompted.instruction


def test_too_many_frames() -> None:
    long = VideoInfo(86_400.0, 24.0, (32, 48), "none", 2_073_600)
    for given in ({"n_frames": 2_000_000}, {"fps": 23.0}):
        with pytest.raises(InputError, match=r"at most 1,000,000 are taken"):
            sample_times(long, **given)


# What is missing


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi"])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    """Unless nothing is lost but what stands behind the last frame."""
    path = numbered(tmp_path / f"clip.{suffix}", "mpeg2video", n_between=0, movflags="faststart")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    packets = timelines.read_packets(path)
    if len(packets.dts) == N and suffix in ("mkv", "avi"):  # an index comes last
        assert share >= 0.9
        assert numbers(read_frames(path, n_frames=1000).rgb) == list(range(N))
        return
    with pytest.raises(InputError, match=r"clip\..*, and its last [\d,]+ bytes are missing\. It is truncated"):
        read_frames(path, n_frames=3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_file_that_only_says_that_it_is_larger_is_read(tmp_path: Path, suffix: str) -> None:
    """Some writers count a header twice: nothing is missing where all frames are there."""
    path = numbered(tmp_path / f"clip.{suffix}", "mpeg4", n_between=0, movflags="faststart")
    data = bytearray(path.read_bytes())
    if suffix == "avi":
        data[4:8] = (int.from_bytes(data[4:8], "little") + 8).to_bytes(4, "little")
    elif suffix == "mp4":
        at = data.index(b"mdat") - 4
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + 8).to_bytes(4, "big")
    else:
        at = data.index(b"\x18S\x80g") + 4
        assert data[at] == 1
        data[at + 1 : at + 8] = (int.from_bytes(data[at + 1 : at + 8], "big") + 8).to_bytes(7, "big")
    path.write_bytes(bytes(data))
    assert missing_bytes(path) == 8
    assert numbers(read_frames(path, n_frames=1000).rgb) == list(range(N))


def test_a_transport_stream_may_end_anywhere(tmp_path: Path) -> None:
    coded("libx264")
    data = numbered(tmp_path / "whole.ts", "libx264").read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(data[: len(data) * 2 // 3])
    shown = [number for _, number in played(path)]
    found = read_frames(path, n_frames=5)
    assert set(numbers(found.rgb)) <= set(shown)
    assert numbers(found.rgb)[-1] >= shown[-1] - 4


def test_a_track_that_says_it_ends_before_its_last_pictures(tmp_path: Path) -> None:
    """As FFmpeg writes slides with B-frames: the track's length is that of the decoding times."""
    coded("libx264")
    times = [*(i / 25 for i in range(30)), *(2.0 + i for i in range(6))]
    path = numbered(tmp_path / "slides.mp4", "libx264", times, n_between=3, coder={"bf": "3"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        ends = max(packet.dts + packet.duration for packet in container.demux(stream) if packet.size)
        unit = stream.time_base
        decoding_s = float(ends * unit)
    at = data.index(b"mdhd") + 20
    data[at : at + 4] = int(ends).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    with av.open(str(path)) as container:
        said_s = float(container.streams.video[0].duration * unit)
    assert said_s == pytest.approx(decoding_s)
    assert said_s < times[-1]
    assert probe_video(path).duration_s > times[-1]
    assert read_frames(path, n_frames=14).times[-1] == pytest.approx(times[-1])
