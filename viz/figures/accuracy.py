"""Accuracy against the retain ratio, with intervals, from rows of the probe or of ``stgraph eval``. Reads rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stgraph.aliases import Row
from stgraph.columns import METHOD
from stgraph.errors import InputError
from stgraph.viz.columns import QUESTIONS
from stgraph.viz.figures.row_curves import Curve, curves, number
from stgraph.viz.figures.style import line_style, panelled, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


FULL, BLIND = "full", "blind"  # the selectors of the reference rows: all tokens, none
# Settings that distinguish curves, in naming order.
SETTINGS = (
    *("model", "selector", "features", *METHOD),
    *("parameters", "frames", "fps", "dtype"),
)


@styled
def accuracy_figure(rows: Sequence[Row], columns: Sequence[str] = ("accuracy",)) -> Figure:
    """Accuracy against the retain ratio, one panel per column, one curve per setting.

    Parameters
    ----------
    rows : with ``selector``, ``retain_ratio`` and for each column C the values ``C``, ``C_low``, ``C_high`` in [0, 1];
        rows whose selector is "full" (all tokens) or "blind" (none) become horizontal lines
    columns : "accuracy", or names of question families

    Returns
    -------
    matplotlib.figure.Figure
        percent on the y axes; the interval of each curve is a band

    Raises
    ------
    InputError
        no rows, or rows without these columns
    MissingDependencyError
        matplotlib is not installed
    """
    columns = tuple(dict.fromkeys(columns))
    if not columns:
        raise InputError("columns is empty; name at least one, like 'accuracy'")
    references = [row for row in rows if row.get("selector") in (FULL, BLIND)]
    others = [row for row in rows if row.get("selector") not in (FULL, BLIND)]
    if not rows:
        raise InputError("there are no rows to draw; give a file of rows of stgraph probe or stgraph eval")
    drawn = {column: curves(others, "retain_ratio", column, SETTINGS) for column in columns}
    labels = [curve.label for found in drawn.values() for curve in found]
    figure, panels = panelled(
        len(columns), [*dict.fromkeys(labels), *("no tokens (blind): 00.0 %" for _ in references)]
    )
    for axes, (column, found) in zip(panels, drawn.items(), strict=True):
        for i, curve in enumerate(found):
            draw_curve(axes, curve, i)
        known: dict[str, list[float]] = {}
        for row in references:
            value = number(row, column)
            if value is not None:
                known.setdefault(row["selector"], []).append(value)
                _reference(axes, row, column, value, _reference_label(row, references, value, len(columns)))
        _look_closer(axes, found, known)
        named = f"{column}: {QUESTIONS[column]}" if column in QUESTIONS else column
        title = named if len(columns) > 1 else "Accuracy" if column == "accuracy" else f"Accuracy, {named}"
        axes.set(xlabel="retain ratio r", ylabel="accuracy, %", title=title)
        axes.grid(True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")
    return figure


def draw_curve(axes: Axes, curve: Curve, i: int, factor: float = 100.0) -> None:
    """One curve with its band, in the i-th style; values times ``factor``."""
    style = line_style(i)
    axes.plot(curve.x, [factor * y for y in curve.y], label=curve.label, **style)
    band = [(x, lo, hi) for x, lo, hi in zip(curve.x, curve.low, curve.high, strict=True) if lo is not None is not hi]
    if band:
        at, low, high = zip(*band, strict=True)
        axes.fill_between(
            at, [factor * v for v in low], [factor * v for v in high], color=style["color"], alpha=0.15, linewidth=0
        )


def _look_closer(axes: Axes, found: Sequence[Curve], references: Mapping[str, Sequence[float]]) -> None:
    """Move the no-tokens line out of view if it would flatten the curves above it; the legend gives its value."""
    values = [v for curve in found for v in (*curve.y, *curve.low, *curve.high) if v is not None]
    if not values:
        return
    low, high = min(values), max([*values, *references.get(FULL, ())])
    span = max(high - low, 0.02)
    if min(references.get(BLIND, ()), default=low) < low - 2 * span:
        axes.set_ylim(100 * (low - 0.1 * span), 100 * (high + 0.1 * span))


def _reference_label(row: Row, references: Sequence[Row], value: float, n_panels: int) -> str:
    """Label of a reference line, with its model if there are several, and its value if there is only one panel."""
    name = "all tokens" if row["selector"] == FULL else "no tokens (blind)"
    model = f", {row['model']}" if len({one.get("model") for one in references}) > 1 else ""
    return f"{name}{model}: {100 * value:.1f} %" if n_panels == 1 else f"{name}{model}"


def _reference(axes: Axes, row: Row, column: str, value: float, label: str) -> None:
    style = "-" if row["selector"] == FULL else ":"
    axes.axhline(100 * value, color="#5b6470", linestyle=style, linewidth=1.2, label=label)
    low, high = number(row, f"{column}_low", required=False), number(row, f"{column}_high", required=False)
    if low is not None and high is not None:
        axes.axhspan(100 * low, 100 * high, color="#5b6470", alpha=0.10, linewidth=0)
