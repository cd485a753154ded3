"""``stgraph bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from stgraph.cli import options, results
from stgraph.errors import InputError

Rows = list[dict[str, Any]]

EXAMPLES = """
stgraph bench -o rows.csv
stgraph bench --quick
stgraph bench --selectors --rounds 5
stgraph bench --cpu-time
stgraph bench --cpm --clip street.mp4
stgraph bench --prefill
stgraph bench --peer framefusion=FrameFusion --peer vidcom2=VidCom2
"""


def command(
    n_rounds: Annotated[int, typer.Option("--rounds", min=1, help="Measured rounds; medians are shown.")] = 15,
    quick: Annotated[bool, typer.Option("--quick", help="Only the smallest size, as a smoke test.")] = False,
    prefill: Annotated[
        bool, typer.Option("--prefill", help="Only a randomly initialised 28-layer VLM by phases, full and compressed.")
    ] = False,
    selectors: Annotated[bool, typer.Option("--selectors", help="Only the selectors, beside one plain read.")] = False,
    cpu_time: Annotated[
        bool,
        typer.Option(
            "--cpu-time",
            help="Only our stages, or with --cpm the searches, in CPU time of one thread: for a shared machine.",
        ),
    ] = False,
    cpm: Annotated[
        bool,
        typer.Option("--cpm", help="Only our CPM search and segmentation beside igraph-leiden-cpm: value and time."),
    ] = False,
    clips: Annotated[
        list[Path] | None, typer.Option("--clip", help="With --cpm, also on this dump or video; repeatable.")
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option(
            "--peer",
            metavar="<name=folder>",
            help="Only this selector (framefusion, sttm, vidcom2) beside its authors' code, which is run from that "
            "checkout; repeatable.",
        ),
    ] = None,
    device: options.Device = "cpu",
    fmt: options.Format = None,
    output: options.Output = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure every stage against its peers and one plain read of the features.

    With --device cuda everything is timed on that GPU by device events, and the prefill is that of a 7B-like model.
    """
    from functools import partial

    from stgraph import set_num_threads
    from stgraph.bench.speed.first_call import first_call
    from stgraph.bench.speed.selector_speed import CASE, measure_selectors
    from stgraph.bench.speed.stages import CASES, Case, measure

    options.check_device(device)
    chosen = results.check_output(output, fmt)
    _check_together(cpm, prefill, device, clips)
    others = {
        "--selectors": selectors,
        "--prefill": prefill,
        "--peer": peers,
        "--device": device != "cpu",
    }
    _check_cpu_time(cpu_time, [name for name, given in others.items() if given])
    if cpu_time:
        set_num_threads(1)
    show = partial(_show, output=output, chosen=chosen, quiet=quiet)
    if peers:
        return show("peer_table", _peers(_folders(peers), n_rounds, quick, device, quiet))
    if device != "cpu":
        return show("gpu_tables", _gpu(n_rounds, quick, device, output, chosen, quiet))
    if cpm:
        return show("cpm_tables", _cpm(clips or [], n_rounds, quick, quiet, cpu_time))
    if prefill:
        return show("prefill_table", _prefill(n_rounds, quick, quiet))
    cases: tuple[Case, ...] = () if selectors else CASES
    if quick:
        cases = tuple(case for case in cases if case.d == 128)[:1]
    tables: dict[str, Rows] = {"rows": []}
    with options.progress_bar(quiet) as progress:
        for i, case in enumerate(cases):
            tables["rows"] += measure(case, n_rounds, partial(progress, share=0.9 * i / len(cases)), cpu_time)
        selector_case = next(case for case in CASES if case.d == 128) if quick else CASE
        if not cpu_time:
            tables["rows"] += measure_selectors(selector_case, n_rounds, partial(progress, share=0.9))
        if not (selectors or cpu_time):
            progress("first call", 0.99)
            tables["first_call"] = first_call()
    return show("speed_tables", tables["rows"], tables.get("first_call"))


def _show(
    name: str, rows: Rows, first_call: Rows | None = None, *, output: Path | None, chosen: str | None, quiet: bool
) -> None:
    """Show rows as the function ``name`` of :mod:`stgraph.viz.terminal.speed` does, or write them."""
    others = {} if first_call is None else {"first_call": first_call}
    if results.wants_table(output, chosen, quiet):
        from stgraph.bench.speed.stages import machine
        from stgraph.viz.terminal import speed

        console = options.console()
        console.print(rows[0].get("machine") or machine(), style="bold")
        console.print(getattr(speed, name)(rows, **others))
    results.deliver({"rows": rows, **others}, output, chosen, quiet)


def _gpu(n_rounds: int, quick: bool, device: str, output: Path | None, chosen: str | None, quiet: bool) -> Rows:
    from functools import partial

    from stgraph.bench.speed.gpu import GPU_CASES, QUICK, measure_gpu
    from stgraph.bench.speed.gpu_prefill import LlmSize

    cases = (QUICK,) if quick else GPU_CASES
    llm = LlmSize(2, 256, 4, 2, 512) if quick else LlmSize()
    rows: Rows = []
    with options.progress_bar(quiet) as progress:
        for i, case in enumerate(cases):
            rows += measure_gpu(case, n_rounds, partial(progress, share=i / len(cases)), device, llm)
            if output is not None:  # keep what has been measured if a larger case fails
                results.deliver({"rows": rows}, output, chosen, quiet=True)
    return rows


def _check_together(cpm: bool, prefill: bool, device: str, clips: list[Path] | None) -> None:
    """Raise InputError for incompatible options."""
    if clips and not cpm:
        raise InputError("--clip belongs to --cpm; name both")
    if cpm and (prefill or device != "cpu"):
        other = "--prefill" if prefill else f"--device {device}"
        raise InputError(f"--cpm runs alone and on the CPU; leave out {other}")


def _check_cpu_time(cpu_time: bool, others: list[str]) -> None:
    """Raise InputError if --cpu-time is combined with measurements that are not timed by it."""
    if cpu_time and others:
        raise InputError(f"--cpu-time measures the stages on the CPU alone; leave out {others[0]}")


def _cpm(clips: list[Path], n_rounds: int, quick: bool, quiet: bool, cpu_time: bool) -> Rows:
    from stgraph.bench.speed.cpm import SIZES, measure_cpm

    tokens = dict(options.open_tokens(path, quiet=quiet) for path in (None, *clips))
    with options.progress_bar(quiet) as progress:
        sizes = SIZES[:1] if quick else SIZES
        rows = measure_cpm(tokens, n_rounds, lambda label: progress(label, 0.5), sizes, cpu_time)
    return rows


def _prefill(n_rounds: int, quick: bool, quiet: bool) -> Rows:
    from stgraph.bench.speed.prefill import PrefillCase, measure_prefill

    with options.progress_bar(quiet) as progress:
        case = PrefillCase(4, 4, 2, 64) if quick else PrefillCase()
        rows = measure_prefill(case, n_rounds, lambda label: progress(label, 0.5))
    return rows


def _folders(peers: list[str]) -> dict[str, Path]:
    named = [one.partition("=") for one in peers]
    for name, sign, folder in named:
        if not (name and sign and folder):
            raise InputError(f"--peer {name}{sign}{folder}: expected name=folder, such as vidcom2=checkouts/VidCom2")
    return {name: Path(folder) for name, _, folder in named}


def _peers(folders: dict[str, Path], n_rounds: int, quick: bool, device: str, quiet: bool) -> Rows:
    from stgraph.bench.speed.peer_code import CASE, measure_peer_code
    from stgraph.bench.speed.stages import Case

    with options.progress_bar(quiet) as progress:
        case = Case(8, 14, 14, 128) if quick else CASE
        rows = measure_peer_code(folders, case, n_rounds, device, lambda label: progress(label, 0.5))
    return rows
