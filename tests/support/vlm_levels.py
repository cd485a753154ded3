"""What a model cut between its layers must equal: itself at full length, the dropped columns hidden from a layer on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vlm_models import Case, torch
from vlm_oracle import extended, seen_by_text_model

from stgraph.vlm.stats import Stats


def levels_of(case: Case, stats: Stats) -> dict[int, Any]:
    """Layer -> [B, S] bool, columns that are left from it on, by records of one cut each; one video a row."""
    levels: dict[int, Any] = {}
    for video in stats.videos:
        levels.setdefault(video.account.prune_layer, case.inputs["attention_mask"].bool().clone())
    for layer, keep in levels.items():
        for video in stats.videos:
            if video.account.prune_layer == layer:
                keep_rows(case, keep, video.sample, torch.from_numpy(video.nodes))
    return levels


def keep_rows(case: Case, keep: Any, row: int, nodes: Any) -> None:
    """Leave of a row's video these patches alone."""
    T, H, W = case.grids[row]
    columns = case.columns(row)[: T * H * W]
    keep[row, columns] = False
    keep[row, columns[nodes]] = True


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """With eager attention, whose masks have an entry for each pair."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def hidden_from(text: Any, levels: dict[int, Any], generated: Any = None) -> Iterator[None]:
    """From each layer on, the columns that are not in its level are seen by none but themselves; where ``generated``
    is given ([B, S] bool), what comes behind the prompt sees of it these columns alone, in every layer."""
    handles = []
    for i, layer in enumerate(text.layers):
        keep = next((levels[first] for first in sorted(levels, reverse=True) if first <= i), None)
        if keep is None and generated is not None:
            keep = torch.ones_like(generated)
        if keep is None:
            continue

        def hide(module: Any, args: Any, kwargs: Any, keep: Any = keep) -> Any:
            mask = kwargs["attention_mask"]
            n, width = mask.shape[-2:]
            lost = torch.zeros(len(keep), width, dtype=torch.bool)
            lost[:, : keep.shape[1]] = ~keep
            away = lost[:, None, None, :].expand(-1, 1, n, -1) & ~torch.eye(n, width, dtype=torch.bool)
            if generated is not None:
                S = generated.shape[1]
                away[:, :, S:, :S] |= ~generated[:, None, None, :]
            return args, {**kwargs, "attention_mask": mask.masked_fill(away, torch.finfo(mask.dtype).min)}

        handles.append(layer.register_forward_pre_hook(hide, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def hidden_run(
    case: Case, levels: dict[int, Any], sequences: Any, positions: Any, generated: Any = None, **more: Any
) -> Any:
    """The output of the unmodified model over whole sequences, columns hidden by levels, positions explicit."""

    def explicit(kwargs: dict[str, Any]) -> dict[str, Any]:
        return {**kwargs, "position_ids": positions[..., : sequences.shape[1]]}

    with eager(case.model), seen_by_text_model(case, explicit), hidden_from(case.text, levels, generated):
        return case.model(**extended(case, sequences), **more)
