"""Self-contained HTML pages from asset files and data: no server, no requests, no data becomes markup."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from stgraph.aliases import Array

# Characters that could end the data block or start markup, and two that JSON allows but older JavaScript does not.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def inline_page(title: str, styles: Sequence[str], scripts: Sequence[str], body: str, data: Mapping[str, Any]) -> str:
    """The page as text.

    Parameters
    ----------
    title : plain text
    styles, scripts, body : names of asset files; the scripts share one module scope, in that order, and the body lies
        between top.html and bottom.html
    data : plain values, which the scripts read as JSON from the element ``data``

    The policy in the page's head allows only the style and script of these files, by their digests, and pictures that
    are part of the page: injected content could neither run nor send anything.
    """
    style = "\n".join(map(asset, styles))
    script = "\n".join(map(asset, scripts))
    content = "".join(map(asset, ("top.html", body, "bottom.html")))
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{content}\n"
        f'<script type="application/json" id="data">{json_text(data)}</script>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


def asset(name: str) -> str:
    """Text of a file in ``viz/pages/assets``."""
    return (files("stgraph.viz.pages") / "assets" / name).read_text(encoding="utf-8")


def json_text(data: Any) -> str:
    r"""JSON that is inert inside a script element.

    Raises
    ------
    ValueError
        NaN or Inf, which JSON lacks

    Examples
    --------
    >>> json_text({"name": "</script><b>"})
    '{"name":"\\u003c/script\\u003e\\u003cb\\u003e"}'
    """
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


class ArrayPool:
    """Arrays as base64 of their little-endian bytes; equal ones are kept once."""

    def __init__(self) -> None:
        self.entries: list[dict[str, str]] = []
        self._place: dict[tuple[str, bytes], int] = {}

    def add(self, values: Array) -> int:
        """Index of ``values`` in :attr:`entries`. Integers become the smallest sufficient type of uint8, uint16 and
        uint32; floats become float32."""
        if values.dtype.kind == "f":
            packed = values.astype("<f4")
        else:
            top = int(values.max(initial=0))
            packed = values.astype("<u1" if top < 1 << 8 else "<u2" if top < 1 << 16 else "<u4")
        key = (packed.dtype.str, packed.tobytes())
        if key not in self._place:
            self._place[key] = len(self.entries)
            self.entries.append({"dtype": packed.dtype.str[1:], "data": base64.b64encode(key[1]).decode()})
        return self._place[key]


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
