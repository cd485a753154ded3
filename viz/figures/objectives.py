"""Accuracy against the similarity threshold, one curve per objective of community detection, from rows of the study."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from stgraph.aliases import Row
from stgraph.errors import InputError
from stgraph.viz.figures.style import MARKERS, new_figure, styled
from stgraph.viz.markdown.objectives import BASE, NAMES
from stgraph.viz.markdown.study import matches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_BASELINES = {"full": ("all tokens", "-"), "uniform": ("uniform", "--"), "random": ("random", ":")}
_IN_A_ROW = 3  # panels


@styled
def objective_figure(rows: Sequence[Row]) -> Figure:
    """One panel per retain ratio: mean accuracy over models, with baselines as lines.

    Raises
    ------
    InputError
        the rows are not those of ``make study`` (objectives.csv)
    MissingDependencyError
        matplotlib is not installed
    """
    needed = ("selector", "backend", "tau_sim", "retain_ratio", "accuracy", *BASE)
    if not rows or any(name not in rows[0] for name in needed):
        raise InputError(f"the rows lack one of {', '.join(needed)}; give objectives.csv of make study")
    ratios = sorted({float(row["retain_ratio"]) for row in rows} - {0.0, 1.0})
    n_columns = min(len(ratios), _IN_A_ROW)
    n_lines = -(-len(ratios) // n_columns)
    figure = new_figure(2.8 * n_columns + 2.0, 2.9 * n_lines)
    panels = figure.subplots(n_lines, n_columns, squeeze=False, sharey=True).ravel()
    for axes, ratio in zip(panels, ratios, strict=False):
        _curves(axes, rows, ratio)
        axes.set(xlabel="tau_sim", title=f"r = {ratio:g}")
        axes.grid(True)
        if axes.get_subplotspec().is_first_col():
            axes.set_ylabel("accuracy, %")
    for axes in panels[len(ratios) :]:
        axes.remove()
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def _curves(axes: Axes, rows: Sequence[Row], ratio: float) -> None:
    method = [row for row in rows if matches(row, BASE) and float(row["retain_ratio"]) == ratio]
    taus = sorted({float(row["tau_sim"]) for row in method})
    for i, (backend, name) in enumerate(NAMES.items()):
        here = [row for row in method if row["backend"] == backend]
        points = {tau: [row["accuracy"] for row in here if float(row["tau_sim"]) == tau] for tau in taus}
        shown = {tau: 100 * fmean(map(float, values)) for tau, values in points.items() if values}
        if len(shown) == 1:  # without a threshold it is the same at each
            shown = dict.fromkeys(taus, next(iter(shown.values())))
        axes.plot(list(shown), list(shown.values()), marker=MARKERS[i], markersize=4, color=f"C{i}", label=name)
    for selector, (name, style) in _BASELINES.items():
        found = [row for row in rows if row["selector"] == selector]
        found = [row for row in found if selector == "full" or float(row["retain_ratio"]) == ratio]
        if found:
            level = 100 * fmean(float(row["accuracy"]) for row in found)
            axes.axhline(level, color="#5b6270", linestyle=style, linewidth=1, label=name)
