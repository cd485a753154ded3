"""Attention masks of the caller's own: what they hide stays hidden, whatever is dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from vlm_models import CACHE, CASES, Case, torch
from vlm_oracle import kept_columns, seen_by_text_model

import stgraph
from stgraph.errors import InputError
from stgraph.vlm.masks import causal_pairs, padding_in, seen
from stgraph.vlm.sequence import with_positions

LOWEST = torch.finfo(torch.float32).min


def causal(case: Case) -> Any:
    """[B, 1, S, S] bool: what the model does by itself, rows of padding blank."""
    real = case.inputs["attention_mask"].bool()
    S = real.shape[1]
    return torch.ones(S, S, dtype=torch.bool).tril()[None, None] & real[:, None, None, :] & real[:, None, :, None]


def packed(case: Case) -> Any:
    """A second document that does not see the first; the last token sees both."""
    mask, S = causal(case), case.inputs["input_ids"].shape[1]
    mask[:, :, S - 4 : S - 1, : S - 4] = False
    return mask


def bidirectional(case: Case) -> Any:
    real = case.inputs["attention_mask"].bool()
    return real[:, None, None, :] & real[:, None, :, None]


def additive(mask: Any, bias: Any = 0.0) -> Any:
    return (torch.zeros(mask.shape) + bias).masked_fill(~mask, LOWEST)


def additive_by(case: Case, lowest: float) -> Any:
    return torch.zeros(causal(case).shape).masked_fill(~causal(case), lowest)


def biased(case: Case) -> Any:
    """A bias by distance, of another slope for each head."""
    S = case.inputs["input_ids"].shape[1]
    distance = torch.arange(S)[None, :] - torch.arange(S)[:, None]
    return additive(causal(case).expand(-1, 4, -1, -1), distance * torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None, None])


FORMS: dict[str, Callable[[Case], Any]] = {
    "causal": causal,
    "packed": packed,
    "bidirectional": bidirectional,
    "packed, additive": lambda case: additive(packed(case)),
    "additive, -1e9": lambda case: additive_by(case, -1e9),
    "additive, -inf": lambda case: additive_by(case, float("-inf")).masked_fill(
        ~causal(case).any(-1, keepdim=True), 0.0
    ),
    "bias by head": biased,
    "unseen by rows of padding": lambda case: causal(case) | ~causal(case).any(-1, keepdim=True),
}


def hiding(mask: Any, keep: Any) -> Any:
    """The mask at full length, without the dropped columns."""
    hidden = ~keep[:, None, None, :]
    return mask.masked_fill(hidden, False if mask.dtype == torch.bool else LOWEST)


@torch.no_grad()
def logits(case: Case, mask: Any, **more: Any) -> Any:
    return case.model(**case.inputs | {"attention_mask": mask} | more).logits


def positions(case: Case) -> Any:
    """Those of the plain prompt: with a 4-D mask some families cannot count."""
    with seen_by_text_model(case) as calls, torch.no_grad():
        case.model(**case.inputs)
    return with_positions(calls[0])["position_ids"]


@contextmanager
def from_layer(case: Case, first: int, mask: Any) -> Iterator[None]:
    """Layers from ``first`` on are given this mask."""

    def given(module: Any, args: Any, kwargs: Any) -> Any:
        return args, {**kwargs, "attention_mask": mask}

    handles = [layer.register_forward_pre_hook(given, with_kwargs=True) for layer in case.text.layers[first:]]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize(("selector", "where"), [("evs", "inside"), ("fastv", "before"), ("fastv", "inside")])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl", "qwen3_vl"])
def test_masks_are_cut_not_replaced(family: str, form: str, batch: int, selector: str, where: str) -> None:
    case = CASES[family](batch)
    mask, at = FORMS[form](case), positions(case)
    real = case.inputs["attention_mask"].bool()
    with stgraph.compress(case.model, stgraph.selector(selector, retain_ratio=0.4), where=where) as stats:
        found = logits(case, mask, position_ids=at)
    keep = kept_columns(case, stats)
    assert stats.prompts[0].kept_length == found.shape[1] == int(keep.sum(1).max())  # padding is seen as such
    with from_layer(case, stats.videos[0].account.prune_layer, hiding(mask, keep)):
        expected = logits(case, mask, position_ids=at)
    for row, columns in enumerate(keep & real):
        wanted = expected[row, columns]
        assert (found[row, -len(wanted) :] - wanted).abs().max() < 1e-5


@torch.no_grad()
def test_one_mask_for_all_rows() -> None:
    case = CASES["llava_onevision"](1)
    case.inputs.update({name: torch.cat([value, value]) for name, value in case.inputs.items()})
    case.inputs["pixel_values_videos"][1] += 1.0
    mask = packed(case)[:1]
    with stgraph.compress(case.model, stgraph.selector("fastv", retain_ratio=0.4), where="before") as stats:
        found = logits(case, mask)
    keep = kept_columns(case, stats)
    assert not torch.equal(keep[0], keep[1])
    expected = logits(case, hiding(mask.expand(2, -1, -1, -1), keep))
    for row, columns in enumerate(keep):
        assert (found[row] - expected[row, columns]).abs().max() < 1e-5


@pytest.mark.parametrize("where", ["inside", "before"])
def test_the_attention_that_is_read_sees_what_the_mask_shows(where: str) -> None:
    """FastV keeps what the last token looks at: nothing that the caller hides from it."""
    case = CASES["llava_onevision"](1)
    mask, columns = causal(case), case.columns(0)
    shown = columns[torch.arange(20) + 5]
    mask[:, :, -1, columns] = False
    mask[:, :, -1, shown] = True
    with stgraph.compress(case.model, stgraph.selector("fastv", n_keep=15), where=where) as stats:
        logits(case, mask)
    assert set(columns[torch.from_numpy(stats.videos[0].nodes)].tolist()) <= set(shown.tolist())
    bias = additive(causal(case)).clone()
    bias[..., -1, columns[:8]] += 50.0
    with stgraph.compress(case.model, stgraph.selector("fastv", n_keep=8), where=where) as stats:
        logits(case, bias)
    assert stats.videos[0].nodes.tolist() == list(range(8))


@pytest.mark.parametrize("batch", [1, 2])
def test_masks_by_name(batch: int) -> None:
    """As the text model takes them, one for each kind of layer; one may be left to the layer."""
    case = CASES["llava_onevision"](batch)
    mask = packed(case)
    for given, meant in (
        ({"full_attention": mask}, mask),
        ({"full_attention": mask, "sliding_attention": None}, mask),
        ({"full_attention": case.inputs["attention_mask"], "sliding_attention": mask}, causal(case)),
    ):
        if batch == 2 and given["full_attention"] is not mask:
            continue  # the model itself takes no padding there
        with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.4)) as stats:
            found = case.model.model(**case.inputs | {"attention_mask": given}).last_hidden_state
        keep = kept_columns(case, stats)
        expected = case.model.model(**case.inputs | {"attention_mask": hiding(meant, keep)}).last_hidden_state
        for row, columns in enumerate(keep):
            wanted = expected[row, columns]
            assert (found[row, -len(wanted) :] - wanted).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda mask: mask[0], r"torch.bool of shape \[1, \d+, \d+\]"),
        (lambda mask: mask.long(), r"torch.int64 of shape \[1, 1"),
        (lambda mask: mask[:, :, :-1], "of shape"),
        (lambda mask: {"full_attention": mask, "other": mask[..., :-1]}, "of shape"),
        (lambda mask: object(), "class object"),
    ],
)
@pytest.mark.parametrize("selector", ["evs", "fastv"])
def test_masks_that_cannot_be_cut(make: Any, named: str, selector: str) -> None:
    case = CASES["qwen2_vl"](1)
    inputs = case.inputs | {"attention_mask": make(causal(case)), "position_ids": positions(case)}
    compressed = stgraph.compress(case.model, stgraph.selector(selector, retain_ratio=0.4))
    with compressed, pytest.raises(InputError, match=f"the attention mask is .*{named}.*retain_ratio=1"):
        case.model.model(**inputs)


@torch.no_grad()
@pytest.mark.parametrize("form", ["causal", "packed", "packed, additive"])
def test_new_tokens_with_masks_of_ones_own(form: str) -> None:
    """A loop that counts the whole prompt and hides some of it from the new token: the same columns are hidden."""
    case = CASES["llava_onevision"](1)
    S, n = case.inputs["input_ids"].shape[1], case.inputs["input_ids"].shape[1] + 1
    mask, at = FORMS[form](case), positions(case)
    step = torch.ones(1, 1, 1, n, dtype=torch.bool)
    step[..., : n // 2] = False
    whole = torch.nn.functional.pad(seen(mask), (0, 1))
    whole = torch.cat([whole, step], 2)
    new = {"input_ids": torch.tensor([[9]]), "position_ids": torch.tensor([[S]])}
    with stgraph.compress(case.model, stgraph.selector("evs", retain_ratio=0.4)) as stats:
        out = case.model(**case.inputs | {"attention_mask": mask, "position_ids": at}, use_cache=True)
        given = step if mask.dtype == torch.bool else additive(step)
        with pytest.raises(InputError, match=f"can be cut if all of them have {n}"):
            case.model(**new, **{CACHE: out[CACHE]}, attention_mask=given[..., 1:])
        found = case.model(**new, **{CACHE: out[CACHE]}, attention_mask=given).logits[:, -1]
    keep = torch.nn.functional.pad(kept_columns(case, stats), (0, 1), value=True)
    case.inputs["input_ids"] = torch.cat([case.inputs["input_ids"], new["input_ids"]], 1)
    expected = logits(case, hiding(whole, keep), position_ids=torch.cat([at, new["position_ids"]], 1))[:, -1]
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_vl", "internvl"])
def test_what_is_padding_in_a_mask_for_pairs(family: str) -> None:
    case = CASES[family](2)
    real = case.inputs["attention_mask"].bool()
    assert not real.all()
    for form, make in FORMS.items():
        assert torch.equal(padding_in(make(case), *real.shape), real), form
    assert padding_in(causal_pairs(torch.ones(0), 9), 2, 9).all()
    assert padding_in(causal_pairs(torch.ones(0, dtype=torch.bool), 9), 2, 9).all()
    right = causal_pairs(torch.ones(0, dtype=torch.bool), 9)
    right[..., -2:] = False
    assert padding_in(right, 1, 9)[0].tolist() == [True] * 8 + [False]
