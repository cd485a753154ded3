"""Runs of ``stgraph eval --model`` on the clips of :mod:`task_clips`, and what they leave, as fixtures to import."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from task_clips import N_CONFIGURATIONS, Processor, arguments, save_model, save_task
from typer.testing import CliRunner, Result
from vlm_models import transformers

from stgraph.bench.tables.experiments import ANSWERS
from stgraph.cli import app

N_ROWS = 6 * N_CONFIGURATIONS

Row = dict[str, Any]


@pytest.fixture(name="model", scope="module")
def the_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(name="task")
def the_task(tmp_path: Path) -> Path:
    return save_task(tmp_path)


@pytest.fixture(name="processor")
def the_processor(monkeypatch: pytest.MonkeyPatch) -> Processor:
    """Takes the place of the checkpoint's, which needs torchvision."""
    made = Processor()
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda name: made)
    return made


def call(*args: str) -> Result:
    return CliRunner().invoke(app, list(args), prog_name="stgraph")


def run(*args: str) -> str:
    """What a run that succeeds prints to stdout."""
    done = call(*args)
    assert done.exit_code == 0, done.output
    return done.stdout


def read(path: Path) -> list[Row]:
    """The rows of a file of JSON lines without what differs from run to run."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(list(row) == list(ANSWERS.columns) for row in rows)
    return [{name: value for name, value in row.items() if not name.endswith("_s")} for row in rows]


@pytest.fixture(name="whole_file", scope="module")
def the_whole_file(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run that nothing interrupts writes."""
    task = save_task(tmp_path_factory.mktemp("whole"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformers.AutoProcessor, "from_pretrained", lambda name: Processor())
        run(*arguments(model, task, "-q", "-o", str(task.parent / "rows.jsonl")))
    return task.parent / "rows.jsonl"


@pytest.fixture(name="whole")
def the_whole(whole_file: Path) -> list[Row]:
    """Its rows."""
    return read(whole_file)


@pytest.fixture(name="done_before")
def the_done_before(whole_file: Path, tmp_path: Path) -> Path:
    """The same beside this test's own task file."""
    return Path(shutil.copy(whole_file, tmp_path / "rows.jsonl"))
