"""Layout of the paper's figure 4: frames, communities as rows, and the tokens finally kept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stgraph import colours
from stgraph.aliases import Array
from stgraph.errors import InputError
from stgraph.selection.reasons import BOTH, EVENT, REPRESENTATIVE
from stgraph.selection.result import Selection
from stgraph.selection.st_simdiff.analysis import Analysis
from stgraph.viz.figures.style import new_figure, styled
from stgraph.viz.pages.colouring import ALONE, community_colours
from stgraph.viz.pages.frames import frame_pictures, frame_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRAMES = 6
_VEIL = (0.04, 0.05, 0.06, 0.72)


@styled
def process_figure(
    analysis: Analysis, kept: Selection, frames: Sequence[int] | None = None, n_communities: int = 2
) -> Figure:
    """From frames to kept tokens, as in the paper's figure 4.

    Parameters
    ----------
    analysis : of ``StSimDiff.analyse``, with its tokens
    kept : a selection made from it
    frames : frames to show; by default six consecutive ones around the frame with the most event tokens
    n_communities : rows of communities, before the size cap; those with the most tokens in the frames shown

    Returns
    -------
    matplotlib.figure.Figure
        one column per frame; the axes lie row by row in ``figure.axes``

    Raises
    ------
    InputError
        a frame outside the video, or tokens of another video
    MissingDependencyError
        matplotlib is not installed
    """
    tokens, grid = analysis.tokens, analysis.graph.grid
    if kept.grid != grid:
        raise InputError(f"the selection is of a {kept.grid} video, the analysis of {grid}; they must match")
    shown = _around_events(analysis) if frames is None else list(frames)
    wrong = [t for t in shown if not 0 <= t < grid.T]
    if wrong or not shown:
        raise InputError(
            f"frame {wrong[0]} is not in the video; frames are numbered from 0 to {grid.T - 1}"
            if wrong
            else "frames is empty; name at least one"
        )
    pictures = [_decoded(p) for p in frame_pictures(tokens) or []] or [None] * grid.T
    labels = analysis.partition.uncapped_labels.reshape(grid.shape)
    found = _largest(labels[shown], n_communities)
    palette = community_colours(grid, analysis.partition.uncapped_labels)
    aspect = next((p.shape[1] / p.shape[0] for p in pictures if p is not None), grid.W / grid.H)
    n_rows = 2 + len(found)
    width = 1.75 * len(shown) + 1.0
    figure = new_figure(width, n_rows * (1.72 / aspect + 0.08) + 0.4)
    axes = figure.subplots(n_rows, len(shown), squeeze=False)
    times = frame_times(tokens)
    sizes = analysis.partition.uncapped_sizes
    titles = ["Frames", *(f"Community\nof {sizes[c]:,}\ntokens" for c in found), "Kept"]
    for row, title in zip(axes, titles, strict=True):
        row[0].set_ylabel(title, rotation=0, ha="right", va="center", fontweight="bold", labelpad=8)
    reason = np.zeros(grid.n_nodes, np.uint8)
    reason[kept.nodes] = kept.reason[np.isin(kept.indices, kept.grid.rows)]
    for column, t in enumerate(shown):
        when = "" if times is None else f" · {times[t]:.0f} s"
        axes[0, column].set_title(f"{t}{when}", fontweight="normal", loc="center", pad=3)
        for row in range(n_rows):
            _frame(axes[row, column], pictures[t], grid.H, grid.W)
        for row, c in enumerate(found, 1):
            place = int(palette[c])
            colour = colours.ALONE if place == ALONE else colours.COMMUNITY[place]
            _community(axes[row, column], labels[t] == c, colour)
        _kept(axes[-1, column], reason.reshape(grid.shape)[t])
    named = {REPRESENTATIVE: "representative", EVENT: "event", BOTH: "both"}
    figure.legend(handles=[_handle(code, name) for code, name in named.items()], loc="outside lower right", ncols=3)
    return figure


def _around_events(analysis: Analysis) -> list[int]:
    n_frames = analysis.graph.grid.T
    middle = int(analysis.events.reshape(n_frames, -1).sum(axis=1).argmax())
    first = max(0, min(middle - _FRAMES // 2, n_frames - _FRAMES))
    return list(range(first, min(first + _FRAMES, n_frames)))


def _largest(labels: Array, count: int) -> list[int]:
    """The communities with the most of these tokens, ties to the smaller number."""
    found, sizes = np.unique(labels, return_counts=True)
    return [int(c) for c in found[np.argsort(-sizes, kind="stable")][:count]]


def _decoded(jpeg: bytes) -> Array | None:
    """[h, w, 3] uint8, or None if the bytes are not a picture; the frame is then a plain grid, as on the page."""
    from PIL import Image  # matplotlib needs it too

    try:
        with Image.open(io.BytesIO(jpeg)) as picture:
            return np.asarray(picture.convert("RGB"))
    except OSError:
        return None


def _frame(axes: Axes, picture: Array | None, height: int, width: int) -> None:
    axes.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    axes.spines[:].set_visible(False)
    extent = (0.0, float(width), float(height), 0.0)
    if picture is None:
        axes.set_facecolor("#e8e6e0")
        axes.set_aspect("equal")
        for x in range(1, width):
            axes.axvline(x, color="white", linewidth=0.6)
        for y in range(1, height):
            axes.axhline(y, color="white", linewidth=0.6)
    else:
        aspect = picture.shape[0] / picture.shape[1] * width / height
        axes.imshow(picture, extent=extent, aspect=aspect, interpolation="antialiased")


def _community(axes: Axes, inside: Array, colour: str) -> None:
    veil = np.zeros((*inside.shape, 4))
    veil[~inside] = _VEIL
    veil[inside] = [*(c / 255 for c in colours.rgb(colour)), 0.45]
    _overlay(axes, veil)
    _boxes(axes, inside, colour, 0.7)


def _kept(axes: Axes, reason: Array) -> None:
    veil = np.zeros((*reason.shape, 4))
    veil[reason == 0] = _VEIL
    _overlay(axes, veil)
    _boxes(axes, reason == REPRESENTATIVE, colours.REPRESENTATIVE, 1.0)
    _boxes(axes, (reason == EVENT) | (reason == BOTH), colours.EVENT, 1.2)
    _boxes(axes, reason == BOTH, colours.REPRESENTATIVE, 0.9, inset=0.24)
    others = (reason > BOTH).astype(bool)
    _boxes(axes, others, colours.OTHER_REASON, 1.0)


def _overlay(axes: Axes, rgba: Array) -> None:
    height, width = rgba.shape[:2]
    axes.imshow(rgba, extent=(0, width, height, 0), aspect=axes.get_aspect(), interpolation="nearest", zorder=2)


def _boxes(axes: Axes, where: Array, colour: str, width: float, inset: float = 0.06) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    side = 1 - 2 * inset
    boxes = [Rectangle((x + inset, y + inset), side, side) for y, x in np.argwhere(where)]
    axes.add_collection(PatchCollection(boxes, facecolor="none", edgecolor=colour, linewidth=width, zorder=3))


def _handle(code: int, name: str) -> Any:
    from matplotlib.patches import Patch

    edge = colours.REPRESENTATIVE if code == REPRESENTATIVE else colours.EVENT
    face = colours.REPRESENTATIVE if code == BOTH else "#3a3f47"
    return Patch(facecolor=face, edgecolor=edge, linewidth=2, label=name)
