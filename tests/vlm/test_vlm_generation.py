"""Ways of generating, prompts of several videos and images, and that nothing stays behind on the model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from vlm_generating import WAYS, first_of_copies, mixed_prompt, skip_broken_copies
from vlm_models import (
    CACHE,
    torch,
    transformers,
)
from vlm_more_models import ALL as CASES
from vlm_oracle import kept_columns, masked_logits, positions_of, seen_by_text_model

import stgraph

GREEDY = dict(max_new_tokens=5, do_sample=False, output_logits=True, output_scores=True, return_dict_in_generate=True)


def evs(retain_ratio: float = 0.3) -> Any:
    return stgraph.selector("evs", retain_ratio=retain_ratio)


def hooks_of(model: Any) -> int:
    """Hooks on all modules."""
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules())


@pytest.mark.parametrize(("batch", "how"), [(batch, how) for batch in (1, 2) for how in WAYS])
@pytest.mark.parametrize(
    "family",
    ["llava_onevision", "qwen2_vl", "qwen3_vl", "qwen2_5_omni_thinker", "ernie4_5_vl_moe", "glm4v", "video_llava"],
)
def test_ways_of_generating(family: str, batch: int, how: dict[str, Any]) -> None:
    """Each way scores the sequences it returns as the masked model does."""
    case = CASES[family](batch)
    skip_broken_copies(family, "cache_implementation" not in how)
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY)
    torch.manual_seed(0)
    with stgraph.compress(case.model, stgraph.selector("st-simdiff", retain_ratio=0.3)) as stats:
        out = case.model.generate(**case.inputs, **GREEDY | how)
    repeats = how.get("num_beams", how.get("num_return_sequences", 1))
    assert [video.n_rows for video in stats.videos] == [repeats] * batch  # selected once for all copies
    keep = kept_columns(case, first_of_copies(stats, batch))
    returned = len(out.sequences) // batch
    for j in range(returned):
        sequences = out.sequences[j::returned]
        logits = masked_logits(case, keep, sequences[:, :-1], positions_of(plain))[:, keep.shape[1] - 1 :]
        if "num_beams" in how:
            chosen = logits.log_softmax(-1).gather(-1, sequences[:, keep.shape[1] :, None])[..., 0]
            assert (chosen.mean(1) - out.sequences_scores[j::returned]).abs().max() < 1e-5
        else:
            assert (torch.stack(out.logits, 1)[j::returned] - logits).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["Qwen2VL", "Qwen2_5_VL", "Qwen3VL"])
@pytest.mark.parametrize("beams", [1, 2])
def test_several_videos_and_images(name: str, beams: int) -> None:
    skip_broken_copies(name, beams > 1)
    case = mixed_prompt(name)
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY)
    with stgraph.compress(case.model, stgraph.selector("st-simdiff", retain_ratio=0.3)) as stats:
        out = case.model.generate(**case.inputs, **GREEDY, num_beams=beams)
    assert [(v.sample // beams, v.index, v.grid) for v in stats.videos] == [
        (0, 0, (3, 2, 2)),
        (0, 1, (2, 3, 4)),
        (1, 0, (4, 2, 2)),
    ]
    keep, used = case.inputs["attention_mask"].bool().clone(), [0, 0, 0]
    for video in stats.videos:
        row, (T, H, W) = video.sample // beams, video.grid
        columns = case.columns(row)[used[row] : used[row] + T * H * W]
        used[row] += T * H * W
        keep[row, columns] = False
        keep[row, columns[torch.from_numpy(video.nodes)]] = True
    logits = masked_logits(case, keep, out.sequences[:, :-1], positions_of(plain))[:, keep.shape[1] - 1 :]
    if beams == 1:
        assert (torch.stack(out.logits, 1) - logits).abs().max() < 1e-5
    else:
        chosen = logits.log_softmax(-1).gather(-1, out.sequences[:, keep.shape[1] :, None])[..., 0]
        assert (chosen.mean(1) - out.sequences_scores).abs().max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl", "qwen3_vl"])
def test_a_loop_of_ones_own(family: str, copied: bool) -> None:
    """New tokens fed to forward with the cache, or a copy of it, and nothing else."""
    if family != "llava_onevision" and transformers.__version__ < "5":
        pytest.skip("transformers 4.57 cannot go on with Qwen without being told the positions, compressed or not")
    case = CASES[family](1)
    inputs = {name: value for name, value in case.inputs.items() if name != "attention_mask"}
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY | {"max_new_tokens": 3})
    with stgraph.compress(case.model, evs()) as stats:
        out = case.model(**inputs)
        tokens, found = [], []
        for _ in range(3):
            tokens.append(out.logits[:, -1].argmax(-1, keepdim=True))
            found.append(out.logits[:, -1])
            cache = copy.deepcopy(out[CACHE]) if copied else out[CACHE]
            out = case.model(input_ids=tokens[-1], **{CACHE: cache})
    sequences = torch.cat([case.inputs["input_ids"], *tokens[:-1]], 1)
    expected = masked_logits(case, kept_columns(case, stats), sequences, positions_of(plain))
    assert (torch.stack(found, 1) - expected[:, -3:]).abs().max() < 1e-5


def test_hooks_are_gone_after_exit_and_after_exceptions() -> None:
    case = CASES["qwen2_vl"](1)
    before, attributes = hooks_of(case.model), set(vars(case.model.model))
    expected = case.model(**case.inputs).logits
    compression = stgraph.compress(case.model, evs())
    assert hooks_of(case.model) == before  # nothing happens until it is entered
    with compression:
        assert hooks_of(case.model) > before
    with pytest.raises(ZeroDivisionError), compression:
        case.model(**case.inputs)
        raise ZeroDivisionError
    assert hooks_of(case.model) == before
    assert set(vars(case.model.model)) == attributes
    assert torch.equal(case.model(**case.inputs).logits, expected)


def test_an_exception_inside_the_probe_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["qwen2_vl"](1)
    layer = case.text.layers[1].self_attn
    config, expected = layer.config, case.model(**case.inputs).logits

    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(case.text.layers[0], "forward", broken)
        with pytest.raises(ZeroDivisionError), stgraph.compress(case.model, stgraph.selector("fastv", n_keep=3)):
            case.model(**case.inputs)
    assert layer.config is config
    assert torch.equal(case.model(**case.inputs).logits, expected)


def test_two_models_compressed_differently_at_once() -> None:
    one, other = CASES["qwen2_vl"](1), CASES["llava_onevision"](1)
    alone = []
    for case, r in ((one, 0.25), (other, 0.75)):
        with stgraph.compress(case.model, stgraph.selector("st-simdiff", retain_ratio=r)):
            alone.append(case.model(**case.inputs).logits)
    with (
        stgraph.compress(one.model, stgraph.selector("st-simdiff", retain_ratio=0.25)) as first,
        stgraph.compress(other.model, stgraph.selector("st-simdiff", retain_ratio=0.75)) as second,
    ):
        together = [case.model(**case.inputs).logits for case in (one, other)]
    assert all(map(torch.equal, alone, together))
    assert [stats.videos[0].n_kept for stats in (first, second)] == [12, 27]


def test_a_text_prompt_is_left_alone() -> None:
    case = CASES["qwen2_vl"](1)
    ids = torch.randint(2, 100, (1, 20), generator=torch.Generator().manual_seed(0))
    expected = case.model.generate(input_ids=ids, max_new_tokens=3, do_sample=False)
    with stgraph.compress(case.model, evs()) as stats:
        assert torch.equal(case.model.generate(input_ids=ids, max_new_tokens=3, do_sample=False), expected)
    assert stats.videos == []
