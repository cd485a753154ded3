"""Inside the block every prompt with video is compressed, refused with the reason, or listed as left alone."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
from vlm_models import CACHE, CASES, TEXT, VIDEO, Case, finished, llava_onevision, onevision_model, torch, transformers
from vlm_oracle import kept_columns, masked_logits, positions_of, seen_by_text_model
from vlm_state import state_of, warm

import stgraph
from stgraph.errors import InputError, UnavailableError

GREEDY = dict(max_new_tokens=3, do_sample=False)
WORDS = torch.tensor([[3, 4, 5, 6, 7]])
QUESTION = {"input_ids": WORDS, "attention_mask": torch.ones_like(WORDS)}


def evs(retain_ratio: float = 0.3) -> Any:
    return stgraph.selector("evs", retain_ratio=retain_ratio)


# Text models that hooks do not see.


def test_a_prompt_that_runs_past_the_hooks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    case = warm("llava_onevision")
    text, base = case.text, case.model.model
    with monkeypatch.context() as patch:
        patch.setattr(type(text), "__call__", lambda self, *args, **kwargs: self.forward(*args, **kwargs))
        with torch.no_grad(), stgraph.compress(case.model, evs()):
            case.model(**QUESTION)
            for module in (case.model, base):
                with pytest.raises(UnavailableError, match="past the hooks"):
                    module(**case.inputs)


def test_a_text_model_that_gets_no_embeddings_by_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    case = warm("llava_onevision")
    call = type(case.text).__call__

    def positional(self: Any, *args: Any, inputs_embeds: Any = None, **kwargs: Any) -> Any:
        return call(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(case.text), "__call__", positional)
        with torch.no_grad(), stgraph.compress(case.model, evs()):
            with pytest.raises(UnavailableError, match="no inputs_embeds="):
                case.model(**case.inputs)


def test_placeholders_that_grids_leaves_alone_are_listed() -> None:
    case = warm("qwen2_vl")
    n = int((case.inputs["input_ids"] == VIDEO).sum())
    with torch.no_grad():
        expected = case.model(**case.inputs).logits
        with stgraph.compress(case.model, evs(), grids=[[n]]) as stats:
            assert torch.equal(case.model(**case.inputs).logits, expected)
    assert [(left.n_rows, left.length) for left in stats.left_alone] == [tuple(case.inputs["input_ids"].shape)]
    assert "leaves all its placeholders alone" in stats.left_alone[0].reason


def test_a_lone_placeholder_is_seen() -> None:
    """A prompt in pieces of one token, its pictures with it."""
    case = warm("llava_onevision")
    with torch.no_grad(), stgraph.compress(case.model, evs()):
        start = case.model(**QUESTION, use_cache=True)
        with pytest.raises(ValueError, match=r"whole prompt in one forward pass|features and .* do not match|tokens"):
            case.model(
                input_ids=torch.tensor([[VIDEO]]),
                pixel_values_videos=case.inputs["pixel_values_videos"],
                **{CACHE: start[CACHE]},
            )


# Continuous batching.


class Paged:
    """A cache that pages of several prompts share does not say how much of one it holds."""


def test_paged_caches_matter_only_to_video() -> None:
    case = warm("llava_onevision")
    embeds = torch.zeros(1, 5, 64)
    with stgraph.compress(case.model, evs()) as stats:
        hooks = next(iter(case.text._forward_pre_hooks.values())).__self__
        inputs = {"inputs_embeds": embeds, CACHE: Paged()}
        hooks._before_base(case.model.model, (), {"input_ids": WORDS})
        assert hooks._before_text(case.text, (), inputs) is None
        hooks._before_base(case.model.model, (), {"input_ids": torch.tensor([[5, VIDEO, VIDEO, 6, 7]])})
        with pytest.raises(UnavailableError, match=r"continuous batching \(generate_batch\)"):
            hooks._before_text(case.text, (), inputs)
    assert not stats.videos


@pytest.mark.slow
def test_continuous_batching() -> None:
    pytest.importorskip("psutil", reason="needs psutil: transformers manages memory with it")
    if not hasattr(transformers, "ContinuousBatchingConfig"):
        pytest.skip("needs transformers 5: ContinuousBatchingConfig")
    small = transformers.ContinuousBatchingConfig(num_blocks=4, max_batch_tokens=64)
    case = warm("llava_onevision")
    model = copy.deepcopy(case.model)
    config = transformers.GenerationConfig(max_new_tokens=3, do_sample=False, eos_token_id=127, pad_token_id=0)

    def ask(ids: list[int]) -> list[tuple[list[int], Any]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = model.generate_batch([ids], config, small, warmup=False)
        return [(answer.generated_tokens, answer.error) for answer in answers.values()]

    plain = ask(WORDS[0].tolist())
    assert plain[0][1] is None
    with stgraph.compress(model, evs()):
        assert ask(WORDS[0].tolist()) == plain
        ((tokens, error),) = ask(case.inputs["input_ids"][0].tolist())
    assert not tokens
    assert "generate_batch" in str(error)


# Layers that do not see the whole prompt.


def windowed(window: int) -> Case:
    """LLaVA-OneVision with windows in two of its four layers; a prompt of 49 tokens."""
    case = llava_onevision(1)
    config = copy.deepcopy(onevision_model().config)
    config.text_config = transformers.Qwen2Config(
        **TEXT, tie_word_embeddings=False, use_sliding_window=True, sliding_window=window, max_window_layers=2
    )
    model = finished(transformers.LlavaOnevisionForConditionalGeneration(config))
    return Case(model, case.inputs, case.grids, case.token)


@pytest.mark.parametrize("name", ["evs", "st-simdiff", "framefusion"])
def test_a_window_shorter_than_the_prompt_is_refused(name: str) -> None:
    case = windowed(48)
    assert case.inputs["input_ids"].shape[1] == 49
    selector = stgraph.selector(name, retain_ratio=0.3, **({"tau_sim": 0.0} if name == "st-simdiff" else {}))
    expected = case.model(**case.inputs).logits
    with stgraph.compress(case.model, selector) as stats:
        with pytest.raises(InputError, match="layers that see 48 tokens back, and the prompt with its answer has 49"):
            case.model(**case.inputs)
        case.model.generate(**QUESTION, **GREEDY)
    assert not stats.videos
    with stgraph.compress(case.model, stgraph.selector(name, retain_ratio=1.0)):
        assert torch.equal(case.model(**case.inputs).logits, expected)


def test_a_window_that_an_answer_outgrows_is_refused_at_that_step() -> None:
    """Until then logits are those of the masked model."""
    case = windowed(51)
    how = GREEDY | {"output_logits": True, "return_dict_in_generate": True}
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **how)
    with stgraph.compress(case.model, evs()) as stats:
        out = case.model.generate(**case.inputs, **how)
        with pytest.raises(InputError, match="51 tokens back, and the prompt with its answer has 52"):
            case.model.generate(**case.inputs, **how | {"max_new_tokens": 4})
    stats.videos[1:] = []
    keep = kept_columns(case, stats)
    expected = masked_logits(case, keep, out.sequences[:, :-1], positions_of(plain))[:, keep.shape[1] - 1 :]
    assert (torch.stack(out.logits, 1) - expected).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({}, None),
        ({"sliding_window": 20}, 20),  # Mistral
        ({"sliding_window": None}, None),
        ({"sliding_window": 20, "use_sliding_window": False}, None),
        ({"sliding_window": 20, "layer_types": ["full_attention"] * 2}, None),
        ({"sliding_window": 20, "layer_types": ["full_attention", "sliding_attention"]}, 20),
        ({"attention_chunk_size": 30, "layer_types": ["chunked_attention", "full_attention"]}, 30),
        ({"sliding_window": None, "layer_types": ["sliding_attention"] * 2}, None),
    ],
)
def test_windows_are_read_from_the_configuration(config: dict[str, Any], window: int | None) -> None:
    from types import SimpleNamespace

    from stgraph.vlm.layer_kinds import departure_of, window_of

    text = SimpleNamespace(config=SimpleNamespace(**config))
    assert window_of(text) == window
    assert departure_of(text) is None  # layers that are: test_vlm_more_families.py


# Wrapped models.


@pytest.mark.parametrize("name", ["evs", "st-simdiff"])
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl"])
def test_a_model_wrapped_by_peft(family: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = pytest.importorskip("peft", reason="needs peft")
        case, selector = CASES[family](1), stgraph.selector(name, retain_ratio=0.3)
        wrapped = peft.get_peft_model(copy.deepcopy(case.model), peft.LoraConfig(r=2, target_modules=["q_proj"]))
    with stgraph.compress(case.model, selector):
        expected = case.model.generate(**case.inputs, **GREEDY)
    wrapped.generate(**case.inputs, **GREEDY)
    before = state_of(wrapped)
    for target in (wrapped, wrapped.get_base_model()):
        with stgraph.compress(target, selector) as stats:
            assert torch.equal(wrapped.generate(**case.inputs, **GREEDY), expected)
            with pytest.raises(InputError, match="already"), stgraph.compress(wrapped, selector):
                raise AssertionError
        assert len(stats.videos) == 1
        assert state_of(wrapped) == before
