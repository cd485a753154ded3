"""``stgraph dump``: one video, a folder of them, going on where a run ended, and errors."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from command_line import flat, run
from typer.testing import CliRunner
from videos import BAD, CLIP, CUTS_S, av, remuxed

import stgraph
from stgraph import container
from stgraph.cli import app
from stgraph.errors import InputError, MissingDependencyError
from stgraph.video.dump import Sampling, dump_folder, dump_video, folder_plan, is_present, query_path, video_tokens
from stgraph.video.patches import PatchEncoder
from stgraph.vlm.encoder_source import EncoderSource

SOURCE = EncoderSource(PatchEncoder(grid=(4, 6)))
FEW = Sampling(n_frames=5)


def fails(*args: str) -> str:
    """The one line on stderr of a command that ends with status 2."""
    done = CliRunner().invoke(app, ["dump", *args], prog_name="stgraph")
    assert done.exit_code != 0
    assert not isinstance(done.exception, (AssertionError, SystemExit)), done.output
    return str(done.exception)


@pytest.fixture(scope="module")
def dumped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A dump at 8 frames a second, and what the command printed."""
    path = tmp_path_factory.mktemp("dump") / "clip.safetensors"
    return path, run("dump", str(CLIP), "-o", str(path), "--fps", "8")


def test_one_video(dumped: tuple[Path, str]) -> None:
    path, text = dumped
    tokens = stgraph.load(path)
    assert flat(text) == flat(f"Wrote {path}: {tokens}")
    assert tokens.lattice.shape == (49, 16, 16, 100)
    assert tokens.signals["frame_time"].tolist() == pytest.approx([i / 8 for i in range(49)])
    assert tokens.signals["frame_jpeg_len"].shape == (49,)
    facts = tokens.metadata
    assert (facts["title"], facts["source"], facts["encoder"]) == ("bbb_6s", "bbb_6s.mp4", "patches")
    assert (facts["pooling"], facts["projector"], facts["n_frames"]) == ("none", "none", 49)
    assert facts["video"] == {
        "codec": "h264",
        "duration_s": 6.125,
        "fps": 24.0,
        "n_frames": 147,
        "sample_aspect_ratio": [1, 1],
        "size": [180, 320],
    }


def test_patches_tell_still_from_cut(dumped: tuple[Path, str]) -> None:
    """Still regions are near 1, and at cuts similarity falls."""
    tokens = stgraph.load(dumped[0])
    x = tokens.lattice
    assert np.abs(np.linalg.norm(x, axis=-1) - 1).max() < 1e-5
    steps = (x[1:] * x[:-1]).sum(axis=-1).mean(axis=(1, 2))
    times = tokens.signals["frame_time"]
    cuts = [int(np.searchsorted(times, cut)) - 1 for cut in CUTS_S]
    assert steps[cuts].max() < 0.5 < 0.7 < np.delete(steps, cuts).min()


def test_thumbnails_are_the_frames(dumped: tuple[Path, str]) -> None:
    tokens = stgraph.load(dumped[0])
    ends = np.cumsum(tokens.signals["frame_jpeg_len"])
    jpeg = tokens.signals["frame_jpeg"][ends[19] : ends[20]].tobytes()
    with av.open(io.BytesIO(jpeg)) as opened:
        small = next(opened.decode(video=0)).to_ndarray(format="rgb24")
    with av.open(str(CLIP)) as clip:
        frame = next(f for f in clip.decode(video=0) if f.time >= tokens.signals["frame_time"][20])
    assert np.abs(small.astype(int) - frame.to_ndarray(format="rgb24")).mean() < 5


def test_the_other_commands_take_it(dumped: tuple[Path, str]) -> None:
    assert "12,544 tokens" in run("inspect", str(dumped[0]))
    assert "1,255 of 12,544 tokens" in run("select", str(dumped[0]), "-r", "0.1")


def test_a_dump_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "clip.safetensors"
    args = ("dump", str(CLIP), "-o", str(path), "-n", "3", "--grid", "4x6")
    assert "3x4x6" in run(*args)
    before = path.stat().st_mtime_ns
    assert "Nothing to do" in run(*args)
    assert path.stat().st_mtime_ns == before
    assert "2x4x6" in run(*args[:4], "-n", "2", "--grid", "4x6")  # other settings: made again
    assert "frame_jpeg" not in run(*args[:4], "-n", "2", "--grid", "4x6", "--no-frames-jpeg")
    shutil.copy(remuxed(tmp_path / "other.mkv"), tmp_path / "bbb_6s.mp4")  # another file under the name
    assert "Wrote" in run("dump", str(tmp_path / "bbb_6s.mp4"), *args[2:], "--no-frames-jpeg")
    path.write_bytes(b"no dump at all")
    assert "Wrote" in run(*args)


def test_into_a_folder(tmp_path: Path) -> None:
    run("dump", str(CLIP), "-o", str(tmp_path), "-n", "2", "-q")
    assert stgraph.load(tmp_path / "bbb_6s.safetensors").grid.T == 2


# Folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "videos"
    (made / "more").mkdir(parents=True)
    shutil.copy(CLIP, made / "a.mp4")
    shutil.copy(CLIP, made / "more" / "b.MP4")
    (made / "notes.txt").write_text("no video")
    return made


def test_a_folder(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "dumps"
    args = ("dump", str(folder), "-o", str(out), "-n", "2", "--grid", "4x4")
    assert run(*args) == f"2 dumps written to {out}, 0 already there, 0 failed\n"
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == ["a.safetensors", "more/b.safetensors"]
    (out / "a.safetensors").unlink()
    (folder / "preview.GIF").write_bytes(b"GIF89a")
    assert run(*args).splitlines() == [
        f"1 dumps written to {out}, 1 already there, 0 failed",
        f"Left out, read only if given by name: 1 file, such as {folder}/preview.GIF",
    ]
    assert run(*args, "-q") == ""


def test_one_bad_video_does_not_stop_the_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    BAD["headless.mp4"][0](folder / "aa.mp4")
    done = CliRunner().invoke(app, ["dump", str(folder), "-o", str(tmp_path / "out"), "-n", "2"], prog_name="stgraph")
    assert done.exit_code == 1
    assert done.stdout.startswith("2 dumps written")
    assert done.stdout.endswith("1 failed\n")
    assert done.stderr.count("error: ") == 1
    assert str(folder / "aa.mp4") in done.stderr


def test_an_unexpected_error_is_noted_too(folder: Path, tmp_path: Path) -> None:
    class Broken:
        settings: ClassVar = {"encoder": "broken"}

        def extract(self, frames: object, times: object, info: object) -> object:
            raise RuntimeError("out of memory")

    report = dump_folder(folder, tmp_path / "out", Broken(), FEW)  # type: ignore[arg-type]
    assert set(report.failed.values()) == {"RuntimeError: out of memory"}
    assert len(report.failed) == 2


def test_what_every_video_needs_ends_the_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"'\.\[video\]"):
        dump_folder(folder, tmp_path / "out", SOURCE, FEW)


def test_progress(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    dump_folder(folder, tmp_path / "out", SOURCE, FEW, lambda label, share: seen.append((label, share)))
    assert [label for label, _ in seen[:2]] == ["1/2 a.mp4"] * 2
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert max(shares) < 1


def test_folders_that_cannot_be_dumped(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no video; names that end in"):
        folder_plan(tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(InputError, match="the dumps of a folder go into a folder"):
        folder_plan(folder, folder / "notes.txt")


def test_videos_of_one_name_are_skipped_and_told_at_the_end(tmp_path: Path) -> None:
    folder, out = tmp_path / "videos", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.mkv", "a.mp4", "b.mp4", "sub/a.mp4", "sub/c.MP4", "sub/c.avi", "sub/c.webm"):
        shutil.copy(CLIP, folder / name)
    args = ["dump", str(folder), "-o", str(out), "-n", "2", "--grid", "1x1"]
    done = CliRunner().invoke(app, args, prog_name="stgraph")
    assert (done.exit_code, done.stdout) == (1, f"2 dumps written to {out}, 0 already there, 5 failed\n")
    assert done.stderr.splitlines() == [
        f"error: {folder}/a.mkv and {folder}/a.mp4 would both become {out}/a.safetensors: skipped; rename all but one",
        f"error: {folder}/sub/c.MP4 and {folder}/sub/c.avi and {folder}/sub/c.webm would both become "
        f"{out}/sub/c.safetensors: skipped; rename all but one",
    ]
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == ["b.safetensors", "sub/a.safetensors"]
    report = dump_folder(folder, out, SOURCE, FEW)
    assert len(report.failed) == 5
    assert len(folder_plan(folder, out)[0]) == 2


def test_more_frames_than_are_shown(tmp_path: Path) -> None:
    """Each once, and the dump says how many there are."""
    path = tmp_path / "clip.safetensors"
    args = ("dump", str(CLIP), "-o", str(path), "--grid", "1x1", "--no-frames-jpeg")
    told = run(*args, "-n", "500").splitlines()[-1]
    assert told == "The video shows 147 frames, fewer than the 500 of --frames: each was taken once"
    tokens = stgraph.load(path)
    assert tokens.grid.T == tokens.metadata["n_frames"] == tokens.metadata["video"]["n_frames"] == 147
    assert np.all(np.diff(tokens.signals["frame_time"]) > 0)


@pytest.mark.parametrize("n_frames", [4, 5])
def test_time_steps_of_two_frames(n_frames: int) -> None:
    """An odd frame is paired with itself, as the processors of such models do."""

    class Pairs(EncoderSource):
        def extract(self, frames: object, times: object, info: object) -> object:
            found = super().extract(frames, times, info)  # type: ignore[arg-type]
            x = found.features[::2]
            return found._replace(features=x, grid=stgraph.TokenGrid(*x.shape[:3]))

    tokens, _ = video_tokens(CLIP, Pairs(PatchEncoder(grid=(1, 1))), Sampling(n_frames=n_frames))
    singly, _ = video_tokens(CLIP, SOURCE, Sampling(n_frames=n_frames))
    times = singly.signals["frame_time"].tolist()
    pairs = [times[i : i + 2] for i in range(0, n_frames, 2)]
    assert tokens.signals["frame_time"].tolist() == pytest.approx([sum(pair) / len(pair) for pair in pairs])
    assert tokens.signals["frame_jpeg_len"].tolist() == singly.signals["frame_jpeg_len"][::2].tolist()


# Wrong use


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("-n", "3", "--fps", "2"), "--frames and --fps exclude each other"),
        (("-e", "dino"), "no encoder 'dino'"),
        (("--grid", "16"), "--grid is '16'; write height x width"),
        (("--grid", "0x4"), "grid is (0, 4)"),
        (("--layers", "3"), "'layer' belongs to encoders with layers"),
        (("-e", "hf:x", "--layers", "1,2"), "--layers is '1,2'; with an encoder it names one hidden state"),
        (("--prompt", "why?"), "belong to --model"),
        (("--model", "x", "--encoder", "hf:y"), "exclude --model"),
        (
            ("--model", "x", "--signals", "llm_attn_last", "--prompt", "why?", "--layers", "-1"),
            "--layers is '-1'; with --model write decoder layers",
        ),
    ],
)
def test_wrong_options(tmp_path: Path, args: tuple[str, ...], says: str) -> None:
    assert says in fails(str(CLIP), "-o", str(tmp_path / "x.safetensors"), *args)
    assert list(tmp_path.iterdir()) == []


def test_the_video_is_never_overwritten(tmp_path: Path) -> None:
    video = Path(shutil.copy(CLIP, tmp_path))
    for name in (video.name, "x.npz", "x.query.safetensors"):
        assert "a dump's name ends in .safetensors" in fails(str(video), "-o", str(tmp_path / name))
    assert video.read_bytes() == CLIP.read_bytes()
    assert "does not exist" in fails(str(tmp_path / "no.mp4"), "-o", str(tmp_path / "x.safetensors"))


def test_a_query_file_that_is_gone(tmp_path: Path) -> None:
    """A dump whose prompt-dependent half is missing, or of another prompt, is not there."""

    class Asking(EncoderSource):
        @property
        def settings(self) -> dict[str, object]:
            return {**self.encoder.settings, "query": True}

        def extract(self, frames: object, times: object, info: object) -> object:
            found = super().extract(frames, times, info)  # type: ignore[arg-type]
            return found._replace(query={"importance": np.ones(found.grid.shape, np.float32)})

    source, path = Asking(SOURCE.encoder), tmp_path / "a.safetensors"
    assert dump_video(CLIP, path, source, FEW)
    assert is_present(CLIP, path, source, FEW)
    assert stgraph.load(path, query_path(path)).signals["importance"].shape == (5, 4, 6)
    container.write(query_path(path), "query", {}, {"settings": "others"})
    assert not is_present(CLIP, path, source, FEW)
    query_path(path).unlink()
    assert dump_video(CLIP, path, source, FEW)
