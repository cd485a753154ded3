"""The side-by-side section of docs/methods.md is that of the stored rows, of every selector."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from stgraph.bench.probe.depth import DEFAULTS
from stgraph.bench.probe.splits import DIGEST
from stgraph.bench.probe.weights import weights_digest
from stgraph.page_parts import with_parts
from stgraph.selection.base import SELECTORS
from stgraph.selector_page import selector_parts

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "methods.md"
ROWS = ROOT / "bench" / "results" / "probe-all-selectors.csv"
MODEL = "vit-4"
RATIOS = [0.05, 0.1, 0.2, 0.3, 0.5]


def stored() -> list[dict[str, str]]:
    with ROWS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def section() -> str:
    return PAGE.read_text(encoding="utf-8").split("\n## Side by side\n")[1]


def test_the_rows_are_of_every_selector_at_every_ratio() -> None:
    found: dict[str, list[float]] = {}
    for row in stored():
        assert (row["videos"], row["n_questions"], row["n_videos"], row["generator"]) == ("test", "2000", "200", DIGEST)
        assert (row["model"], row["weights"]) == (MODEL, weights_digest(MODEL))
        found.setdefault(row["selector"], []).append(float(row["retain_ratio"]))
        expected = json.loads(json.dumps(DEFAULTS.get(row["selector"])))
        assert (json.loads(row["parameters"]) if row["parameters"] else None) == expected
    assert found.pop("full") == [1.0] and found.pop("blind") == [0.0]
    assert list(found) == SELECTORS.usable()
    assert all(ratios == RATIOS for ratios in found.values())


def test_what_is_said_of_attention_by_family() -> None:
    share = {
        (row["selector"], family): f"{100 * float(row[family]):.0f}"
        for row in stored()
        if row["retain_ratio"] == "0.05"
        for family in ("evt", "bg")
    }
    for family in ("evt", "bg"):
        by = [share[name, family] for name in ("fastervlm", "visionzip", "random")]
        assert re.search(rf"`{family}`: {by[0]} and {by[1]} % (right )?against {by[2]}\)", section())


def test_budgets_are_equal() -> None:
    for row in stored():
        ratio = float(row["retain_ratio"])
        if 0 < ratio < 1 and row["selector"] != "st-simdiff-released":
            assert float(row["n_kept"]) == -(-1024 * int(100 * ratio + 0.5) // 100), row["selector"]


def test_the_page_holds_the_rows_and_nothing_else() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_parts(text, selector_parts(ROWS)) == text
    for row in stored():
        mean, low, high = (100 * float(row[name]) for name in ("accuracy", "accuracy_low", "accuracy_high"))
        figure = f"{mean:.1f} ({low:.1f} to {high:.1f})"
        name = row["selector"]
        if name in ("full", "blind"):
            assert figure in section()
            continue
        line = next(line for line in section().splitlines() if line.startswith(f"| `{name}` |"))
        assert line.split(" | ")[1 + RATIOS.index(float(row["retain_ratio"]))].removesuffix(" |") == figure
