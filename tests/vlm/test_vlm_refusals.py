"""What compress() cannot do right it refuses, with the remedy; nothing goes wrong silently."""

from __future__ import annotations

from typing import Any

import pytest
from vlm_models import (
    CACHE,
    CASES,
    VIDEO,
    Case,
    finished,
    padded,
    qwen_model,
    qwen_pixels,
    qwen_runs,
    row_of,
    torch,
    transformers,
    with_token_types,
)

import stgraph
from stgraph.errors import GridError, InputError, MissingDependencyError, UnavailableError, UnknownNameError
from stgraph.vlm import attention_probe as probe

GREEDY = dict(max_new_tokens=3, do_sample=False)


def compressed(case: Case, retain_ratio: float = 0.3, name: str = "evs", **options: Any) -> Any:
    return stgraph.compress(case.model, stgraph.selector(name, retain_ratio=retain_ratio), **options)


def test_a_second_compressor_on_the_same_model() -> None:
    case = CASES["qwen2_vl"](1)
    with compressed(case):
        with pytest.raises(InputError, match="being compressed already"), compressed(case):
            pass
        with compressed(CASES["llava_onevision"](1)):  # another model may be
            pass
    with compressed(case):
        pass


@pytest.mark.parametrize("batch", [1, 2])
def test_assisted_decoding(batch: int) -> None:
    """Guesses stand at the end of the prompt. Transformers 4 crops the cache to the length of the whole prompt."""
    case = CASES["llava_onevision"](1)
    ids = case.inputs["input_ids"].clone()
    ids[0, -7:] = torch.tensor([7, 8, 7, 8, 7, 8, 7])
    inputs = case.inputs | {"input_ids": ids}
    if batch == 2:  # padding on the left
        inputs["input_ids"] = torch.nn.functional.pad(ids, (3, 0))
        inputs["attention_mask"] = torch.nn.functional.pad(inputs["attention_mask"], (3, 0))
    greedy = dict(max_new_tokens=12, do_sample=False, eos_token_id=127)
    guess = dict(prompt_lookup_num_tokens=3, **greedy)
    with compressed(case):
        expected = case.model.generate(**inputs, **greedy)
        try:
            found = case.model.generate(**inputs, **guess)
        except InputError as error:
            assert "assisted decoding" in str(error)
            assert transformers.__version__ < "5"
        else:
            assert torch.equal(found, expected)
    with compressed(case, name="st-simdiff"), pytest.raises(InputError, match="prompt_lookup_num_tokens"):
        case.model.generate(**inputs, **guess)


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl", "internvl"])
@pytest.mark.parametrize("chunk", [3, 24])
def test_chunked_prefill(family: str, chunk: int) -> None:
    case = CASES[family](1)
    # Transformers 4 refuses chunks of video by itself.
    with (
        compressed(case),
        pytest.raises(ValueError, match=r"prefill_chunk_size|placeholder|features and .* do not match"),
    ):
        case.model.generate(**case.inputs, **GREEDY, prefill_chunk_size=chunk)


def test_video_after_a_cache_without_one() -> None:
    case = CASES["llava_onevision"](1)
    with compressed(case), torch.no_grad():
        start = case.model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=True)
        with pytest.raises(InputError, match="whole prompt in one forward pass"):
            case.model(**case.inputs | {"attention_mask": None, CACHE: start[CACHE]})


@pytest.mark.parametrize("more", [{"labels": 1}, {"logits_to_keep": torch.tensor([3, 4])}], ids=lambda d: next(iter(d)))
def test_arguments_that_mean_positions(more: dict[str, Any]) -> None:
    case = CASES["llava_onevision"](1)
    more = {"labels": case.inputs["input_ids"]} if "labels" in more else more
    expected = case.model(**case.inputs, **more).logits
    with compressed(case, 1.0):
        assert torch.equal(case.model(**case.inputs, **more).logits, expected)
    with compressed(case), pytest.raises(InputError, match=f"{next(iter(more))}.*retain_ratio=1"):
        case.model(**case.inputs, **more)
    with compressed(case):  # the refusal is not remembered
        case.model(**case.inputs)


@torch.no_grad()
@pytest.mark.parametrize("name", ["evs", "fastv"])
def test_last_logits_that_reach_back_into_the_video(name: str) -> None:
    """Seven tokens follow it; the logits of the eighth last would be those of another token."""
    case = CASES["llava_onevision"](1)
    with compressed(case, 1.0, "evs"):
        assert torch.equal(case.model(**case.inputs, logits_to_keep=8).logits, case.model(**case.inputs).logits[:, -8:])
    with compressed(case, 0.3, name):
        if name == "evs":
            seven = case.model(**case.inputs, logits_to_keep=7).logits
            assert torch.equal(seven, case.model(**case.inputs).logits[:, -7:])
        with pytest.raises(
            InputError, match=r"logits_to_keep=8 reaches back into a video|the last 8 tokens are wanted"
        ):
            case.model(**case.inputs, logits_to_keep=8)


@pytest.mark.parametrize("name", ["evs", "st-simdiff"])
def test_padding_on_the_right(name: str) -> None:
    case = CASES["llava_onevision"](1)
    inputs = {**case.inputs}
    inputs["input_ids"] = torch.nn.functional.pad(inputs["input_ids"], (0, 3))
    inputs["attention_mask"] = torch.nn.functional.pad(inputs["attention_mask"], (0, 3))
    expected = case.model(**inputs).logits
    with compressed(case, 1.0, name):
        assert torch.equal(case.model(**inputs).logits, expected)
    with compressed(case, 0.3, name), pytest.raises(InputError, match=r"row 0 .* padded on the right; pad on the left"):
        case.model(**inputs)


@pytest.mark.parametrize("name", ["evs", "st-simdiff"])
def test_a_prompt_that_ends_in_video(name: str) -> None:
    case = CASES["llava_onevision"](1)
    inputs = case.inputs | {key: case.inputs[key][:, :-7] for key in ("input_ids", "attention_mask")}
    expected = case.model(**inputs).logits
    with compressed(case, 1.0, name):
        assert torch.equal(case.model(**inputs).logits, expected)
    with compressed(case, 0.3, name), pytest.raises(InputError, match="row 0 of the batch ends in video tokens"):
        case.model(**inputs)


@pytest.mark.parametrize("family", ["llava_onevision", "internvl", "smolvlm"])
def test_token_counts_that_are_no_whole_frames(family: str) -> None:
    case = CASES[family](1)
    grids = [[(3, 3, 3)]]
    with compressed(case, grids=grids), pytest.raises(GridError, match=r"placeholder tokens, but its grids have 27"):
        case.model(**case.inputs)
    with compressed(case, grids=[[(1, 1, 1)]] * 3), pytest.raises(GridError, match="grids= has 3 rows, but the batch"):
        case.model(**case.inputs)


def test_video_encoded_before_compression() -> None:
    case = CASES["llava_onevision"](1)
    with compressed(case), pytest.raises(InputError, match="pass input_ids, not inputs_embeds"):
        case.model(inputs_embeds=torch.zeros(1, 9, 64))
    case = CASES["qwen2_vl"](1)
    with compressed(case), pytest.raises(GridError, match="not run on them inside"):
        case.model(input_ids=case.inputs["input_ids"])
    grids = [[case.grids[0]]]
    with compressed(case, grids=lambda ids: grids * len(ids)) as stats:
        case.model(input_ids=case.inputs["input_ids"])
    assert stats.videos[0].n_kept == 15


def test_tokens_dropped_by_the_processor_of_videollama3() -> None:
    case = CASES["video_llama_3"](1)
    mask = case.inputs["video_compression_mask"].clone()
    mask[::5] = False
    rows = [row_of([[VIDEO] * int(mask.sum())], 0)]
    with compressed(case), pytest.raises(GridError, match="use_token_compression=False"):
        case.model(**case.inputs | padded(rows) | {"video_compression_mask": mask})


def test_models_we_do_not_know() -> None:
    config = transformers.Qwen2Config(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1)
    config.num_attention_heads = config.num_key_value_heads = 2
    model = finished(transformers.Qwen2ForCausalLM(config))
    selector = stgraph.selector("evs", retain_ratio=0.5)
    with pytest.raises(UnknownNameError, match=r"'qwen2' lays out .* known are llava_onevision.* Pass grids="):
        stgraph.compress(model, selector)
    with pytest.raises(InputError, match="names no image_token_id"):
        stgraph.compress(model, selector, grids=[[(1, 2, 2)]])
    with pytest.raises(InputError, match=r"expected a Hugging Face \.\.\.ForConditionalGeneration"):
        stgraph.compress(object(), selector)


def test_a_model_of_an_unknown_type_with_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["qwen2_vl"](1)
    monkeypatch.setattr(case.model.config, "model_type", "brand_new")
    with compressed(case, grids=[[case.grids[0]]]) as stats:
        case.model(**case.inputs)
    assert stats.videos[0].grid == case.grids[0]


def test_parameters_out_of_range() -> None:
    case = CASES["qwen2_vl"](1)
    with pytest.raises(InputError, match="decoder layers 0 to 3"):
        compressed(case, name="st-simdiff", probe_layer=4)
    compressed(case, name="evs", probe_layer=4)  # not needed, not looked at
    with pytest.raises(InputError, match="'original' or 'compact'"):
        compressed(case, positions="dense")
    with pytest.raises(InputError, match=r"pass stgraph\.selector"):
        stgraph.compress(case.model, "evs")


def test_what_cannot_be_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["qwen2_vl"](1)
    attention = case.text.layers[1].self_attn
    with monkeypatch.context() as patch, pytest.raises(UnavailableError, match="choose another"):
        patch.delattr(attention, "config")
        compressed(case, name="st-simdiff")
    with monkeypatch.context() as patch:  # an attention that does not ask transformers for its function
        patch.setattr(attention, "forward", lambda hidden_states, **_: (hidden_states, None))
        with pytest.raises(UnavailableError, match="attention interface"), compressed(case, name="st-simdiff"):
            case.model(**case.inputs)
    with pytest.raises(UnavailableError, match="'softcap'"):
        probe._last_row(None, None, None, None, None, softcap=30.0)


def test_compiled_models(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["qwen2_vl"](1)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with compressed(case), pytest.raises(UnavailableError, match="disable_compile=True"):
        case.text(inputs_embeds=torch.zeros(1, 2, 64))


def test_transformers_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match=r"'\.\[hf\]"):
        probe.probed(None, 0)


def test_two_videos_of_one_row_may_be_left_alone_one_by_one() -> None:
    """A number in place of a grid: so many tokens are no video, here the first of two."""
    model, grids = qwen_model("Qwen2VL"), [(2, 4, 4), (3, 4, 4)]
    inputs = padded([row_of([run for grid in grids for run in qwen_runs("Qwen2VL", grid)], 0)])
    inputs |= {"pixel_values_videos": qwen_pixels(grids), "video_grid_thw": torch.tensor(grids)}
    selector = stgraph.selector("evs", retain_ratio=0.5)
    with stgraph.compress(model, selector, grids=[[8, (3, 2, 2)]]) as stats:
        logits = model(**with_token_types(model, inputs)).logits
    assert [(video.grid, video.n_kept) for video in stats.videos] == [((3, 2, 2), 6)]
    assert logits.shape[1] == inputs["input_ids"].shape[1] - 6
