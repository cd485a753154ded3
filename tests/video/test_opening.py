"""A video or an array wherever a dump goes: read, cached, and refused with what to do."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import strict_json
from typer.testing import CliRunner

import stgraph
from stgraph import VideoTokens
from stgraph.cli import app
from stgraph.errors import DumpFormatError, InputError
from stgraph.video import cache as video_cache
from stgraph.vlm.opening import is_video

X = np.random.default_rng(0).standard_normal((2, 3, 4, 8)).astype(np.float32)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    videos = pytest.importorskip("videos")
    return Path(shutil.copy(videos.CLIP, tmp_path / "my clip.mp4"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(video_cache.ENVIRONMENT, str(tmp_path / "cache"))
    return tmp_path / "cache"


def told(*args: str) -> tuple[str, str]:
    """stdout and stderr of a command that succeeds."""
    done = CliRunner().invoke(app, list(args), prog_name="stgraph")
    assert done.exit_code == 0, done.output
    return done.stdout, done.stderr


# Videos


def test_a_video_is_opened_as_its_dump_would_be(clip: Path, tmp_path: Path) -> None:
    told("dump", str(clip), "-o", str(tmp_path / "x.safetensors"), "--frames", "6", "-q")
    dumped, opened = stgraph.load(tmp_path / "x.safetensors"), stgraph.load(clip, frames=6)
    assert opened.features.tobytes() == dumped.features.tobytes()
    assert set(opened.signals) == set(dumped.signals) - {"seq_index"}
    assert not [p for p in clip.parent.iterdir() if p.name.startswith("my clip") and p != clip]


def test_the_second_time_comes_from_the_cache(
    clip: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stgraph")
    first = stgraph.load(clip, frames=4)
    assert "4 frames decoded and described by the encoder patches; not features of a VLM" in caplog.text
    monkeypatch.setattr(video_cache, "video_tokens", lambda *_: pytest.fail("decoded again"))
    second = stgraph.load(clip, frames=4)
    assert "4 frames read from the cache" in caplog.text
    assert second.features.tobytes() == first.features.tobytes()
    assert {**second.metadata, "producer": 0} == {**first.metadata, "producer": 0}
    for name in first.signals:
        assert np.array_equal(second.signals[name], first.signals[name])
    video_cache.clear()
    assert second.signals["frame_time"].shape == (4,)  # what was opened outlives the cache


def test_another_file_or_setting_is_not_the_cached_one(clip: Path) -> None:
    assert stgraph.load(clip, frames=3).grid.T == 3
    assert stgraph.load(clip, frames=4).grid.T == 4
    videos = pytest.importorskip("videos")
    videos.encoded(clip, [videos.grey(level) for level in (0, 90)], [0.0, 0.5])
    assert stgraph.load(clip, frames=4).grid.T == 2
    assert len(video_cache.entries()) == 3


def test_the_cache_is_bounded_and_the_last_used_stay(clip: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at, frames in enumerate((2, 3, 4)):
        stgraph.load(clip, frames=frames)
        newest = max(cache.iterdir(), key=lambda p: p.stat().st_mtime)
        os.utime(newest, (at, at))
    stgraph.load(clip, frames=2)  # used again
    monkeypatch.setattr(video_cache, "LIMIT_BYTES", sum(p.stat().st_size for p in cache.iterdir()))
    stgraph.load(clip, frames=5)
    assert sorted(e.n_frames for e in video_cache.entries())[0] == 2
    assert len(video_cache.entries()) < 4
    assert sum(e.n_bytes for e in video_cache.entries()) <= video_cache.LIMIT_BYTES


def test_clearing_leaves_what_is_not_the_caches(clip: Path, cache: Path) -> None:
    stgraph.load(clip, frames=2)
    (cache / "mine.safetensors").write_bytes(b"mine")
    shown = strict_json(told("cache", "--format", "json")[0])
    assert [(e["video"], e["n_frames"], e["encoder"]) for e in shown["entries"]] == [("my clip.mp4", 2, "patches")]
    assert "my clip.mp4" in told("cache")[0]
    assert "freed" in told("cache", "--clear")[0]
    assert [p.name for p in cache.iterdir()] == ["mine.safetensors"]
    assert strict_json(told("cache", "--format", "json")[0])["entries"] == []


def test_a_cache_that_cannot_be_written_is_one_line(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(video_cache.ENVIRONMENT, str(tmp_path / "file" / "cache"))
    assert stgraph.load(clip, frames=2).grid.T == 2
    assert len([r for r in caplog.records if "are not cached" in r.message and "STGRAPH_CACHE_DIR" in r.message]) == 1


def test_a_damaged_entry_is_made_again(clip: Path, cache: Path) -> None:
    first = stgraph.load(clip, frames=2)
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:99])
    assert stgraph.load(clip, frames=2).features.tobytes() == first.features.tobytes()


def test_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(video_cache.ENVIRONMENT)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setattr("sys.platform", "linux")
    assert video_cache.cache_folder() == Path("/somewhere/stgraph/videos")


@pytest.mark.parametrize(
    "args",
    [
        ("inspect",),
        ("communities", "--format", "json"),
        ("select", "-r", "0.2", "--format", "json"),
        ("compare", "-b", "lattice-components", "-r", "0.3", "--seed", "0", "--format", "csv", "--no-fidelity"),
        ("sweep", "--tau-sim", "0.8", "-r", "0.3", "--format", "csv"),
    ],
    ids=lambda args: args[0],
)
def test_every_command_takes_a_video(clip: Path, args: tuple[str, ...]) -> None:
    out, said = told(*args, str(clip), "--frames", "4")
    assert out
    assert "4 frames, described by colour and gradients" in said
    assert "not the features of a VLM" in said
    assert told(*args, str(clip), "--frames", "4", "-q")[1] == ""


def test_pages_take_a_video(clip: Path, tmp_path: Path) -> None:
    told("view", str(clip), "-o", str(tmp_path / "v.html"), "--frames", "4", "-b", "lattice-components")
    assert "bbb" not in (tmp_path / "v.html").read_text()[:200]
    assert "my clip" in (tmp_path / "v.html").read_text()


@pytest.mark.parametrize("job", ["select", "compare", "compare-selectors"])
def test_a_batch_takes_videos(clip: Path, tmp_path: Path, job: str) -> None:
    pytest.importorskip("pyarrow")
    further = {"compare": ["-p", "backends=lattice-components"], "compare-selectors": ["-p", "selectors=uniform"]}
    args = ["-p", "frames=3", *further.get(job, []), "--workers", "1", "-q"]
    told("batch", job, str(clip.parent), "-o", str(tmp_path / "out"), *args)
    import pyarrow.parquet as pq

    (file,) = (tmp_path / "out" / "rows").glob("*.parquet")
    rows = pq.read_table(file).to_pylist()
    assert {row["T"] for row in rows} == {3}


def test_a_folder_with_dumps_gives_its_dumps(clip: Path, tmp_path: Path) -> None:
    from stgraph.bench.batch.inputs import expand
    from stgraph.bench.batch.job_select import SelectJob

    assert [list(found) for found in expand([clip.parent], SelectJob(), tmp_path / "out")] == [[str(clip)], []]
    VideoTokens.from_array(X).save(clip.parent / "x.safetensors")
    dump = str(clip.parent / "x.safetensors")
    assert [list(found) for found in expand([clip.parent], SelectJob(), tmp_path / "out")] == [[dump], [str(clip)]]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.MP4", b"", True),
        ("a.gif", b"", True),
        ("clip", b"\0\0\0\x20ftypisom" + bytes(20), True),
        ("clip", b"\x1aE\xdf\xa3" + bytes(20), True),
        ("photo", b"\0\0\0\x20ftypheic" + bytes(20), False),
        ("sound", b"RIFF\0\0\0\0WAVE", False),
        ("a.safetensors", b"", False),
        ("missing", None, False),
    ],
)
def test_what_is_taken_for_a_video(tmp_path: Path, name: str, content: bytes | None, expected: bool) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert is_video(tmp_path / name) is expected


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("none.mp4", {}, "cannot read none.mp4: it does not exist; give the path of a video"),
        ("https://example.com/a.mp4", {}, "cannot read https://example.com/a.mp4: addresses are not opened"),
        (7, {}, "path is int"),
        ("x.safetensors", {"frames": 3}, "frames belongs to videos, but x.safetensors is not one"),
        ("x.safetensors", {"encoder": "patches"}, "encoder belongs to videos"),
        ("none.mp4", {"query": "q.safetensors"}, "query belongs to a token dump"),
    ],
)
def test_what_is_refused(path: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stgraph.load(path, **options)


def test_no_frame_is_an_error(clip: Path) -> None:
    with pytest.raises(InputError, match="n_frames is 0"):
        stgraph.load(clip, frames=0)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("inspect", "--frames", "3"), "--frames needs its video; name both"),
        (("inspect", "x.safetensors", "-e", "patches"), "--encoder belongs to videos, but x.safetensors is not one"),
        (("inspect", "https://example.com/a.mp4"), "cannot read https://example.com/a.mp4: addresses are not opened"),
        (("inspect", "a.mp4", "--query", "q.safetensors"), "--query belongs to a token dump, but a.mp4 is a video"),
    ],
)
def test_what_the_command_line_refuses(args: tuple[str, ...], message: str) -> None:
    done = CliRunner().invoke(app, list(args))
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)


def test_a_picture_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(DumpFormatError, match=r"it is a picture \(PNG\); give a token dump, a video, or an array"):
        stgraph.load(tmp_path / "a.png")
