"""The tensors and the header of a dump, to write files that are odd or damaged."""

from __future__ import annotations

from typing import Any

import numpy as np
from feature_zoo import features

from stgraph import TokenGrid

Array = np.ndarray[Any, Any]


def tensors() -> dict[str, Array]:
    """What every dump of a 2x2x3 video holds."""
    t, y, x = TokenGrid(2, 2, 3).coordinates()
    kind = np.zeros(12, np.uint8)
    return {"features": features((12, 4)), "token_t": t, "token_y": y, "token_x": x, "token_kind": kind}


def header(**changes: str | None) -> dict[str, str]:
    text = {"stgraph": "tokens", "schema_version": "1", "metadata": "{}"} | changes
    return {key: value for key, value in text.items() if value is not None}
