"""Figures of one video's graph and selection: similarities with thresholds, kept tokens per frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stgraph import colours
from stgraph.graph import TokenGraph
from stgraph.selection.reasons import BOTH, EVENT, REPRESENTATIVE
from stgraph.selection.result import Selection
from stgraph.tokens import VideoTokens
from stgraph.viz.figures.style import MARK, new_figure, styled
from stgraph.viz.pages.frames import first_frames_of_shots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def similarity_figure(graph: TokenGraph, event_threshold: float | None = None) -> Figure:
    """Distributions of the cosine similarity of neighbouring tokens, in space and in time, with the thresholds.

    Parameters
    ----------
    graph : TokenGraph; its ``tau_sim`` is drawn
    event_threshold : similarity below which a temporal edge marks an event, to be drawn too

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed
    """
    figure = new_figure(5.6, 3.0)
    axes = figure.subplots()
    kinds = {"in space": graph.similarity[:2], "in time": graph.similarity[2]}
    low = min(float(np.nanmin(graph.similarity)) if graph.n_nodes > 1 else 0.0, event_threshold or 0.0, graph.tau_sim)
    bins = np.linspace(max(-1.0, np.floor(10 * low) / 10), 1.0, 61)
    for colour, (name, values) in zip(colours.LINES, kinds.items(), strict=False):
        there = values[~np.isnan(values)]
        if there.size == 0:
            continue
        share = 100 * float(np.count_nonzero(there > graph.tau_sim)) / there.size
        counts, edges = np.histogram(np.minimum(there, 1.0), bins)
        label = f"{name}: {share:.0f} % above {graph.tau_sim:g}"
        axes.stairs(100 * counts / there.size, edges, color=colour, linewidth=1.6, label=label)
    for value, text in ((graph.tau_sim, "joined above"), (event_threshold, "event below")):
        if value is not None:
            axes.axvline(value, color=MARK, linestyle="--", linewidth=1.2)
            side = "right" if value > 0.5 else "left"
            axes.text(
                value,
                0.72,
                f" {text} {value:.3g} ",
                ha=side,
                color=MARK,
                transform=axes.get_xaxis_transform(),
                fontsize=8,
            )
    axes.set(xlabel="cosine similarity", ylabel="% of the edges", title="Similarity of neighbouring tokens")
    axes.legend(loc="upper center")
    return figure


@styled
def kept_per_frame_figure(tokens: VideoTokens, kept: Selection) -> Figure:
    """Number of kept tokens per frame by reason, with the shot changes the tokens carry.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed
    """
    grid = kept.grid
    reason = np.zeros(grid.n_nodes, np.uint8)
    reason[kept.nodes] = kept.reason[np.isin(kept.indices, grid.rows)]
    frames = reason.reshape(grid.T, -1)
    figure = new_figure(7.2, 2.6)
    axes = figure.subplots()
    below = np.zeros(grid.T)
    kinds = (
        ("representative", frames == REPRESENTATIVE, colours.REPRESENTATIVE, ""),
        ("both", frames == BOTH, colours.REPRESENTATIVE, "////"),
        ("event", frames == EVENT, colours.EVENT, ""),
        ("other", frames > BOTH, colours.OTHER_REASON, ""),
    )
    for name, which, colour, hatch in kinds:
        counts = which.sum(axis=1)
        if counts.any():
            axes.bar(
                np.arange(grid.T),
                counts,
                0.9,
                below,
                color=colour,
                hatch=hatch,
                edgecolor=colours.EVENT if hatch else colour,
                linewidth=0,
                label=name,
            )
            below += counts
    for i, t in enumerate(first_frames_of_shots(tokens) or []):
        axes.axvline(t - 0.5, color=MARK, linestyle="--", linewidth=1.1, label=None if i else "shot change")
    axes.set(
        xlabel="frame", ylabel=f"kept, of {grid.H * grid.W}", title="Kept tokens per frame", xlim=(-0.6, grid.T - 0.4)
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
