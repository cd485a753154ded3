"""HTML fragments for notebooks: tables, bars, small pictures. All text is escaped; no scripts, no requests.

They adopt the notebook's colours, light or dark: text and lines are ``currentColor``.
"""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from stgraph.aliases import Array
from stgraph.colours import EVENT


def headline(text: str) -> str:
    """One line in bold."""
    return f"<p style='margin:0 0 6px;font-weight:bold'>{html.escape(text)}</p>"


def note(text: str) -> str:
    """A caption below a picture."""
    return f"<p style='margin:2px 0 8px;font-size:85%;opacity:.75'>{html.escape(text)}</p>"


def facts(pairs: Mapping[str, object]) -> str:
    """A table of names and values."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td style='text-align:left'>{html.escape(plain(value))}</td></tr>"
        for name, value in pairs.items()
    )
    return f"<table>{rows}</table>"


def folded(summary: str, inside: str) -> str:
    """HTML that unfolds below a summary line."""
    return f"<details><summary>{html.escape(summary)}</summary>{inside}</details>"


def plain(value: object) -> str:
    """A value as text: thousands separators, four significant digits for fractions.

    Examples
    --------
    >>> plain(10240), plain(0.86437), plain("x")
    ('10,240', '0.8644', 'x')
    """
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}"
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.4g}"
    return str(value)


def pictures(jpegs: Sequence[bytes], captions: Sequence[str], width: int = 112) -> str:
    """JPEG images side by side, each above its caption."""
    cells = []
    for jpeg, caption in zip(jpegs, captions, strict=True):
        source = base64.b64encode(jpeg).decode()
        cells.append(
            f"<figure style='margin:0;display:inline-block'><img src='data:image/jpeg;base64,{source}' width='{width}' "
            f"alt='{html.escape(caption, quote=True)}'>"
            f"<figcaption style='font-size:80%;opacity:.75'>{html.escape(caption)}</figcaption></figure>"
        )
    return f"<div style='display:flex;flex-wrap:wrap;gap:6px'>{''.join(cells)}</div>"


def pixels(rgb: Array, scale: int, alt: str) -> str:
    """A [height, width, 3] uint8 picture, ``scale`` screen pixels per value."""
    height, width = rgb.shape[:2]
    source = base64.b64encode(png(rgb)).decode()
    return (
        f"<img src='data:image/png;base64,{source}' width='{width * scale}' height='{height * scale}' "
        f"alt='{html.escape(alt, quote=True)}' style='image-rendering:pixelated;max-width:100%;height:auto'>"
    )


def png(rgb: Array) -> bytes:
    """A [height, width, 3] uint8 picture as a PNG file."""
    height, width = rgb.shape[:2]
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each line starts with its filter type: none
    lines[:, 1:] = rgb.reshape(height, 3 * width)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def contact_sheet(frames: Array, columns: int = 10) -> Array:
    """[T, H, W, 3] uint8 frames as one picture, ``columns`` per row, separated by one grey pixel."""
    n, height, width, _ = frames.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), 128, np.uint8)
    for t in range(n):
        y, x = (t // columns) * (height + 1), (t % columns) * (width + 1)
        sheet[y : y + height, x : x + width] = frames[t]
    return sheet


def bars(
    series: Mapping[str, tuple[str, Sequence[float]]],
    labels: Sequence[str],
    mark: tuple[float, str] | None = None,
    height: int = 90,
) -> str:
    """A grouped bar chart as SVG.

    Parameters
    ----------
    series : name -> (colour, one value per label)
    labels : one per group
    mark : (position counted in groups, text) of a dashed vertical line
    """
    step = 44 if len(labels) <= 16 else max(6, 700 // len(labels))
    width = step * len(labels)
    top = max((max(values, default=0.0) for _, values in series.values()), default=0.0) or 1.0
    shapes = []
    wide = 0.8 * step / len(series)
    for k, (name, (colour, values)) in enumerate(series.items()):
        for i, value in enumerate(values):
            tall = height * value / top
            title = html.escape(f"{labels[i]}, {name}: {plain(value)}")
            shapes.append(
                f"<rect x='{i * step + 0.1 * step + k * wide:.1f}' y='{14 + height - tall:.1f}' width='{wide:.1f}' "
                f"height='{tall:.1f}' fill='{colour}'><title>{title}</title></rect>"
            )
    skip = max(1, -(-34 // step))
    texts = [
        f"<text x='{i * step + step / 2:.0f}' y='{height + 27}' text-anchor='middle'>{html.escape(label)}</text>"
        for i, label in enumerate(labels)
        if i % skip == 0
    ]
    if mark is not None:
        x = mark[0] * step
        texts.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='2' y2='{14 + height}' stroke='{EVENT}' stroke-dasharray='4 3'/>"
            f"<text x='{x + 4:.1f}' y='11' style='fill:{EVENT}'>{html.escape(mark[1])}</text>"
        )
    key = "".join(
        f"<span style='margin-right:14px'><span style='display:inline-block;width:10px;height:10px;"
        f"background:{colour}'></span> {html.escape(name)}</span>"
        for name, (colour, _) in series.items()
        if len(series) > 1
    )
    return (
        f"<div style='font-size:85%'>{key}</div><svg width='{width + 60}' height='{height + 32}' "
        f"style='max-width:100%;overflow:visible;font-size:11px;fill:currentColor'>{''.join(shapes)}{''.join(texts)}</svg>"
    )
