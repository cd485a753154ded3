"""What is called "before the cap" is what the backend finds without it: every splitter, wherever it is said."""

from __future__ import annotations

import json
import math
import pickle
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import igraph
import networkx as nx
import numpy as np
import pytest
from clips import clip, saved
from command_line import run
from foreign import Capping, registered

import stgraph
from stgraph import Partition
from stgraph.bench.compare import compare_backends
from stgraph.bench.sweep import SweepPlan
from stgraph.bench.sweep import run as sweep
from stgraph.community.base import available_backends, backend
from stgraph.community.size_cap import SPLITTERS
from stgraph.graph_views import to_networkx
from stgraph.selection.settings import backend_settings
from stgraph.viz.pages.shown import shown
from stgraph.viz.pages.view import view_data

RATIO = 0.3
PAIRS = [
    (name, split)
    for name in available_backends()
    if backend(name).capabilities.reads == "edges"
    for split in SPLITTERS.names()
    if split != "native" or backend(name).capabilities.native_cap
]
each_pair = pytest.mark.parametrize(("name", "split"), PAIRS)
native = {"backend": "leidenalg-leiden", "split": "native"}


@cache
def graph() -> stgraph.TokenGraph:
    return stgraph.build_graph(clip())


@cache
def free(name: str) -> list[int]:
    """The labels of a backend that has been told of no cap."""
    return stgraph.detect_communities(graph(), name, max_size=None).labels.tolist()


@cache
def kept(name: str, split: str, max_size: Any) -> frozenset[int]:
    chosen = stgraph.selector("st-simdiff", retain_ratio=RATIO, backend=name, split=split, max_size=max_size)
    return frozenset(chosen.select(clip()).indices.tolist())


@cache
def by_hand(name: str) -> dict[str, Any]:
    """The columns about what was before the cap, from labels alone."""
    labels = free(name)
    edges = stgraph.detect_communities(graph(), name, max_size=None).edges  # without a threshold, every edge
    groups = [[i for i, other in enumerate(labels) if other == label] for label in set(labels)]
    large = [len(group) for group in groups if len(group) > math.isqrt(len(labels))]
    return {
        "n_uncapped": len(groups),
        "largest_uncapped": max(map(len, groups)),
        "n_oversized": len(large),
        "oversized_ratio": sum(large) / len(labels),
        "uncapped_modularity": nx.community.modularity(to_networkx(edges), groups),
    }


def check(row: dict[str, Any], name: str) -> None:
    expected = by_hand(name)
    assert {key: row[key] for key in expected} == pytest.approx(expected, abs=1e-9)


def test_the_clip_tells_before_from_after() -> None:
    """Otherwise the other tests could not fail."""
    capped = stgraph.detect_communities(graph(), **native)
    assert by_hand("leidenalg-leiden")["n_oversized"] > 0 == np.count_nonzero(capped.sizes > 13)
    assert any(kept(name, split, "sqrt") != kept(name, split, None) for name, split in PAIRS if split == "native")


@each_pair
def test_columns_of_compare(name: str, split: str) -> None:
    (row,) = compare_backends(clip(), backend_settings((name,), (split,)), (RATIO,), fidelity=False).rows
    check(row, name)
    under, without = kept(name, split, "sqrt"), kept(name, split, None)
    assert row["cap_changed_ratio"] == pytest.approx(1 - len(under & without) / len(under | without))


def test_overlap_before_the_cap() -> None:
    settings = backend_settings(dict.fromkeys(name for name, _ in PAIRS), SPLITTERS.names())
    pairs = {
        ((p["backend_a"], p["split_a"]), (p["backend_b"], p["split_b"])): p["uncapped_nmi"]
        for p in compare_backends(clip(), settings, (RATIO,), fidelity=False).overlap
    }
    assert list(pairs) == list(combinations(PAIRS, 2))
    for ((a, _), (b, _)), nmi in pairs.items():
        assert nmi == pytest.approx(igraph.compare_communities(free(a), free(b), method="nmi"))


@each_pair
def test_columns_of_a_sweep(name: str, split: str) -> None:
    plan = SweepPlan(
        backends=(name,), splits=(split,), seeds=(0,), tau_sims=(0.8,), tau_diffs=(0.2,), retain_ratios=(RATIO,)
    )
    (row,) = sweep(plan, [("a clip", clip())])
    check(row, name)


@each_pair
def test_columns_of_the_probe(name: str, split: str) -> None:
    choosing = pytest.importorskip("stgraph.bench.probe.choosing")
    kept = list(stgraph.keep(clip(), backend_settings((name,), (split,)), RATIO))
    row = choosing.Chosen(kept).communities()
    columns = ("n_uncapped", "largest_uncapped", "oversized_ratio")
    assert [row[key] for key in columns] == [pytest.approx(by_hand(name)[key]) for key in columns]


@each_pair
def test_a_partition_and_its_page(name: str, split: str) -> None:
    found = stgraph.detect_communities(graph(), name, split=split)
    for partition in (found, found.to("cpu"), pickle.loads(pickle.dumps(found)), found.to("cpu").to("cpu")):
        assert partition.uncapped_labels.tolist() == free(name)
        assert sorted(partition.uncapped_sizes) == sorted(free(name).count(label) for label in set(free(name)))
        assert partition.oversized_ratio == pytest.approx(by_hand(name)["oversized_ratio"])
        check(partition.summary(), name)
    above = by_hand(name)["n_oversized"]
    told = ", cap of 13 inside the search)" if split == "native" else f", {above} above 13 split by {split})"
    assert repr(found).endswith(told)
    assert (
        f"<th>oversized_ratio</th><td style='text-align:left'>{by_hand(name)['oversized_ratio']:.4g}"
        in found._repr_html_()
    )


@each_pair
def test_the_report_of_a_selection_has_the_share_or_nothing(name: str, split: str) -> None:
    report = stgraph.selector("st-simdiff", retain_ratio=RATIO, backend=name, split=split).select(clip()).report
    share = None if split == "native" else pytest.approx(by_hand(name)["oversized_ratio"])
    assert report["oversized_ratio"] == share


@each_pair
def test_a_stream_reports_the_share_or_nothing(name: str, split: str) -> None:
    frames = stgraph.stream(0.8, RATIO, window=4, backend=name, split=split)
    parts = [frames.push(frame) for frame in clip().lattice[:5]]
    report = next(part for part in parts if part is not None).report
    seen = stgraph.build_graph(stgraph.VideoTokens.from_array(clip().lattice[:4]))
    share = stgraph.detect_communities(seen, name, max_size=None).oversized_ratio
    assert report["oversized_ratio"] == (None if split == "native" else pytest.approx(share))


@pytest.mark.parametrize("split", ["tree", "native"])
def test_the_command_communities(split: str, tmp_path: Path) -> None:
    dump, target = saved(tmp_path / "a.safetensors"), tmp_path / "rows.csv"
    options = ("communities", dump, "-b", "leidenalg-leiden", "--split", split)
    check(json.loads(run(*options, "--format", "json"))["summary"], "leidenalg-leiden")
    run(*options, "-o", str(target))
    column = [int(line.split(",")[5]) for line in target.read_text().splitlines()[1:]]
    assert column == free("leidenalg-leiden")


@pytest.mark.parametrize("split", ["tree", "native"])
def test_the_page_of_a_video(split: str) -> None:
    (one,) = shown(stgraph.keep(clip(), backend_settings(("leidenalg-leiden",), (split,)), RATIO))
    assert one.analysis is not None
    (entry,) = view_data(clip(), [one], "")["settings"]
    figures = by_hand("leidenalg-leiden")
    assert entry["finding"] == one.finding()
    assert one.finding().startswith(f"{figures['n_oversized']} of {figures['n_uncapped']} communities ")
    assert one.finding().endswith(f"hold {100 * figures['oversized_ratio']:.0f} % of all tokens.")
    assert entry["communities"]["in_search"] == (split == "native")
    verb = "With the cap inside its search the backend finds" if split == "native" else "The cap cuts these into"
    assert one.kept_sentence(RATIO).startswith(verb)
    assert f"{one.analysis.partition.n_communities:,}" in one.kept_sentence(RATIO)


def test_a_selection_detects_once_and_a_figure_once_more() -> None:
    engine = Capping()
    with registered(engine) as name:
        selector = stgraph.selector("st-simdiff", retain_ratio=RATIO, backend=name, split="native")
        selector.select(clip())
        assert engine.caps == [13]
        partition = selector.analyse(clip()).partition
        assert repr(partition)
        assert engine.caps == [13, 13]
        assert partition.oversized_ratio == partition.summary()["oversized_ratio"] > 0.5
        assert partition.to("cpu").uncapped_sizes.max() == partition.uncapped_labels.tolist().count(0)
        assert engine.caps == [13, 13, None]


@pytest.mark.parametrize("max_size", [None, 4])
def test_labels_known_beforehand_are_those_before_the_cap(max_size: int | None) -> None:
    engine = Capping()
    with registered(engine) as name:
        known = np.repeat(np.arange(2, dtype=np.int32), 90)
        found = stgraph.detect_communities(graph(), name, max_size=max_size, split="native", found=known)
    assert found.uncapped_labels is known
    assert engine.caps == ([] if max_size is None else [4])
    assert not found.capped_in_search
    assert found.sizes.max() == (max_size or 90)


def test_a_partition_of_ones_own() -> None:
    edges, one = graph().edges, stgraph.detect_communities(graph(), "lattice-components")
    labels, before = np.arange(180, dtype=np.int32), np.zeros(180, np.int32)
    given = Partition(edges, labels, before, one.provenance)
    later = Partition(edges, labels, lambda: before, one.provenance)
    for partition in (given, later, given.to("cpu"), later.to("cpu")):
        assert partition.uncapped_sizes.tolist() == [180]
        assert partition.oversized_ratio == 1.0
        assert partition.summary()["n_oversized"] == 1


def test_without_a_cap_nothing_is_inside_the_search() -> None:
    found = stgraph.detect_communities(graph(), max_size=None, **native)
    assert not found.capped_in_search
    assert found.labels.tolist() == free("leidenalg-leiden")
    assert repr(found).endswith("by leidenalg-leiden)")


@pytest.mark.slow
def test_the_sample() -> None:
    settings = backend_settings(("leidenalg-leiden",), ("native",))
    (row,) = compare_backends(stgraph.sample(), settings, (0.3,)).rows
    assert row["oversized_ratio"] == pytest.approx(0.548, abs=5e-4)
    assert row["cap_changed_ratio"] == pytest.approx(0.265, abs=5e-4)
