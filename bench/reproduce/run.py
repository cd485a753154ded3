"""Running the rows of a table one after the other, except those a row file already holds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import stgraph
from stgraph.aliases import Progress
from stgraph.bench.reproduce.benchmarks import Answer, Task, accuracies
from stgraph.bench.reproduce.by_lmms_eval import LmmsEvalRunner
from stgraph.bench.reproduce.local import LocalRunner
from stgraph.bench.reproduce.paper import ACCURACY, OVERALL, PEAK, SECONDS, PaperRow, PaperTable
from stgraph.bench.tables.experiments import REPRODUCED
from stgraph.bench.tables.row_file import RowFile
from stgraph.bench.tables.table import Row
from stgraph.errors import MissingDependencyError, StgraphError

# Failures of a selection, a model or a video, which cost one row; anything else is a bug and stops the run.
_FAILURES = (StgraphError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True, eq=False)
class Reproduction:
    """A table, the tasks to ask, and the runners that ask them.

    Attributes
    ----------
    table, tasks : each row is run on each task
    local, lmms_eval : for tasks in the local format, and for all others
    """

    table: PaperTable
    tasks: Sequence[Task]
    local: LocalRunner
    lmms_eval: LmmsEvalRunner

    def commands(self) -> Iterator[list[str]]:
        """The command of each run."""
        for row in self.table.rows:
            for task in self.tasks:
                if task.file is None:
                    yield self.lmms_eval.command(self.table.name, row, task)
                else:
                    yield self.local.command(row, task.file)

    def run(self, store: ReproducedRows, tell: Progress = lambda label, share: None) -> list[Row]:
        """Run the rows that ``store`` lacks; a failing row holds its error, and the run continues.

        Parameters
        ----------
        store : rows of earlier runs, and where new ones go
        tell : called with a label and the share of the work done, 0 to 1

        Returns
        -------
        list of Row
            of this table and these tasks, run now or earlier: :data:`stgraph.bench.tables.experiments.REPRODUCED`
        """
        units = [(row, task) for row in self.table.rows for task in self.tasks]
        try:
            for i, (row, task) in enumerate(units):
                tell(f"{row.name}, {task.benchmark}", i / len(units))
                if not store.holds(self._known(row, task)):
                    store.add(self._rows(row, task))
        finally:
            store.save()
        tell("done", 1.0)
        return [found for row, task in units for found in store.of(self._known(row, task))]

    def _rows(self, row: PaperRow, task: Task) -> list[Row]:
        known = self._known(row, task)
        try:
            if task.file is None:
                answers = self.lmms_eval.answers(self.table.name, row, task)
            else:
                answers = self.local.answers(row, task.file)
        except MissingDependencyError:
            raise
        except _FAILURES as error:
            quantity = SECONDS if row.costs else ACCURACY
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return [REPRODUCED.row({**known, "subset": OVERALL, "quantity": quantity, "error": reason})]
        return [REPRODUCED.row({**known, **found}) for found in _figures(row, task, answers)]

    def _known(self, row: PaperRow, task: Task) -> Row:
        """Values shared by the rows of a run."""
        return {
            "table": self.table.name,
            "row": row.name,
            "benchmark": task.benchmark,
            "limit": self.local.limit,
            "selector": row.selector,
            "retain_ratio": row.retain_ratio,
            "parameters": json.dumps(dict(row.parameters), sort_keys=True),
            "frames": row.frames,
            "fps": row.fps,
            "task": task.name,
            "digest": task.digest,
            **shared_by(self.local),
        }


def shared_by(runner: LocalRunner) -> Row:
    """Values shared by all rows of a file."""
    return {
        "model": runner.model,
        "dtype": runner.dtype,
        "pooling": runner.pooling,
        "stgraph": stgraph.__version__,
    }


class ReproducedRows(RowFile):
    """The rows of one model by this version of stgraph; other parameters and errors are those of :class:`RowFile`.

    Parameters
    ----------
    runner : gives the rows' model, dtype and pooling
    """

    def __init__(
        self,
        runner: LocalRunner,
        path: str | os.PathLike[str] | None = None,
        fmt: str = "csv",
        *,
        restart: bool = False,
    ) -> None:
        super().__init__(REPRODUCED, shared_by(runner), path, fmt, restart=restart)

    def of(self, known: Row) -> list[Row]:
        """The rows of one run."""
        names = ("table", "row", "benchmark", "limit")
        return [row for row in self.all() if all(row[name] == known[name] for name in names)]

    def holds(self, known: Row) -> bool:
        """Whether the run is present, without an error, and on the same questions."""
        found = self.of(known)
        same = ("task", "digest", "error")
        return bool(found) and all(row[name] == known.get(name) for row in found for name in same)

    def add(self, rows: Sequence[Row]) -> None:  # type: ignore[override]
        """Add the rows of a run, replacing those of an earlier run, and save."""
        for old in self.of(rows[0]):
            del self._rows[self.table.key_of(old)]
        super().add(rows)
        self.save()


def _figures(row: PaperRow, task: Task, answers: Sequence[Answer]) -> Iterator[Row]:
    """The figures of one run, with the paper's."""
    if row.costs:
        timed = answers[1:] or answers  # the first one warms up
        seconds = [answer.seconds for answer in timed if answer.seconds is not None]
        peaks = [answer.peak_bytes for answer in answers if answer.peak_bytes is not None]
        yield _figure(OVERALL, SECONDS, row.costs[SECONDS], fmean(seconds) if seconds else None, timed)
        yield _figure(OVERALL, PEAK, row.costs[PEAK], max(peaks) / 1e9 if peaks else None, answers)
        return
    printed = row.figures.get(task.benchmark, {})
    for subset, group in accuracies(answers):
        here = 100 * fmean(answer.correct for answer in group) if group else None
        yield _figure(subset, ACCURACY, printed.get(subset), here, group)


def _figure(subset: str, quantity: str, paper: float | None, here: float | None, answers: Sequence[Answer]) -> Row:
    kept = [answer.kept_ratio for answer in answers if answer.kept_ratio is not None]
    return {
        "subset": subset,
        "quantity": quantity,
        "paper": paper,
        "here": here,
        "deviation": None if paper is None or here is None else here - paper,
        "n_questions": len(answers),
        "kept_ratio": fmean(kept) if kept else None,
    }
