"""docs/benchmarks.md's tables of the authors' code and of every selector are those of their rows."""

from __future__ import annotations

import re
from pathlib import Path

from stgraph.bench.speed.peer_code import PEERS
from stgraph.bench.tables.reading import read_tables

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_rows() -> None:
    (rows,) = read_tables(ROOT / "bench/results/peer-code.csv").values()
    page = (ROOT / "docs/benchmarks.md").read_text()
    for name, peer in PEERS.items():
        ours, theirs = (
            next(r for r in rows if r["stage"] == name and r["by"] == by) for by in ("stgraph", peer.repository)
        )
        ratio = theirs["seconds"] / ours["seconds"]
        line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` ({peer.repository}"))
        assert line.endswith(f"| {ours['n_kept']:,} | {theirs['n_kept']:,} | {ratio:.0f} |"), line


def test_the_selectors_take_what_their_rows_say() -> None:
    (rows,) = read_tables(ROOT / "bench/results/selectors-amd-epyc.csv").values()
    part = (ROOT / "docs/benchmarks.md").read_text().partition("### Every selector")[2].partition("\n#")[0]
    of_page = dict(re.findall(r"^\| `([\w+-]+)` \| ([\d,.]+ \| [\d,.]+) \|", part, re.MULTILINE))
    timed = {
        row["by"]: f"{1e3 * row['seconds']:,.1f} | {row['reads']:,.2f}" for row in rows if row["stage"] == "selector"
    }
    assert of_page == timed
