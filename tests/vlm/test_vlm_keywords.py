"""Arguments of the text model beyond the usual: each is cut with the tokens it belongs to, or refused by name."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vlm_models import CASES, Case, torch, transformers
from vlm_oracle import seen_by_text_model

import stgraph
from stgraph.errors import InputError
from stgraph.vlm.keywords import PACKING, Axes, axes_of, cut_keywords
from stgraph.vlm.padding import first_of_equal

ROWS, COLUMNS = torch.tensor([0, 1]), torch.tensor([[0, 2, 5, 6], [1, 2, 3, 6]])
B, S = 2, 7


def values(*shape: int) -> Any:
    return torch.arange(int(torch.tensor(shape).prod())).view(shape)


@pytest.mark.parametrize("shape", [(B, S), (B, S, 1), (B, S, 3), (B, S, 4, 5), (B, S, B)])
def test_batch_then_prompt(shape: tuple[int, ...]) -> None:
    x = values(*shape)
    out = cut_keywords({"token_types": x, "pair": (x, [x]), "n": 3, "none": None}, ROWS, COLUMNS, B, S)
    expected = torch.stack([x[row, columns] for row, columns in zip(ROWS, COLUMNS, strict=True)])
    assert torch.equal(out["token_types"], expected)
    assert torch.equal(out["pair"][0], expected) and torch.equal(out["pair"][1][0], expected)
    assert out["n"] == 3 and out["none"] is None


@pytest.mark.parametrize("before", [(1,), (3,), (3, 5)])
def test_other_axes_first(before: tuple[int, ...]) -> None:
    x = values(*before, B, S, 4)
    out = cut_keywords({"x": x}, ROWS, COLUMNS, B, S)["x"]
    flat, cut = x.reshape(-1, B, S, 4), out.reshape(-1, B, 4, 4)
    for i in range(len(flat)):
        assert torch.equal(cut[i], torch.stack([flat[i, 0, COLUMNS[0]], flat[i, 1, COLUMNS[1]]]))


def test_layers_between_batch_and_prompt_and_prompt_first() -> None:
    x = values(B, 4, S, 3)
    out = cut_keywords({"x": x, "y": x.permute(2, 0, 1, 3)}, ROWS, COLUMNS, B, S)
    assert torch.equal(out["x"], torch.stack([x[0][:, COLUMNS[0]], x[1][:, COLUMNS[1]]]))
    assert torch.equal(out["y"], out["x"].permute(2, 0, 1, 3))


def test_shared_by_all_rows() -> None:
    for shape in ((S,), (S, 3), (S, 1, 3)):
        x = values(*shape)
        with pytest.raises(InputError, match=r"given x of shape .* rows keep different tokens: expand it to \[2, 7"):
            cut_keywords({"x": x}, ROWS, COLUMNS, B, S)
        out = cut_keywords({"x": x}, ROWS, COLUMNS[:1].expand(2, -1), B, S)["x"]
        assert torch.equal(out, x[COLUMNS[0]])


@pytest.mark.parametrize("shape", [(1, S), (1, S, 3), (3, 1, S), (5, 1, S, 2)])
def test_one_row_that_stands_for_all(shape: tuple[int, ...]) -> None:
    """cos and sin of positions, and the like: broadcast over the batch before, of each row after."""
    x, batch = values(*shape), shape.index(1)
    out = cut_keywords({"pair": (x, x)}, ROWS, COLUMNS, B, S)["pair"][1]
    for row in range(B):
        assert torch.equal(out.select(batch, row), x.select(batch, 0).index_select(batch, COLUMNS[row]))


def test_values_for_each_row_follow_the_rows_of_the_probe() -> None:
    x = values(B, 3)
    assert torch.equal(cut_keywords({"x": x}, ROWS[1:], COLUMNS[1:], B, S)["x"], x[1:])
    assert cut_keywords({"x": values(5, 3)}, ROWS[1:], COLUMNS[1:], B, S)["x"].shape == (5, 3)


@pytest.mark.parametrize("shape", [(B, S, S), (S, S), (B * S,), (B * S, 4), (B, 4, S, S)])
def test_what_cannot_be_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"given bias\['a'\] of shape .* batch of 2 rows of 7 tokens.*retain_ratio=1"):
        cut_keywords({"bias": {"a": values(*shape)}}, ROWS, COLUMNS, B, S)


@pytest.mark.parametrize("value", [np.zeros((B, S)), [0] * S, [[0] * S] * B, (1,) * S, {"a": np.zeros(S)}])
def test_values_for_each_token_that_are_no_tensors(value: Any) -> None:
    with pytest.raises(InputError, match=r"given kinds.* an entry for each token, which cannot be cut: pass a tensor"):
        cut_keywords({"kinds": value}, ROWS, COLUMNS, B, S)


def test_objects_without_an_axis_of_the_prompt_are_handed_on() -> None:
    outputs = transformers.modeling_outputs.BaseModelOutput(last_hidden_state=torch.zeros(9, 4))
    given = {"outputs": outputs, "sizes": [1, 2, 3], "names": {"a": "b"}, "grid": np.zeros((4, 3))}
    out = cut_keywords(given, ROWS, COLUMNS, B, S)
    assert all(out[name] is value for name, value in given.items())


@pytest.mark.parametrize("name", PACKING)
def test_lengths_of_packed_sequences(name: str) -> None:
    with pytest.raises(InputError, match=f"given {name}, the lengths of packed sequences"):
        cut_keywords({name: torch.tensor([0, S])}, ROWS, COLUMNS, B, S)


@given(st.lists(st.integers(1, 9), min_size=0, max_size=4), st.integers(1, 4), st.integers(10, 12), st.booleans())
def test_axes_are_found_wherever_they_stand(rest: list[int], b: int, s: int, first: bool) -> None:
    shape = (b, s, *rest) if first else (*rest, b, s)
    axes = axes_of("x", shape, b, s)
    assert shape[axes.prompt] == s and not axes.unclear  # type: ignore[index]
    assert b == 1 or axes == Axes(*((0, 1) if first else (len(rest), len(rest) + 1)))


def test_a_width_that_is_the_prompts_length() -> None:
    for name in ("inputs_embeds", "per_layer_inputs"):
        assert axes_of(name, (B, S, S), B, S) == Axes(0, 1)


TEXT_MODELS = (
    "qwen2_vl.Qwen2VLTextModel qwen2_5_vl.Qwen2_5_VLTextModel qwen3_vl.Qwen3VLTextModel qwen2.Qwen2Model "
    "llama.LlamaModel qwen3_vl_moe.Qwen3VLMoeTextModel qwen2_5_omni.Qwen2_5OmniThinkerTextModel "
    "qwen3_omni_moe.Qwen3OmniMoeThinkerTextModel ernie4_5_vl_moe.Ernie4_5_VLMoeTextModel glm4v.Glm4vTextModel "
    "glm4v_moe.Glm4vMoeTextModel exaone4.Exaone4Model hyperclovax.HyperCLOVAXModel gemma4.Gemma4TextModel "
    "qwen4_exp.Qwen4ExpTextModel qwen3_5.Qwen3_5TextModel molmo2.Molmo2TextModel cohere_compass.CohereCompassTextModel"
).split()
SETTINGS = {
    "input_ids", "use_cache", "return_dict", "output_attentions", "output_hidden_states", "logits_to_keep", "kwargs",
    "flash_attn_kwargs", "self", "cache", "past_key_values", "cache_position",
}  # fmt: skip


@pytest.mark.parametrize("where", TEXT_MODELS)
def test_every_argument_of_the_text_models(where: str) -> None:
    """By signature: each tensor a text model takes for its tokens comes out with the columns that are left."""
    module, name = where.split(".")
    try:
        model = getattr(importlib.import_module(f"transformers.models.{module}.modeling_{module}"), name)
    except ModuleNotFoundError:
        pytest.skip(f"transformers {transformers.__version__} has no {module}")
    shapes = {"per_layer_inputs": (B, S, 3, 5), "visual_pos_masks": None, "deepstack_visual_embeds": None}
    for argument in set(inspect.signature(model.forward).parameters) - SETTINGS:
        if argument in ("attention_mask", "position_ids", "inputs_embeds"):
            continue  # other tests
        shape = shapes.get(argument, (B, S))
        if shape is not None:
            x = values(*shape)
            out = cut_keywords({argument: x}, ROWS, COLUMNS, B, S)[argument]
            assert torch.equal(out, x[ROWS[:, None], COLUMNS]), argument


def prompt(case: Case) -> tuple[Any, dict[str, Any]]:
    with seen_by_text_model(case) as calls, torch.no_grad():
        case.model(**case.inputs)
    ids = case.inputs["input_ids"]
    return ids[:1].expand(3, -1).numpy(), three_times(calls[0], ids.shape[1])


def three_times(inputs: dict[str, Any], length: int) -> dict[str, Any]:
    """A batch of three copies of the one row, all arguments explicit."""
    out: dict[str, Any] = {"extra": torch.zeros(3, 5), "levels": torch.zeros(2, 3, length), "shared": torch.zeros(4)}
    out["attention_mask"] = torch.ones(3, 1, length, length, dtype=torch.bool).tril()
    out["inputs_embeds"] = inputs["inputs_embeds"].expand(3, -1, -1).clone()
    positions = inputs["position_ids"]
    out["position_ids"] = positions.expand(*positions.shape[:-2], 3, length).clone()
    out["token_types"] = torch.zeros(3, length)
    visual = inputs.get("visual_pos_masks")
    if visual is not None:
        out["visual_pos_masks"] = visual.expand(3, -1).clone()
        out["deepstack_visual_embeds"] = [level.repeat(3, 1) for level in inputs["deepstack_visual_embeds"]]
    return out


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl"])
def test_rows_are_copies_only_if_nothing_differs(family: str) -> None:
    ids, inputs = prompt(CASES[family](1))
    assert first_of_equal(ids, inputs, []) == [0, 0, 0]
    for name, where in {
        "extra": (1, 2), "levels": (1, 1, 3), "attention_mask": (1, 0, 9, 3), "inputs_embeds": (1, 4, 2),
        "position_ids": (-1, 1, 4), "token_types": (1, 6),
    }.items():  # fmt: skip
        changed = inputs[name].clone()
        changed[where] = ~changed[where] if changed.dtype == torch.bool else changed[where] + 1
        assert first_of_equal(ids, inputs | {name: changed}, []) == [0, 1, 2], name
    other = ids.copy()
    other[2, 0] += 1
    assert first_of_equal(other, inputs, []) == [0, 0, 2]
    assert first_of_equal(ids, inputs | {"shared": torch.ones(4)}, []) == [0, 0, 0]
    if family == "qwen3_vl":
        levels = [level.clone() for level in inputs["deepstack_visual_embeds"]]
        levels[1][len(levels[1]) // 3 * 2] += 1  # the first visual token of the last row
        assert first_of_equal(ids, inputs | {"deepstack_visual_embeds": levels}, []) == [0, 0, 2]


@torch.no_grad()
def test_rows_that_differ_in_the_frame_rate_alone() -> None:
    """The same frames at two rates: other temporal positions, other attention, another choice for each."""
    case = CASES["qwen2_5_vl"](1)
    selector = stgraph.selector("st-simdiff", retain_ratio=0.3, tau_sim=0.0)

    def kept(seconds: list[float]) -> list[Any]:
        n = len(seconds)
        inputs = {name: torch.cat([value] * n) for name, value in case.inputs.items() if name != "second_per_grid_ts"}
        inputs["second_per_grid_ts"] = torch.tensor(seconds) if transformers.__version__ >= "5" else seconds
        with stgraph.compress(case.model, selector) as stats:
            case.model(**inputs)
        return [(video.n_rows, video.nodes.tolist()) for video in stats.videos]

    (slow,), (fast,) = kept([1.0]), kept([30.0])
    assert slow != fast
    assert kept([1.0, 30.0]) == [slow, fast]
    assert kept([1.0, 1.0]) == [(2, slow[1])]


@torch.no_grad()
def test_rows_that_differ_in_their_grid_alone() -> None:
    case = CASES["qwen2_vl"](1)
    inputs = {name: torch.cat([value] * 2) for name, value in case.inputs.items()}
    grids = [[(4, 3, 4)], [(2, 6, 4)]]
    with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.5), grids=grids) as stats:
        case.model(**inputs)
    assert [(video.grid, video.n_rows) for video in stats.videos] == [((4, 3, 4), 1), ((2, 6, 4), 1)]
