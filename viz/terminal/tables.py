"""Terminal tables of graphs, partitions and selections. Reads plain values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

_LABEL = 18  # letters; what is longer breaks where a table is too wide
_BARS = " ▁▂▃▄▅▆▇█"


class FittingTable(Table):
    """A table that breaks into several, one below another, if the window is too narrow, without cutting anything off.

    Each part begins with the first column, whose labels wrap between words; columns of numbers never wrap.
    """

    def add_column(self, *args: Any, justify: JustifyMethod = "left", **options: Any) -> None:
        """Add a column; a column of numbers (``justify="right"``) is as wide as its widest value."""
        super().add_column(*args, justify=justify, **{"no_wrap": justify == "right", **options})

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - self._extra_width
        table = self
        needs = table._needs(console, options)
        if sum(needs) > room:
            table = self._with([_narrowed(column) for column in self.columns])
            needs = table._needs(console, options)
        if len(needs) < 2 or sum(needs) <= room:
            yield from Table.__rich_console__(table, console, options)
            return
        first = 1 if self._labelled else 0
        parts: list[list[int]] = []
        left = -1
        for i, need in enumerate(needs[first:], first):
            if need > left or not parts:
                parts.append(list(range(first)))
                left = room - sum(needs[:first])
            parts[-1].append(i)
            left -= need
        for k, wanted in enumerate(parts):
            if k and not self.show_edge:
                yield Text()
            part = table._with([table.columns[i] for i in wanted])
            part.title = None if k else self.title
            yield from Table.__rich_console__(part, console, options)

    @property
    def _labelled(self) -> bool:
        return len(self.columns) > 1 and self.columns[0].justify != "right"

    def _with(self, columns: Sequence[Column]) -> FittingTable:
        """The same table with these columns."""
        made = copy(self)
        made.columns = [replace(column, _index=i) for i, column in enumerate(columns)]
        return made

    def _needs(self, console: Console, options: ConsoleOptions) -> list[int]:
        return [self._least_width(console, options, i) for i in range(len(self.columns))]

    def _least_width(self, console: Console, options: ConsoleOptions, index: int) -> int:
        """Minimum width of a column; for labels their longest word, at most half of the window."""
        column = self.columns[index]
        measured = self._measure_column(console, options, column)
        if not column.no_wrap and index == 0:
            column.min_width = min(measured.minimum, options.max_width // 2)
            return self._measure_column(console, options, column).minimum
        return measured.maximum if column.no_wrap else measured.minimum


def _narrowed(column: Column) -> Column:
    """A column narrowed to fit: long words of text break, and the header of numbers has one word per line."""
    if column.no_wrap:
        return replace(column, header=str(column.header).replace(" ", "\n"))
    return replace(column, _cells=list(map(_broken, column._cells)), min_width=None)


def _broken(label: Any) -> Any:
    """A long label on two lines, the first up to a hyphen."""
    text = label.plain if isinstance(label, Text) else str(label)
    at = text.rfind("-", 0, _LABEL) + 1
    return label if len(text) <= _LABEL or at == 0 or " " in text else Text(f"{text[:at]}\n{text[at:]}")


def new_table(title: str) -> Table:
    """A table in this package's style."""
    return FittingTable(
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
    """Kept tokens per frame as a bar chart, the counts that led there, their cost, and the other figures."""
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
