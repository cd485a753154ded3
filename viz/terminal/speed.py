"""Terminal tables of speed rows. Reads rows only."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from stgraph.aliases import Row
from stgraph.viz.columns import legend, shown, title
from stgraph.viz.terminal.tables import new_table

_TIMES = ("seconds", "reads")


def speed_tables(rows: Sequence[Row], first_call: Sequence[Row] = ()) -> RenderableType:
    """One table per case: medians, multiples of one plain read, and each peer's slowdown against ours."""
    parts: list[RenderableType] = []
    stages = [row for row in rows if row["stage"] != "selector"]
    for case in dict.fromkeys(row["case"] for row in stages):
        parts.append(_case_table(case, [row for row in stages if row["case"] == case]))
    selectors = [row for row in rows if row["stage"] == "selector"]
    if selectors:
        parts.append(_selector_table(selectors))
    if not first_call:
        return Group(*parts, Text(legend(_TIMES)))
    table = new_table("First call (kernels compile once, then come from the cache)")
    for head in ("compiled kernels", "import s", "first selection s", "second selection s"):
        table.add_column(head, justify="right")
    for row in first_call:
        table.add_row(row["cache"], *(f"{row[k]:.3f}" for k in ("import_s", "first_selection_s", "second_selection_s")))
    return Group(*parts, table, Text(legend(_TIMES)))


def cpm_tables(rows: Sequence[Row]) -> RenderableType:
    """One table per case: our CPM search and segmentation beside igraph's search, run to its end."""
    parts: list[RenderableType] = []
    for case in dict.fromkeys(row["case"] for row in rows):
        inside = [row for row in rows if row["case"] == case]
        table = new_table(f"{case} ({inside[0]['n_tokens']:,} tokens)")
        table.add_column("by", no_wrap=True)
        for head in ("median ms", "µs per\ntoken", "times\nfaster", "communities", "share of\nigraph's CPM"):
            table.add_column(head, justify="right")
        for row in inside:
            faster, share = row["times_faster"], row["cpm_ratio"]
            table.add_row(
                row["by"],
                shown("seconds", row["seconds"]),
                f"{1e6 * row['seconds'] / row['n_tokens']:,.2f}",
                "" if faster is None else f"{faster:,.1f}",
                f"{row['n_communities']:,}",
                "" if share is None else f"{100 * share:.1f} %",
            )
        parts.append(table)
    return Group(*parts)


_PHASES = ("prepare_s", "tower_s", "projector_s", "select_s", "probe_s", "prefill_s", "seconds", "decode_s")


def prefill_table(rows: Sequence[Row]) -> RenderableType:
    """Prefill rows: tokens entering the language model, milliseconds per phase, and the speed-up of the prompt's pass
    over the full one."""
    table = new_table(f"A random model, {rows[0]['case']}: {rows[0]['n_tokens']:,} video tokens; milliseconds")
    table.add_column("selector", overflow="fold")
    heads = ("video", "tower", "pro-\njector", "select", "probe", "LLM", "prompt", "token")
    for head in ("kept", "candi-\ndates", *heads, "times\nfaster"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["by"],
            f"{row['n_kept']:,}",
            "" if row["n_candidates"] is None else f"{row['n_candidates']:,}",
            *("-" if row[name] is None else f"{1e3 * row[name]:,.{0 if row[name] > 0.1 else 1}f}" for name in _PHASES),
            f"{row['speedup']:,.2f}",
        )
    legend = (
        "video: decoding the frames, before the prompt; prompt: tower, projector, select, probe and LLM together; "
        "token: each further token."
    )
    return Group(table, Text(legend))


def peer_table(rows: Sequence[Row]) -> RenderableType:
    """Selectors beside their authors' code: tokens handed on, median, and the ratio of the two."""
    table = new_table(f"{rows[0]['case']} on {rows[0]['device']}: selectors and their authors' code")
    for head in ("selector", "by"):
        table.add_column(head, no_wrap=True)
    for head in ("kept", "median\nms", "reads", "times\nstgraph"):
        table.add_column(head, justify="right")
    ours = {row["stage"]: row["seconds"] for row in rows if row["by"] == "stgraph"}
    for row in rows:
        table.add_row(
            row["stage"],
            row["by"],
            f"{row['n_kept']:,}",
            f"{1e3 * row['seconds']:,.1f}",
            f"{row['reads']:,.1f}",
            f"{row['seconds'] / ours[row['stage']]:,.2f}",
        )
    return table


def gpu_tables(rows: Sequence[Row]) -> RenderableType:
    """One table per case: device medians, multiples of one read of the features on the device, and pieces that could
    not run."""
    parts: list[RenderableType] = []
    for case in dict.fromkeys(row["case"] for row in rows):
        inside = [row for row in rows if row["case"] == case]
        table = new_table(f"{case} ({inside[0]['n_tokens']:,} tokens) on {inside[0]['device']}")
        for head in ("stage", "by"):
            table.add_column(head, no_wrap=True)
        for name in _TIMES:
            table.add_column(title(name), justify="right")
        table.add_column("not run", overflow="fold")
        for row in inside:
            run = row["seconds"] is not None
            figures = (f"{1e3 * row['seconds']:,.3f}", shown("reads", row["reads"])) if run else ("", "")
            table.add_row(row["stage"], row["by"], *figures, row["skipped"] or "")
        parts.append(table)
    return Group(*parts)


def _selector_table(rows: Sequence[Row]) -> RenderableType:
    table = new_table(f"Selectors at r = 0.3, {rows[0]['case']} ({rows[0]['n_tokens']:,} tokens)")
    table.add_column("selector", no_wrap=True)
    for name in _TIMES:
        table.add_column(title(name), justify="right")
    table.add_column("", no_wrap=True)
    for row in rows:
        cost = "quadratic as published" if row["quadratic"] else ""
        table.add_row(row["by"], *(shown(name, row[name]) for name in _TIMES), cost)
    return table


def _case_table(case: str, rows: Sequence[Row]) -> RenderableType:
    ours = {row["stage"]: row["seconds"] for row in rows if row["by"] == "stgraph"}
    ours["communities"] = ours["components"]
    table = new_table(f"{case} ({rows[0]['n_tokens']:,} tokens)")
    for head in ("stage", "by"):
        table.add_column(head, no_wrap=True)
    for head in (*map(title, _TIMES), "times ours"):
        table.add_column(head, justify="right")
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    if "communities" in stages:  # beside the components they stand in for
        stages.remove("communities")
        stages.insert(stages.index("components") + 1, "communities")
    for row in sorted(rows, key=lambda row: stages.index(row["stage"])):
        peer = row["by"] not in ("stgraph", "plain read")
        style = "" if peer or row["by"] == "plain read" else "bold"
        times = f"{row['seconds'] / ours[row['stage']]:,.1f}" if peer and row["stage"] in ours else ""
        cells = (row["stage"], row["by"], *(shown(name, row[name]) for name in _TIMES), times)
        table.add_row(*(Text(cell, style=style) for cell in cells))
    extra = [row["extra_bytes_ratio"] for row in rows if "extra_bytes_ratio" in row]
    note = (
        Text(f"Peak memory of a selection beside the features: {100 * extra[0]:.1f} % of them") if extra else Text("")
    )
    return Group(table, note)
