"""The probe's rows of all selectors as text of ``docs/methods.md``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from stgraph.aliases import Row
from stgraph.plain_json import parse_json
from stgraph.viz.markdown.study import markdown, ratios_of


def side_by_side(rows: Sequence[Row]) -> str:
    """Description of the measurement, accuracy of each selector at each ratio with its interval, findings, and
    parameters that are not defaults."""
    of = {name: next(row for row in rows if row["selector"] == name) for name in ("full", "blind")}
    full, blind = of["full"], of["blind"]
    said = (
        f"Right answers in percent of {full['n_questions']:,} questions about {full['n_videos']} test videos, by the "
        f"model `{full['model']}`, with 95 % intervals. With all tokens: {_accuracy(full)}; with none: "
        f"{_accuracy(blind)}."
    )
    ratios = ratios_of(rows)
    at = {(row["selector"], row["retain_ratio"]): row for row in rows}
    names = [name for name in dict.fromkeys(row["selector"] for row in rows) if name not in of]
    table = markdown(
        ["kept by", *(f"r = {ratio:g}" for ratio in ratios)],
        [[f"`{name}`", *(_accuracy(at[name, ratio]) for ratio in ratios)] for name in names],
    )
    given = {row["selector"]: parse_json(row["parameters"]) for row in rows if row["parameters"]}
    lines = [
        f"- `{name}`: " + ", ".join(f"`{key}={json.dumps(value)}`" for key, value in parameters.items())
        for name, parameters in given.items()
    ]
    found = [_extremes({name: at[name, ratio]["accuracy"] for name in names}, ratio) for ratio in ratios]
    others = ["With parameters that are not their defaults:", "\n".join(lines)] if lines else []
    return "\n\n".join([said, table, "\n".join(found), *others])


def _extremes(accuracy: Mapping[str, float], ratio: float) -> str:
    """Which are highest and lowest at one ratio, and how many are below the baselines."""
    high, low = max(accuracy.values()), min(accuracy.values())
    best, worst = ([f"`{name}`" for name, value in accuracy.items() if value == end] for end in (high, low))
    below = {name: sum(value < accuracy[name] for value in accuracy.values()) for name in ("random", "uniform")}
    beaten = " and ".join(f"{count} below `{name}`" for name, count in below.items())
    ends = f"highest {', '.join(best)} ({100 * high:.1f}), lowest {', '.join(worst)} ({100 * low:.1f})"
    return f"- r = {ratio:g}: {ends}; of the {len(accuracy) - 1} others {beaten}."


def _accuracy(row: Row) -> str:
    mean, low, high = (100 * row[name] for name in ("accuracy", "accuracy_low", "accuracy_high"))
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"
