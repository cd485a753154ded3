"""Colours shared by pages, figures and notebooks, so that yellow means the same everywhere."""

from __future__ import annotations

# Communities: Paul Tol's "muted" scheme, distinguishable with any colour vision, and three darker or lighter
# companions. Colour alone never identifies a community: outlines, numbers and highlighting say the same.
COMMUNITY = (
    "#4c72d9",
    "#44aa99",
    "#cc6677",
    "#999933",
    "#88ccee",
    "#aa4499",
    "#117733",
    "#ddcc77",
    "#882255",
    "#6e5bd0",
    "#d98c4a",
    "#8fbf6b",
)
ALONE = "#8a8f98"  # single-token communities

# Why a token is kept, as in figure 4 of the paper. Yellow and red differ in lightness too, and "both" is drawn as one
# box in the other.
REPRESENTATIVE = "#ffd60a"
EVENT = "#e5383b"
BOTH = "#ff8c1a"
OTHER_REASON = "#56b4e9"
DROPPED = "#2b2f36"

# Curves: Okabe and Ito's colours, distinguishable with any colour vision.
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")

# Low to high: stops of "inferno". Lightness rises throughout, so it also works in grey.
HEAT = ("#000004", "#320a5e", "#781c6d", "#bc3754", "#ed6925", "#fbb61a", "#fcffa4")


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of ``#rrggbb``.

    Examples
    --------
    >>> rgb("#ffd60a")
    (255, 214, 10)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
