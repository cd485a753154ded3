"""Fidelity against the similarity threshold on real features, one curve per objective, from rows of the study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stgraph.aliases import Row
from stgraph.errors import InputError
from stgraph.viz.figures.style import MARKERS, new_figure, styled
from stgraph.viz.markdown.objectives import NAMES
from stgraph.viz.markdown.real_features import KINDS, RANKINGS, curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATIO = 0.3


@styled
def real_feature_figure(rows: Sequence[Row]) -> Figure:
    """A row of panels per ranking, a panel per kind of features, at r = 0.3.

    Raises
    ------
    InputError
        rows that are not those of ``make study`` (real-features.csv)
    MissingDependencyError
        matplotlib is not installed
    """
    needed = ("dump", "backend", "tau_sim", "retain_ratio", "importance", "fidelity_mean")
    if not rows or any(name not in rows[0] for name in needed) or not {row["dump"] for row in rows} >= set(KINDS):
        raise InputError(f"the rows lack {', '.join(KINDS)} or a column; give real-features.csv of make study")
    figure = new_figure(10.4, 5.8)
    panels = figure.subplots(len(RANKINGS), len(KINDS), sharex=True, sharey="col")
    for line, importance in zip(panels, RANKINGS, strict=True):
        for axes, (kind, title) in zip(line, KINDS.items(), strict=True):
            for i, (backend, name) in enumerate(NAMES.items()):
                found = curve(rows, kind, backend, RATIO, importance)
                taus = sorted(found)
                values = [found[tau] for tau in taus]
                axes.plot(taus, values, marker=MARKERS[i], markersize=4, color=f"C{i}", label=name)
            axes.grid(True)
            axes.set_title(f"{title}\n{importance}", fontsize="small")
        line[0].set_ylabel("fidelity")
    for axes in panels[-1]:
        axes.set_xlabel("tau_sim")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside right upper")
    return figure
