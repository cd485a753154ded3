"""FastV: the right layer's attention, where it prunes, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from stgraph import TokenGrid, VideoTokens, selector
from stgraph.bench.synthetic import synthetic_signals
from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.result import Selection

N_TEXT = 7


def attended(shape: tuple[int, int, int] = (3, 4, 5), layers: tuple[int, ...] = (0, 1, 4), **other: Any) -> VideoTokens:
    """Tokens with made-up attention: seven text tokens, the visual ones in reverse order, three text tokens."""
    rng = np.random.default_rng(1)
    n = math.prod(shape)
    signals = {
        "llm_attn_last": rng.random((len(layers), n + N_TEXT + 3)).astype(np.float32),
        "llm_attn_layers": np.array(layers, np.int64),
        "seq_index": N_TEXT + np.arange(n)[::-1],
    }
    x = rng.standard_normal((*shape, 4)).astype(np.float32)
    return VideoTokens.from_array(x, signals={**signals, **other})


def kept(tokens: VideoTokens, ratio: float = 0.3, **parameters: Any) -> Selection:
    return selector("fastv", retain_ratio=ratio, **parameters).select(tokens)


@pytest.mark.parametrize(("layer", "row"), [(1, 0), (2, 1), (5, 2)])
def test_the_attention_of_the_layer_before_decides(layer: int, row: int) -> None:
    tokens = attended()
    result = kept(tokens, layer=layer)
    attention = tokens.signals["llm_attn_last"][row][tokens.signals["seq_index"]]
    assert result.indices.tolist() == sorted(np.argsort(-attention, kind="stable")[:18].tolist())
    assert result.scores.tolist() == attention[result.indices].tolist()
    assert result.reasons() == {"attention": 18}
    assert result.exactness == "exact"
    assert result.kind == "subset"
    assert result.report["attention_layer"] == layer - 1
    assert 0.3 < result.report["attention_kept"] < 1


def test_the_layers_before_see_everything() -> None:
    account = kept(attended(), layer=5, n_layers=32).account
    assert account.per_layer == [60] * 5 + [18] * 27
    assert (account.n_visual, account.n_input, account.n_kept) == (60, 60, 18)


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.9])
def test_measured_over_the_layers(ratio: float) -> None:
    chosen = selector("fastv", retain_ratio=ratio, measured="layers", n_layers=32)
    result = chosen.select(attended())
    assert len(result) == chosen.count(TokenGrid(3, 4, 5)) == math.ceil((ratio * 32 - 2) * 60 / 30)
    assert ratio * 60 <= result.account.mean_over_layers < ratio * 60 + 1


def test_a_mean_that_the_first_layers_exceed() -> None:
    with pytest.raises(InputError, match="cannot be met by pruning at layer 2"):
        kept(attended(), 0.05, measured="layers")


def test_ties_go_to_the_smaller_index() -> None:
    tokens = attended(llm_attn_last=np.ones((3, 70), np.float32))
    assert kept(tokens).indices.tolist() == list(range(18))
    assert kept(attended(llm_attn_last=np.zeros((3, 70), np.float32))).report["attention_kept"] == 0


@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 1, 1), (1, 1, 7)])
def test_exactly_the_budget(shape: tuple[int, int, int]) -> None:
    for n_keep in range(1, math.prod(shape) + 1):
        assert len(selector("fastv", n_keep=n_keep).select(attended(shape))) == n_keep


def test_newlines_count_where_asked() -> None:
    kind = np.tile(np.array([0, 0, 0, 1], np.uint8), 4)
    rows = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    tokens = synthetic_signals(VideoTokens(rows, TokenGrid(2, 2, 3, kind)), d_encoder=8)
    assert len(kept(tokens, 0.5)) == 6
    assert (kind[kept(tokens, 0.5).indices] == 0).all()
    assert len(kept(tokens, 0.5, newlines="in")) == 8


def test_missing_signals() -> None:
    tokens = attended()
    assert selector("fastv", retain_ratio=0.3).requires == {"llm_attn_last", "llm_attn_layers", "seq_index"}
    for name in tokens.signals:
        rest = {key: values for key, values in tokens.signals.items() if key != name}
        with pytest.raises(MissingSignalError, match=f"fastv needs the signal '{name}'"):
            kept(VideoTokens(tokens.features, tokens.grid, rest))
    for ratio in (0.3, 1.0):
        with pytest.raises(MissingSignalError, match="of decoder layer 2; saved are layers 0, 1, 4"):
            kept(tokens, ratio, layer=3)


def test_bad_attention() -> None:
    attention = np.ones((3, 70), np.float32)
    attention[1, N_TEXT + 59 - 8] = np.nan
    with pytest.raises(InputError, match="signal 'llm_attn_last' of layer 1 is NaN at token 8; replace it"):
        kept(attended(llm_attn_last=attention))
    for index in (np.arange(60) + 20, np.arange(60) - 1):
        with pytest.raises(InputError, match=r"signal 'seq_index' runs from .* but 'llm_attn_last' has 70 positions"):
            kept(attended(seq_index=index))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layer": 0}, "layer is 0; it must be an integer of at least 1"),
        ({"layer": 2.0}, "layer is 2.0"),
        ({"n_layers": 1}, "n_layers is 1; it must be an integer of at least 2"),
        ({"layer": 28}, "layer is 28; an LLM of 28 layers"),
        ({"heads": 3}, "'fastv' has no parameter 'heads'; it has: layer, n_layers"),
    ],
)
def test_parameters_out_of_range(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        selector("fastv", retain_ratio=0.3, **parameters)
