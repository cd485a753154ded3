"""Markdown of GPU speed rows, for ``docs/gpu.md``. Reads rows only."""

from __future__ import annotations

from collections.abc import Sequence

from stgraph.aliases import Row
from stgraph.viz.markdown.speed import cases
from stgraph.viz.markdown.speed_targets import find
from stgraph.viz.markdown.study import markdown


def stage_table(rows: Sequence[Row]) -> str:
    """Every stage at every size: milliseconds, and multiples of one read of the features."""
    shown = cases(rows)
    sizes = {case: next(row["n_tokens"] for row in rows if row["case"] == case) for case in shown}
    body = []
    for stage, by in dict.fromkeys((row["stage"], row["by"]) for row in rows):
        found = [find(rows, case=case, stage=stage, by=by) for case in shown]
        cells = (
            f"{1e3 * row['seconds']:,.3f} ms, {row['reads']:,.2f}" if row and row["seconds"] else "" for row in found
        )
        body.append([stage, by, *cells])
    head = [f"{sizes[case]:,} tokens" if case == shown[0] else f"{sizes[case]:,}" for case in shown]
    return markdown(["stage", "by", *head], body)
