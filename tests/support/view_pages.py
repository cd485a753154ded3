"""What a page of ``stgraph view`` holds, and pointing at its tokens and frames in a browser."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
from browsers import settle
from clips import SHAPE

_, H, W = SHAPE
MARKUP = "<img src=x onerror='window.alive=1'></script><script>window.alive=1</script>&lt;\u2028"


def data_of(page: str) -> Any:
    """What the page's scripts read."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def array(data: Any, place: int) -> Any:
    entry = data["arrays"][place]
    return np.frombuffer(base64.b64decode(entry["data"]), "<" + entry["dtype"])


def hover(page: Any, node: int) -> None:
    """Point at a token of the frame shown."""
    box = page.locator("#frame").bounding_box()
    x, y = node % W, node // W % H
    page.mouse.move(box["x"] + (x + 0.5) * box["width"] / W, box["y"] + (y + 0.5) * box["height"] / H)
    settle(page)


def show(page: Any, frame: int) -> None:
    page.locator("#time").fill(str(frame))
    settle(page)
