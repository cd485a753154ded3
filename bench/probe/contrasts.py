"""Contrasts: the effect of one choice, all else equal, as paired accuracy differences of probe rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stgraph.bench.intervals import difference_p_value, paired_difference
from stgraph.bench.probe.questions import ORDER
from stgraph.bench.probe.rows import PROBE, unpack
from stgraph.bench.probe.weights import asked_families
from stgraph.bench.tables.table import Row

_SETTING = [name for name in PROBE.key if name not in ("model", "weights", "videos", "n_questions", "retain_ratio")]


def contrast(rows: Iterable[Mapping[str, Any]], column: str, a: Any, b: Any, *, by_family: bool = True) -> list[Row]:
    """Rows with ``column`` at ``a`` against rows with ``column`` at ``b``, all else equal.

    The models of a run are pooled: an interval is over videos, each with the answers of all models.

    Returns
    -------
    list of Row
        one per setting, ratio and family ("all" for all questions, the only one without ``by_family``): ``difference``
        a minus b, ``low``, ``high``, and ``p`` of no difference, not corrected for the number of rows
    """
    groups = _by_setting(rows)
    found = []
    for (setting, ratio), mine in groups.items():
        values = dict(zip(_SETTING, setting, strict=True))
        if values[column] != a:
            continue
        other = groups.get((tuple({**values, column: b}.values()), ratio))
        if other is not None:
            shown = {"contrast": column, "a": str(a), "b": str(b), **values, column: None, "retain_ratio": ratio}
            found += [{**shown, **figures} for figures in _compared(mine, other, by_family)]
    return found


def contrasts_of_all(rows: Iterable[Mapping[str, Any]], *asked: tuple[str, Any, Any]) -> list[Row]:
    """Of each comparison asked for, as (column, a, b), what :func:`contrast` finds over all families of questions."""
    rows = list(rows)
    return [row for one in asked for row in contrast(rows, *one, by_family=False)]


def against(rows: Iterable[Mapping[str, Any]], selector: str) -> list[Row]:
    """Every setting against ``selector`` at the same ratio ("full" and "blind" have a single ratio), over all
    questions."""
    groups = _by_setting(rows)
    there = {ratio: found for (setting, ratio), found in groups.items() if setting[0] == selector}
    fixed = next(iter(there.values())) if selector in ("full", "blind") and there else None
    found = []
    for (setting, ratio), mine in groups.items():
        other = fixed or there.get(ratio)
        if setting[0] not in (selector, "full", "blind") and other is not None:
            values = dict(zip(_SETTING, setting, strict=True))
            shown = {"contrast": f"against {selector}", "a": setting[0], "b": selector, **values, "retain_ratio": ratio}
            found += [{**shown, **figures} for figures in _compared(mine, other, by_family=False)]
    return found


def _by_setting(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[tuple[Any, ...], float], list[Mapping[str, Any]]]:
    groups: dict[tuple[tuple[Any, ...], float], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((tuple(row[name] for name in _SETTING), row["retain_ratio"]), []).append(row)
    return groups


def _compared(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]], by_family: bool) -> Iterable[Row]:
    """Differences over all questions, and per family if asked for, for the models both have."""
    models = [row["model"] for row in a if row["model"] in {other["model"] for other in b}]
    first, second = (
        np.stack([unpack(next(row for row in side if row["model"] == model)) for model in models], 1) for side in (a, b)
    )
    family = np.array([name for name in ORDER if name in asked_families()])
    for name in ("all", *dict.fromkeys(family if by_family else ())):
        part = slice(None) if name == "all" else family == name
        mine, other = first[:, :, part].astype(float), second[:, :, part].astype(float)
        found = paired_difference(mine, other)
        yield {
            "family": str(name),
            "n_models": len(models),
            "n_videos": len(first),
            "difference": found.mean,
            "low": found.low,
            "high": found.high,
            "p": difference_p_value(mine, other),
        }
