"""Community sizes before and after the cap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from stgraph import colours
from stgraph.aliases import Array
from stgraph.community.partition import Partition
from stgraph.errors import InputError
from stgraph.viz.figures.style import MARK, line_style, log_ticks, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROWS = 10


@styled
def size_figure(partitions: Mapping[str, Partition]) -> Figure:
    """Community sizes of one video with one or more backends.

    Left, one curve per backend: the share of all tokens in communities of at least a given size, before the cap; its
    value at the cap is the share the cap must split. Right, for the first backend: the largest communities and their
    pieces.

    Parameters
    ----------
    partitions : name -> partition, of the same tokens; at least one

    Raises
    ------
    InputError
        no partition, or partitions of different videos
    MissingDependencyError
        matplotlib is not installed
    """
    if not partitions:
        raise InputError("partitions is empty; pass {'name': partition}")
    counts = {p.n_nodes for p in partitions.values()}
    if len(counts) > 1:
        raise InputError(f"the partitions have {', '.join(map(str, sorted(counts)))} tokens; they must be of one video")
    figure = new_figure(9.2, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    name, first = next(iter(partitions.items()))
    for i, (label, partition) in enumerate(partitions.items()):
        sizes, share = size_curve(partition.uncapped_sizes)
        style = {**line_style(i), "marker": None}
        left.plot(sizes, 100 * share, drawstyle="steps-pre", label=label, **style)
    cap = first.provenance.max_size
    if cap is not None:
        _, share = size_curve(first.uncapped_sizes, above=cap)
        left.axvline(cap, color=MARK, linestyle="--", linewidth=1.2)
        left.annotate(
            f"{100 * share[0]:.0f} % above\nthe cap of {cap:,}\n({name})",
            (cap, 100 * share[0]),
            xytext=(6, 6),
            textcoords="offset points",
            color=MARK,
            fontsize=8,
        )
    left.set(
        xscale="log",
        ylim=(0, 102),
        xlabel="tokens in the community, at least",
        ylabel="% of all tokens",
        title="Share of tokens in communities of some size,\nbefore the cap",
    )
    log_ticks(left.xaxis)
    left.grid(True)
    left.legend(loc="lower left")
    _pieces(right, name, first)
    return figure


def size_curve(sizes: Array, above: int | None = None) -> tuple[Array, Array]:
    """(distinct sizes ascending, share of all tokens in communities of at least that size); with ``above``, one value:
    the share in communities larger than that.

    Examples
    --------
    >>> size_curve(np.array([1, 1, 2, 4]))
    (array([1, 2, 4]), array([1.  , 0.75, 0.5 ]))
    """
    if above is not None:
        return np.array([above]), np.array([sizes[sizes > above].sum() / max(1, sizes.sum())])
    at, counts = np.unique(sizes, return_counts=True)
    mass = at * counts
    return at, mass[::-1].cumsum()[::-1] / mass.sum()


def _pieces(axes: Axes, name: str, partition: Partition) -> None:
    """The largest communities without the cap as bars, divided into their communities under the cap (or, with a cap
    inside the search, the parts that lie in one)."""
    sizes = partition.uncapped_sizes
    top = np.argsort(-sizes, kind="stable")[:_ROWS]
    for y, c in enumerate(top):
        inside = partition.labels[partition.uncapped_labels == c]
        pieces = np.sort(np.bincount(inside)[np.unique(inside)])[::-1]
        ends = pieces.cumsum()
        tint = [colours.COMMUNITY[(y + k) % len(colours.COMMUNITY)] for k in range(pieces.size)]
        axes.barh(y, pieces, left=ends - pieces, color=tint, edgecolor="white", linewidth=0.8, height=0.78)
        axes.annotate(
            f"{sizes[c]:,} in {pieces.size}" if pieces.size > 1 else f"{sizes[c]:,}",
            (float(sizes[c]), y),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    if partition.provenance.max_size is not None:
        axes.axvline(partition.provenance.max_size, color=MARK, linestyle="--", linewidth=1.2)
    parts = "those under the cap" if partition.capped_in_search else "their pieces"
    axes.set(
        yticks=[],
        ylim=(len(top) - 0.4, -0.6),
        xlabel="tokens",
        title=f"Largest communities and {parts}\n({name}, splitter {partition.provenance.split})",
    )
    axes.margins(x=0.18)
    axes.spines["left"].set_visible(False)
