"""Selectors that stgraph has never seen, defined in this test alone, stage with attention in a running model."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_files import MODULES
from staged_selectors import ByImportance, Staged, Twice, selection_of, top
from vlm_models import CACHE, CASES, Case, torch
from vlm_oracle import kept_columns, masked_logits, plain_inputs, positions_of, seen_by_text_model

import stgraph
from stgraph import Budget, VideoTokens
from stgraph.errors import InputError, MissingSignalError, UnavailableError
from stgraph.selection.base import SELECTORS, MinimalSelector, Selector
from stgraph.selection.checked import checked
from stgraph.selection.stages import ATTENTION_SIGNALS, AttentionRead, Stage, Waiting

Array = np.ndarray[Any, Any]
GREEDY = dict(max_new_tokens=3, do_sample=False, output_logits=True, return_dict_in_generate=True)


@torch.no_grad()
def attention_among(case: Case, layer: int, rows: Array, row: int = 0) -> Array:
    """[n]: eager attention of the last prompt token to the tokens of a video, of which ``rows`` alone are seen."""
    inputs, columns = plain_inputs(case), case.columns(row)
    keep = case.inputs["attention_mask"].clone()
    keep[row, columns] = 0
    keep[row, columns[torch.from_numpy(rows)]] = 1
    model = copy.deepcopy(case.model)
    model.set_attn_implementation("eager")
    text = model.get_submodule(next(name for name, part in case.model.named_modules() if part is case.text))
    plain = {name: value for name, value in inputs.items() if name not in (CACHE, "use_cache")}
    weights = text(**plain | {"attention_mask": keep, "output_attentions": True}).attentions
    found: Array = weights[layer][row, :, -1].mean(0).numpy()[columns]
    return found


def expected_nodes(case: Case, name: str, layer: int, k: int, row: int) -> list[int]:
    n = int(np.prod(case.grids[row]))
    rows = np.arange(n) if name == "by-importance" else np.arange(0, n, 2)
    if name == "twice":
        rows = top(attention_among(case, layer, rows, row), rows, 3 * len(rows) // 4)
    return top(attention_among(case, layer, rows, row), rows, k).tolist()


@pytest.mark.parametrize(("cls", "layer"), [(ByImportance, 1), (ByImportance, 3), (Staged, 2), (Twice, 2)])
@pytest.mark.parametrize(("family", "batch"), [("qwen2_vl", 1), ("qwen2_vl", 2), ("qwen3_vl", 1)])
def test_it_keeps_what_the_models_own_attention_says(family: str, batch: int, cls: Any, layer: int) -> None:
    case = CASES[family](batch)
    selector = cls(Budget(retain_ratio=0.3))
    with stgraph.compress(case.model, selector, probe_layer=layer if cls is ByImportance else 1) as stats:
        case.model(**case.inputs)
    assert len(stats.videos) == batch
    for video in stats.videos:
        k = -(-3 * video.n_visual // 10)
        assert video.selector == cls.name
        assert video.n_kept == k
        assert video.nodes.tolist() == expected_nodes(case, cls.name, layer, k, video.sample)
        assert video.n_candidates == (video.n_visual if cls is ByImportance else -(-video.n_visual // 2))
        assert video.probe_s > 0


@pytest.mark.parametrize("cls", [ByImportance, Staged, Twice])
def test_generation_is_that_of_the_model_with_the_others_hidden(cls: Any) -> None:
    case = CASES["llava_onevision"](2) if cls is ByImportance else CASES["qwen2_vl"](2)
    with seen_by_text_model(case) as plain:
        case.model.generate(**case.inputs, **GREEDY)
    with stgraph.compress(case.model, cls(Budget(retain_ratio=0.3))) as stats:
        out = case.model.generate(**case.inputs, **GREEDY)
    keep = kept_columns(case, stats)
    expected = masked_logits(case, keep, out.sequences[:, :-1], positions_of(plain))[:, keep.shape[1] - 1 :]
    assert (torch.stack(out.logits, 1) - expected).abs().max() < 1e-5


def test_the_record_says_where_another_layer_than_the_authors_was_read() -> None:
    class Loose(Staged):
        read = AttentionRead(2)

    case = CASES["qwen2_vl"](1)
    for layer, said in ((2, "exact"), (3, "approximate: attention of decoder layer 3; the authors take layer 2")):
        with stgraph.compress(case.model, Loose(Budget(retain_ratio=0.3)), probe_layer=layer) as stats:
            case.model(**case.inputs)
        assert stats.videos[0].exactness == said


def test_the_selector_of_the_documentation() -> None:
    page = Path(__file__).parents[2] / "docs" / "vlm.md"
    if not page.exists():
        pytest.skip("docs/ is not here: not a checkout")
    section = page.read_text(encoding="utf-8").partition("## A selector of your own\n")[2]
    (code,) = re.findall(r"^```python\n(.*?)^```$", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(page), "exec"), names)
    case = CASES["qwen3_vl"](1)
    with stgraph.compress(case.model, names["selector"]) as stats:
        case.model(**case.inputs)
    (video,) = stats.videos
    assert video.nodes.tolist() == expected_nodes(case, "staged", 2, video.n_kept, 0)
    assert video.exactness == "exact"


@pytest.fixture
def registered() -> Iterator[str]:
    SELECTORS.register("staged", Staged)
    yield "staged"
    SELECTORS.unregister("staged")


def test_by_its_registered_name(registered: str) -> None:
    case = CASES["qwen2_vl"](1)
    found = stgraph.selector(registered, retain_ratio=0.3)
    assert isinstance(found, Selector)
    with stgraph.compress(case.model, found) as stats:
        case.model(**case.inputs)
    assert stats.videos[0].nodes.tolist() == expected_nodes(case, "staged", 2, 15, 0)


@pytest.mark.parametrize("cls", [ByImportance, Staged, Twice])
def test_what_is_left_out_is_at_its_default(cls: Any) -> None:
    mine = cls(Budget(retain_ratio=0.3))
    assert isinstance(mine, MinimalSelector)
    whole = checked(mine)
    assert isinstance(whole, Selector)
    assert whole.on_gpu is False
    tokens = VideoTokens.from_array(np.ones((2, 2, 2, 4), np.float32))
    if mine.requires:
        assert whole.stages() == (Stage(0, AttentionRead()),)
        with pytest.raises(MissingSignalError, match="by-importance needs the signal 'importance'"):
            whole.check_signals(tokens)
    else:
        whole.check_signals(tokens)


@pytest.mark.parametrize("name", SELECTORS.names())
def test_ours_say_all_of_it(name: str) -> None:
    found = stgraph.selector(name, retain_ratio=0.5)
    assert isinstance(found, Selector)
    stages = found.stages()
    assert [stage.layer for stage in stages] == sorted(stage.layer for stage in stages)
    reads = [stage.attention for stage in stages if stage.attention]
    assert bool(reads) == bool(found.requires & ATTENTION_SIGNALS or name.startswith("st-simdiff"))


def test_the_models_side_knows_no_selector() -> None:
    known = {entry.partition(":")[0] for entry in SELECTORS._entries.values()}
    assert "stgraph.selection.rivals.fastv" in known
    for module in [name for name in MODULES if name.startswith("vlm")]:
        text = MODULES[module].read_text()
        assert not [name for name in known if name in text], module


# Wrong stages


def changed(**parts: Any) -> Any:
    return type("Wrong", (Staged,), {"name": "wrong", **parts})(Budget(retain_ratio=0.3))


def answering(answer: Callable[[Any, VideoTokens], Any]) -> Any:
    return changed(begin=lambda self, tokens, layer: answer(self, tokens))


def waiting(self: Any, rows: Any, resume: Any = None) -> Waiting:
    return Waiting(self.stages()[0], rows, resume)


AT_ONCE: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"stages": lambda self: ()}, r"stages\(\) returned \(\); it must return a tuple of Stage"),
    "a list": ({"stages": lambda self: [Stage()]}, "it must return a tuple of Stage"),
    "names": ({"stages": lambda self: ("attention",)}, "it must return a tuple of Stage"),
    "a layer's number": ({"stages": lambda self: (Stage(attention=2),)}, r"must be an AttentionRead\(...\) or None"),
    "below 0": ({"read": AttentionRead(-1, fixed=True)}, "names the layer -1; it must be an integer from 0 on"),
    "half a layer": ({"read": AttentionRead(1.5, fixed=True)}, "names the layer 1.5"),  # type: ignore[arg-type]
    "backwards": ({"stages": lambda self: (Stage(2), Stage(1))}, r"layers \[2, 1\]; they must be in the order"),
    "beyond the model": ({"read": AttentionRead(9, fixed=True)}, "layer"),
    "two layers": (
        {"stages": lambda self: tuple(Stage(0, AttentionRead(i, fixed=True)) for i in (1, 2))},
        r"reads the attention of decoder layers 1, 2; before the language model runs, compress\(\) reads that of one",
    ),
}


@pytest.mark.parametrize("case", AT_ONCE)
def test_wrong_stages_are_refused_before_anything_runs(case: str) -> None:
    parts, wrong = AT_ONCE[case]
    with pytest.raises(InputError, match=wrong):
        stgraph.compress(CASES["qwen2_vl"](1).model, changed(**parts))


def rows_of(rows: Any) -> Callable[[Any, VideoTokens], Any]:
    return lambda self, tokens: waiting(self, rows, lambda attention: None)


IN_THE_RUN: dict[str, tuple[Callable[[Any, VideoTokens], Any], type[Exception], str]] = {
    "nothing": (lambda self, tokens: None, InputError, "returned NoneType"),
    "rows beyond": (rows_of(np.array([0, 48])), InputError, "rows run from 0 to 48; there are 48 tokens"),
    "rows twice": (rows_of(np.array([3, 3])), InputError, "ascending and unique, but 3 stands twice"),
    "a mask": (rows_of(np.ones(48, np.bool_)), InputError, "rows are bool"),
    "nothing after it": (rows_of(np.arange(48)), InputError, "returned NoneType"),
    "an unknown stage": (
        lambda self, tokens: Waiting(Stage(0), None, lambda attention: None),
        InputError,
        "which is not in stages",
    ),
    "an error of its own": (
        lambda self, tokens: waiting(self, None, lambda attention: {}["x"]),
        UnavailableError,
        "selector wrong failed: KeyError: 'x'",
    ),
    "too many": (
        lambda self, tokens: waiting(self, None, lambda a: selection_of(np.arange(20), a, tokens.grid)),
        InputError,
        r"20 indices were chosen, but count\(\) promises 15",
    ),
}


@pytest.mark.parametrize("case", IN_THE_RUN)
def test_what_a_stage_answers_is_checked_and_the_model_stays_as_it_was(case: str) -> None:
    answer, error, wrong = IN_THE_RUN[case]
    model = CASES["qwen2_vl"](1)
    before = model.model(**model.inputs).logits
    with stgraph.compress(model.model, answering(answer)), pytest.raises(error, match=wrong):
        model.model(**model.inputs)
    assert torch.equal(model.model(**model.inputs).logits, before)
