"""FLOPs of a prefill: the formula by hand, shapes from configurations, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stgraph.errors import InputError, UnknownNameError
from stgraph.selection.accounting import TokenAccount
from stgraph.selection.prefill_flops import SHAPES, LLMShape, account_flops, prefill_flops, shape_named, shape_of

QWEN2 = {
    "num_hidden_layers": 28,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "hidden_act": "silu",
}


def test_a_layer_is_the_products_of_its_matrices() -> None:
    n, d, m = 5, 24, 40
    shape = LLMShape(1, d, m, n_heads=6, n_kv_heads=2, head=4)

    def product(rows: int, inner: int, columns: int) -> int:
        return 2 * rows * inner * columns

    linear = product(n, d, 24) + 2 * product(n, d, 8) + product(n, 24, d) + 3 * product(n, d, m)
    attention = 6 * (product(n, 4, n) + product(n, n, 4))
    assert shape.layer(n) == linear + attention
    assert prefill_flops(shape, [n]) == linear + attention


def test_it_is_twice_fastv_s_formula_where_that_holds() -> None:
    n, d, m = 576, 4096, 11008
    shape = SHAPES["llama-7b"]
    fastv = 4 * n * d * d + 2 * n * n * d + 2 * n * d * m
    assert shape.layer(n) == 2 * (fastv + n * d * m)  # their MLP has two matrices, Llama's three


def test_tokens_are_counted_layer_by_layer() -> None:
    shape = SHAPES["qwen2-7b"]
    account = TokenAccount(n_visual=1000, n_input=1000, n_kept=300, prune_layer=2, n_layers=28)
    found = account_flops(shape, account)
    expected = 2 * shape.layer(1000) + 26 * shape.layer(300)
    assert found["prefill_tflop"] == pytest.approx(expected / 1e12)
    assert found["flops_ratio"] == pytest.approx(expected / (28 * shape.layer(1000)))
    assert account_flops(shape, TokenAccount(1000, 1000, 1000))["flops_ratio"] == 1


def test_a_probe_is_its_layers_the_projections_and_one_row() -> None:
    shape = LLMShape(4, 24, 40, n_heads=6, n_kv_heads=2, head=4)
    row = 2 * 7 * 24
    assert prefill_flops(shape, [3] * 4, 7, 1) - prefill_flops(shape, [3] * 4) == (
        shape.layer(7) + 2 * 7 * 24 * (24 + 8 + 8) + row
    )


def test_shapes_of_configurations(tmp_path: Path) -> None:
    assert shape_of(QWEN2) == SHAPES["qwen2-7b"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"vision_config": {"hidden_size": 1}, "text_config": QWEN2}))
    assert shape_named(path) == shape_named(tmp_path) == shape_named("qwen2-7b")
    assert shape_of({**QWEN2, "head_dim": 64}).head == 64  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [{"num_experts": 8}, {"layer_types": ["linear_attention"]}, {"hidden_act": "relu2"}, {"hidden_size": None}],
)
def test_what_the_formula_does_not_count_has_no_shape(change: dict[str, object], tmp_path: Path) -> None:
    assert shape_of({**QWEN2, **change}) is None
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**QWEN2, **change}))
    with pytest.raises(InputError, match="describes no LLM of attention and gated MLPs alone"):
        shape_named(path)


def test_wrong_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no LLM 'qwen2-8b'\. Did you mean 'qwen"):
        shape_named("qwen2-8b")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot read "):
        shape_named(tmp_path)


def test_cuts_inside_an_llm_of_other_depth_are_not_counted() -> None:
    account = TokenAccount(n_visual=1000, n_input=1000, n_kept=300, prune_layer=2, n_layers=28)
    assert account_flops(SHAPES["llama-7b"], account) == {"prefill_tflop": None, "flops_ratio": None}
    before = TokenAccount(n_visual=1000, n_input=300, n_kept=300)
    assert account_flops(SHAPES["llama-7b"], before)["prefill_tflop"] == pytest.approx(
        32 * SHAPES["llama-7b"].layer(300) / 1e12
    )
