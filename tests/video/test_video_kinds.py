"""What is refused is called what it is; what is said to be readable is read."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import numbered
from videos import av, grey, silent_audio

from stgraph.errors import InputError
from stgraph.video.dump import SUFFIXES
from stgraph.video.file_kind import kind_of, missing_bytes
from stgraph.video.frames import probe_video, read_frames
from stgraph.video.thumbnails import jpeg


def _png() -> bytes:
    coder = av.CodecContext.create("png", "w")
    coder.width, coder.height, coder.pix_fmt, coder.time_base = 48, 32, "rgb24", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(grey(90), format="rgb24")
    return b"".join(bytes(packet) for step in (frame, None) for packet in coder.encode(step))


def _wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(8000)
        target.writeframes(bytes(16_000))
    return file.getvalue()


def _row(suffix: str, n_frames: int, folder: Path) -> bytes:
    """An animation."""
    codec, pixels = {"gif": ("gif", "rgb8"), "apng": ("apng", "rgb24")}[suffix]
    path = folder / f"row.{suffix}"
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, pixels
        for i in range(n_frames):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(grey(20 + 60 * i), format="rgb24")))
        target.mux(stream.encode(None))
    return path.read_bytes()


def _sound(suffix: str, folder: Path) -> bytes:
    path = folder / f"sound.{suffix}"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path.read_bytes()


Make = Callable[[Path], bytes]
KINDS: dict[str, tuple[Make, str]] = {
    "jpeg": (lambda _: jpeg(grey(90)), r"a picture \(JPEG\)"),
    "jpeg with others inside": (lambda _: jpeg(grey(9))[:20] + b"MPF\0" + 2 * jpeg(grey(9)), r"a picture \(JPEG\)"),
    "png": (lambda _: _png(), r"a picture \(PNG\)"),
    "gif": (lambda folder: _row("gif", 1, folder), r"a picture \(GIF\)"),
    "webp": (lambda _: b"RIFF\x1a\0\0\0WEBPVP8 " + bytes(20), r"a picture \(WebP\)"),
    "animated webp": (
        lambda _: b"RIFF\x50\0\0\0WEBPVP8X\x0a\0\0\0\x02" + bytes(9) + b"ANIM\6\0\0\0" + bytes(50),
        r"an animation \(WebP\), which FFmpeg does not decode",
    ),
    "bmp": (lambda _: b"BM" + bytes(80), r"a picture \(BMP\)"),
    "tiff": (lambda _: b"II*\0" + bytes(80), r"a picture \(TIFF\)"),
    "heic": (lambda _: b"\0\0\0\x18ftypheic" + bytes(80), r"a picture \(HEIC\)"),
    "avif": (lambda _: b"\0\0\0\x18ftypavif" + bytes(80), r"a picture \(AVIF\)"),
    "wav": (lambda _: _wav(), r"an audio file \(WAV\)"),
    "mp3 with tags": (lambda _: b"ID3\4" + bytes(200), r"an audio file \(MP3\)"),
    "mp3": (lambda _: b"\xff\xfb\x90\x64" + bytes(400), r"an audio file \(MP3\)"),
    "aac": (lambda folder: _sound("aac", folder), r"an audio file \(AAC\)"),
    "m4a": (lambda folder: _sound("m4a", folder), r"it holds no video, only audio"),
    "mka": (lambda folder: _sound("mka", folder), r"it holds no video, only audio"),
    "flac": (lambda _: b"fLaC" + bytes(99), r"an audio file \(FLAC\)"),
    "srt": (lambda _: b"1\r\n00:00:01,000 --> 00:00:02,000\r\nHello\r\n", r"a file of subtitles \(SubRip\)"),
    "vtt": (lambda _: b"\xef\xbb\xbfWEBVTT\n\n00:01.000 --> 00:02.000\nHello\n", r"a file of subtitles \(WebVTT\)"),
    "ass": (lambda _: b"[Script Info]\nTitle: x\n", r"a file of subtitles \(ASS\)"),
    "playlist": (lambda _: b"#EXTM3U\n#EXTINF:9,\nclip.ts\n", r"a playlist \(M3U\)"),
    "text": (lambda _: "ein Märchen\n".encode() * 9000, r"a text file"),
    "pdf": (lambda _: b"%PDF-1.7\n%\xe2\xe3", r"a PDF document"),
    "zip": (lambda _: b"PK\3\4" + bytes(40), r"a ZIP archive"),
    "empty": (lambda _: b"", r"not a video but empty"),
    "zeros": (lambda _: bytes(5000), r"all zeros in its first 5,000 bytes"),
    "noise": (lambda _: np.random.default_rng(3).bytes(5000), r"not a video that FFmpeg knows"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["clip.mp4", "clip", "clip.jpg"])
def test_what_is_not_a_video_is_called_what_it_is(tmp_path: Path, kind: str, name: str) -> None:
    make, says = KINDS[kind]
    path = tmp_path / name
    path.write_bytes(make(tmp_path))
    for call in (probe_video, lambda path: read_frames(path, n_frames=2)):
        with pytest.raises(InputError, match=says) as caught:
            call(path)
        assert str(path) in str(caught.value)


def test_a_cover_is_not_a_video(tmp_path: Path) -> None:
    path = silent_audio(tmp_path / "song.m4a")
    with av.open(str(path)) as source, av.open(str(tmp_path / "cover.m4a"), "w", format="mp4") as target:
        sound = target.add_stream_from_template(source.streams.audio[0])
        cover = target.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 48, 32, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = sound
                target.mux(packet)
        target.mux(cover.encode(av.VideoFrame.from_ndarray(grey(9), format="rgb24")))
        target.mux(cover.encode(None))
    with pytest.raises(InputError, match="it holds no video, only audio and a cover picture"):
        probe_video(tmp_path / "cover.m4a")


@pytest.mark.parametrize("suffix", ["gif", "apng"])
def test_animations_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "clip"  # whatever it is called
    path.write_bytes(_row(suffix, 3, tmp_path))
    found = read_frames(path, n_frames=9)
    assert [round(float(picture.mean()), -1) for picture in found.rgb] == pytest.approx([20, 80, 140], abs=20)
    assert np.diff(found.times) == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["row.mjpeg", "row", "row.jpg", "row.mp4"])
def test_raw_mjpeg_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"".join(jpeg(grey(20 + 40 * i)) for i in range(5)))
    found = read_frames(path, n_frames=9)
    assert [round(float(picture.mean())) for picture in found.rgb] == pytest.approx([20, 60, 100, 140, 180], abs=4)
    assert found.times == pytest.approx([i / 25 for i in range(5)])  # it tells no rate: FFmpeg assumes 25


def test_raw_y4m_is_read(tmp_path: Path) -> None:
    """It begins as text, and greys are letters."""
    path = numbered(tmp_path / "clip.y4m", "wrapped_avframe", n_between=0)
    assert path.read_bytes().startswith(b"YUV4MPEG2")
    assert probe_video(path).n_frames == 40


CODECS = {".flv": "libx264", ".f4v": "libx264", ".webm": "libvpx", ".ogv": "libvpx", ".wmv": "wmv2", ".asf": "wmv2"}
MPEG2 = (".mpeg", ".mpg", ".vob", ".mxf", ".ts", ".m2ts", ".mts")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_that_folders_are_searched_for_is_read(tmp_path: Path, suffix: str) -> None:
    codec = CODECS.get(suffix, "mpeg2video" if suffix in MPEG2 else "mpeg4")
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV here has no encoder {codec}")
    path = numbered(tmp_path / f"clip{suffix}", codec, n_between=0)
    info, found = probe_video(path), read_frames(path, n_frames=7)
    assert info.n_frames == 40
    assert info.duration_s == pytest.approx(1.6, abs=0.1)
    assert np.all(np.diff(found.times) > 0)
    levels = found.rgb.mean(axis=(1, 2, 3))
    assert np.all(np.diff(levels) > 20)


def test_suffixes_are_ordered_and_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "dumps.md").read_text()
    listed = text[text.index("**What is read.**") :].partition("Given by name")[0]
    assert [word.strip(".,") for word in listed.split() if word.startswith(".")] == [s[1:] for s in SUFFIXES]
    assert sorted(SUFFIXES) == list(SUFFIXES)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "ts", "flv", "mpg"])
def test_whole_files_lack_nothing(tmp_path: Path, suffix: str) -> None:
    codec = {"webm": "libvpx", "mpg": "mpeg2video", "flv": "libx264"}.get(suffix, "mpeg4")
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV here has no encoder {codec}")
    path = numbered(tmp_path / f"clip.{suffix}", codec, n_between=0)
    assert missing_bytes(path) == 0
    assert kind_of(path) is None
    for n_bytes in range(0, 64, 5):
        (tmp_path / "short").write_bytes(path.read_bytes()[:n_bytes])
        assert missing_bytes(tmp_path / "short") >= 0
        with pytest.raises(InputError):
            probe_video(tmp_path / "short")
