"""Shared parts of figures: lazy matplotlib, a common style, files. Figures do not touch pyplot's global state."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from stgraph.colours import LINES
from stgraph.errors import InputError, missing_dependency
from stgraph.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

FORMATS = ("png", "svg", "pdf")
MARKERS = "osD^vPX"
MARK = "#b3261e"  # thresholds and shot changes, as on the page
BEFORE, AFTER = "#b3b8c2", "#0b63a8"
_STYLE = {
    "font.size": 9,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so that figures look the same everywhere
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#8a8f98",
    "grid.color": "#e3e3e3",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 3.0,
    "svg.hashsalt": "stgraph",  # the same figure gives the same file
    "pdf.fonttype": 42,
    "text.parse_math": False,  # names in rows are text: a $ is not a formula
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in this package's style; the user's own settings stay unchanged.

    Raises
    ------
    MissingDependencyError
        matplotlib is not installed
    """

    @wraps(draw)
    def inside(*args: P.args, **options: P.kwargs) -> R:
        with need_matplotlib().rc_context(_STYLE):
            return draw(*args, **options)

    return inside


def need_matplotlib() -> Any:
    """matplotlib itself.

    Raises
    ------
    MissingDependencyError
        it is not installed
    """
    try:
        import matplotlib
    except ImportError:
        raise missing_dependency("drawing figures", "matplotlib", "viz") from None
    return matplotlib


def log_ticks(axis: Any) -> None:
    """Label powers of ten on a logarithmic axis with plain numbers; formulas would be shown as text here."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, size in inches; made without pyplot, so that it is not kept alive and no window opens."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def panelled(count: int, labels: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels in reading order, up to three per row, and room for a legend on the right."""
    wide = 2 if count == 4 else min(count, 3)
    tall = -(-count // wide)
    legend = 0.8 + 0.068 * max(map(len, labels), default=0)  # inches at the legend's size of type
    figure = new_figure(3.7 * wide + legend, max(3.1 * tall, 0.19 * len(labels) + 0.4))
    grid = figure.add_gridspec(tall, wide)
    return figure, [figure.add_subplot(grid[i // wide, i % wide]) for i in range(count)]


def line_style(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th curve; the line style changes when the colours start over."""
    styles = ("-", "--", ":", "-.")
    return {
        "color": LINES[i % len(LINES)],
        "marker": MARKERS[i % len(MARKERS)],
        "linestyle": styles[i // len(LINES) % len(styles)],
        "markersize": 4,
        "linewidth": 1.6,
    }


def figure_format(path: str | os.PathLike[str]) -> str:
    """png, svg or pdf, by the file's suffix.

    Raises
    ------
    InputError
        another suffix
    """
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        raise InputError(f"cannot tell the format of {path} by its suffix; end it in .png, .svg or .pdf")
    return suffix


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: float = 160) -> None:
    """Write a figure; the suffix of ``path`` names the format, ``dpi`` the pixels per inch of a PNG.

    Raises
    ------
    InputError
        an unknown suffix, or the path cannot be written
    """
    fmt = figure_format(path)
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with atomic_path(path) as temporary:
        _save(figure, temporary, fmt, dpi, dates.get(fmt, {}))


@styled
def _save(figure: Figure, path: Path, fmt: str, dpi: float, metadata: dict[str, Any]) -> None:
    figure.savefig(path, format=fmt, dpi=dpi, metadata=metadata)
