"""JSON from untrusted files."""

from __future__ import annotations

import json
from typing import Any

_SHOWN = 60  # characters of a key quoted in an error


def parse_json(text: str) -> Any:
    """The value of ``text``; an object that repeats a key is refused, since readers disagree on which counts.

    Raises
    ------
    ValueError
        not JSON, nested too deeply, or a key given twice

    Examples
    --------
    >>> parse_json('{"frames": 64, "frames": 8}')
    Traceback (most recent call last):
    ValueError: the key 'frames' is given twice
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the key {name[:_SHOWN]!r} is given twice")
            seen.add(name)
    return found
