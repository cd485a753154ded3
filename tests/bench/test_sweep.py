"""Sweeps: rows are what the selector itself keeps, work is shared, and an interrupted sweep goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import SHAPE, clip, nearest
from terminal_tables import render

import stgraph
from stgraph import VideoTokens
from stgraph.bench.sweep import SweepPlan, run
from stgraph.bench.sweep_rows import SweepRows, content_digest
from stgraph.bench.tables.experiments import SWEEP
from stgraph.errors import MissingSignalError
from stgraph.selection.result import Selection
from stgraph.selection.st_simdiff.presets import ABLATION
from stgraph.viz.terminal.sweep import sweep_tables

Row = dict[str, Any]

PLAN = SweepPlan(
    tau_sims=(0.7, 0.8, 0.85),
    tau_diffs=(0.2, "p90"),
    retain_ratios=(0.3, 0.55),
    backends=("lattice-components", "igraph-leiden"),
    seeds=(0, 5),
)
TIMES = {name for name in SWEEP.columns if name.endswith("_s")}
WORK = {"graph": "selection.keeping.build_graph"} | {
    name: f"selection.st_simdiff.paper.{name}" for name in ("detect_communities", "centrality")
}


@cache
def select(**options: Any) -> Selection:
    return stgraph.selector("st-simdiff", **options).select(clip())


def plain(rows: list[Row]) -> list[Row]:
    """The rows without what differs from run to run."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return run(replace(PLAN, fidelity=True), [("a clip", clip())])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often each kind of work was done, without the warm-up on a toy video."""
    counts = dict.fromkeys(WORK, 0)
    monkeypatch.setattr("stgraph.bench.sweep.warm_up", lambda *_: None)

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return real(*args, **options)

        return call

    for name, place in WORK.items():
        module, _, attribute = f"stgraph.{place}".rpartition(".")
        real = getattr(__import__(module, fromlist=["x"]), attribute)
        monkeypatch.setattr(f"{module}.{attribute}", counted(name, real))
    return counts


# Rows


def test_one_row_for_each_configuration(rows: list[Row]) -> None:
    assert len(rows) == len({SWEEP.key_of(row) for row in rows}) == 3 * 3 * 2 * 2
    for row in rows:
        assert list(row) == list(SWEEP.columns)
        assert (row["dump"], row["digest"], row["preset"]) == ("a clip", content_digest(clip()), "full")
        assert (row["seed"] is None) == (row["resolution"] is None) == (row["backend"] == "lattice-components")
        for name, kind in SWEEP.columns.items():
            assert row[name] is None or type(row[name]) is kind, name


def test_a_row_is_what_the_selector_keeps(rows: list[Row]) -> None:
    overlaps = set()
    for row in rows:
        common = {"retain_ratio": row["retain_ratio"], "backend": row["backend"], "seed": row["seed"] or 0}
        tau_diff = 0.2 if row["tau_diff"] == "0.2" else row["tau_diff"]
        kept = select(tau_sim=row["tau_sim"], tau_diff=tau_diff, **common)
        for name in ("n_tokens", "n_events", "n_candidates", "excess", "event_threshold", "importance"):
            assert row[name] == kept.report[name], name
        assert row["n_communities"] == kept.report["n_communities"]
        assert {name: row[f"n_{name}"] for name in kept.reasons()} == kept.reasons()
        assert row["n_kept"] == len(kept) == row["n_input"] == row["mean_layer_tokens"]
        assert row["mean_layer_ratio"] == len(kept) / 180
        there, here = select(**common).mask, kept.mask
        assert row["reference_overlap"] == pytest.approx((here & there).sum() / (here | there).sum())
        overlaps.add(row["reference_overlap"])
        assert row["events_kept_ratio"] == (row["n_event"] + row["n_both"]) / row["n_events"]
        assert row["fidelity_mean"] == pytest.approx(
            nearest(clip(), here.reshape(-1))[~here.reshape(-1)].mean(), abs=1e-5
        )
        assert row["has_fidelity"] is True
    assert min(overlaps) < 0.9
    assert max(overlaps) == 1.0


def test_presets_are_the_ablation() -> None:
    attention = np.random.default_rng(0).random(SHAPE)
    tokens = VideoTokens.from_array(clip().lattice, importance=attention)
    rows = run(SweepPlan(tau_sims=(0.8,), tau_diffs=(0.2,), presets=tuple(ABLATION)), [("x", tokens)])
    assert sorted(row["preset"] for row in rows) == sorted([*ABLATION] * 2)
    for row in rows:
        options = {**ABLATION[row["preset"]], "importance": "attention", "retain_ratio": row["retain_ratio"]}
        kept = stgraph.selector("st-simdiff", **options).select(tokens)
        assert (row["importance"], row["reference_overlap"]) == ("attention", 1.0)
        for name in ("n_candidates", "n_events", "n_communities"):
            assert row[name] == kept.report[name]
        assert {name: row[f"n_{name}"] for name in kept.reasons()} == kept.reasons()
        if row["preset"] == "attention-only":
            assert row["n_communities"] == row["n_candidates"] == 180


def test_presets_need_the_attention_of_the_paper(calls: dict[str, int]) -> None:
    plan = SweepPlan(presets=("full",))
    with pytest.raises(
        MissingSignalError, match=r"^b: importance 'attention', .* needs the signal .* --importance auto"
    ):
        run(plan, [("b", clip())])
    assert set(calls.values()) == {0}
    assert SweepPlan().importance == "auto"
    assert replace(plan, importance="norm").importance == "norm"


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 5), (5, 1, 1)])
def test_videos_of_any_shape(shape: tuple[int, int, int]) -> None:
    constant = VideoTokens.from_array(np.ones((*shape, 3), np.float16))
    for row in run(replace(PLAN, fidelity=True), [("x", constant)]):
        assert row["reference_overlap"] == 1.0
        assert row["events_kept_ratio"] is None


# Work


def test_work_is_shared(calls: dict[str, int]) -> None:
    run(replace(PLAN, backends=("lattice-components",)), [("x", clip())])
    assert calls == {"graph": 1, "detect_communities": 3, "centrality": 3}
    run(SweepPlan(presets=("spatial-temporal", "full"), importance="auto", tau_sims=(0.6, 0.7)), [("x", clip())])
    assert calls == {"graph": 2, "detect_communities": 6, "centrality": 6}  # the third for the reference, 0.8


def test_rows_that_are_there_are_not_computed_again(tmp_path: Path, calls: dict[str, int]) -> None:
    path = tmp_path / "rows.csv"
    first = run(PLAN, [("x", clip())], SweepRows(path))
    done = dict(calls)
    before = path.stat().st_mtime_ns
    store = SweepRows(path)
    assert run(PLAN, [("renamed", clip())], store) == first
    assert (calls, store.n_new, path.stat().st_mtime_ns) == (done, 0, before)
    more = SweepRows(path)
    assert len(run(replace(PLAN, tau_sims=(0.8, 0.9)), [("x", clip())], more)) == 24
    assert (more.n_new, len(more)) == (12, 48)
    assert {name: calls[name] - done[name] for name in calls} == {  # 0.9 and the reference, for three partitions
        "graph": 1,
        "detect_communities": 6,
        "centrality": 6,
    }


def test_another_dump_of_the_same_name_is_computed(tmp_path: Path) -> None:
    path, small = tmp_path / "rows.csv", SweepPlan(tau_sims=(0.8,), tau_diffs=(0.2,))
    run(small, [("x", clip(1))], SweepRows(path))
    store = SweepRows(path)
    (row, _) = run(small, [("x", clip(2)), ("twice", clip(2))], store)
    assert (store.n_new, len(store)) == (2, 4)
    assert store.superseded({"x": row["digest"]}) == ["x"]
    assert store.superseded({"y": row["digest"]}) == []


def test_fidelity_asked_for_later_is_added(tmp_path: Path) -> None:
    path, small = tmp_path / "rows.csv", SweepPlan(tau_sims=(0.8,), tau_diffs=(0.2,))
    (row, _) = run(small, [("x", clip())], SweepRows(path))
    assert (row["has_fidelity"], row["fidelity_mean"]) == (False, None)
    store = SweepRows(path)
    (row, _) = run(replace(small, fidelity=True), [("x", clip())], store)
    assert (store.n_new, len(store)) == (2, 2)
    assert row["fidelity_mean"] > 0
    again = SweepRows(path)
    assert run(small, [("x", clip())], again)[0] == row
    assert again.n_new == 0


@pytest.mark.parametrize("fmt", ["csv", "parquet", "jsonl"])
def test_an_interrupted_sweep_goes_on(tmp_path: Path, fmt: str) -> None:
    if fmt == "parquet":
        pytest.importorskip("pyarrow")
    inputs = [("x", clip(1)), ("y", clip(2))]
    whole, path = tmp_path / f"whole.{fmt}", tmp_path / f"parts.{fmt}"
    expected = plain(run(PLAN, inputs, SweepRows(whole, fmt)))
    counts = []
    for stop in (0.1, 0.4, 0.8):

        def interrupt(label: str, share: float, stop: float = stop) -> None:
            if share > stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(PLAN, inputs, SweepRows(path, fmt), interrupt)
        counts.append(len(SweepRows(path, fmt)))
    assert 0 < counts[0] < counts[1] < counts[2] < 72
    store = SweepRows(path, fmt)
    assert plain(run(PLAN, inputs, store)) == expected
    assert store.n_new == 72 - counts[2]
    for ours in (store, SweepRows(path, fmt), SweepRows(whole, fmt)):
        assert plain(list(ours._rows.values())) == expected
    assert {p.name for p in tmp_path.iterdir()} == {whole.name, path.name}


def test_a_killed_sweep_loses_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("stgraph.bench.tables.row_file.monotonic", lambda: now[0])
    (row, other, third) = run(replace(PLAN, backends=("lattice-components",)), [("x", clip())])[:3]
    store = SweepRows(tmp_path / "a.csv")
    store.add([row])
    assert not (tmp_path / "a.csv").exists()
    now[0] = 3.0
    store.add([other])
    assert len(SweepRows(tmp_path / "a.csv")) == 2
    now[0] = 5.9
    store.add([third])
    assert len(SweepRows(tmp_path / "a.csv")) == 2
    store.save()
    assert len(SweepRows(tmp_path / "a.csv")) == 3


def test_the_digest_is_of_features_grid_and_signals() -> None:
    one = clip()
    x = one.lattice.copy()
    assert content_digest(VideoTokens.from_array(np.asfortranarray(x), signals=one.signals)) == content_digest(one)
    x[5, 4, 5, 11] += 1
    others = [
        VideoTokens.from_array(x, signals=one.signals),
        VideoTokens.from_array(one.lattice),
        VideoTokens.from_array(one.lattice, signals={**one.signals, "shot_cuts_s": np.array([2.5])}),
        VideoTokens.from_array(one.lattice.reshape(5, 6, 6, 12)),
    ]
    assert len({content_digest(tokens) for tokens in (one, *others)}) == 5


# Tables


def test_tables_fit_a_narrow_window(rows: list[Row]) -> None:
    wide = [
        {**row, "tau_diff": text, "n_event": 123_456, "n_both": 0}
        for row in rows
        for text in ("0.2", "p99.5", "-0.25", "0.4", "0.5", "0.6")
    ]
    text = render(sweep_tables(wide, (0.8, "0.2")), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert [text.count(f"full, r = {ratio} ") for ratio in (0.3, 0.55)] == [2, 2]  # five of six columns, and the sixth
    assert text.count("123,456") == 3 * 6 * 2
    assert "means over 2 backends, 2 seeds" in " ".join(text.split())


def test_a_cell_is_the_mean_of_its_rows(rows: list[Row]) -> None:
    own = [r for r in rows if (r["tau_sim"], r["tau_diff"], r["retain_ratio"]) == (0.7, "p90", 0.3)]
    assert len(own) == 3
    figures = zip((0.1, 0.2, 0.6), (1, 2, 6), strict=True)
    made = [
        {**row, "reference_overlap": o, "n_event": e, "n_both": 1} for row, (o, e) in zip(own, figures, strict=True)
    ]
    others = [r for r in rows if r["retain_ratio"] == 0.3 and r not in own]
    text = render(sweep_tables([*others, *made], (0.8, "0.2")), 80)
    (line,) = (line.split() for line in text.splitlines() if line.startswith("0.7 "))
    assert (line[2], line[4]) == ("0.30", "4")


def test_the_key_is_among_the_columns() -> None:
    assert set(SWEEP.key) <= set(SWEEP.columns)
