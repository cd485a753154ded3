"""Tables in a terminal show every name and number, at the width of a narrow window too."""

from __future__ import annotations

import re

import pytest
from clips import clip
from terminal_tables import BACKENDS, ELLIPSIS, Row, cells, pair, render, row

import stgraph
from stgraph.bench.compare import compare_backends
from stgraph.bench.speed.stages import Case, measure
from stgraph.selection.settings import backend_settings
from stgraph.viz.terminal.comparison import backend_tables, comparison_tables, overlap_table, sentences
from stgraph.viz.terminal.speed import speed_tables
from stgraph.viz.terminal.tables import graph_tables, partition_tables, selection_table


def communities(rows: list[Row]) -> str:
    return render(backend_tables(rows)[0].on_terminal("backend"), 110)


def kept(rows: list[Row]) -> str:
    return render(backend_tables(rows)[1].on_terminal("backend"), 110)


def test_communities() -> None:
    text = communities([row(name) for name in BACKENDS])
    assert "at most 1,000 tokens each" in text
    for name in BACKENDS:
        (numbers,) = cells(text, name)
        assert numbers.split() == [
            *("12,345.6", "123,456", "654,321", "4,567", "61", "%", "234,567", "76,543", "0.918", "0.864")
        ]


def test_communities_without_a_cap() -> None:
    assert "no size cap" in communities([row("x", max_size=None)])


def test_kept() -> None:
    text = kept([row(name) for name in BACKENDS])
    assert "r = 0.3. Kept: 300,000 of 1,000,000 tokens, by norm" in " ".join(text.split())
    for name in BACKENDS:
        (numbers,) = cells(text, name)
        assert numbers.split() == [
            *("246,512", "36,245", "24,509", "115,678", "0.855", "0.642", "0.765", "0.893", "0.958", "30", "%")
        ]


def test_columns_nobody_has_figures_for_are_left_out() -> None:
    none = dict.fromkeys(("fidelity_mean", "fidelity_p5", "event_fidelity_mean"))
    bare = row("lattice-components", **none)
    del bare["cut_fidelity_mean"]
    text = kept([bare])
    assert not {"nearest", "events", "cuts"} & set(text.split())
    assert cells(text, "lattice-components")[0].split() == [
        "246,512",
        "36,245",
        "24,509",
        "115,678",
        "0.958",
        "30",
        "%",
    ]
    one_has = kept([bare, row("igraph-leiden")])
    assert cells(one_has, "lattice-components")[0].split()[4:8] == ["-"] * 4


def test_rows_of_several_seeds_are_averaged() -> None:
    rows = [
        row("igraph-leiden", seed, detection_s=s, cut_fidelity_mean=c) for seed, s, c in ((0, 1, 0.5), (1, 2, None))
    ]
    text = communities(rows)
    assert "means over 2 seeds" in text
    assert cells(text, "igraph-leiden")[0].split()[0] == "1,500.0"
    assert cells(kept(rows), "igraph-leiden")[0].split()[7] == "0.500"


def test_splitters_other_than_tree_are_named() -> None:
    rows = [row("igraph-leiden"), row("igraph-leiden", split="raster", n_uncapped=77)]
    text = communities(rows)
    assert cells(text, "igraph-leiden")[0].split()[1] == "123,456"
    assert cells(text, "igraph-leiden / raster")[0].split()[1] == "77"


@pytest.mark.parametrize("width", [80, 110])
def test_overlap(width: int) -> None:
    pairs = [pair(a, b, (10 * i + j) / 100) for i, a in enumerate(BACKENDS) for j, b in enumerate(BACKENDS) if i < j]
    text = render(overlap_table(pairs, 0.3), width)
    assert ELLIPSIS not in text
    for i, name in enumerate(BACKENDS):
        (values,) = cells(text, name)
        expected = [f"{(10 * min(i, j) + max(i, j)) / 100:.2f}" for j in range(len(BACKENDS)) if j != i]
        assert values.split() == expected


def test_overlap_between_seeds_lies_on_the_diagonal() -> None:
    pairs = [pair("a", "a", 0.9), pair("a", "b", 0.5, seeds=(0, 0)), pair("a", "b", 0.7, seeds=(1, 0))]
    text = render(overlap_table(pairs, 0.3), 80)
    assert [cells(text, name)[0].split() for name in "ab"] == [["0.90", "0.60"], ["0.60"]]


def test_findings_say_what_the_rows_say() -> None:
    rows = [row("lattice-components", cap_changed_ratio=c, retain_ratio=r) for r, c in ((0.1, 0.05), (0.5, 0.25))]
    pairs = [pair("lattice-components", b, j, 0.5) for b, j in (("igraph-leiden", 0.84), ("networkx-louvain", 0.81))]
    text = "\n".join(sentences(rows, pairs))
    assert "lattice-components: 4,567 of 123,456 communities are larger than √N and hold 61 % of all tokens." in text
    assert "Capping them changes up to 25 % of what is kept (r = 0.5)." in text
    assert "r = 0.5: lattice-components and networkx-louvain agree least; they share 81 %" in text
    assert sentences([row("a", n_oversized=0)], []) == []
    other = row("lattice-leiden", objective="cpm", oversized_ratio=0.004)
    assert "Held by communities above √N, by objective: none 61 %, cpm 0 %." in sentences([*rows, other], [])


def test_a_whole_comparison() -> None:
    result = compare_backends(clip(), backend_settings(seeds=(0, 1)), (0.1, 0.5))
    text = render(comparison_tables(result.rows, result.overlap), 110)
    assert ELLIPSIS not in text
    for name in {entry["backend"] for entry in result.rows}:
        assert len(cells(text, name)) == 4  # communities, kept at two ratios, overlap
    for ratio, n_kept in ((0.1, 18), (0.5, 90)):
        assert f"r = {ratio}. Kept: {n_kept} of 180 tokens" in text
    assert "Overlap of the kept tokens at r = 0.5" in text


@pytest.mark.parametrize("width", [80, 110])
def test_graph(width: int) -> None:
    summary = stgraph.build_graph(clip(), temporal=False).summary()
    text = render(graph_tables(summary.to_dict()), width)
    assert ELLIPSIS not in text
    for family in summary.families:
        label = family.family if family.in_graph else f"{family.family} (off)"
        numbers = cells(text, label)[0].replace(" %", "").split()
        assert numbers[:2] == [f"{family.n_lattice:,}", f"{family.n_above:,}"]
        assert numbers[3:] == [f"{v:.3f}" for v in (family.mean, family.std, family.p5, family.median, family.p95)]
    assert " ".join(map(str, summary.degree_histogram)) in " ".join(text.split())
    assert f"180 tokens, {summary.n_edges} edges; {summary.n_isolated} without an edge, 1 of norm 0" in text


@pytest.mark.parametrize("width", [80, 110])
def test_partition(width: int) -> None:
    report = {"summary": {"n_communities": 5, "modularity": 0.12345}, "provenance": {"split": "tree", "skipped": ()}}
    text = render(partition_tables(report, [1, 1, 2, 3, 1024], [1, 1, 2, 3, 512, 512]), width)
    sizes = {"1": "2 2 2 2", "2 to 3": "2 5 2 5", "4 to 7": "0 0 0 0", "512 to 1,023": "0 0 2 1,024"}
    for label, numbers in {**sizes, "1,024 to 2,047": "1 1,024 0 0"}.items():
        assert numbers.split() in [found.split() for found in cells(text, label)]
    for label, value in {"n_communities": "5", "modularity": "0.1235", "split": "tree"}.items():
        assert cells(text, label) == [value]
    assert "skipped" not in text


def test_sizes_after_the_cap_may_be_the_larger_ones() -> None:
    text = render(partition_tables({"summary": {}, "provenance": {}}, [3, 3, 3, 3], [6, 6]), 80)
    assert re.search(r"4 to 7 +0 +0 +2 +12", text)


def test_a_partition_of_long_facts_is_folded_not_cut() -> None:
    reason = "cugraph-leiden: " + "no CUDA driver " * 12
    text = render(partition_tables({"summary": {}, "provenance": {"skipped": (reason,)}}, [], []), 80)
    assert ELLIPSIS not in text
    assert text.count("CUDA") == 12


@pytest.mark.parametrize("width", [80, 110])
def test_selection(width: int) -> None:
    chosen = stgraph.selector("st-simdiff", retain_ratio=0.3).select(clip())
    report = dict(chosen.report)
    account = chosen.account.to_dict()
    text = render(selection_table([0, 1, 15, 16, 29, 30], 30, report, account, chosen.exactness), width)
    assert "kept per frame, 0 to 30 of 30:" in text
    assert " ▁▄▅██" in text.splitlines()
    flowing = " ".join(text.split())
    for key in ("n_tokens", "n_communities", "n_representatives", "n_events", "n_candidates", "excess", "n_target"):
        assert f"{report[key]:,} {key.removeprefix('n_')}" in flowing
    assert "importance: difference-then-centrality" in flowing
    assert "into the LLM: 54 tokens, 54 on average over 28 layers; newlines out; approximate: surplus" in flowing
    assert ELLIPSIS not in text


@pytest.mark.parametrize("width", [80, 110])
def test_speed(width: int) -> None:
    rows = measure(Case(2, 3, 4, 8), 1)
    for one in rows:
        one["seconds"], one["reads"] = 12.3456789, 98765.4321
    first = [{"cache": "empty", "import_s": 1.5, "first_selection_s": 12.25, "second_selection_s": 0.125}]
    text = render(speed_tables(rows, first), width)
    assert ELLIPSIS not in text
    assert text.count("12,345.68") == text.count("98,765.43") == len(rows)
    for one in rows:
        assert re.search(rf"^ {one['stage']} +{re.escape(one['by'])} +12,345", text, re.MULTILINE)
    peers = [one for one in rows if one["by"] not in ("stgraph", "plain read")]
    assert len(re.findall(r"98,765\.43 +1\.0 *$", text, re.MULTILINE)) == len(peers)
    assert cells(text, "empty")[0].split() == ["1.500", "12.250", "0.125"]
    assert "Peak memory of a selection beside the features" in text


@pytest.mark.parametrize("width", [30, 40, 60])
def test_a_narrow_window_loses_no_number_and_no_name(width: int) -> None:
    rows = [row(name, objective="none") for name in (*BACKENDS, "networkit-label-propagation")]
    for table in backend_tables(rows):
        text = render(table.on_terminal("backend"), width)
        assert ELLIPSIS not in text
        assert max(map(len, text.splitlines())) <= width
        for name in BACKENDS:
            assert text.count(name) >= 2  # a block after the other, each with its labels
        for number in re.findall(r"[\d.,]+", render(table.on_terminal("backend"), 200)):
            assert number.strip(".,") in text
    graph = render(graph_tables(stgraph.build_graph(clip()).summary().to_dict()), width)
    assert ELLIPSIS not in graph


def test_heads_are_words_with_an_arrow_for_better() -> None:
    text = communities([row(name) for name in BACKENDS]) + kept([row(name) for name in BACKENDS])
    assert not re.search(r"\w-(\s|$)", text.replace("difference-then", ""))
    assert text.count("↑") >= 6
    assert "ms ↓" in text
