"""``stgraph sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results
from stgraph.cli.method_options import COMMUNITIES, REDUCTION, takes_method

EXAMPLES = """
stgraph sweep clip.safetensors --tau-sim 0.6:0.95:0.05 -r 0.3 -o rows.csv
stgraph sweep clip.safetensors -b lattice-components -b igraph-leiden --preset full --preset spatial
"""
_AXES = {
    "tau_sim": "0.6:0.95:0.05",
    "tau_diff": "0.1:0.4:0.1",
    "retain_ratio": "0.3 0.5",
    "backend": "lattice-components",
    "split": "tree",
    "seed": "0",
    "preset": "full, with --importance auto",
}
# Presets decide which edges and whether events are used.
_REST = tuple(name for name in (*COMMUNITIES, *REDUCTION) if name not in (*_AXES, "spatial", "temporal"))


@takes_method(*_REST, repeatable=_AXES)
def command(
    dumps: options.Dumps = None,
    output: options.RowFile = None,
    fidelity: Annotated[
        bool, typer.Option("--fidelity/--no-fidelity", help="Nearest-kept-token figures; time grows with N squared.")
    ] = False,
    restart: options.Restart = False,
    fmt: options.RowFormat = None,
    query: options.Query = None,
    device: options.Device = "cpu",
    encoder: options.Encoder = None,
    frames: options.Frames = None,
    quiet: options.Quiet = False,
    *,
    method: dict[str, Any],
) -> None:
    """Run st-simdiff over a grid of thresholds, ratios, backends and presets; an interrupted sweep resumes."""
    from stgraph.bench.sweep import run
    from stgraph.bench.sweep_plan import REFERENCE, SweepPlan, tau_diff_text
    from stgraph.bench.sweep_rows import SweepRows
    from stgraph.errors import InputError

    options.check_device(device)
    chosen = results.check_row_file(output, fmt, restart)
    if query is not None and len(dumps or ()) != 1:
        raise InputError("--query belongs to one dump; name that one")
    axes = {f"{name}s": method.pop(name) for name in _AXES if name in method}
    plan = SweepPlan(**axes, importance=method.pop("importance", None), options=method, fidelity=fidelity)
    store = SweepRows(output, chosen or "csv", restart=restart)
    video: dict[str, Any] = {"encoder": encoder, "frames": frames, "quiet": quiet}
    inputs = [options.open_tokens(path, query, **video) for path in dumps or (None,)]
    with results.interruptible(output, store), options.progress_bar(quiet) as progress:
        rows = run(plan, inputs, store, progress, device)
    if output is None and chosen is not None:
        results.deliver({"rows": rows}, output, chosen, quiet)
        return
    if quiet:
        return
    from stgraph.viz.terminal.sweep import sweep_tables

    console = options.console()
    console.print(options.printable(", ".join(name for name, _ in inputs)), style="bold", markup=False)
    console.print(sweep_tables(rows, (REFERENCE[0], tau_diff_text(REFERENCE[1]))))
    if output is not None:
        _tell(output, len(rows), store, {row["dump"]: row["digest"] for row in rows})


def _tell(output: Path, n_wanted: int, store: Any, digests: dict[str, str]) -> None:
    """Report the rows written to the output file."""
    results.tell_row_file(output, n_wanted, store)
    for name in store.superseded(digests):
        typer.echo(f"Note: {name} has changed since; rows of its earlier content are kept under their own digest")
