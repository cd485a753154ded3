"""Times that users see leave out the loading of libraries and the compiling of kernels."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import clip, saved
from command_line import run
from foreign import Foreign, registered

import stgraph
from stgraph import EdgeList
from stgraph.bench import warm_up as module
from stgraph.bench.batch.job_select import SelectJob
from stgraph.bench.compare import compare_backends
from stgraph.bench.compare_selectors import compare_selectors
from stgraph.bench.sweep import run as sweep
from stgraph.bench.sweep_plan import SweepPlan
from stgraph.bench.warm_up import warm_up
from stgraph.community.base import BackendParams
from stgraph.errors import MissingSignalError
from stgraph.selection.settings import Setting

LOADING = 0.4


class Slow(Foreign):
    """A backend whose library takes its time to load."""

    def __init__(self) -> None:
        super().__init__(lambda edges: None)
        self.loaded = False
        self.calls = 0

    def labels(self, edges: EdgeList, params: BackendParams) -> Any:
        self.calls += 1
        if not self.loaded:
            time.sleep(LOADING)
            self.loaded = True
        return np.arange(edges.n_nodes) // 5


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WARM", set())


@pytest.fixture
def slow() -> Iterator[str]:
    with registered(Slow()) as name:
        yield name


def test_select(slow: str, tmp_path: Path) -> None:
    found = json.loads(run("select", saved(tmp_path / "a.safetensors"), "-b", slow, "--format", "json"))
    assert 0 < found["report"]["seconds"]["detection"] < LOADING / 2


def test_batch_select(slow: str, tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "a.safetensors"))
    (row,) = SelectJob(write=False, options={"backend": slow}).run(path, None)
    assert 0 < row["select_s"] < LOADING / 2


def test_compare(slow: str) -> None:
    settings = [Setting("st-simdiff", {"backend": slow})]
    rows = compare_backends(clip(), settings, (0.3,), fidelity=False).rows
    assert 0 < rows[0]["detection_s"] < LOADING / 2


def test_compare_selectors(slow: str) -> None:
    settings = [Setting("st-simdiff", {"backend": slow})]
    rows = compare_selectors(clip(), settings, (0.3,), fidelity=False).rows
    assert 0 < rows[0]["select_s"] < LOADING / 2


def test_sweep(slow: str) -> None:
    plan = SweepPlan(backends=(slow,), tau_sims=(0.8,), tau_diffs=(0.2,), retain_ratios=(0.3,))
    (row,) = sweep(plan, [("a clip", clip())])
    assert 0 < row["detection_s"] < LOADING / 2


def test_once_a_process_for_each_kind_of_work() -> None:
    engine = Slow()
    with registered(engine) as name:
        trees = stgraph.selector("st-simdiff", retain_ratio=0.3, backend=name)
        for _ in range(3):
            warm_up([trees], np.dtype(np.float32))
        assert engine.calls == 1
        warm_up([trees], np.dtype(np.float16))
        warm_up([stgraph.selector("st-simdiff", retain_ratio=0.3, backend=name, split="raster")], np.dtype(np.float32))
        assert engine.calls == 3


def test_what_cannot_run_fails_on_the_tokens_it_is_for(tmp_path: Path) -> None:
    fastv = stgraph.selector("fastv", retain_ratio=0.3)
    warm_up([fastv], np.dtype(np.float32), signals=())
    with pytest.raises(MissingSignalError):
        fastv.select(clip())
    importance = np.ones((6, 5, 6), np.float32)  # of the tokens that come, not of those it is warmed up with
    given = stgraph.selector("st-simdiff", retain_ratio=0.3, importance=importance)
    warm_up([given], np.dtype(np.float32))
    assert len(given.select(clip())) == 54
