"""``stgraph batch``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results
from stgraph.cli.method_options import parameters

EXAMPLES = """
stgraph batch select dumps/ -o kept/ -p selector=evs -p retain_ratio=0.2
stgraph batch compare dumps/ -o rows/ -p backends=lattice-components,igraph-leiden
"""

_SHOWN = 10  # failures shown; the rows hold all
_TEXTS = ("prompt", "model", "task")  # parameters taken verbatim


def command(
    job: Annotated[
        str,
        typer.Argument(
            help="Job to run on each input: select, compare, compare-selectors, dump or eval.", metavar="JOB"
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(help="The inputs: token dumps (videos for dump and eval), or folders of them.", metavar="IN"),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Results folder; existing results are not recomputed.")
    ],
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "-p", "--param", help="Job parameter, as name=value; repeatable. Separate several values by commas."
        ),
    ] = None,
    runner: Annotated[str, typer.Option("--runner", help="local (processes on this machine) or dask.")] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            help="Local processes.  [default: one per CPU; with a model one, or, local, one per GPU]",
            min=1,
        ),
    ] = None,
    scheduler_address: Annotated[
        str | None,
        typer.Option("--scheduler-address", help="Running Dask scheduler to use, as tcp://..."),
    ] = None,
    scheduler_file: Annotated[
        Path | None,
        typer.Option("--scheduler-file", help="Running Dask scheduler, by its scheduler file."),
    ] = None,
    retries: Annotated[
        int, typer.Option("--retries", help="Retries after a system error or a worker's death.", min=0)
    ] = 1,
    quiet: options.Quiet = False,
) -> None:
    """Run one job over thousands of dumps or videos, in processes or under Dask; an interrupted batch resumes.

    Rows go to OUT/rows, one Parquet file per input. A failed input gives a row with its error, and exit status 1.
    With eval, a checkpoint answers questions about the videos: -p model=NAME -p task=FILE.jsonl, as for stgraph eval.
    """
    from stgraph.bench.batch.run import run_batch

    made = _job(job, pairs or [])
    with results.resumable(), options.progress_bar(quiet) as progress:
        report = run_batch(
            made,
            inputs,
            output,
            runner=runner,
            n_workers=workers or _n_workers(made, runner),
            retries=retries,
            scheduler_address=scheduler_address,
            scheduler_file=scheduler_file,
            progress=progress,
        )
    if job == "eval" and not quiet:
        _show_answers(made, output)
    if not quiet:
        rate = f" in {report.seconds:.1f} s" if report.n_done else ""
        typer.echo(
            f"{report.n_done:,} done{rate}, {report.n_present:,} already there, {len(report.failed):,} failed: "
            f"{options.printable(output)}/rows"
        )
        results.tell_left_out(report.left_out)
    for name, reason in list(report.failed.items())[:_SHOWN]:
        typer.echo(f"error: {options.printable(name)}: {options.printable(reason)}", err=True)
    if len(report.failed) > _SHOWN:
        typer.echo(
            f"error: and {len(report.failed) - _SHOWN:,} more; rows with status 'failed' list them all", err=True
        )
    if report.failed:
        raise typer.Exit(1)


def _job(name: str, pairs: list[str]) -> Any:
    """The job with its parameters; those it does not know go to its selector, if it has one."""
    from dataclasses import fields

    from stgraph.bench.batch.jobs import JOBS
    from stgraph.errors import InputError

    cls = JOBS.get(name)
    known = [f.name for f in fields(cls) if f.init and f.name != "options"]
    texts = {key: pair.partition("=")[2] for pair in pairs for key in _TEXTS if pair.startswith(f"{key}=")}
    given: dict[str, Any] = {}
    further: dict[str, Any] = {}
    for key, value in parameters(pairs).items():
        several = isinstance(value, str) and "," in value
        read = [_one(key, part) for part in value.split(",")] if several else value
        (given if key in known else further)[key] = texts[key] if key in texts and key in known else read
    if further and "options" not in {f.name for f in fields(cls)}:
        raise InputError(f"batch {name} has no parameter {min(further)!r}; it has: {', '.join(known)}")
    return cls(**given, **({"options": further} if further else {}))


def _n_workers(job: Any, runner: str) -> int:
    """The default number of processes: a model fills a device, and each process loads its own."""
    from stgraph.bench.batch.environment import visible_devices
    from stgraph.kernels.cpu.threads import num_threads

    if not getattr(job, "model", None):
        return num_threads()
    return max(1, len(visible_devices())) if runner == "local" else 1  # Dask workers would share the first GPU


def _show_answers(job: Any, output: Path) -> None:
    """Show the summary of the answers in the folder, and which questions were not asked."""
    from stgraph.bench.batch.job_eval import answered
    from stgraph.bench.batch.jobs import digest_of
    from stgraph.cli.eval_task import show

    rows = list(answered(output, digest_of(job)))
    if rows:
        show(f"{job.model} on {job.task}", rows)
    there = {row["digest"] for row in rows}
    asked = [question.digest for about in job.questions.values() for question in about]
    n_left = sum(digest not in there for digest in asked)
    if n_left:
        reason = "their videos failed, or are not inputs of this batch"
        typer.echo(f"{n_left:,} of {len(asked):,} questions have no row: {reason}")


def _one(key: str, text: str) -> Any:
    return parameters([f"{key}={text.strip()}"])[key]
