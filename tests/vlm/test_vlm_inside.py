"""Cuts between decoder layers: everything equals the whole prompt with what was dropped hidden from that layer on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from staged_selectors import Steps
from vlm_generating import WAYS, first_of_copies, mixed_prompt, skip_broken_copies
from vlm_levels import eager, hidden_run, keep_rows, levels_of
from vlm_models import CACHE, CASES, Case, torch, transformers
from vlm_more_models import ALL, MORE
from vlm_oracle import positions_of, seen_by_text_model
from vlm_state import state_of, warm

import stgraph
from stgraph.errors import InputError, UnavailableError
from stgraph.selection.stages import AttentionRead, Stage

GREEDY = dict(max_new_tokens=5, do_sample=False, output_logits=True, return_dict_in_generate=True)
RUNS = [(family, attention, batch) for family in sorted(CASES) for attention in ("sdpa", "eager") for batch in (1, 2)]
RUNS += [(family, *run) for family in MORE for run in (("sdpa", 1), ("sdpa", 2), ("eager", 2))]


def generated(case: Case, selector: Any, **more: Any) -> tuple[Any, Any, Any]:
    """The records, what was generated, and the positions without compression."""
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY)
    torch.manual_seed(0)
    with stgraph.compress(case.model, selector) as stats:
        out = case.model.generate(**case.inputs, **GREEDY | more)
    return stats, out, positions_of(plain)


def distance(case: Case, levels: dict[int, Any], out: Any, positions: Any) -> float:
    """Largest difference of the generated tokens' logits to those of the whole prompt with hidden columns."""
    n = case.inputs["input_ids"].shape[1]
    expected = hidden_run(case, levels, out.sequences[:, :-1], positions).logits[:, n - 1 :]
    return float((torch.stack(out.logits, 1) - expected).abs().max())


def noted_levels(case: Case, selector: Steps) -> dict[int, Any]:
    """What a selector of steps kept, as columns."""
    levels = {}
    for layer in selector.kept[0]:
        levels[layer] = case.inputs["attention_mask"].bool().clone()
        for row, kept in enumerate(selector.kept):
            keep_rows(case, levels[layer], row, torch.from_numpy(kept[layer]))
    return levels


@pytest.mark.parametrize(("family", "attention", "batch"), RUNS)
def test_fastv_needs_no_probe_and_is_as_if_hidden(family: str, attention: str, batch: int) -> None:
    case = ALL[family](batch)
    case.model.set_attn_implementation(attention)
    try:
        stats, out, positions = generated(case, stgraph.selector("fastv", retain_ratio=0.4, n_layers=4))
    finally:
        case.model.set_attn_implementation("sdpa")
    assert distance(case, levels_of(case, stats), out, positions) < 1e-5
    assert stats.prompts[0].probe_length is None and stats.prompts[0].probe_s == 0
    cache = out.get(CACHE, out.get("past_key_values"))
    held = [int(layer.keys.shape[2]) for layer in cache.layers]
    steps = GREEDY["max_new_tokens"] - 1
    assert held == [stats.prompts[0].length + steps] * 2 + [stats.prompts[0].kept_length + steps] * 2
    for video in stats.videos:
        assert video.exactness == "exact"
        assert video.account.per_layer == [video.n_visual] * 2 + [video.n_kept] * 2


@torch.no_grad()
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl", "qwen3_vl"])
def test_fastv_keeps_what_the_eager_attention_of_the_layer_before_says(family: str, layer: int) -> None:
    case = CASES[family](2)
    selector = stgraph.selector("fastv", retain_ratio=0.4, layer=layer, n_layers=4)
    with stgraph.compress(case.model, selector) as stats:
        case.model(**case.inputs)
    with eager(case.model):
        weights = case.model(**case.inputs, output_attentions=True).attentions[layer - 1]
    for video in stats.videos:
        T, H, W = video.grid
        row = weights[video.sample, :, -1].double().mean(0).numpy()[case.columns(video.sample)[: T * H * W]]
        assert video.nodes.tolist() == np.sort(np.argsort(-row, kind="stable")[: video.n_kept]).tolist()


def read(layer: int) -> AttentionRead:
    return AttentionRead(layer, fixed=True)


STAGES = {
    "given": (Stage(1), Stage(3)),
    "by the layer before": (Stage(1, read(0)), Stage(3, read(2))),
    "by the layer itself": (Stage(1, read(1)), Stage(2, read(2)), Stage(3, read(3))),
    "by a layer before the last cut": (Stage(1), Stage(3, read(0))),
    "before the model, then inside": (Stage(0, read(1)), Stage(2, read(1))),
    "given before the model, then inside": (Stage(0), Stage(1, read(0))),
    "two at one layer": (Stage(2, read(1)), Stage(2, read(2))),
}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("stages", STAGES.values(), ids=STAGES)
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl", "qwen3_vl"])
def test_stages_are_as_if_hidden(family: str, stages: tuple[Stage, ...], batch: int) -> None:
    case = CASES[family](batch)
    selector = Steps(*stages)
    stats, out, positions = generated(case, selector)
    levels = noted_levels(case, selector)
    assert distance(case, levels, out, positions) < 1e-5
    for row, video in enumerate(stats.videos):
        counts = {layer: len(nodes) for layer, nodes in selector.kept[row].items()}
        per_layer = [video.n_visual] * 4
        for layer, count in counts.items():
            per_layer[layer:] = [count] * (4 - layer)
        assert video.account.per_layer == per_layer


@torch.no_grad()
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl", "qwen3_vl"])
def test_later_stages_read_the_attention_of_the_shorter_prompt(family: str) -> None:
    """Each row that is read equals that of the whole prompt in eager attention, columns hidden from their layer on."""
    case = CASES[family](2)
    selector = Steps(Stage(1, read(0)), Stage(2, read(2)), Stage(3, read(2)))
    with stgraph.compress(case.model, selector):
        case.model(**case.inputs)
    with seen_by_text_model(case) as plain:
        case.model(**case.inputs)
    levels = noted_levels(case, selector)
    for stage in selector.stages():
        hidden = {layer: keep for layer, keep in levels.items() if layer < stage.layer}
        assert stage.attention is not None
        out = hidden_run(case, hidden, case.inputs["input_ids"], positions_of(plain), output_attentions=True)
        for row, found in enumerate(selector.read):
            T, H, W = case.grids[row]
            weights = out.attentions[stage.attention.layer][row, :, -1].mean(0)[case.columns(row)[: T * H * W]]
            assert np.abs(found[stage.layer] - weights.numpy()).max() < 1e-6


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("how", WAYS, ids=str)
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl", "qwen3_vl"])
def test_ways_of_generating(family: str, how: dict[str, Any], batch: int) -> None:
    """Beams, sampling, returned sequences and static caches, by the attention of a running pass."""
    skip_broken_copies(family, "cache_implementation" not in how)
    case = CASES[family](batch)
    stats, out, positions = generated(case, stgraph.selector("fastv", retain_ratio=0.4), output_scores=True, **how)
    repeats = how.get("num_beams", how.get("num_return_sequences", 1))
    assert [video.n_rows for video in stats.videos] == [repeats] * batch
    levels, n = levels_of(case, first_of_copies(stats, batch)), case.inputs["input_ids"].shape[1]
    returned = len(out.sequences) // batch
    for j in range(returned):
        sequences = out.sequences[j::returned]
        logits = hidden_run(case, levels, sequences[:, :-1], positions).logits[:, n - 1 :]
        if "num_beams" in how:
            chosen = logits.log_softmax(-1).gather(-1, sequences[:, n:, None])[..., 0]
            assert (chosen.mean(1) - out.sequences_scores[j::returned]).abs().max() < 1e-5
        else:
            assert (torch.stack(out.logits, 1)[j::returned] - logits).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["Qwen2VL", "Qwen2_5_VL", "Qwen3VL"])
def test_several_videos_and_rows_without(name: str) -> None:
    case = mixed_prompt(name)
    stats, out, positions = generated(case, stgraph.selector("fastv", retain_ratio=0.4))
    keep, used = case.inputs["attention_mask"].bool().clone(), [0, 0, 0]
    for video in stats.videos:
        T, H, W = video.grid
        columns = case.columns(video.sample)[used[video.sample] : used[video.sample] + T * H * W]
        used[video.sample] += T * H * W
        keep[video.sample, columns] = False
        keep[video.sample, columns[torch.from_numpy(video.nodes)]] = True
    assert distance(case, {2: keep}, out, positions) < 1e-5


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("importance", ["auto", "norm"])
def test_released_code_drops_before_the_model_and_behind_layer_1(family: str, importance: str, batch: int) -> None:
    case = CASES[family](batch)
    how = dict(retain_ratio=0.5, tau_sim=0.3, tau_diff=-1.0, n_layers=4)
    stats, out, positions = generated(case, stgraph.selector("st-simdiff-released", importance=importance, **how))
    survivors = stgraph.selector("st-simdiff-released", importance="norm", reduce=False, **how)
    with stgraph.compress(case.model, survivors) as before:
        case.model(**case.inputs)
    first, last = (levels_of(case, of) for of in (before, stats))
    assert distance(case, {0: first[0], 2: last[2]}, out, positions) < 1e-5
    for video, survived in zip(stats.videos, before.videos, strict=True):
        assert video.account.per_layer == [survived.n_kept] * 2 + [video.n_kept] * 2
        assert video.n_kept < survived.n_kept < video.n_visual
        assert ("exact" == video.exactness) == (importance == "auto")


def test_a_mean_over_the_layers_is_met() -> None:
    case = CASES["qwen2_vl"](1)
    selector = stgraph.selector("fastv", retain_ratio=0.75, measured="layers", n_layers=4)
    with stgraph.compress(case.model, selector) as stats:
        case.model(**case.inputs)
    assert stats.videos[0].account.mean_over_layers == 0.75 * 48
    with pytest.raises(InputError, match=r"counts on 28 decoder layers.*pass n_layers=4"):
        stgraph.compress(case.model, stgraph.selector("fastv", retain_ratio=0.75, measured="layers"))


def test_what_cannot_be_cut_between_layers_is_refused() -> None:
    case = CASES["qwen2_vl"](1)
    fastv = stgraph.selector("fastv", retain_ratio=0.4)
    with pytest.raises(InputError, match="where is 'behind'; it must be 'inside'"):
        stgraph.compress(case.model, fastv, where="behind")
    with pytest.raises(InputError, match=r"before decoder layer 8, but .* has layers 0 to 3"):
        stgraph.compress(case.model, stgraph.selector("fastv", retain_ratio=0.4, layer=8))
    with pytest.raises(InputError, match="before decoder layer 1 by the attention of layer 2, which comes later"):
        stgraph.compress(case.model, Steps(Stage(1, read(2))))
    with pytest.raises(InputError, match="attention of decoder layers 0, 1; before the language model runs"):
        stgraph.compress(case.model, Steps(Stage(1, read(0)), Stage(2, read(1))), where="before")
    with stgraph.compress(case.model, fastv):
        with pytest.raises(InputError, match="labels refers to the positions of the whole prompt"):
            case.model(**case.inputs, labels=case.inputs["input_ids"])
        with pytest.raises(InputError, match="guesses in assisted decoding"):
            case.model(**case.inputs, logits_to_keep=3)
    case.text.config.layer_types = ["full_attention", "linear_attention"] * 2
    try:
        with pytest.raises(UnavailableError, match=r"layers of kind linear_attention.*where='before'"):
            stgraph.compress(case.model, fastv)
    finally:
        case.text.config.layer_types = ["full_attention"] * 4


def test_windows_shorter_than_the_prompt_are_refused() -> None:
    case = CASES["llava_onevision"](1)
    config = case.text.config
    kinds = config.layer_types
    config.layer_types, config.sliding_window = ["full_attention", "sliding_attention"] * 2, 32
    try:
        with stgraph.compress(case.model, stgraph.selector("fastv", retain_ratio=0.4)):
            with pytest.raises(InputError, match="layers that see 32 tokens back, and the prompt"):
                case.model(**case.inputs)
    finally:
        config.layer_types, config.sliding_window = kinds, None


@torch.no_grad()
def test_nothing_is_left_behind_and_r_1_changes_no_bit() -> None:
    case = warm("qwen3_vl")
    before, expected = state_of(case.model), case.model(**case.inputs).logits
    with stgraph.compress(case.model, stgraph.selector("fastv", retain_ratio=1.0)) as stats:
        assert torch.equal(case.model(**case.inputs).logits, expected)
    assert stats.videos[0].n_kept == 48
    compression = stgraph.compress(case.model, Steps(Stage(1, read(0)), Stage(3, read(3))))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), compression:
            case.model(**case.inputs)
            raise ZeroDivisionError
    assert state_of(case.model) == before
    assert torch.equal(case.model(**case.inputs).logits, expected)


@torch.no_grad()
def test_a_prompt_that_fails_between_layers_leaves_nothing_to_the_next() -> None:
    case = CASES["qwen2_vl"](1)
    text = {"input_ids": torch.arange(2, 40)[None]}
    plain = case.model(**text).logits
    for failure in (ZeroDivisionError, KeyboardInterrupt):

        def fail(module: Any, args: Any, failure: type[BaseException] = failure) -> None:
            raise failure

        with stgraph.compress(case.model, stgraph.selector("fastv", retain_ratio=0.4)) as stats:
            handle = case.text.layers[1].self_attn.q_proj.register_forward_pre_hook(fail)
            with pytest.raises(failure):
                case.model(**case.inputs)
            handle.remove()
            assert torch.equal(case.model(**text).logits, plain)
            assert stats.videos == []
            found = case.model(**case.inputs).logits
            assert len(stats.videos) == 1
            assert torch.equal(case.model(**case.inputs).logits, found)


def test_guesses_after_a_cut_that_reads_no_attention() -> None:
    """The same tokens as without guesses, or a refusal where transformers crops caches to the length of the ids."""
    case = CASES["llava_onevision"](1)
    ids = case.inputs["input_ids"].clone()
    ids[0, -7:] = torch.tensor([7, 8, 7, 8, 7, 8, 7])
    greedy = dict(max_new_tokens=12, do_sample=False, eos_token_id=127)
    inputs = case.inputs | {"input_ids": ids}
    with stgraph.compress(case.model, Steps(Stage(1), Stage(3))):
        expected = case.model.generate(**inputs, **greedy)
        try:
            found = case.model.generate(**inputs, **greedy, prompt_lookup_num_tokens=3)
        except InputError as error:
            assert "assisted decoding" in str(error)
            assert transformers.__version__ < "5"
        else:
            assert torch.equal(found, expected)
