"""The table of all selectors in docs/probe.md is that of the stored rows."""

from __future__ import annotations

import csv
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = ROOT / "bench" / "results" / "probe-all-selectors.csv"


def test_the_table_holds_the_stored_rows() -> None:
    page = (ROOT / "docs" / "probe.md").read_text(encoding="utf-8")
    with ROWS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    cells: dict[str, dict[float, str]] = {}
    for row in rows:
        assert (row["videos"], row["n_questions"], row["n_videos"]) == ("test", "2000", "200")
        mean, low, high = (100 * float(row[name]) for name in ("accuracy", "accuracy_low", "accuracy_high"))
        cells.setdefault(row["selector"], {})[float(row["retain_ratio"])] = f"{mean:.1f} ({low:.1f} to {high:.1f})"
    for name in ("full", "blind"):
        assert next(iter(cells[name].values())) in page
    assert len(cells) == 25
    for name in cells.keys() - {"full", "blind"}:
        assert list(cells[name]) == [0.05, 0.1, 0.2, 0.3, 0.5]
        assert f"| `{name}` | {' | '.join(cells[name].values())} |" in page
