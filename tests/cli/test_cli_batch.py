"""``stgraph batch`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batch_inline import here  # noqa: F401 (fixture)
from batch_jobs import rows
from clips import clip, saved
from refusals import Refused
from typer.testing import CliRunner

import stgraph
from stgraph import container
from stgraph.bench.batch.job_compare import CompareJob
from stgraph.bench.batch.job_compare_selectors import CompareSelectorsJob
from stgraph.bench.batch.job_dump import DumpJob
from stgraph.bench.batch.job_eval import EvalJob
from stgraph.bench.batch.job_select import SelectJob
from stgraph.bench.batch.jobs import JOBS
from stgraph.bench.compare import compare_backends
from stgraph.bench.compare_selectors import compare_selectors
from stgraph.cli import app
from stgraph.selection.settings import backend_settings, selector_settings

pytest.importorskip("pyarrow", reason="pyarrow is not installed")


def batch(*args: str, status: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(app, ["batch", *args], prog_name="stgraph")
    assert done.exit_code == status, done.output
    return done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for seed in range(3):
        saved(tmp_path / "in" / f"clip{seed}.safetensors", seed=seed)
    return tmp_path / "in"


@pytest.mark.slow
def test_select_in_processes(folder: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    args = ("select", str(folder), "-o", out, "-p", "retain_ratio=0.2", "-p", "tau_diff=p90", "--workers", "2")
    text, _ = batch(*args)
    assert text.startswith("3 done in ")
    assert text.endswith(f" s, 0 already there, 0 failed: {out}/rows\n")
    assert batch(*args) == (f"0 done, 3 already there, 0 failed: {out}/rows\n", "")
    assert batch(*args, "-q") == ("", "")
    found = rows(tmp_path / "out")
    assert [row["n_kept"] for row in found] == [36, 36, 36]
    for seed, row in enumerate(found):
        expected = stgraph.selector("st-simdiff", retain_ratio=0.2, tau_diff="p90").select(clip(seed))
        assert row["n_event"] == expected.reasons()["event"]
        assert json.loads(row["report"])["event_threshold"] == expected.report["event_threshold"]
        tensors, _ = container.read(tmp_path / "out" / row["file"], "selection")
        assert tensors["indices"].tolist() == expected.indices.tolist()


@pytest.mark.usefixtures("here")
def test_what_a_folder_holds_beside_its_inputs_is_said(folder: Path, tmp_path: Path) -> None:
    (folder / "preview.gif").write_bytes(b"GIF89a")
    args = ("select", str(folder), "-o", str(tmp_path / "out"), "-p", "write=false")
    text, _ = batch(*args)
    assert text.endswith(f"\nLeft out, read only if given by name: 1 file, such as {folder}/preview.gif\n")
    assert batch(*args, "-q") == ("", "")


@pytest.mark.usefixtures("here")
def test_failures_are_told_and_end_in_status_1(folder: Path, tmp_path: Path) -> None:
    for i in range(12):
        (folder / f"bad{i:02}\x1b.safetensors").write_text("no dump")
    text, errors = batch("select", str(folder), "-o", str(tmp_path / "out"), status=1)
    assert "3 done in " in text
    assert ", 12 failed: " in text
    lines = errors.splitlines()
    assert len(lines) == 11
    assert lines[0].startswith(f"error: {folder}/bad00\\x1b.safetensors: cannot read ")
    assert lines[-1] == "error: and 2 more; rows with status 'failed' list them all"


@pytest.mark.usefixtures("here")
def test_compare(folder: Path, tmp_path: Path) -> None:
    options = ("-p", "backends=lattice-components,igraph-leiden", "-p", "retain_ratios=0.2,0.4", "-p", "tau_sim=0.7")
    batch("compare", str(folder), "-o", str(tmp_path / "out"), *options)
    found = [row for row in rows(tmp_path / "out") if "clip1" in row["input"]]
    settings = backend_settings(("lattice-components", "igraph-leiden"), parameters={"tau_sim": 0.7})
    expected = compare_backends(clip(1), settings, (0.2, 0.4), fidelity=False).rows
    assert len(found) == len(expected) == 4
    key = ("backend", "retain_ratio")
    found.sort(key=lambda row: tuple(row[k] for k in key))
    expected.sort(key=lambda row: tuple(row[k] for k in key))
    for row, other in zip(found, expected, strict=True):
        assert row["tau_diff"] == str(other.pop("tau_diff"))
        del other["dump"]
        assert {k: row[k] for k in other if not k.endswith("_s")} == {
            k: v for k, v in other.items() if not k.endswith("_s")
        }
    made = CompareJob(backends=("lattice-components",), fidelity=True).run(folder / "clip0.safetensors", None)
    assert made[0].keys() == CompareJob.columns.keys()


@pytest.mark.usefixtures("here")
def test_compare_selectors(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("-p", "selectors=uniform,random,st-simdiff", "-p", "retain_ratios=0.2,0.4", "-p", "seeds=0,1")
    options += ("-p", "fidelity=true", "-p", "backends=igraph-leiden", "-p", "tau_diff=0.3")
    batch("compare-selectors", str(folder), "-o", str(out), *options)
    names = ("uniform", "random", "st-simdiff")
    settings = selector_settings(names, ("igraph-leiden",), (0, 1), {"tau_diff": 0.3})
    expected = compare_selectors(clip(1), settings, (0.2, 0.4), tau_diff=0.3).rows
    key = ("selector", "seed", "retain_ratio")
    found = {tuple(row[k] for k in key): row for row in rows(out) if "clip1" in row["input"]}
    assert len(found) == len(expected) == 2 + 4 + 2
    for other in expected:
        row = found[tuple(other[k] for k in key)]
        assert other.keys() - {"dump"} <= CompareSelectorsJob.columns.keys()
        same = [k for k in other if k not in ("dump", "select_s")]
        assert [row[k] for k in same] == [other[k] for k in same]
    _, errors = batch("compare-selectors", str(folder), "-o", str(out), "-p", "selectors=fastervlm", status=1)
    assert "clip0.safetensors: selector 'fastervlm' needs signal" in errors


@pytest.mark.usefixtures("here")
def test_dump(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    from videos import CLIP

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clip.mp4").symlink_to(CLIP)
    (tmp_path / "in" / "text.mp4").write_text("no video")
    args = ("-p", "frames=3", "-p", "grid=4x5", "-p", "thumbnails=false")
    _, errors = batch("dump", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *args, status=1)
    assert "text.mp4: cannot " in errors
    row = next(row for row in rows(tmp_path / "out") if row["status"] == "done")
    assert (row["T"], row["H"], row["W"], row["has_query"]) == (3, 4, 5, False)
    tokens = stgraph.load(tmp_path / "out" / row["file"])
    assert tokens.grid.shape == (3, 4, 5)
    assert tokens.metadata["title"] == row["title"] == "clip"


@pytest.mark.usefixtures("here")
def test_a_network_that_cannot_be_loaded_stops_the_batch(tmp_path: Path, refused: Refused) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("av", reason="PyAV is not installed")
    from videos import CLIP

    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).symlink_to(CLIP)
    message = refused("batch", "dump", str(tmp_path), "-o", str(tmp_path / "out"), "-p", f"encoder=hf:{tmp_path}")
    assert message.endswith("Stopped with 0 of 2 inputs done; run the same command again to resume")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("selct",),
            "no batch job 'selct'. Did you mean 'select'? Known: select, compare, compare-selectors, dump, eval",
        ),
        (("select", "-p", "retain_ratio=2"), "retain_ratio is 2; it must lie in (0, 1]"),
        (("select", "-p", "tau_smi=1"), "selector 'st-simdiff' has no parameter 'tau_smi'"),
        (("select", "-p", "retain_ratio"), "--param is 'retain_ratio'; write it as name=value"),
        (("compare", "-p", "backends=igraph-leidn"), "no community backend 'igraph-leidn'"),
        (("compare-selectors",), "batch compare-selectors lacks selectors; give it names"),
        (("compare-selectors", "-p", "selectors=evz"), "no selector 'evz'. Did you mean 'evs'?"),
        (
            ("compare-selectors", "-p", "selectors=evs", "-p", "tau_sim=1"),
            "none of the selectors evs has a parameter 'ta",
        ),
        (("compare-selectors", "-p", "selectors=evs", "-p", "retain_ratios=x"), "retain_ratio is 'x'; it must be"),
        (("dump", "-p", "frame=3"), "batch dump has no parameter 'frame'; it has: frames, fps"),
        (("dump", "-p", "frames=3", "-p", "fps=1"), "frames is 3 and fps is 1; give one"),
        (("dump", "-p", "encoder=hg"), "no encoder 'hg'"),
        (("dump", "-p", "grid=4"), "grid is 4; write height x width"),
        (("dump", "-p", "model=x", "-p", "grid=4x4"), "encoder, grid and layer exclude model"),
        (("dump", "-p", "prompt=Why?"), "prompt and llm_layers belong to model"),
        (("dump", "-p", "batch=0"), "batch is 0; it must be an integer of at least 1"),
        (("select", "--runner", "ray"), "runner is 'ray'; it must be one of local, dask"),
        (("select", "--scheduler-address", "tcp://x:1"), "a scheduler belongs to runner 'dask'"),
    ],
)
def test_wrong_command_lines(
    refused: Refused,
    folder: Path,
    tmp_path: Path,
    args: tuple[str, ...],
    message: str,
) -> None:
    task, *rest = args
    assert message in refused("batch", task, str(folder), "-o", str(tmp_path / "out"), *rest)
    assert not (tmp_path / "out").exists()


def test_an_interrupt_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> Any:
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr("stgraph.bench.batch.run.run_local", stopped)
    _, errors = batch("select", str(folder), "-o", str(tmp_path / "out"), status=130)
    assert errors == "Interrupted: run the same command again to resume\n"


@pytest.mark.parametrize("name", JOBS.names())
def test_every_job_says_what_it_is(name: str) -> None:
    task = {
        "select": SelectJob,
        "compare": CompareJob,
        "compare-selectors": CompareSelectorsJob,
        "dump": DumpJob,
        "eval": EvalJob,
    }[name]
    assert JOBS.get(name) is task
    assert task.name == name
    assert set(task.columns.values()) <= {str, int, float, bool}
