"""A row of the paper, by questions in the local format, in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stgraph.bench.answers.plan import TaskPlan
from stgraph.bench.answers.questions import read_task
from stgraph.bench.answers.rows import TaskRows, failed
from stgraph.bench.answers.run import run
from stgraph.bench.reproduce.benchmarks import Answer
from stgraph.bench.reproduce.paper import PaperRow
from stgraph.errors import InputError
from stgraph.vlm.checkpoint import Checkpoint, load


@dataclass
class LocalRunner:
    """A checkpoint, loaded once, that answers files of questions.

    Attributes
    ----------
    model, dtype, device, pooling : of :func:`stgraph.vlm.load`
    limit : questions to ask, from the first on; None for all
    """

    model: str
    dtype: str | None = None
    device: str | None = None
    pooling: str | None = None
    limit: int | None = None
    _checkpoint: Checkpoint | None = field(default=None, init=False)

    def command(self, row: PaperRow, file: Path) -> list[str]:
        """The same run as a command."""
        words = ["stgraph", "eval", "--model", self.model, "--task", str(file), "-s", row.selector]
        if row.retain_ratio is not None:
            words += ["-r", f"{row.retain_ratio:g}"]
        words += ["-n", str(row.frames), *([] if row.fps is None else ["--fps", f"{row.fps:g}"])]
        words += [word for name, value in row.parameters.items() for word in ("-p", f"{name}={_said(value)}")]
        given = {"--limit": self.limit, "--dtype": self.dtype, "--device": self.device, "--pooling": self.pooling}
        return words + [str(word) for name, value in given.items() if value is not None for word in (name, value)]

    def answers(self, row: PaperRow, file: Path) -> list[Answer]:
        """The answers to the questions of a file; a question's family is its subset.

        Raises
        ------
        StgraphError
            the model cannot be loaded or run this way, or a question failed
        """
        plan = TaskPlan(
            selectors=(row.selector,),
            retain_ratios=(1.0 if row.retain_ratio is None else row.retain_ratio,),
            options=dict(row.parameters),
            frames=row.frames,
            fps=row.fps,
            dtype=self.dtype,
            pooling=self.pooling,
        )
        checkpoint = self._loaded()
        memory = _GpuMemory(checkpoint.device)
        rows = run(plan, read_task(file)[: self.limit], lambda: checkpoint, TaskRows(self.model))
        wrong = failed(rows)
        if wrong:
            raise InputError(f"{len(wrong):,} of {len(rows):,} questions failed, the first by {wrong[0]['error']}")
        peak = memory.peak()
        return [
            Answer(found["correct"], found["family"], found["n_kept"] / found["n_visual"], found["total_s"], peak)
            for found in rows
        ]

    def _loaded(self) -> Checkpoint:
        if self._checkpoint is None:
            self._checkpoint = load(self.model, dtype=self.dtype, device=self.device, pooling=self.pooling)
        return self._checkpoint


class _GpuMemory:
    """Peak memory torch allocates on a GPU from now on; unknown for a CPU."""

    def __init__(self, device: str) -> None:
        self.device = device
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)

    def peak(self) -> int | None:
        if not self.device.startswith("cuda"):
            return None
        import torch

        return int(torch.cuda.max_memory_allocated(self.device))


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
