"""``stgraph reproduce``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results

EXAMPLES = """
stgraph reproduce table1 --model lmms-lab/LLaVA-Video-7B-Qwen2 --dry-run
stgraph reproduce table4 --model Qwen/Qwen2.5-VL-7B-Instruct --tasks videomme --limit 8 -o table4.csv
stgraph reproduce table3 --model PATH --tasks videomme=questions.jsonl -o table3.csv
"""


def command(
    table: Annotated[str, typer.Argument(help="table1 to table5, figure3, figure5 or figure6.", metavar="TABLE")],
    model: Annotated[str, typer.Option("--model", help="Checkpoint to run: NAME_OR_PATH.")],
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            help="Benchmarks (videomme, longvideobench, egoschema) or other lmms-eval tasks; BENCHMARK=FILE.jsonl asks "
            "local questions instead; repeatable.  [default: the table's benchmarks]",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Ask only this many questions per task, from the first on.", min=1)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands and what is missing; run nothing.")] = (
        False
    ),
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float32, float16 or bfloat16; default: the checkpoint's.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="Device for the model: cpu, cuda, cuda:1, ...")] = None,
    pooling: options.Pooling = None,
    include_path: Annotated[
        Path | None, typer.Option("--include-path", help="Folder with further tasks for lmms-eval.")
    ] = None,
    launcher: Annotated[
        str | None,
        typer.Option(
            "--launcher", help='How lmms-eval is started, such as "accelerate launch --num_processes 4 -m lmms_eval".'
        ),
    ] = None,
    logs: Annotated[Path, typer.Option("--logs", help="Folder for lmms-eval's results and logs.")] = Path(
        "reproduce-logs"
    ),
    output: options.RowFile = None,
    restart: options.Restart = False,
    fmt: options.RowFormat = None,
    quiet: options.Quiet = False,
) -> None:
    """Run the rows of one of the paper's tables, and show the paper's figures beside those found here.

    A row that fails says why, and the run continues with exit status 1; running the same command again does what is
    missing.
    """
    from stgraph.bench.reproduce.benchmarks import BENCHMARKS, read_tasks
    from stgraph.bench.reproduce.by_lmms_eval import LmmsEvalRunner, own_python
    from stgraph.bench.reproduce.local import LocalRunner
    from stgraph.bench.reproduce.paper import paper_table
    from stgraph.bench.reproduce.run import ReproducedRows, Reproduction
    from stgraph.vlm.encoders import check_dtype

    chosen = results.check_row_file(output, fmt, restart)
    check_dtype(dtype)
    found = paper_table(table)
    asked = read_tasks(tasks or [], found.benchmarks or tuple(BENCHMARKS)[:1])
    start = own_python() if launcher is None else shlex.split(launcher)
    shared: dict[str, Any] = {"dtype": dtype, "device": device, "pooling": pooling, "limit": limit}
    lmms_eval = LmmsEvalRunner(model, logs, include_path=include_path, launcher=start, **shared)
    made = Reproduction(found, asked, LocalRunner(model, **shared), lmms_eval)
    if dry_run:
        _tell_plan(made, start)
        return
    store = ReproducedRows(made.local, output, chosen or "csv", restart=restart)
    with results.interruptible(output, store), options.progress_bar(quiet) as progress:
        rows = made.run(store, progress)
    if output is None and chosen is not None:
        results.deliver({"rows": rows}, output, chosen, quiet)
    elif not quiet:
        from stgraph.viz.terminal.reproduce import reproduced_table

        options.console().print(reproduced_table(f"{found.title}, beside {model}", rows))
        if output is not None:
            results.tell_row_file(output, len(rows), store)
    failed = [row for row in rows if row["error"] is not None]
    for row in failed:
        text = f"{row['row']}, {row['benchmark']}: {row['error']}"
        typer.echo(f"error: {options.printable(text)}", err=True)
    if failed:
        raise typer.Exit(1)


def _tell_plan(made: Any, launcher: list[str]) -> None:
    """The commands of a reproduction, and what they would not find here."""
    from stgraph.bench.reproduce.by_lmms_eval import shown
    from stgraph.bench.reproduce.missing import missing

    for words in made.commands():
        typer.echo(options.printable(shown(words)))
    lacking = list(missing(made.table, made.tasks, made.local.model, launcher))
    typer.echo(f"\nMissing here: {len(lacking)}" if lacking else "\nNothing is missing here")
    for line in lacking:
        typer.echo(options.printable(f"  {line}"))
