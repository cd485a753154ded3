"""Graphs, partitions and selections as tables for a terminal. Reads plain values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_BARS = " ▁▂▃▄▅▆▇█"


def new_table(title: str) -> Table:
    """A table in the one style of this package."""
    return Table(
        title=title, title_justify="left", title_style="bold", header_style="", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )


def graph_tables(summary: Mapping[str, Any]) -> RenderableType:
    """A graph summary (``GraphSummary.to_dict()``): edge families and degrees."""
    families = new_table(f"Edges (similarity above {summary['tau_sim']:g} joins the community graph)")
    families.add_column("family")
    for title in ("lattice", "above", "share", "mean", "std", "5 %", "median", "95 %"):
        families.add_column(title, justify="right")
    for f in summary["families"]:
        families.add_row(
            f["family"] if f["in_graph"] else f"{f['family']} (off)",
            f"{f['n_lattice']:,}",
            f"{f['n_above']:,}",
            f"{100 * f['above_ratio']:.1f} %",
            *("-" if f[key] is None else f"{f[key]:.3f}" for key in ("mean", "std", "p5", "median", "p95")),
        )
    degrees = new_table(f"Degrees (mean {summary['mean_degree']:.2f})")
    for degree, _ in enumerate(summary["degree_histogram"]):
        degrees.add_column(str(degree), justify="right")
    degrees.add_row(*(f"{count:,}" for count in summary["degree_histogram"]))
    note = Text(
        f"{summary['n_nodes']:,} tokens, {summary['n_edges']:,} edges; {summary['n_isolated']:,} without an edge, "
        f"{summary['n_zero_norm']:,} of norm 0"
    )
    return Group(families, degrees, note)


def partition_tables(
    report: Mapping[str, Mapping[str, Any]], before: Sequence[int], after: Sequence[int]
) -> RenderableType:
    """A partition's summary and provenance, and its size distribution before and after the cap."""
    sizes = new_table("Community sizes")
    for title in ("tokens in one", "before the cap", "tokens", "after the cap", "tokens"):
        sizes.add_column(title, justify="right")
    low = 1
    while low <= max([0, *before, *after]):
        high = 2 * low - 1
        label = "1" if low == 1 else f"{low:,} to {high:,}"
        cells = []
        for values in (before, after):
            inside = [v for v in values if low <= v <= high]
            cells += [f"{len(inside):,}", f"{sum(inside):,}"]
        sizes.add_row(label, *cells)
        low *= 2
    figures = new_table("Quality and provenance")
    figures.add_column("figure")
    figures.add_column("value", overflow="fold")
    for key, value in {**report["summary"], **report["provenance"]}.items():
        if value not in ((), [], {}):
            figures.add_row(Text(key), Text(f"{value:.4f}" if isinstance(value, float) else str(value)))
    return Group(sizes, figures)


def selection_table(
    per_frame: Sequence[int], frame_size: int, report: Mapping[str, Any], account: Mapping[str, Any], exactness: str
) -> RenderableType:
    """Kept tokens per frame as a bar chart, the counts on the way there, what they cost, and the other figures."""
    bars = "".join(_BARS[min(8, -(-8 * count // frame_size))] for count in per_frame)
    whole = [key for key, value in report.items() if isinstance(value, int) and not isinstance(value, bool)]
    counts = Text(", ".join(f"{report[key]:,} {key.removeprefix('n_').replace('_', ' ')}" for key in whole))
    chart = Text(f"kept per frame, {min(per_frame)} to {max(per_frame)} of {frame_size}:\n{bars}")
    mean = f"{account['mean_layer_tokens']:,.0f} on average over {account['n_layers']} layers"
    cost = Text(f"into the LLM: {account['n_input']:,} tokens, {mean}; newlines {account['newlines']}; {exactness}")
    others = {key: value for key, value in report.items() if key not in whole and key != "seconds"}
    figures = [f"{key.replace('_', ' ')}: {_plain(value)}" for key, value in others.items() if value is not None]
    seconds = ", ".join(f"{stage} {1e3 * value:.1f} ms" for stage, value in report["seconds"].items())
    return Group(counts, chart, cost, Text("; ".join([*figures, seconds])))


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
