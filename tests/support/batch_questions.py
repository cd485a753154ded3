"""``stgraph batch eval`` on the clips of :mod:`task_clips`, in this process or in workers of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_jobs import rows
from task_clips import FRAMES, Processor, transformers

from stgraph.bench.batch.job_eval import EvalJob
from stgraph.bench.batch.jobs import Row
from stgraph.bench.tables.experiments import ANSWERS

PARAMETERS = ("-p", f"frames={FRAMES}", "-p", "retain_ratios=0.3,1")


@dataclass(frozen=True, kw_only=True)
class Offline(EvalJob):
    """Puts the processor made by hand in its place wherever it runs."""

    def run(self, path: Path, target: Path | None) -> list[Row]:
        transformers.AutoProcessor.from_pretrained = lambda name: Processor()
        return super().run(path, target)


def offline(model: str, task: Path, **more: Any) -> Offline:
    """The same configurations as :func:`task_clips.arguments`."""
    return Offline(model=model, task=str(task), retain_ratios=(0.3, 1.0), frames=FRAMES, **more)


def arguments(model: str, task: Path, *more: str) -> list[str]:
    """A command line over the clips; results go beside the task file."""
    folder = task.parent
    given = ("-p", f"model={model}", "-p", f"task={task}", *PARAMETERS)
    return ["batch", "eval", str(folder / "clips"), "-o", str(folder / "out"), *given, *more]


def answers(output: Path, tasks: list[Row]) -> list[Row]:
    """The rows of a batch as ``stgraph eval`` has them, in the order of ``tasks``, without times."""
    key = ("digest", "selector", "retain_ratio")
    found = {tuple(row[name] for name in key): row for row in rows(output) if row["digest"] is not None}
    ordered = [found[tuple(row[name] for name in key)] for row in tasks]
    return [{name: row[name] for name in ANSWERS.columns if not name.endswith("_s")} for row in ordered]
