"""The GPU benchmark and bench/gpu_check.sh, as far as a machine without a GPU can tell."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import run, strict_json
from typer.testing import CliRunner

from stgraph import VideoTokens
from stgraph import gpu_parts as parts
from stgraph.bench.speed.gpu import GPU_CASES, QUICK, measure_gpu
from stgraph.bench.speed.gpu_prefill import LlmSize
from stgraph.bench.speed.stages import Case
from stgraph.cli import app
from stgraph.viz.terminal.speed import gpu_tables

ROOT = Path(__file__).resolve().parents[2]
NO_GPU = not parts.devices()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of two narrow layers."""
    monkeypatch.setattr("stgraph.bench.speed.gpu.LlmSize", lambda: LlmSize(2, 32, 2, 1, 64))


def test_rows_of_a_tiny_case(interpreter: None, small: None) -> None:
    pytest.importorskip("transformers", reason="the prefill needs transformers")
    rows = measure_gpu(Case(2, 1, 3, 32, "bfloat16"), 1, device="cpu", llm=LlmSize(2, 32, 2, 1, 64))
    ours = [row for row in rows if row["by"] == "stgraph"]
    assert [row["stage"] for row in ours] == [
        "edges", "edges, unread", "edge list", "components", "split", "detection", "centrality", "representatives",
        "events", "selection",
    ]  # fmt: skip
    read = next(row["seconds"] for row in rows if row["stage"] == "read")
    for row in rows:
        assert (row["case"], row["n_tokens"], row["device"]) == ("2x1x3x32 bfloat16", 6, "cpu")
        assert (row["seconds"] is None) != (row["skipped"] is None)
        if row["seconds"] is not None:
            assert row["reads"] == pytest.approx(row["seconds"] / read)
    by = {row["by"]: row for row in rows}
    assert {"torch", "SciPy, with the copy", "plain Python reference, on the CPU", "full", "r = 0.3"} <= by.keys()
    if NO_GPU:
        assert "no CUDA driver" in by["cuGraph"]["skipped"]
        assert "no CUDA driver" in by["cugraph-leiden"]["skipped"]
    gpu_tables(rows)


def test_what_does_not_fit_is_a_row_that_says_so(
    interpreter: None, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*args: Any) -> Any:
        raise RuntimeError("CUDA out of memory. Tried to allocate\nmore")

    monkeypatch.setattr("stgraph.bench.speed.gpu_peers.torch_edges", out_of_memory)
    monkeypatch.setattr("stgraph.bench.speed.gpu.prefill_seconds", out_of_memory)
    monkeypatch.setattr("stgraph.bench.speed.gpu._stages", lambda tokens: {"read": lambda: time.sleep(1e-6)})
    rows = measure_gpu(Case(1, 2, 3, 32), 1, device="cpu")
    skipped = {(row["stage"], row["by"]): row["skipped"] for row in rows if row["skipped"]}
    assert skipped["edges", "torch"] == skipped["prefill", "full"] == "CUDA out of memory. Tried to allocate"


def test_the_command_writes_rows(interpreter: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from stgraph.bench.speed import gpu as gpu_speed

    measured = [{"case": "c", "n_tokens": 1, "device": "cuda", "machine": "m", "stage": "edges", "by": "stgraph",
                 "seconds": 0.5, "reads": 1.25, "skipped": None}]  # fmt: skip
    asked: list[Any] = []
    monkeypatch.setattr(gpu_speed, "measure_gpu", lambda *args: asked.append(args) or measured)
    monkeypatch.setattr("stgraph.cli.options.check_device", lambda device: None)
    text = run("bench", "--device", "cuda", "--rounds", "2", "-o", str(tmp_path / "rows.csv"))
    assert "500.000" in text and "1.25" in text
    assert [(args[0], args[1], args[3]) for args in asked] == [(case, 2, "cuda") for case in GPU_CASES]
    assert [row["seconds"] for row in csv.DictReader((tmp_path / "rows.csv").read_text().splitlines())] == [
        "0.5"
    ] * len(GPU_CASES)
    run("bench", "--device", "cuda:0", "--quick", "-q", "-o", str(tmp_path / "rows.csv"))
    assert (asked[-1][0], asked[-1][3]) == (QUICK, "cuda:0")


def test_sizes_are_those_asked_for() -> None:
    tokens = [case.T * case.H * case.W for case in GPU_CASES]
    assert tokens == [12_544, 100_352, 999_992]


@pytest.mark.skipif(not NO_GPU, reason="says what is missing without a GPU")
def test_the_check_stops_where_there_is_no_gpu(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run([ROOT / "bench" / "gpu_check.sh", tmp_path / "out"], env=environment, capture_output=True)
    log = (tmp_path / "out" / "log.txt").read_text()
    assert done.returncode == 3
    assert "CUDA driver" in log  # of the doctor
    assert "not run: " in log


@pytest.mark.parametrize("minutes", ["12", "0"])
def test_the_check_begins_with_what_never_ran(tmp_path: Path, minutes: str) -> None:
    """A stand-in for Python notes what it is asked to run; without time nothing is, and the log says so."""
    stub, asked = tmp_path / "python", tmp_path / "asked"
    stub.write_text(f'#!/bin/sh\necho "$@" >> "{asked}"\n')
    stub.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(stub), "MINUTES": minutes}
    done = subprocess.run([ROOT / "bench" / "gpu_check.sh", tmp_path / "out"], env=environment, capture_output=True)
    steps = [line for line in asked.read_text().splitlines() if line.startswith("-m ") and "doctor" not in line]
    if minutes == "0":
        assert (done.returncode, steps) == (1, [])
        assert "left out: benchmark, the time is over" in (tmp_path / "out" / "log.txt").read_text()
        return
    assert done.returncode == 0
    named = ["test_gpu_cluster.py -k views", "tests/selection/test_capture.py", "-m stgraph bench", "-ra tests "]
    assert len(steps) == len(named)
    assert all(name in step for name, step in zip(named, steps, strict=True))


@pytest.mark.skipif(not NO_GPU, reason="says what is missing without a GPU")
@pytest.mark.parametrize("command", ["compare", "select", "communities", "sweep", "bench"])
def test_commands_say_that_there_is_no_gpu(command: str) -> None:
    pytest.importorskip("torch", reason="the message is torch's")
    done = CliRunner().invoke(app, [command, "--device", "cuda"])
    assert "device 'cuda' cannot be used here: " in str(done.exception)


def test_commands_on_a_device(interpreter: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same figures as on the CPU; the "device" is host memory here, its engine the interpreter's."""
    from clips import clip
    from tensors import tensor

    moved: list[str] = []

    def to(tokens: VideoTokens, device: str) -> VideoTokens:
        moved.append(device)
        features = tensor(tokens.features) if device == "cuda" else tokens.features
        return VideoTokens(features, tokens.grid, tokens.signals, tokens.metadata)

    monkeypatch.setattr(VideoTokens, "to", to)
    monkeypatch.setattr("stgraph.cli.options.check_device", lambda device: None)
    path = tmp_path / "clip.safetensors"
    x = clip().features[:3]
    VideoTokens.from_array(x).save(path)
    tables: dict[str, tuple[str, ...]] = {
        "compare": ("-b", "lattice-components", "-r", "0.3"),
        "sweep": ("--tau-sim", "0.8", "--tau-diff", "0.2", "-r", "0.3"),
    }
    for name, options in tables.items():
        texts = (run(name, str(path), *options, "--format", "csv", "--device", device) for device in ("cpu", "cuda"))
        expected, found = (list(csv.DictReader(text.splitlines())) for text in texts)
        assert len(found) == len(expected) > 0
        for column in ("n_kept", "n_representative", "n_communities", "largest"):
            assert [row[column] for row in found] == [row[column] for row in expected]
    facts = [
        strict_json(run("select", str(path), "--format", "json", "--device", device)) for device in ("cpu", "cuda")
    ]
    assert facts[0]["reasons"] == facts[1]["reasons"]
    parted = [
        strict_json(run("communities", str(path), "-b", "lattice-components", "--format", "json", "--device", device))
        for device in ("cpu", "cuda")
    ]
    assert parted[0]["summary"] == pytest.approx(parted[1]["summary"], abs=1e-6)
    assert moved.count("cuda") >= 4


def test_parts_name_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = run("doctor")
    for part in parts.gpu_parts():
        assert part.name in text
    monkeypatch.setattr(parts, "package_version", lambda name: "2.13.0+cpu" if name == "torch" else "unknown")
    monkeypatch.setattr(parts, "find_spec", lambda name: object() if name == "torch" else None)
    monkeypatch.setattr(parts, "find_library", lambda name: None)
    found = {part.name: part for part in parts.gpu_parts()}
    assert found["torch"].found is None and "built for CPUs" in found["torch"].remedy
    assert found["CUDA driver"].found is found["triton"].found is found["cupy"].found is None
    assert ".[cuda13]" in found["pylibcugraph"].remedy


def test_devices_as_nvidia_smi_lists_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100, 81559 MiB, 9.0, 580.65'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert parts.devices() == ["NVIDIA H100, 81559 MiB, compute capability 9.0, driver 580.65"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert parts.devices() == []
