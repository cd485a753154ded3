"""Files made to break a reader, and the corpus of ``tests/fuzz``: our errors or a right answer, in little memory."""

from __future__ import annotations

import ast
import random
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz.mutate_dump import join, mutate
from fuzz.targets import TARGETS, attempt

import stgraph
from stgraph import VideoTokens, container
from stgraph.container_header import MAX_HEADER_BYTES
from stgraph.errors import DumpFormatError, InputError

ROOT, TESTS = Path(__file__).parents[2], Path(__file__).parents[1]
CORPUS = TESTS / "fuzz" / "corpus"
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())
VALID = ("plain", "newlines", "two_billion_frames", "lattice", "names", "merged")


def laid(path: Path, folder: Path) -> Path:
    """A file of the corpus under the suffix of its target."""
    copy = folder / f"input{TARGETS[path.parent.name].suffix}"
    shutil.copy(path, copy)
    return copy


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus_is_read_or_refused(path: Path, tmp_path: Path) -> None:
    """Valid files are read; all others are refused, and say which file and why."""
    name = path.parent.name
    pytest.importorskip({"video": "av", "parquet": "pyarrow"}.get(name, "numpy"))
    if name == "task":
        (tmp_path / "a.mp4").touch()
        if path.name == "a.mp4":
            return
    copy = laid(path, tmp_path)
    error = attempt(TARGETS[name], copy)
    if path.stem in VALID:
        assert error is None
    else:
        assert error is not None
        assert str(copy) in str(error)
        assert len(str(error)) < 600


def test_a_thousand_dumps_with_a_wrong_header(tmp_path: Path) -> None:
    rng, path = random.Random(0), tmp_path / "input.safetensors"
    valid = [(CORPUS / "dump" / name).read_bytes() for name in ("plain", "newlines")]
    refused = 0
    for _ in range(1000):
        path.write_bytes(mutate(rng.choice(valid), rng))
        refused += attempt(TARGETS["dump"], path) is not None
    assert 600 < refused < 1000, "mutations that all fail, or never, test one check only"


# Memory: a reader of n bytes takes no more than a constant and a small multiple of n.

BOMBS = {
    "brackets": b'{"__metadata__":{"stgraph":"tokens","schema_version":"1","metadata":"['
    + b"[]," * 1_300_000
    + b'1]"}}',
    "tensors": b'{"__metadata__":{"stgraph":"tokens","schema_version":"1"}'
    + b"".join(b',"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(70_000))
    + b"}",
    "axes": b'{"__metadata__":{"stgraph":"tokens","schema_version":"1"},"a":{"dtype":"U8","shape":['
    + b"1," * 2_000_000
    + b'0],"data_offsets":[0,0]}}',
    "one key again and again": b'{"__metadata__":{"stgraph":"tokens","schema_version":"1","metadata":"{'
    + b'\\"a\\":[],' * 380_000
    + b'\\"a\\":1}"}}',
    "longer than a header may be": b'{"__metadata__":{"x":"' + b"a" * MAX_HEADER_BYTES + b'"}}',
}
MEASURED = """
import sys
import stgraph
from stgraph.errors import StgraphError

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024

stgraph.sample()
before = peak()
try:
    stgraph.load(sys.argv[1])
except StgraphError as error:
    print(peak() - before, len(str(error)))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", BOMBS)
def test_a_header_unfolds_to_256_mb_at_most(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.safetensors"
    path.write_bytes(join(BOMBS[name], b""))
    done = subprocess.run([sys.executable, "-c", MEASURED, path], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    taken_mb, length = map(float, done.stdout.split())
    assert taken_mb < 256
    assert length < 600


def test_metadata_that_could_not_be_read_again_are_not_written(tmp_path: Path) -> None:
    tokens = VideoTokens.from_array(np.ones((1, 1, 1, 2), np.float32), metadata={"a": "x" * MAX_HEADER_BYTES})
    with pytest.raises(InputError, match=r"its metadata make a header of .* store long values as a signal"):
        tokens.save(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_dump_that_was_replaced_is_not_read_with_the_offsets_of_the_old_one(tmp_path: Path) -> None:
    small, large = (VideoTokens.from_array(np.ones((1, 1, n, 2), np.float32)) for n in (2, 9))
    small.save(tmp_path / "a")
    tensors, _ = container.read(tmp_path / "a", "tokens")
    large.save(tmp_path / "a")
    with pytest.raises(DumpFormatError, match="/a: it has changed since it was opened; open it again"):
        tensors["features"]
    (tmp_path / "a").unlink()
    with pytest.raises(DumpFormatError, match=r"/a: No such file or directory; open it again"):
        tensors["features"]


# Videos: nothing but the file itself is opened.

CLIP = TESTS / "data" / "bbb_6s.mp4"


@pytest.fixture
def visits() -> Any:
    """Where a server that counts its visitors listens, and how many came."""
    pytest.importorskip("av")
    found: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                while True:
                    visitor, _ = server.accept()
                    found.append(visitor)
                    visitor.close()
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], found


def test_a_relative_path_is_no_address(visits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stgraph.video.file import probe_video

    port, visitors = visits
    monkeypatch.chdir(tmp_path)
    path = Path(f"http:/127.0.0.1:{port}/clip.mp4")
    path.parent.mkdir(parents=True)
    shutil.copy(CLIP, path)
    (tmp_path / "concat:clip.mp4").write_bytes(b"nothing")
    shutil.copy(CLIP, "clip.mp4")
    for spelling in (path, f"http://127.0.0.1:{port}/clip.mp4"):
        assert probe_video(spelling).n_frames == 147
    with pytest.raises(InputError, match="not a video"):
        probe_video("concat:clip.mp4")
    assert visitors == []


@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "ts", "mpd"])
def test_lists_in_a_video_are_not_followed(visits: Any, suffix: str, tmp_path: Path) -> None:
    from stgraph.video.file import probe_video

    port, visitors = visits
    shutil.copy(CLIP, tmp_path / "clip.mp4")
    for target in ("clip.mp4", f"http://127.0.0.1:{port}/clip.mp4"):
        for text in (
            f"ffconcat version 1.0\nfile {target}\n",
            f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
        ):
            (tmp_path / f"list.{suffix}").write_text(text)
            with pytest.raises(InputError, match="not a video"):
                probe_video(tmp_path / f"list.{suffix}")
    assert visitors == []


def test_absurd_claims_of_a_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    from stgraph.video.file import probe_video
    from stgraph.video.frames import read_frames

    claims = CORPUS / "video" / "two_billion_frames"
    honest = probe_video(CORPUS / "video" / "plain.mp4")
    assert probe_video(claims) == honest
    for more_than_there_are in ({"fps": 1e9}, {"n_frames": 2 * 10**9}):
        assert len(read_frames(claims, **more_than_there_are).times) == honest.n_frames
    path = tmp_path / "large.avi"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("ffv1", rate=1)
        stream.width, stream.height, stream.pix_fmt = 10_000, 7_000, "gray"
        frame = av.VideoFrame(10_000, 7_000, "gray")
        frame.pts = 0
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    with pytest.raises(InputError, match=r"its frames have 10000 x 7000 pixels; at most 67,108,864 are read"):
        probe_video(path)


def test_a_video_that_ends_after_every_seek_is_read_through(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    from stgraph.video import frames as video
    from stgraph.video import position

    info = video.probe_video(CLIP)
    expected = list(video.iter_frames(CLIP, [2.0, 5.0], seek=False))
    decoded, attempts = position.decoded, []

    def ends_after_seeking(container: Any, stream: Any, path: Any) -> Any:
        attempts.append(container)
        assert len(attempts) < 100, "it seeks without end"
        return iter([]) if attempts.count(container) > 1 else decoded(container, stream, path)

    monkeypatch.setattr(position, "decoded", ends_after_seeking)
    found = list(video.iter_frames(CLIP, [2.0, 5.0], seek=True, info=info))
    assert [time for time, _ in found] == [time for time, _ in expected]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(found, expected, strict=True))
    assert len(attempts) > 2


# Output: the folder that was named, whatever the inputs are called.

ODD_NAMES = (
    "..mp4",
    "...mp4",
    "-o.mp4",
    " .mp4",
    "a\nb.mp4",
    "a|b;c`d`$(e).mp4",
    "%s%n.mp4",
    "CON.mp4",
    "~.mp4",
    "\udcff.mp4",
)


def test_dumps_of_a_folder_stay_in_the_output_folder(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from stgraph.video.dump import Sampling, dump_folder
    from stgraph.vlm.encoder_source import EncoderSource, frame_encoder

    videos, output = tmp_path / "in" / "videos", tmp_path / "out" / "dumps"
    (videos / "..." / "..a").mkdir(parents=True)
    for i, name in enumerate(ODD_NAMES):
        shutil.copy(CLIP, (videos / "..." / "..a" if i % 2 else videos) / name)
    before = sorted(tmp_path.rglob("*"))
    source = EncoderSource(frame_encoder("patches", grid=(1, 1)), 16)
    report = dump_folder(videos, output, source, Sampling(n_frames=1, thumbnails=False))
    made = [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.is_file()]
    assert len(made) == len(report.made) == len(ODD_NAMES)
    assert not report.failed
    assert all(path.resolve().is_relative_to(output.resolve()) for path in made)
    assert all(stgraph.load(path).grid.shape == (1, 1, 1) for path in made)


# Source: nothing that runs what it reads.

RUNS_WHAT_IT_READS = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle", "jsonpickle", "yaml"}
CODE_BY_NAME = {"eval", "exec", "compile", "__import__"}


@pytest.mark.parametrize("folder", ["stgraph", "community", "selection", "viz", "bench"])
def test_no_source_runs_what_it_reads(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name.partition(".")[0] for alias in node.names} & RUNS_WHAT_IT_READS, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in RUNS_WHAT_IT_READS, path
            elif isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name):
                    assert node.func.id not in CODE_BY_NAME, f"{path}:{node.lineno}"
                if ast.unparse(node.func) == "torch.load":
                    assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path
                for keyword in node.keywords:
                    assert keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False", path
                    # A name: the caller's own parameter of that name, which is False unless asked for.
                    trusts = keyword.arg == "trust_remote_code"
                    assert not trusts or ast.unparse(keyword.value) in ("False", "trust_remote_code"), path
            elif isinstance(node, ast.FunctionDef):
                named = dict(zip([a.arg for a in node.args.args][::-1], node.args.defaults[::-1], strict=False))
                named |= {a.arg: d for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d}
                if "trust_remote_code" in {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}:
                    assert ast.unparse(named["trust_remote_code"]) == "False", f"{path}: {node.name}"
