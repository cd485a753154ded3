"""Charts of a comparison of backends or selectors. Reads rows of ``stgraph compare``."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from stgraph.aliases import Row
from stgraph.columns import NEAREST
from stgraph.errors import InputError
from stgraph.viz.columns import axis_label
from stgraph.viz.figures.accuracy import draw_curve
from stgraph.viz.figures.row_curves import curves
from stgraph.viz.figures.style import AFTER, BEFORE, log_ticks, new_figure, panelled, styled
from stgraph.viz.terminal.comparison import backend_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_SELECTOR_PANELS = ("fidelity_mean", NEAREST[2], "n_events_kept")


@styled
def backend_figure(rows: Sequence[Row], overlap: Sequence[Row] = (), ratio: float | None = None) -> Figure:
    """Charts of each backend's communities and kept tokens.

    Parameters
    ----------
    rows : of ``stgraph compare``; figures are means over seeds and dumps
    overlap : its table of pairs, for a heat map of the Jaccard overlap of the kept tokens
    ratio : retain ratio of the panels on kept tokens; by default 0.3, or the middle one

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        there are no rows, rows of another experiment, or no row with the ratio
    MissingDependencyError
        matplotlib is not installed
    """
    rows = _need(rows, ("backend", "split", "retain_ratio"), "compare")
    for column in ("oversized_ratio", "detection_s", "cap_changed_ratio"):
        _need(rows, (column,), "compare")
    ratios = sorted({row["retain_ratio"] for row in rows})
    shown = ratio if ratio is not None else 0.3 if 0.3 in ratios else ratios[len(ratios) // 2]
    if shown not in ratios:
        raise InputError(f"ratio is {shown:g}; the rows have {', '.join(f'{r:g}' for r in ratios)}")
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(backend_label(row), []).append(row)
    names = list(groups)
    kept = {name: [r for r in group if r["retain_ratio"] == shown] for name, group in groups.items()}
    pairs = [p for p in overlap if p.get("retain_ratio") == shown and p.get("jaccard") is not None]
    n_columns = 3 if pairs and len(names) > 1 else 2
    figure = new_figure(4.1 * n_columns, 1.6 + 0.5 * len(names))
    grid = figure.add_gridspec(2, n_columns)
    places = [figure.add_subplot(grid[i, j]) for i in range(2) for j in range(2)]
    share = [100 * _mean(groups[name], "oversized_ratio") for name in names]
    seconds = [1e3 * _mean(groups[name], "detection_s") for name in names]
    cap = [100 * _mean(kept[name], "cap_changed_ratio") for name in names]
    before, after = ([_mean(groups[n], key) for n in names] for key in ("uncapped_modularity", "modularity"))
    _bars(places[0], names, share, "Tokens in communities above √N, %", "{:.0f}")
    _bars(places[1], names, seconds, "Detection, ms (log)", "{:,.1f}", log=True)
    _bars(places[2], names, cap, f"The cap changes, %, r = {shown:g}", "{:.0f}")
    _dumbbells(places[3], names, before, after)
    for axes in (places[1], places[3]):
        axes.tick_params(labelleft=False)
    if n_columns == 3:
        _heat_map(figure.add_subplot(grid[:, 2]), names, pairs, shown)
    return figure


@styled
def selector_figure(rows: Sequence[Row], columns: Sequence[str] = ()) -> Figure:
    """Figures of ``stgraph compare -s`` against the retain ratio, one panel per column.

    Raises
    ------
    InputError
        no rows, or rows of another experiment
    MissingDependencyError
        matplotlib is not installed
    """
    for column in columns:
        _need(rows, (column,), "compare -s")
    rows = _need(rows, ("selector", "retain_ratio"), "compare -s")
    there = [c for c in _SELECTOR_PANELS if any(row.get(c) is not None for row in rows)]
    chosen = list(dict.fromkeys(columns)) or there
    if not chosen:
        raise InputError("the rows hold no figure of what is kept (--no-fidelity?); name a column with values")
    drawn = {column: curves(rows, "retain_ratio", column, ("selector", "backend")) for column in chosen}
    labels = list(dict.fromkeys(curve.label for found in drawn.values() for curve in found))
    figure, panels = panelled(len(chosen), labels)
    handles: dict[str, Any] = {}
    for axes, (column, found) in zip(panels, drawn.items(), strict=True):
        for curve in found:
            draw_curve(axes, curve, labels.index(curve.label), 1.0)
        axes.set(xlabel="retain ratio r", title=axis_label(column))
        axes.grid(True)
        lines, names = axes.get_legend_handles_labels()
        handles = dict(zip(names, lines, strict=True)) | handles
    handles = {label: handles[label] for label in labels}
    figure.legend(list(handles.values()), list(handles), loc="outside right upper")
    return figure


def _need(rows: Sequence[Row], columns: Sequence[str], command: str) -> list[Row]:
    """The rows that have a value in each of the columns."""
    if not rows:
        raise InputError(f"there are no rows to draw; give a file of rows of stgraph {command}")
    for column in columns:
        rows = [row for row in rows if row.get(column) is not None]
        if not rows:
            raise InputError(f"the rows lack the column {column!r}; this figure is of rows of stgraph {command}")
    return list(rows)


def _mean(rows: Sequence[Row], column: str) -> float:
    values = [row[column] for row in rows if row.get(column) is not None]
    return fmean(values) if values else float("nan")


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float], title: str, form: str, log: bool = False) -> None:
    bars = axes.barh(names, values, color=AFTER, height=0.66)
    axes.bar_label(bars, [form.format(v) for v in values], padding=3, fontsize=8)
    axes.set(title=title, xscale="log" if log else "linear")
    axes.invert_yaxis()
    axes.margins(x=0.2 if log else 0.14)
    if log:
        log_ticks(axes.xaxis)
    else:
        axes.set_xlim(left=0)


def _dumbbells(axes: Axes, names: Sequence[str], before: Sequence[float], after: Sequence[float]) -> None:
    axes.hlines(names, after, before, color="#8a8f98", linewidth=1.2, zorder=1)
    axes.scatter(before, names, color=BEFORE, edgecolor="#5b6470", label="before the cap", zorder=2)
    axes.scatter(after, names, color=AFTER, label="after", zorder=2)
    axes.set(title="Modularity")
    axes.invert_yaxis()
    axes.legend(loc="best")


def _heat_map(axes: Axes, names: Sequence[str], pairs: Sequence[Row], ratio: float) -> None:
    """Means over seeds; on the diagonal between seeds of one backend, empty if it has only one run."""
    cells: dict[tuple[str, str], list[float]] = {}
    for p in pairs:
        a, b = backend_label(p, "_a"), backend_label(p, "_b")
        for key in {(a, b), (b, a)}:
            cells.setdefault(key, []).append(p["jaccard"])
    values = np.array([[fmean(cells.get((a, b), [np.nan])) for b in names] for a in names])
    axes.imshow(values, cmap="cividis", vmin=max(0.0, np.nanmin(values) - 0.05), vmax=1.0)
    middle = (np.nanmin(values) + 1) / 2
    for i, j in np.ndindex(values.shape):
        if not np.isnan(values[i, j]):
            ink = "black" if values[i, j] > middle else "white"
            axes.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.spines[:].set_visible(False)
    axes.set_title(f"Overlap of kept tokens, r = {ratio:g}")
