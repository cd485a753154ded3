"""``docs/gpu.md`` shows what the rows in the repository say."""

from __future__ import annotations

import csv
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_row_stands_in_the_page() -> None:
    with (ROOT / "bench" / "results" / "nvidia-h200" / "rows.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    cases = list(dict.fromkeys(row["case"] for row in rows))
    for stage, by in dict.fromkeys((row["stage"], row["by"]) for row in rows):
        of_case = {row["case"]: row for row in rows if (row["stage"], row["by"]) == (stage, by)}
        cells = [
            f"{1e3 * float(of_case[case]['seconds']):,.3f} ms, {float(of_case[case]['reads']):,.2f}"
            if case in of_case
            else ""
            for case in cases
        ]
        assert f"| {stage} | {by} | {' | '.join(cells)} |" in page
