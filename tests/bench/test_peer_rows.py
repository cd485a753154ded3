"""docs/benchmarks.md's table of the authors' code is that of its rows."""

from __future__ import annotations

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
