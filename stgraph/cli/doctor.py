"""``stgraph doctor``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stgraph.cli import options

EXAMPLES = """
stgraph doctor
stgraph doctor --licences
"""


def command(
    licences: Annotated[
        bool, typer.Option("--licences", help="Show the licences of installed dependencies instead.")
    ] = False,
) -> None:
    """Show backends, selectors, installed and missing packages with how to get them, devices and threads."""
    if licences:
        _show_licences()
        return
    import platform
    import sys
    from importlib.util import find_spec

    from rich.text import Text

    import stgraph
    from stgraph.bench.gpu_parts import gpu_parts
    from stgraph.community.default_backend import DEFAULT_BACKEND
    from stgraph.kernels.cpu.compiled import cache_folder
    from stgraph.kernels.cpu.rows import HARDWARE_HALF
    from stgraph.viz.tables import new_table

    console = options.console()
    console.print(f"stgraph {stgraph.__version__}, Python {sys.version.split()[0]}, {platform.platform()}")
    half = "in hardware" if HARDWARE_HALF else "in software (slower)"
    console.print(f"CPU threads: {stgraph.num_threads()} (STGRAPH_NUM_THREADS); float16 is widened {half}")
    folder = cache_folder()
    where = f"in {folder}" if folder else "nowhere: set NUMBA_CACHE_DIR to a writable folder"
    console.print(Text(options.printable(f"Compiled kernels are cached {where}")), soft_wrap=True)
    table = new_table("Community backends")
    for title in ("backend", "device", "objective", "seeded", "runs here"):
        table.add_column(title, overflow="fold")
    for name, reason in stgraph.backends().items():
        shown = f"{name} (default)" if name == DEFAULT_BACKEND else name
        table.add_row(Text(options.printable(shown)), *_backend_row(name, reason))
    console.print(table)
    dividers = new_table("Splitters")
    for title in ("splitter", "usable"):
        dividers.add_column(title, overflow="fold")
    for name, reason in stgraph.splitters().items():
        dividers.add_row(Text(options.printable(name)), _no(reason) if reason else Text("yes"))
    console.print(dividers)
    methods = new_table("Selectors")
    for title in ("selector", "signals needed besides features and grid"):
        methods.add_column(title, overflow="fold")
    for name, signals in stgraph.selectors().items():
        needed = _no(signals) if isinstance(signals, str) else Text(", ".join(sorted(signals)) or "none")
        methods.add_row(Text(options.printable(name)), needed)
    console.print(methods)
    extras = new_table("Optional packages")
    for title in ("package", "for", "installed"):
        extras.add_column(title, overflow="fold")
    for module, use, extra in (
        ("pyarrow", "Parquet output, graph.to_arrow()", "arrow"),
        ("pandas", "graph.to_pandas(), EdgeList.from_pandas()", "pandas"),
        ("networkit", "networkit-louvain, networkit-leiden", "fast"),
        ("graspologic_native", "graspologic-leiden", "fast"),
        ("torch", "hand-off to a VLM", "hf"),
        ("transformers", "stgraph.compress, dumps of models and encoders", "hf"),
        ("torchvision", "processors of VLMs", "hf"),
        ("PIL", "processors of VLMs, stgraph plot", "hf"),
        ("av", "stgraph dump, stgraph.from_video(): reading videos", "video"),
        ("matplotlib", "stgraph plot", "viz"),
    ):
        there = find_spec(module) is not None
        state = Text("yes") if there else Text(f"no: pip install 'stgraph-video[{extra}]'", style="yellow")
        extras.add_row(module, use, state)
    console.print(extras)
    gpu = new_table("GPU")
    for title in ("part", "for", "here"):
        gpu.add_column(title, overflow="fold")
    for part in gpu_parts():
        gpu.add_row(part.name, part.use, Text(part.found) if part.found else Text(f"no: {part.remedy}", style="yellow"))
    console.print(gpu)


def _no(reason: str) -> Any:
    """The reason something cannot be used, as a table cell."""
    from rich.text import Text

    return Text(options.printable(f"no: {reason}"), style="yellow")


def _backend_row(name: str, reason: str | None) -> list[Any]:
    """Device, objective, seeded, runs here; a broken plug-in has only the last."""
    from rich.text import Text

    from stgraph.community.base import BACKENDS, backend, package_version

    if reason and (name not in BACKENDS.names() or BACKENDS.fault(name)):
        return ["", "", "", _no(reason)]
    found = backend(name)
    c = found.capabilities
    state = _no(reason) if reason else Text(f"yes, {found.package} {package_version(found.package)}")
    return [c.device, Text(options.printable(c.objective)), "yes" if c.seeded else "no", state]


def _show_licences() -> None:
    from rich.text import Text

    from stgraph.cli.licences import licences
    from stgraph.viz.tables import new_table

    console = options.console()
    found = licences()
    table = new_table("Licences, as the packages state them")
    for title in ("package", "version", "needed by", "licence", "copyleft"):
        table.add_column(title, overflow="fold")
    for one in found:
        texts = (one.package, one.version, one.needed_by, one.licence, one.copyleft)
        table.add_row(*(Text(options.printable(text), style="yellow" if one.copyleft else "") for text in texts))
    console.print(table)
    names = ", ".join(one.package for one in found if one.copyleft) or "none"
    console.print(f"{len(found)} packages; under a copyleft licence, or carrying one: {names}", soft_wrap=True)
