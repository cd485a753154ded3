"""The README and the guides show the stored rows of speed and of serving, in tables and sentences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stgraph.bench.speed.peer_code import PEERS
from stgraph.bench.tables.reading import read_tables
from stgraph.errors import InputError
from stgraph.page_parts import with_parts
from stgraph.selection.base import SELECTORS
from stgraph.serving.releases import TESTED
from stgraph.speed_pages import CPU, PAGES, VLLM, page_parts, update_pages
from stgraph.viz.markdown.serving import FAMILIES

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results"
MADE = re.compile(r"<!-- rows: [^>]+ -->\n.*?\n<!-- end -->", re.DOTALL)

pytestmark = pytest.mark.skipif(not RESULTS.exists(), reason="bench/results is not here: not a checkout")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def lines(part: str) -> dict[str, list[str]]:
    """Cells of a table of docs/benchmarks.md by its first one."""
    text = page_parts(RESULTS)["docs/benchmarks.md"][part]
    cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:])
    return {first: rest for first, *rest in cells}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_that_of_the_rows(name: str) -> None:
    assert with_parts(page(name), page_parts(RESULTS)[name]) == page(name), "run make pages"


def test_pages_take_the_figures_of_other_rows(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in PAGES:
        (tmp_path / name).write_text(MADE.sub(lambda part: re.sub(r"\d", "0", part[0]), page(name)), encoding="utf-8")
    update_pages(RESULTS, tmp_path)
    for name in PAGES:
        assert (tmp_path / name).read_text(encoding="utf-8") == page(name)


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(InputError, match="the page has marks for nothing, and the rows give a: write <!-- rows: a -->"):
        with_parts("# A page", {"a": "x"})
    with pytest.raises(InputError, match="marks for b, and the rows give a: write <!-- rows: a -->"):
        with_parts("<!-- rows: b -->\n\nx\n\n<!-- end -->", {"a": "x"})


def test_sentences_of_the_benchmarks_hold_no_measured_number() -> None:
    """All are made from rows: outside the marks only targets and settings are numbers."""
    text = MADE.sub("", page("docs/benchmarks.md"))
    found = re.findall(r"[\d.,]+ (?:ns|µs|ms|s|%|GB|reads?|times)\b", text)
    assert found == ["1.3 reads"], found  # a target


def test_tables_hold_the_rows() -> None:
    """Read anew from the files, without the functions that made the tables."""
    rows = read_tables(RESULTS / CPU / "bench.csv")["rows"]
    ours = {(row["case"], row["stage"]): row for row in rows if row["by"] in ("stgraph", "plain read")}
    stages = lines("stages")
    assert len(stages) == 7
    for case, cells in stages.items():
        assert cells[0] == f"{1e3 * ours[case, 'read']['seconds']:.2f}"
        assert cells[1] == f"{1e3 * ours[case, 'selection']['seconds']:.1f}"
        assert cells[3] == f"{ours[case, 'selection']['reads']:.2f}"
        assert cells[4] == f"{ours[case, 'edges']['reads']:.2f}"
    quadratic = {name for name in SELECTORS.usable() if getattr(SELECTORS.get(name), "quadratic", False)}
    timed = {
        f"`{row['by']}`": [
            f"{1e3 * row['seconds']:,.1f}",
            f"{row['reads']:,.2f}",
            "quadratic" if row["by"] in quadratic else "",
        ]
        for row in rows
        if row["stage"] == "selector"
    }
    assert lines("selectors") == timed and set(timed) == {f"`{name}`" for name in SELECTORS.usable()}
    shown = lines("authors' code")
    peers = read_tables(RESULTS / CPU / "peer-code.csv")["rows"]
    for name, peer in PEERS.items():
        mine, theirs = (
            next(r for r in peers if r["stage"] == name and r["by"] == by) for by in ("stgraph", peer.repository)
        )
        assert shown[f"`{name}`"][:3] == [peer.repository, f"{mine['n_kept']:,}", f"{theirs['n_kept']:,}"]
        assert float(shown[f"`{name}`"][3]) == pytest.approx(theirs["seconds"] / mine["seconds"], rel=0.05)


def test_targets_are_met_where_the_page_says_so() -> None:
    rows = read_tables(RESULTS / CPU / "bench.csv")["rows"]
    text = page_parts(RESULTS)["docs/benchmarks.md"]["targets"]
    limits = re.findall(
        r"^\| (edges|selection) within ([\d.]+) reads \| ([^|]+) \| ([\d.]+) \| [\d.]+ \| (yes|no) \|",
        text,
        re.MULTILINE,
    )
    assert len(limits) == 9
    for stage, limit, case, shown, met in limits:
        (row,) = (r for r in rows if (r["stage"], r["by"], r["case"]) == (stage, "stgraph", case))
        assert shown == f"{row['reads']:.2f}" and (met == "yes") == (row["reads"] <= float(limit))


def test_every_promise_of_serving_held_where_it_was_tried() -> None:
    text = page("docs/vllm.md")
    for i, name in enumerate(FAMILIES):
        rows = read_tables(RESULTS / VLLM / f"{name}.csv")["rows"]
        assert {row["holds"] for row in rows} <= {True, None} and {row["vllm"] for row in rows} == {TESTED[-1]}
        for row in rows:
            line = next(line for line in text.splitlines() if line.startswith(f"| {row['promise']} |"))
            assert line.strip("| ").split(" | ")[1 + i] == row["seen"]
