"""The probe's rows of all selectors as text of ``docs/methods.md``."""

from __future__ import annotations

import json
from collections.abc import Sequence

from stgraph.aliases import Row
from stgraph.viz.markdown.study import markdown, ratios_of


def side_by_side(rows: Sequence[Row]) -> str:
    """What was measured, the accuracy of each selector at each ratio with its interval, and parameters that are not its
    defaults."""
    of = {name: next(row for row in rows if row["selector"] == name) for name in ("full", "blind")}
    full, blind = of["full"], of["blind"]
    said = (
        f"Right answers in percent of {full['n_questions']:,} questions about {full['n_videos']} test videos, by the "
        f"model `{full['model']}`, with 95 % intervals. With all tokens: {_accuracy(full)}; with none: "
        f"{_accuracy(blind)}."
    )
    ratios = ratios_of(rows)
    cells = {(row["selector"], row["retain_ratio"]): _accuracy(row) for row in rows}
    names = [name for name in dict.fromkeys(row["selector"] for row in rows) if name not in of]
    table = markdown(
        ["kept by", *(f"r = {ratio:g}" for ratio in ratios)],
        [[f"`{name}`", *(cells[name, ratio] for ratio in ratios)] for name in names],
    )
    given = {row["selector"]: json.loads(row["parameters"]) for row in rows if row["parameters"]}
    lines = [
        f"- `{name}`: " + ", ".join(f"`{key}={json.dumps(value)}`" for key, value in parameters.items())
        for name, parameters in given.items()
    ]
    others = ["With parameters that are not their defaults:", "\n".join(lines)] if lines else []
    return "\n\n".join([said, table, *others])


def _accuracy(row: Row) -> str:
    mean, low, high = (100 * row[name] for name in ("accuracy", "accuracy_low", "accuracy_high"))
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"
