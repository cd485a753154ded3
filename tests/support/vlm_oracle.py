"""What a compressed run must equal: the unmodified model at full length, with dropped tokens masked out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vlm_models import Case, torch

import stgraph
from stgraph.vlm.sequence import with_positions
from stgraph.vlm.stats import Stats

Change = Callable[[dict[str, Any]], dict[str, Any]]


@contextmanager
def seen_by_text_model(case: Case, change: Change | None = None) -> Iterator[list[dict[str, Any]]]:
    """Records the keyword arguments that reach the text model, after ``change``."""
    calls: list[dict[str, Any]] = []

    def before(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        new = kwargs if change is None else change(kwargs)
        calls.append(dict(new))
        return args, new

    handle = case.text.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


@torch.no_grad()
def plain_inputs(case: Case) -> dict[str, Any]:
    """What reaches the text model without compression."""
    with seen_by_text_model(case) as calls:
        case.model(**case.inputs)
    return with_positions(calls[0])


def video_tokens(case: Case, row: int = 0) -> stgraph.VideoTokens:
    """The row's video as a selector sees it."""
    T, H, W = case.grids[row]
    features = plain_inputs(case)["inputs_embeds"][row, case.columns(row)[: T * H * W]]
    return stgraph.VideoTokens.from_array(features.view(T, H, W, -1))


def kept_columns(case: Case, stats: Stats) -> Any:
    """[B, S] bool: columns of the prompt that stay, by the records; one video a row, final newlines stay."""
    keep = case.inputs["attention_mask"].bool().clone()
    for video in stats.videos:
        T, H, W = video.grid
        columns = case.columns(video.sample)[: T * H * W]
        keep[video.sample, columns] = False
        keep[video.sample, columns[torch.from_numpy(video.nodes)]] = True
    return keep


def positions_of(calls: list[dict[str, Any]]) -> Any:
    """The positions of all steps of one generation, [..., B, S + steps]; where none came, the text model counts."""
    found, past = [], 0
    for call in calls:
        B, n = call["inputs_embeds"].shape[:2]
        given = call.get("position_ids")
        found.append(torch.arange(past, past + n).expand(B, n) if given is None else given)
        past += n
    return torch.cat(found, -1)


def extended(case: Case, sequences: Any) -> dict[str, Any]:
    """The inputs of one forward pass over prompt and generated tokens."""
    inputs = dict(case.inputs)
    n_new = sequences.shape[1] - inputs["input_ids"].shape[1]
    inputs["input_ids"] = sequences
    for name in ("attention_mask", "mm_token_type_ids", "moe_mm_token_type_ids"):
        if name in inputs:
            fill = int(name == "attention_mask")
            inputs[name] = torch.nn.functional.pad(inputs[name], (0, n_new), value=fill)
    return inputs


@torch.no_grad()
def masked_logits(case: Case, keep: Any, sequences: Any, positions: Any, change: Change | None = None) -> Any:
    """Logits of the unmodified model over whole sequences: columns not in ``keep`` are hidden, positions explicit."""

    def masked(kwargs: dict[str, Any]) -> dict[str, Any]:
        kwargs = kwargs if change is None else change(kwargs)
        n_new = kwargs["inputs_embeds"].shape[1] - keep.shape[1]
        mask = torch.nn.functional.pad(keep.long(), (0, n_new), value=1)
        return {**kwargs, "attention_mask": mask, "position_ids": positions[..., : mask.shape[1]]}

    with seen_by_text_model(case, masked):
        return case.model(**extended(case, sequences)).logits
