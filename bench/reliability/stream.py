"""Frames per second and memory of a stream over an hour of video: ``python -m stgraph.bench.reliability.stream``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import stgraph
from stgraph.aliases import Array
from stgraph.bench.speed.stages import machine
from stgraph.bench.synthetic import synthetic_tokens

Row = dict[str, Any]
_LOOP = 32  # frames made once and reused: generating 3,584 normal numbers per token costs more than the stream


def resident_mib() -> float:
    """Resident memory of this process in MiB; Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def looped(n_frames: int, frames: Array) -> Iterator[Array]:
    """``n_frames`` frames of a loop."""
    for t in range(n_frames):
        yield frames[t % len(frames)]


def write_long_dump(path: Path, n_frames: int, frames: Array) -> None:
    """Write a dump larger than memory frame by frame; the library's own writer needs all features at once."""
    H, W, d = frames.shape[1:]
    n = n_frames * H * W
    coordinates = stgraph.TokenGrid(n_frames, H, W).coordinates()
    small = dict(zip(("token_t", "token_y", "token_x"), coordinates, strict=True))
    small |= {"seq_index": np.arange(n, dtype=np.int32), "token_kind": np.zeros(n, np.uint8)}
    header: dict[str, Any] = {
        "__metadata__": {"stgraph": "tokens", "schema_version": "1", "metadata": "{}"},
        "features": {"dtype": "F16", "shape": [n, d], "data_offsets": [0, n * d * 2]},
    }
    at = n * d * 2
    for name, array in small.items():
        code = "U8" if array.dtype == np.uint8 else "I32"
        header[name] = {"dtype": code, "shape": [n], "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for frame in looped(n_frames, frames):
            stream.write(frame.tobytes())
        for array in small.values():
            stream.write(array.tobytes())


def measure(n_frames: int, window: int, overlap: int, source: Iterator[Array], label: str) -> Iterator[Row]:
    """One row per 600 frames: frames per second so far, memory, tokens kept."""
    stream = stgraph.stream(0.8, 0.3, window, overlap=overlap)
    start, pushes = perf_counter(), []
    for t, frame in enumerate(source, 1):
        before = perf_counter()
        stream.push(frame)
        pushes.append(perf_counter() - before)
        if t % 600 == 0 or t == n_frames:
            yield {
                "source": label,
                "frames": t,
                "fps": t / (perf_counter() - start),
                "push_fps": len(pushes) / sum(pushes),
                "median_push_ms": 1e3 * median(pushes),
                "slowest_push_ms": 1e3 * max(pushes),
                "resident_mib": resident_mib(),
                "kept": stream.n_kept,
            }
            pushes.clear()
    stream.finish()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=7200, help="an hour at 2 a second")
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--overlap", type=int, default=1)
    parser.add_argument("--grid", type=int, nargs=3, default=(14, 14, 3584), metavar=("H", "W", "D"))
    parser.add_argument("--dump", action="store_true", help="from a dump on disk, removed afterwards")
    asked = parser.parse_args()
    frames = synthetic_tokens(_LOOP, *asked.grid).astype(np.float16)
    for x in frames[:3]:  # compile before the clock starts
        warm = stgraph.stream(0.8, 0.3, 2)
        warm.push(x)
        warm.push(frames[4])
        warm.push(frames[5])
    tell = sys.stdout.write
    tell(json.dumps({"machine": machine(), "before_mib": resident_mib(), "dtype": "float16", **vars(asked)}) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        if asked.dump:
            path = Path(folder) / "long.safetensors"
            write_long_dump(path, asked.frames, frames)
            del frames
            source, label = stgraph.iter_frames(path), "dump"
        else:
            source, label = looped(asked.frames, frames), "memory"
        for row in measure(asked.frames, asked.window, asked.overlap, source, label):
            tell(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
