"""Layout of the paper's figures 5 and 6: the effect of each threshold. Reads rows of a sweep or of the probe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stgraph.aliases import Row
from stgraph.columns import METHOD
from stgraph.errors import InputError
from stgraph.viz.columns import axis_label, factor
from stgraph.viz.figures.accuracy import draw_curve
from stgraph.viz.figures.row_curves import curves
from stgraph.viz.figures.style import new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_PAPER = {"tau_sim": 0.8, "tau_diff": 0.2}  # the paper's fixed value while it sweeps the other
_SETTINGS = (
    *("model", "selector", "features", "preset", "retain_ratio"),
    *(name for name in METHOD if name not in ("seed", "tau_sim", "tau_diff")),
)


@styled
def sweep_figure(rows: Sequence[Row], columns: Sequence[str] = ()) -> Figure:
    """Panels over each of the two thresholds, with the other at the paper's value; one curve per setting.

    A threshold that does not vary gets no panel.

    Parameters
    ----------
    rows : with ``tau_sim``, ``tau_diff`` (numbers, then percentiles at separate positions), and the columns
    columns : one row of panels each; by default "accuracy" if the rows have it, otherwise "reference_overlap"

    Returns
    -------
    matplotlib.figure.Figure
        one or two panels per column: over ``tau_diff``, over ``tau_sim``

    Raises
    ------
    InputError
        no rows, or rows without these columns
    MissingDependencyError
        matplotlib is not installed
    """
    usable = [dict(row) for row in rows if row.get("tau_sim") is not None and row.get("tau_diff") is not None]
    if not usable:
        raise InputError(
            "no row has both tau_sim and tau_diff; give rows of stgraph sweep or of a sweep of stgraph probe"
        )
    chosen = tuple(columns) or (("accuracy",) if "accuracy" in usable[0] else ("reference_overlap",))
    for row in usable:
        row["tau_diff"] = _plain(row["tau_diff"])
    pairs = (("tau_diff", "tau_sim"), ("tau_sim", "tau_diff"))
    sides = [pair for pair in pairs if len({row[pair[0]] for row in usable}) > 1] or list(pairs)
    figure = new_figure(3.9 * len(sides) + 1.6, 2.9 * len(chosen) + 0.2)
    panels = figure.subplots(len(chosen), len(sides), squeeze=False)
    for line, column in zip(panels, chosen, strict=True):
        for axes, (swept, held) in zip(line, sides, strict=True):
            at = _held(usable, held)
            part = [row for row in usable if row[held] == at]
            ticks = _places(part) if swept == "tau_diff" else None
            if ticks is not None:
                part = [{**row, "tau_diff": ticks[row["tau_diff"]]} for row in part]
                axes.set_xticks(list(ticks.values()), [f"{t:g}" if isinstance(t, float) else t for t in ticks])
            for i, curve in enumerate(curves(part, swept, column, _SETTINGS)):
                draw_curve(axes, curve, i, factor(column))
            shown = f"{at:g}" if isinstance(at, float) else at
            axes.set(xlabel=swept, ylabel=axis_label(column), title=f"{held} = {shown}")
            axes.grid(True)
    handles, labels = panels[0][0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside right upper")
    return figure


def _plain(tau_diff: Any) -> float | str:
    """A similarity as a number, a percentile as text."""
    try:
        return float(tau_diff)
    except ValueError:
        return str(tau_diff)


def _held(rows: Sequence[Row], name: str) -> Any:
    """The paper's value if the rows have it, otherwise the most frequent one."""
    values = Counter(row[name] for row in rows)
    return _PAPER[name] if _PAPER[name] in values else values.most_common(1)[0][0]


def _places(rows: Sequence[Row]) -> dict[float | str, float] | None:
    """Axis position of each tau_diff; None if all are numbers, which are used as positions."""
    found = {row["tau_diff"] for row in rows}
    texts = sorted((t for t in found if isinstance(t, str)), key=lambda t: float(t[1:]))
    if not texts:
        return None
    numbers = sorted(t for t in found if not isinstance(t, str))
    return {value: float(i) for i, value in enumerate([*numbers, *texts])}
