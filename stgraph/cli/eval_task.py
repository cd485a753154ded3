"""``stgraph eval --model``: a checkpoint on a task file."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import typer

from stgraph.cli import options, results

_SHOWN = 5  # failed questions shown on stderr; the rows list all


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which batch systems send some seconds before they kill."""

    status = 128 + signal.SIGTERM


def evaluate(
    model: str,
    task: Path,
    plan: dict[str, Any],
    *,
    limit: int | None,
    device: str | None,
    output: Path | None,
    fmt: str | None,
    restart: bool,
    quiet: bool,
) -> None:
    """Answer the questions of ``task`` with ``model``, write the rows, and show their summary.

    Parameters
    ----------
    plan : arguments of :class:`stgraph.bench.answers.plan.TaskPlan`
    limit : number of questions to take, from the first on; None: all
    """
    from stgraph.bench.answers.plan import TaskPlan
    from stgraph.bench.answers.questions import read_task
    from stgraph.bench.answers.rows import TaskRows, failed
    from stgraph.bench.answers.run import run
    from stgraph.vlm.checkpoint import load as load_checkpoint

    chosen = results.check_row_file(output, fmt, restart)
    checked = TaskPlan(**plan)
    questions = read_task(task)[:limit]
    store = TaskRows(model, output, chosen or "csv", restart=restart)
    load = partial(load_checkpoint, model, dtype=checked.dtype, device=device, pooling=checked.pooling)
    with results.interruptible(output, store), _sigterm_interrupts(), options.progress_bar(quiet) as progress:
        rows = run(checked, questions, load, store, progress)
    if output is None and chosen is not None:
        results.deliver({"rows": rows}, output, chosen, quiet)
    elif not quiet:
        show(f"{model} on {task}", rows)
        if output is not None:
            results.tell_row_file(output, len(rows), store)
    if failed(rows):
        _tell_failed(failed(rows))
        raise typer.Exit(1)


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """The summary table of a task's rows."""
    from stgraph.bench.answers.summary import by_family, summarise
    from stgraph.viz.terminal.answers import task_tables

    console = options.console()
    console.print(options.printable(title), style="bold", markup=False)
    families = [{**row, "family": options.printable(row["family"])} for row in by_family(rows)]
    console.print(task_tables(summarise(rows), families))


def _tell_failed(rows: list[dict[str, Any]]) -> None:
    """One line on stderr for each of the first failed questions."""
    reasons: dict[str, str] = {}
    for row in rows:
        reasons.setdefault(row["id"], row["error"])
    for name, reason in list(reasons.items())[:_SHOWN]:
        typer.echo(f"error: {options.printable(f'{name}: {reason}')}", err=True)
    shown = f", of which {_SHOWN} are shown" if len(reasons) > _SHOWN else ""
    typer.echo(f"Failed questions: {len(reasons):,}{shown}; the same command retries them", err=True)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """While open, SIGTERM ends the run as Ctrl-C does, so that rows are saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
