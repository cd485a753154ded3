"""keep: what each setting keeps is what its selector keeps alone, and what settings share is computed once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from clips import SHAPE, clip

import stgraph
from stgraph import Budget, TokenGrid, VideoTokens
from stgraph.bench.synthetic import synthetic_signals
from stgraph.errors import InputError, MissingSignalError, UnknownNameError
from stgraph.selection.base import SELECTORS
from stgraph.selection.keeping import Keeping, keep
from stgraph.selection.settings import Setting, backend_settings, selector_settings, settings_of

RATIOS = (0.1, 0.45, 1.0)


@cache
def tokens() -> VideoTokens:
    return synthetic_signals(clip())


def with_newlines() -> VideoTokens:
    T, H, W = SHAPE
    kind = np.zeros((T * H, W + 1), np.uint8)
    kind[:, W] = 1
    x = np.insert(clip().lattice.reshape(-1, W, 12), W, 1, axis=1).reshape(-1, 12)
    return VideoTokens(x, TokenGrid(*SHAPE, kind.reshape(-1)))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often graphs were built and communities detected."""
    counts = {"build_graph": 0, "detect_communities": 0}
    for place in ("selection.keeping.build_graph", "selection.st_simdiff.paper.detect_communities"):
        module, _, name = f"stgraph.{place}".rpartition(".")
        real = getattr(__import__(module, fromlist=["x"]), name)

        def counted(*args: Any, real: Any = real, name: str = name, **options: Any) -> Any:
            counts[name] += 1
            return real(*args, **options)

        monkeypatch.setattr(f"{module}.{name}", counted)
    return counts


def mixed() -> list[Setting]:
    """Settings that share communities with those before, with others, or with none."""
    axes = {"backend": ("lattice-components", "igraph-leiden"), "tau_diff": (0.2, "p90"), "tau_sim": (0.7, 0.8)}
    found = settings_of(["st-simdiff", "srts", "evs"], axes)
    found += [Setting("st-simdiff", {"importance": "norm", "protect_events": True}), Setting("st-simdiff-attention")]
    return [*found, Setting("st-simdiff", {"events": False}), Setting("st-simdiff", {"reduce": False}), found[0]]


@pytest.mark.parametrize("settings", [mixed(), mixed()[::-1], selector_settings()], ids=["mixed", "back", "all"])
def test_each_selection_is_that_of_the_selector_alone(settings: list[Setting]) -> None:
    found = list(keep(tokens(), settings, RATIOS))
    assert [(kept.setting, kept.ratio) for kept in found] == list(product(settings, RATIOS))
    for kept in found:
        alone = stgraph.selector(kept.setting.selector, retain_ratio=kept.ratio, **kept.setting.parameters)
        expected = alone.select(tokens())
        for name in ("indices", "reason", "scores"):
            np.testing.assert_array_equal(getattr(kept.selection, name), getattr(expected, name))
        report, other = (dict(one.report) for one in (kept.selection, expected))
        assert set(report.pop("seconds")) == set(other.pop("seconds"))
        assert report == other
        assert kept.selection.provenance == expected.provenance
        assert kept.seconds > 0
        np.testing.assert_array_equal(kept.mask, expected.mask.reshape(-1))


@pytest.mark.parametrize("newlines", ["in", "out", None])
def test_newlines(newlines: str | None) -> None:
    several = ["st-simdiff", "st-simdiff-released", "uniform"]
    for kept in keep(with_newlines(), several, [0.3, 0.6], newlines=newlines):
        name = kept.setting.selector
        alone = stgraph.selector(name, retain_ratio=kept.ratio, newlines=newlines).select(with_newlines())
        np.testing.assert_array_equal(kept.selection.indices, alone.indices)
        assert kept.selection.account == alone.account


def test_what_is_shared_is_computed_once(calls: dict[str, int]) -> None:
    axes = {"backend": ("lattice-components", "scipy-components"), "tau_diff": (0.1, 0.2, "p95"), "events": (True,)}
    settings = [*settings_of(["st-simdiff"], axes), Setting("st-simdiff-attention", {"backend": "scipy-components"})]
    found = list(keep(tokens(), settings, RATIOS))
    assert calls == {"build_graph": 1, "detect_communities": 2}
    analyses = [kept.analysis for kept in found]
    assert len(set(map(id, analyses))) == 7 - 1  # the last setting shares its threshold as well
    assert len({id(one.partition) for one in analyses if one is not None}) == 2


def test_a_reference_is_remembered_beside_the_communities_at_work(calls: dict[str, int]) -> None:
    keeping, reference = Keeping(tokens()), Setting(parameters={"tau_sim": 0.8})
    for tau_sim in (0.5, 0.6, 0.7):
        keeping.at(reference, 0.3)
        keeping.at(Setting(parameters={"tau_sim": tau_sim}), 0.3)
    assert calls == {"build_graph": 1, "detect_communities": 4}


def test_the_features_are_not_read_for_a_graph_nobody_needs(calls: dict[str, int]) -> None:
    (kept,) = keep(tokens(), "uniform", 0.3)
    assert kept.analysis is kept.candidates is None
    assert calls == {"build_graph": 0, "detect_communities": 0}


@pytest.mark.parametrize("parameters", [{}, {"events": False}, {"tau_diff": "p80", "backend": "igraph-leiden"}])
def test_candidates_are_what_is_reduced(parameters: dict[str, Any]) -> None:
    for kept in keep(tokens(), Setting("st-simdiff", parameters), RATIOS):
        whole = stgraph.selector("st-simdiff", retain_ratio=kept.ratio, reduce=False, **parameters).select(tokens())
        expected = np.zeros(tokens().grid.n_nodes, np.uint8)
        expected[whole.indices] = whole.reason
        np.testing.assert_array_equal(kept.candidates, expected)


@pytest.mark.parametrize(
    ("settings", "ratios", "error", "message"),
    [
        ("evz", 0.3, UnknownNameError, "no selector 'evz'"),
        (["evs", "st-simdif"], 0.3, UnknownNameError, "no selector 'st-simdif'. Did you mean"),
        (Setting("uniform", {"tau_sim": 0.3}), 0.3, InputError, "selector 'uniform' has no parameter 'tau_sim'"),
        (Setting("st-simdiff", {"tau_sim": 7}), 0.3, InputError, "tau_sim is 7"),
        ("evs", (0.3, 1.5), InputError, "retain_ratio is 1.5"),
        ("evs", (), InputError, "ratios is empty"),
        ([], 0.3, InputError, "settings is empty"),
        ([("evs", {})], 0.3, InputError, r"a setting is \('evs', {}\); pass the name of a selector or a stgraph.Setti"),
        (["evs", "fastervlm"], 0.3, MissingSignalError, "enc_cls_attn"),
        (Setting("st-simdiff", {"importance": "attention"}), 0.3, MissingSignalError, "importance"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, settings: Any, ratios: Any, error: type[Exception], message: str
) -> None:
    monkeypatch.setattr("stgraph.selection.keeping.build_graph", lambda *_: pytest.fail("a graph was built"))
    with pytest.raises(error, match=message):
        keep(clip(), settings, ratios)  # not even asked for the first


def test_progress_runs_from_0_to_1() -> None:
    told: list[tuple[str, float]] = []
    found: Iterator[Any] = keep(clip(), ["st-simdiff", "evs"], 0.3, progress=lambda *at: told.append(at))
    assert told == [] and len(list(found)) == 2
    assert told == [("st-simdiff", 0.0), ("evs", 0.5), ("done", 1.0)]


def test_settings() -> None:
    leiden = Setting(parameters={"backend": "igraph-leiden", "seed": 3})
    assert str(leiden) == "st-simdiff, backend igraph-leiden, seed 3" and leiden.label == "st-simdiff / igraph-leiden"
    assert (leiden.get("tau_sim"), leiden.get("nothing"), leiden.seed) == (0.8, None, 3)
    assert Setting(parameters={"seed": 3}).seed is Setting("uniform").seed is None
    assert (Setting("random").seed, Setting("srts").get("importance")) == (0, "centrality")
    assert Setting("evs") == Setting("evs", {}) != leiden
    assert {one.selector for one in selector_settings()} == set(SELECTORS.names())
    made = backend_settings(("scipy-components", "igraph-leiden"), seeds=(4, 5))
    assert [one.get("seed") for one in made] == [4, 4, 5]


def test_a_budget_that_has_been_counted_with_builds_a_selector() -> None:
    budget = Budget(retain_ratio=0.3)
    assert budget.count(TokenGrid(10, 1, 1)) == 3
    assert Setting("uniform").build(budget).budget == budget


def test_a_splitter_that_no_backend_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgraph.selection.settings.compared_backends", lambda: ["lattice-components"])
    with pytest.raises(InputError, match=r"no backend here has a cap of its own; leave the splitter native out"):
        backend_settings(splits=("native",))
    assert [one.get("split") for one in backend_settings(splits=("native", "tree"))] == ["tree"]


def test_kept_tokens_answer_as_their_selection_does() -> None:
    (kept,) = keep(tokens(), "evs", 0.45)
    assert len(kept) == len(kept.selection)
    assert list(kept) == kept.selection.indices.tolist()
    np.testing.assert_array_equal(np.asarray(kept), kept.selection.indices)
