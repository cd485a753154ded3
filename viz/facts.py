"""Metadata of a dump as readable lines: one flat key each, and picture sizes as width x height."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WIDTH_FIRST = {"frame_size"}  # of the bundled sample; ``video.size`` has the height first, as arrays have


def flat_facts(metadata: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Flat keys (``video.codec``) and their values as text, without None and empty values; numbers to six digits.

    Examples
    --------
    >>> flat_facts({"video": {"fps": 23.9999999999, "size": [180, 320]}, "settings": {"fps": None, "grid": [16, 8]}})
    {'video.fps': '24', 'video.size': '320 x 180', 'settings.grid': '16, 8'}
    """
    found: dict[str, str] = {}
    for name, value in metadata.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping):
            found.update(flat_facts(value, f"{key}."))
        elif name in _WIDTH_FIRST or key == "video.size":
            width, height = value if name in _WIDTH_FIRST else reversed(value)
            found[key] = f"{width} x {height}"
        elif isinstance(value, (list, tuple)):
            found[key] = ", ".join(map(str, value))
        elif isinstance(value, float):
            found[key] = f"{value:.6g}"
        elif value is not None and value != "":
            found[key] = str(value)
    return found
