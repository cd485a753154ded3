"""Cuts between decoder layers under flex attention, whose masks are functions of the places of two tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from staged_selectors import Steps
from vlm_levels import hidden_run, keep_rows, levels_of
from vlm_models import CASES, Case, torch, transformers
from vlm_oracle import kept_columns, positions_of, seen_by_text_model

import stgraph
from stgraph.errors import InputError
from stgraph.selection.stages import AttentionRead, Stage

GREEDY = dict(max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True)
FAMILIES = ["llava_onevision", "llava_next_video", "internvl", "smolvlm", "video_llama_3"]  # that transformers lets

pytestmark = [  # of calls that torch and transformers make; of the operator, which is not compiled here
    pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning"),
]


@pytest.fixture(autouse=True)
def uncompiled() -> Iterator[None]:
    """The operator as torch defines it: compiling it takes half a minute a shape."""
    with torch.compiler.set_stance("force_eager"):
        yield


def run(case: Case, selector: Any, **how: Any) -> tuple[Any, Any, Any]:
    """The records, what was generated under flex attention, and the positions without compression."""
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY)
    case.text.set_attn_implementation("flex_attention")
    try:
        with stgraph.compress(case.model, selector) as stats:
            out = case.model.generate(**case.inputs, **GREEDY | how)
    finally:
        case.text.set_attn_implementation("sdpa")
    return stats, out, positions_of(plain)


def check(case: Case, levels: dict[int, Any], out: Any, positions: Any) -> None:
    """Logits of all tokens are those of the whole prompt in eager attention with the rest hidden."""
    n = case.inputs["input_ids"].shape[1]
    hidden = hidden_run(case, levels, out.sequences[:, :-1], positions).logits[:, n - 1 :]
    assert (torch.stack(out.logits, 1) - hidden).abs().max() < 1e-5


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_fastv_is_as_if_hidden(family: str, batch: int) -> None:
    case = CASES[family](batch)
    stats, out, positions = run(case, stgraph.selector("fastv", retain_ratio=0.4, n_layers=4))
    check(case, levels_of(case, stats), out, positions)
    assert [video.account.per_layer[1:3] for video in stats.videos] == [[v.n_visual, v.n_kept] for v in stats.videos]


@pytest.mark.parametrize("batch", [1, 2])
def test_two_stages_are_as_if_hidden(batch: int) -> None:
    case = CASES["llava_onevision"](batch)
    selector = Steps(Stage(1, AttentionRead(0, fixed=True)), Stage(3, AttentionRead(3, fixed=True)))
    _, out, positions = run(case, selector)
    levels = {}
    for layer in selector.kept[0]:
        levels[layer] = case.inputs["attention_mask"].bool().clone()
        for row, kept in enumerate(selector.kept):
            keep_rows(case, levels[layer], row, torch.from_numpy(kept[layer]))
    check(case, levels, out, positions)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", ["evs", "st-simdiff"])
def test_a_cut_before_the_model_is_as_if_masked(name: str, batch: int) -> None:
    case = CASES["llava_onevision"](batch)
    stats, out, positions = run(case, stgraph.selector(name, retain_ratio=0.4))
    check(case, {0: kept_columns(case, stats)}, out, positions)


def test_static_caches() -> None:
    """As if hidden; or refused where ``generate`` makes block masks of the whole prompt for them."""
    case = CASES["llava_onevision"](1)
    try:
        stats, out, positions = run(case, stgraph.selector("fastv", retain_ratio=0.4), cache_implementation="static")
    except InputError as error:
        assert "the attention mask is BlockMask of shape [1, 1, 49, 52]; compress() can cut" in str(error)
        assert transformers.__version__ >= "5"
    else:
        check(case, levels_of(case, stats), out, positions)
