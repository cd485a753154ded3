"""Rows that others may have written, drawn: a figure or one of our own errors, whatever a cell holds."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from clips import saved
from command_line import run
from probe_rows import PROBE

from stgraph.bench.tables.experiments import ANSWERS
from stgraph.bench.tables.reading import read_tables
from stgraph.cli.plot import _of_rows
from stgraph.errors import InputError, StgraphError

pytest.importorskip("matplotlib")
ODD = (None, "text", "", True, float("inf"), float("nan"), -1, 1e308, "$x_{", 10**18, 0, "pxx")
ARGUMENTS = {
    "backends": ("compare", "-b", "lattice-components", "-b", "scipy-components", "-r", "0.1", "-r", "0.3"),
    "selectors": ("compare", "-s", "evs,srts", "-r", "0.1", "-r", "0.3"),
    "sweep": ("sweep", "--tau-sim", "0.7", "--tau-sim", "0.8", "--tau-diff", "0.1", "--tau-diff", "p95"),
}


def answers() -> list[dict[str, Any]]:
    """Rows of stgraph eval: two videos, two questions each."""
    known = {"n_options": 4, "frames": 64, "total_s": 0.1, "n_kept": 5, "n_visual": 9, "family": "x"}
    return [
        {**dict.fromkeys(ANSWERS.columns), **known, "selector": s, "video": v, "digest": f"{v}{q}", "correct": q == 0}
        | {"retain_ratio": None if s == "full" else 0.3}
        for s in ("full", "evs")
        for v in "ab"
        for q in range(2)
    ]


@pytest.mark.parametrize("kind", ["backends", "selectors", "sweep", "accuracy", "answers"])
def test_odd_cells(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    if kind in ARGUMENTS:
        command, *options = ARGUMENTS[kind]
        made = tmp_path / ("made.jsonl" if kind == "sweep" else "made.json")
        run(command, saved(tmp_path / "clip"), *options, "-q", "-o", str(made))
        tables = read_tables(made)
    else:
        tables = {"rows": PROBE if kind == "accuracy" else answers()}
    rng, drawn = random.Random(1), 0
    columns = [(name, column) for name, rows in tables.items() for column in rows[0]]
    for name, column in rng.sample(columns, min(24, len(columns))):
        odd = {table: [dict(row) for row in rows] for table, rows in tables.items()}
        value, every = rng.choice(ODD), rng.random() < 0.7
        for row in odd[name] if every else odd[name][:1]:
            row[column] = value
            if value == 0:
                del row[column]
        path.write_text(json.dumps(odd))
        try:
            with warnings.catch_warnings():  # matplotlib's, of scales that cannot show a value
                warnings.simplefilter("ignore")
                _of_rows("accuracy" if kind == "answers" else kind, path, (), [], None)
            drawn += 1
        except StgraphError:
            continue
    assert drawn > 0


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"fidelity_mean": "much"}, "row 2 holds 'much' in 'fidelity_mean', which takes numbers"),
        ({"n_kept": True}, "row 2 holds 'True' in 'n_kept', which takes numbers"),
        ({"mine": 1e101}, r"row 2 holds 1e\+101 in 'mine'; a number is finite"),
        ({"select_s": float("-inf")}, "row 2 holds -inf in 'select_s'; a number is finite"),
        ({"correct": "maybe"}, "row 2 holds 'maybe' in 'correct', which takes True or False"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_described_column_holds_what_it_is_described_to(
    cells: dict[str, Any], message: str, suffix: str, tmp_path: Path
) -> None:
    ((name, value),) = cells.items()
    good = False if name == "correct" else 1
    text = json.dumps([{name: good}, cells]) if suffix == "json" else f"{name}\n{good}\n{value}\n"
    (tmp_path / f"r.{suffix}").write_text(text)
    with pytest.raises(InputError, match=message):
        read_tables(tmp_path / f"r.{suffix}")


def test_cells_as_they_are_described(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("tau_diff,digest,max_size,select_s,retain_ratio\n0.2,123,sqrt,nan,0.30\n")
    (row,) = read_tables(tmp_path / "r.csv")["rows"]
    assert row == {"tau_diff": "0.2", "digest": "123", "max_size": "sqrt", "select_s": None, "retain_ratio": 0.3}
