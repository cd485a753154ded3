"""``stgraph doctor``."""

from __future__ import annotations

from stgraph.cli import options


def command() -> None:
    """Show backends, selectors, what is installed, what is not and how to get it, devices and threads."""
    import platform
    import sys
    from importlib.util import find_spec

    from rich.text import Text

    import stgraph
    from stgraph.community.base import backend, package_version
    from stgraph.kernels.cpu.rows import HARDWARE_HALF
    from stgraph.viz.tables import new_table

    console = options.console()
    console.print(f"stgraph {stgraph.__version__}, Python {sys.version.split()[0]}, {platform.platform()}")
    half = "in hardware" if HARDWARE_HALF else "in software (slower)"
    console.print(f"CPU threads: {stgraph.num_threads()} (STGRAPH_NUM_THREADS); float16 is widened {half}")
    table = new_table("Community backends")
    for title in ("backend", "device", "objective", "seeded", "runs here"):
        table.add_column(title, overflow="fold")
    for name, reason in stgraph.backends().items():
        found = backend(name)
        c = found.capabilities
        state = (
            Text(f"no: {reason}", style="yellow")
            if reason
            else Text(f"yes, {found.package} {package_version(found.package)}")
        )
        table.add_row(name, c.device, c.objective, "yes" if c.seeded else "no", state)
    console.print(table)
    methods = new_table("Selectors")
    for title in ("selector", "signals it needs beside features and grid"):
        methods.add_column(title, overflow="fold")
    for name, signals in stgraph.selectors().items():
        methods.add_row(name, ", ".join(sorted(signals)) or "none")
    console.print(methods)
    extras = new_table("Optional packages")
    for title in ("package", "for", "installed"):
        extras.add_column(title, overflow="fold")
    for module, use, extra in (
        ("pyarrow", "Parquet output, graph.to_arrow()", "arrow"),
        ("pandas", "graph.to_pandas()", "pandas"),
        ("networkit", "networkit-louvain, networkit-leiden", "fast"),
        ("graspologic_native", "graspologic-leiden", "fast"),
        ("torch", "hand-off to a VLM", "hf"),
        ("transformers", "stgraph.compress, dumps of models and encoders", "hf"),
        ("av", "stgraph dump: reading videos", "video"),
        ("matplotlib", "stgraph plot", "viz"),
        ("cupy", "GPU arrays", "cuda13"),
        ("cudf", "graph.to_cudf()", "cuda13"),
        ("cugraph", "the cugraph backends, graph.to_cugraph()", "cuda13"),
    ):
        there = find_spec(module) is not None
        state = Text("yes") if there else Text(f"no: pip install 'stgraph-video[{extra}]'", style="yellow")
        extras.add_row(module, use, state)
    console.print(extras)
    cuda = backend("cugraph-leiden").unavailable()
    console.print("GPU: " + (cuda or "CUDA driver and cuGraph found"))
