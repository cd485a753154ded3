"""SparseVLM beside its plain restatement, and what its parameters mean."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from oracles_sparsevlm import clusters_of, raters_of, sparsevlm
from parity_cases import CASES, Case, parity

from stgraph import VideoTokens, selector
from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.algorithms.recycling import n_recycled
from stgraph.selection.signals.text_raters import text_raters

MODEST = [case for case in CASES if case.T * case.H * case.W <= 300]


def restated(version: str, options: dict[str, Any]) -> Any:
    table = options.get("table") or ((300, 200, 110) if version == "1.5" else (300, 200, 118))
    recycle = options.get("recycle", version == "1.5")
    signal = "llm_attn_text" if version == "1.5" else "llm_attn_text_even"
    plain = {name: value for name, value in options.items() if name in ("layers", "exact_count", "adaptive")}
    return sparsevlm(table, signal, recycle, **plain)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers": (0, 24), "table": (7, 2)},
        {"layers": 2, "table": 100},
        {"exact_count": False},
        {"exact_count": False, "adaptive": True},
        {"recycle": False},
        {"recycle": True, "layers": (1, 8), "table": (3, 2)},
    ],
    ids=str,
)
@pytest.mark.parametrize("version", ["1.5", "2.0"])
def test_sparsevlm(version: str, options: dict[str, Any]) -> None:
    lists = {
        name: (value,) if name in ("layers", "table") and isinstance(value, int) else value
        for name, value in options.items()
    }
    found = parity(
        "sparsevlm", restated(version, lists), on=MODEST, exact_ties=False, max_excused=4, version=version, **options
    )
    assert found.equal >= len(MODEST) - 4


def test_how_many_means_are_recycled() -> None:
    assert [n_recycled(n) for n in range(5000)] == [clusters_of(n) for n in range(5000)]


def test_the_tables_are_the_authors_of_192_tokens() -> None:
    """576 tokens, 32 layers: "192" is their mean as the authors count it, with one layer fewer before the first cut."""
    tokens = Case("random", 1, 24, 24, 12, 0.3).tokens()
    old = selector("sparsevlm", retain_ratio=0.3, exact_count=False, n_layers=32).select(tokens)
    new = selector("sparsevlm", retain_ratio=0.3, exact_count=False, n_layers=32, version="2.0").select(tokens)
    assert old.report["left"] == [300 + 9, 200 + 4, 110 + 3]
    assert old.account.per_layer == [576] * 3 + [309] * 4 + [204] * 9 + [113] * 16
    assert new.report["left"] == [300, 200, 118]
    assert new.account.mean_over_layers == (3 * 576 + 4 * 300 + 9 * 200 + 16 * 118) / 32
    assert (old.kind, old.positions, new.kind, new.positions) == ("merge", "compact", "subset", "original")


def test_a_mean_over_the_layers() -> None:
    for case in MODEST[::5]:
        tokens = case.tokens()
        n = tokens.grid.n_nodes
        for version in ("1.5", "2.0"):
            chosen = selector("sparsevlm", retain_ratio=0.5, measured="layers", version=version)
            found = chosen.select(tokens)
            assert len(found) == chosen.count(tokens.grid)
            assert sum(found.account.per_layer) >= 14 * n
            if len(found) > 1:
                fewer = selector("sparsevlm", n_keep=len(found) - 1, version=version).select(tokens)
                assert sum(fewer.account.per_layer) < 14 * n
    with pytest.raises(InputError, match=r"cutting from layer 3 on: the layers before alone cost 0.107"):
        selector("sparsevlm", retain_ratio=0.1, measured="layers").select(tokens)


def test_raters() -> None:
    tokens = CASES[16].tokens()
    assert text_raters(tokens, "test").tolist() == raters_of(CASES[16].video())
    one = VideoTokens(tokens.features, tokens.grid, {"text_embeds": tokens.signals["text_embeds"][:1]})
    assert text_raters(one, "test").tolist() == [0]  # whose share is the mean; the official code has no rater then
    none = VideoTokens(tokens.features, tokens.grid, {"text_embeds": tokens.signals["text_embeds"][:0]})
    with pytest.raises(InputError, match="no text tokens after the video"):
        text_raters(none, "test")


def test_without_recycling_nothing_is_merged() -> None:
    tokens = CASES[16].tokens()
    plain = selector("sparsevlm", n_keep=60, recycle=False).select(tokens)
    assert plain.kind == "subset" and "no token is recycled" in plain.exactness
    single = selector("sparsevlm", n_keep=60, version="2.0", layers=2, table=1).select(tokens)
    assert single.exactness == "exact"
    assert single.account.per_layer == [512] * 3 + [60] * 25


def test_a_version_may_be_a_number() -> None:
    """As --param version=2.0 reads."""
    assert selector("sparsevlm", n_keep=1, version=2.0) == selector("sparsevlm", n_keep=1, version="2.0")


def test_a_layer_that_was_not_saved() -> None:
    with pytest.raises(MissingSignalError, match="'llm_attn_text' of decoder layer 31"):
        selector("sparsevlm", n_keep=3, layers=(2, 6, 31), n_layers=40).select(CASES[0].tokens())


@pytest.mark.parametrize(
    "options",
    [
        {"version": "1.0"},
        {"layers": (2, 2, 6)},
        {"layers": (2, 6, 27)},
        {"table": (1, 2, 3)},
        {"table": (3, 2)},
        {"table": (3, 2, 0)},
        {"recycle": 1},
        {"adaptive": True},
        {"adaptive": None},
    ],
    ids=str,
)
def test_parameters(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        selector("sparsevlm", n_keep=1, **options)


def test_the_budget_is_exact() -> None:
    for case in MODEST[::4]:
        tokens = case.tokens()
        n = tokens.grid.n_nodes
        for n_keep in {1, 2, 3, (n + 2) // 3, max(1, n - 1), n}:
            if n_keep <= n:
                assert len(selector("sparsevlm", n_keep=n_keep).select(tokens)) == n_keep
    assert Fraction(len(found := selector("sparsevlm", retain_ratio=0.25).select(tokens)), 1) == -(-n // 4), found
