"""Dumps of whole VLMs: what the language model gets, where, and the signals of the run beside eager attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from encoder_oracle import eager_signals
from model_dumps import eager, run, seen_inputs
from vlm_models import CASES, Case, torch, transformers
from vlm_more_models import ALL

import stgraph
from stgraph.errors import InputError, MissingSignalError, UnknownNameError
from stgraph.grid import NEWLINE
from stgraph.tokens import VideoTokens
from stgraph.video.file import VideoInfo
from stgraph.vlm.model_dump import ModelSource, load_model_source
from stgraph.vlm.model_tokens import model_tokens
from stgraph.vlm.model_tower import PACKED

Make = Callable[[int], Case]
# family -> (encoder grid, tokens before the patches, hidden state that goes on)
TOWERS = {
    "llava_onevision": ((6, 6), 0, -1),
    "llava_next_video": ((4, 4), 1, -2),
    "internvl": ((8, 8), 1, None),
    "smolvlm": ((8, 8), 0, None),
}


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_features_are_what_the_language_model_gets(make: Make) -> None:
    case = make(1)
    found = run(case)
    columns = case.columns(0).numpy()
    assert np.array_equal(found.features, seen_inputs(case)[columns].numpy())
    assert np.array_equal(found.signals["seq_index"], columns)
    assert found.grid.shape == case.grids[0]
    assert found.query == {}
    VideoTokens(found.features, found.grid, found.signals)


def test_the_newline_is_a_newline() -> None:
    grid = run(CASES["llava_onevision"](1)).grid
    assert grid.kind is not None
    assert np.flatnonzero(grid.kind).tolist() == [grid.n_nodes]
    assert grid.kind[-1] == NEWLINE


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_attention_is_that_of_eager(make: Make) -> None:
    case = make(1)
    found = run(case, "llm_attn_last", "importance")
    expected = np.stack([layer[0, :, -1].mean(0).numpy() for layer in eager(case).attentions])
    assert np.abs(found.query["llm_attn_last"] - expected).max() < 1e-6
    assert found.query["llm_attn_layers"].tolist() == [0, 1, 2, 3]
    patches = found.signals["seq_index"][found.grid.rows]
    assert np.abs(found.query["importance"].reshape(-1) - expected[1, patches]).max() < 1e-6


def test_chosen_layers_and_eager_models() -> None:
    case = CASES["qwen2_vl"](1)
    every = run(case, "llm_attn_last").query["llm_attn_last"]
    found = run(case, "llm_attn_last", "importance", llm_layers=(3, 0)).query
    assert found["llm_attn_layers"].tolist() == [3, 0]
    assert np.array_equal(found["llm_attn_last"], every[[3, 0]])
    before = case.model.config._attn_implementation
    case.model.set_attn_implementation("eager")
    try:
        assert np.abs(run(case, "llm_attn_last").query["llm_attn_last"] - every).max() < 1e-6
    finally:
        case.model.set_attn_implementation(before)


@pytest.mark.parametrize("name", TOWERS)
def test_signals_of_the_tower(name: str) -> None:
    case, (side, first, layer) = CASES[name](1), TOWERS[name]
    asked = ["enc_features", "enc_recv_attn", "enc_keys_mean", *(["enc_cls_attn"] if first else [])]
    found = run(case, *asked)
    assert set(found.signals) == {*asked, "seq_index"}
    assert (found.metadata["encoder_grid"], found.metadata["layer"]) == ([*side], "output" if layer is None else layer)
    T, e = found.grid.T, side[0] * side[1]
    assert found.signals["enc_recv_attn"].shape == (T, e)
    assert found.signals["enc_keys_mean"].shape[:2] == found.signals["enc_features"].shape[:2] == (T, e)
    assert "enc_cls_attn" not in asked or found.signals["enc_cls_attn"].shape == (T, 2, e)
    VideoTokens(found.features, found.grid, found.signals, found.metadata)
    # beside the tower run by itself on the same pictures
    pixels = case.inputs.get("pixel_values_videos", case.inputs.get("pixel_values")).reshape(T, 3, side[0] * 8, -1)
    tower = getattr(case.model.model, "vision_tower", None) or case.model.model.vision_model
    if name in ("internvl", "smolvlm"):
        pixels = pixels.reshape(T, 3, 32, 32)
    with torch.no_grad():
        output = tower(pixel_values=pixels, **({} if layer is None else {"output_hidden_states": True}))
    hidden = output.last_hidden_state if layer is None else output.hidden_states[layer]
    assert np.abs(found.signals["enc_features"] - hidden[:, first:].numpy()).max() < 1e-5


@pytest.mark.parametrize("name", sorted(set(ALL) - set(TOWERS) - PACKED))
def test_towers_that_are_not_known(name: str) -> None:
    with pytest.raises(MissingSignalError, match=f"recv_attn cannot be read from the vision tower of {name}; known"):
        run(ALL[name](1), "enc_recv_attn")


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "video_llama_3"])
def test_signals_of_a_tower_that_is_told_the_grid(name: str) -> None:
    case = CASES[name](1)
    asked = ("enc_recv_attn", "enc_features")
    found, (eager_one,) = run(case, *asked), eager_signals(case, name)
    T, H, W = case.grids[0]
    assert found.metadata["encoder_grid"] == [2 * H, 2 * W]
    assert found.metadata["pooling"] == "pixel-shuffle"
    for signal in asked:
        assert np.abs(found.signals[signal] - eager_one[signal]).max() < 1e-6 * max(1, np.abs(eager_one[signal]).max())
    tokens = VideoTokens(found.features, found.grid, found.signals, found.metadata)
    assert stgraph.selector("holitom", retain_ratio=0.4).select(tokens).account.n_kept == -(-2 * T * H * W // 5)


@pytest.mark.parametrize("name", ["llava_onevision", "qwen2_5_vl"])
def test_a_tower_without_cls(name: str) -> None:
    with pytest.raises(MissingSignalError, match="does not have; enc_recv_attn"):
        run(CASES[name](1), "enc_cls_attn")


def test_the_model_is_left_as_it_was() -> None:
    case = CASES["llava_next_video"](1)
    with torch.no_grad():
        before = case.model(**case.inputs).logits
    run(case, "llm_attn_last", "enc_cls_attn")
    with pytest.raises(MissingSignalError):
        run(case, "llm_q_last")
    with pytest.raises(InputError):
        run(CASES["llava_next_video"](2), "llm_attn_last", "enc_cls_attn")
    with torch.no_grad():
        assert torch.equal(case.model(**case.inputs).logits, before)
    hooks = [h for m in case.model.modules() for d in (m._forward_pre_hooks, m._forward_hooks) for h in d.values()]
    assert [h for h in hooks if h.__module__.startswith("stgraph")] == []  # transformers has some of its own


@pytest.mark.parametrize(
    ("signals", "options", "error", "says"),
    [
        (("llm_q_last",), {}, MissingSignalError, "signal 'llm_q_last' is not read from a running model; known are"),
        (("importance",), {"llm_layers": (1,)}, InputError, "llm_layers belongs to signals of the language model"),
        (("llm_attn_last",), {"llm_layers": (4,)}, InputError, "decoder layers 0 to 3"),
    ],
)
def test_wrong_signals(signals: tuple[str, ...], options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        run(CASES["qwen2_vl"](1), *signals, **options)


def test_two_rows() -> None:
    with pytest.raises(InputError, match="one prompt with one video"):
        run(CASES["qwen2_vl"](2))


# From frames on, with a processor that only counts


class Processor:
    """Scales frames to the model's size, and puts a placeholder for each token; words are their lengths."""

    video_processor = None

    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        assert options == {"tokenize": False, "add_generation_prompt": True}
        return " ".join(part.get("text", "VIDEO") for part in messages[0]["content"])

    def __call__(self, text: list[str], videos: list[Any], video_metadata: Any, **options: Any) -> Any:
        assert options == {"do_sample_frames": False, "return_tensors": "pt"}
        assert video_metadata[0]["frames_indices"] == [0, 12, 24, 36]
        pictures = torch.from_numpy(videos[0]).permute(0, 3, 1, 2).float() / 255
        pictures = torch.nn.functional.interpolate(pictures, (48, 48))
        words = [[121] * (len(pictures) * 9 + 1) if word == "VIDEO" else [len(word)] for word in text[0].split()]
        ids = torch.tensor([[5, *(i for word in words for i in word), 6]])
        data = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values_videos": pictures[None]}
        return transformers.BatchFeature(data)


def test_from_frames() -> None:
    case = CASES["llava_onevision"](1)
    asked = ("llm_attn_last", "enc_recv_attn")
    source = ModelSource(case.model, Processor(), "tiny", "what is this ?", asked, (1,), "float32", "cpu")
    frames = np.random.default_rng(0).integers(0, 256, (4, 20, 30, 3), dtype=np.uint8)
    found = source.extract(frames, np.array([0, 0.5, 1.0, 1.5]), VideoInfo(2.0, 24.0, (20, 30), "none", 48))
    assert found.grid.shape == (4, 3, 3)
    assert found.signals["seq_index"].tolist() == list(range(1, 38))
    assert found.query["llm_attn_last"].shape == (1, 1 + 37 + 4 + 1)
    assert found.metadata["prompt"] == "what is this ?"
    assert found.metadata["pooling"] == "bilinear"
    assert source.settings["query"] is True


def test_loading() -> None:
    with pytest.raises(InputError, match="importance depends on the prompt; give the question"):
        load_model_source("some/name", signals=("importance",))
    with pytest.raises(InputError, match="dtype is 'int4'"):
        load_model_source("some/name", dtype="int4")


def test_a_checkpoint_without_video(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="cannot load the processor of"):
        load_model_source(str(tmp_path))
    other = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    with pytest.raises(InputError):
        model_tokens(transformers.BertModel(other), {})
    with pytest.raises(UnknownNameError):
        model = CASES["llava_onevision"](1).model
        model.config.model_type, kept = "llava_unheard_of", model.config.model_type
        try:
            model_tokens(model, {})
        finally:
            model.config.model_type = kept
