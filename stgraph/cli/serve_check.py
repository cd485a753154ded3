"""The command ``stgraph serve-check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results

EXAMPLES = """
stgraph serve-check
stgraph serve-check --quick --keep logs
stgraph serve-check --throughput -o rows.csv
"""


def command(
    family: Annotated[str, typer.Option("--family", help="qwen2_5_vl, qwen2_vl or llava_onevision.")] = "qwen2_5_vl",
    quick: Annotated[bool, typer.Option("--quick", help="Check four engines instead of eleven and a server.")] = False,
    keep: Annotated[Path | None, typer.Option("--keep", help="Keep logs and answers in this folder.")] = None,
    throughput: Annotated[
        bool, typer.Option("--throughput", help="Instead: requests per second with and without pruning.")
    ] = False,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds of --throughput.")] = 3,
    fmt: options.Format = None,
    output: options.Output = None,
    quiet: options.Quiet = False,
) -> None:
    """Start the installed vLLM on a tiny checkpoint and show which serving promises hold with these versions.

    Run it with the Python that runs vLLM. It needs no network and no weights, opens ports on loopback only, and exits
    with status 1 if a promise does not hold. About five minutes on two CPU cores; --quick about one.
    """
    from tempfile import TemporaryDirectory

    from stgraph.serving.check.families import FAMILIES
    from stgraph.serving.check.run import check_installed, run_all
    from stgraph.serving.check.verdicts import verdicts

    chosen = results.check_output(output, fmt)
    versions = check_installed(family)
    with TemporaryDirectory() as temporary, options.progress_bar(quiet) as progress:
        folder = Path(temporary) if keep is None else keep
        folder.mkdir(parents=True, exist_ok=True)
        if throughput:
            from stgraph.serving.check.throughput import measure

            measured = measure(folder, "st-simdiff", 0.7, rounds, progress)
            results.deliver({"rows": [{**row, **versions} for row in measured]}, output, chosen or "json", quiet)
            return
        answers = run_all(folder, family, quick, progress)
        rows = [
            {"promise": one.promise, "holds": one.holds, "seen": one.seen, **versions}
            for one in verdicts(answers, FAMILIES[family])
        ]
    if results.wants_table(output, chosen, quiet):
        _show(rows, versions)
    results.deliver({"rows": rows}, output, chosen, quiet)
    if any(row["holds"] is False for row in rows):
        raise typer.Exit(1)


def _show(rows: list[dict[str, Any]], versions: dict[str, str]) -> None:
    from rich.text import Text

    from stgraph.serving.releases import standing
    from stgraph.viz.terminal.tables import new_table

    console = options.console()
    console.print(", ".join(f"{name} {version}" for name, version in versions.items()))
    if note := standing(versions["vllm"]):
        console.print(Text(note.partition(";")[0], style="yellow"))
    table = new_table("Serving")
    for title in ("promise", "holds", "seen"):
        table.add_column(title, overflow="fold")
    said = {True: Text("yes", style="green"), False: Text("NO", style="red"), None: Text("not run", style="yellow")}
    for row in rows:
        table.add_row(row["promise"], said[row["holds"]], Text(options.printable(row["seen"])))
    console.print(table)
