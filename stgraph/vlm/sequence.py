"""Cutting columns out of a prompt before the text model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stgraph.vlm.caches import is_static
from stgraph.vlm.keywords import cache_of, cut_keywords, visual_of
from stgraph.vlm.masks import are_pairs, causal_pairs, cut_pairs, unusable
from stgraph.vlm.padding import is_padding


@dataclass(frozen=True, eq=False)
class Cut:
    """The remaining columns of a prompt.

    Attributes
    ----------
    rows : [R] int64, rows of the batch
    columns : [R, L] int64, columns of the prompt, ascending; rows with fewer are padded on the left
    valid : [R, L] bool, False at padding
    length : S, columns of the whole prompt
    """

    rows: Any
    columns: Any
    valid: Any
    length: int

    @property
    def n_dropped(self) -> int:
        """S - L."""
        return self.length - int(self.columns.shape[1])


def cut_of(keep: Any, rows: Sequence[int] | None = None) -> Cut:
    """The cut that keeps the columns marked in ``keep`` ([B, S] bool), for all or the given rows."""
    import torch

    chosen = torch.as_tensor(range(len(keep)) if rows is None else rows, dtype=torch.long, device=keep.device)
    marked = keep[chosen]
    counts = marked.sum(1)
    L = int(counts.max())
    valid = torch.arange(L, device=keep.device) >= (L - counts)[:, None]
    columns = torch.zeros(valid.shape, dtype=torch.long, device=keep.device)
    columns[valid] = marked.nonzero()[:, 1]  # row by row, ascending
    return Cut(chosen, columns, valid, keep.shape[1])


def with_positions(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with explicit positions [..., B, S]; if absent, those the text model would count itself."""
    import torch

    embeds, positions = inputs["inputs_embeds"], inputs.get("position_ids")
    B, S = embeds.shape[:2]
    if positions is None:
        positions = torch.arange(S, device=embeds.device)[None]
    return {**inputs, "position_ids": positions.expand(*positions.shape[:-2], B, S)}


def cut_inputs(inputs: Mapping[str, Any], cut: Cut, compact: Any = None) -> dict[str, Any]:
    """Keyword arguments of the text model, restricted to the columns of ``cut``.

    Parameters
    ----------
    inputs : of :func:`with_positions`
    compact : [R] bool, rows whose positions are counted anew from 0, on every axis

    Raises
    ------
    InputError
        an argument refers to the tokens of the whole prompt and cannot be cut; the message names it
    """
    import torch

    at, rows = cut.columns, cut.rows[:, None]
    positions = inputs["position_ids"][..., cut.rows, :]
    positions = torch.gather(positions, -1, at.to(positions.device).expand(*positions.shape[:-1], at.shape[1]))
    if compact is not None:
        counted = (cut.valid.cumsum(1) - 1).clamp(min=0).to(positions)
        positions = torch.where(compact.to(positions.device)[:, None], counted, positions)
    B, S = inputs["inputs_embeds"].shape[:2]
    out = cut_keywords(inputs, cut.rows, at, B, S)
    out["position_ids"] = positions
    out["attention_mask"] = _cut_mask(inputs, cut, B)
    if inputs.get("cache_position") is not None:
        out["cache_position"] = torch.arange(at.shape[1], device=at.device)
    visual = visual_of(inputs)
    if visual is not None:
        left = torch.zeros_like(visual)
        left[rows.expand_as(at)[cut.valid], at[cut.valid]] = True
        shown, shape = visual[rows, at] & cut.valid, inputs["visual_pos_masks"].shape
        out["visual_pos_masks"] = shown[..., None].expand(*shown.shape, *shape[2:]) if len(shape) == 3 else shown
        entries = left[visual]
        out["deepstack_visual_embeds"] = [level[entries] for level in inputs["deepstack_visual_embeds"]]
    return out


def _cut_mask(inputs: Mapping[str, Any], cut: Cut, B: int) -> Any:
    """The mask of the remaining columns. Never None: gaps between positions would be read as packed sequences."""
    mask = inputs.get("attention_mask")
    parts = mask if isinstance(mask, dict) else {"": mask}
    pairs = [part for part in parts.values() if part is not None and not is_padding(part, cut.length)]
    if not pairs:
        return cut.valid.long()  # the text model makes its masks from it, whatever kinds it needs
    for part in pairs:
        if not are_pairs(part, B, cut.length):
            raise unusable(part, cut.length)
    L, S = cut.columns.shape[1], cut.length
    n = pairs[0].shape[3] if is_static(cache_of(inputs)) else L
    causal = causal_pairs(pairs[0], S)
    given = {name: part if any(part is p for p in pairs) else causal for name, part in parts.items()}
    left = {name: cut_pairs(part, cut.rows, cut.columns, cut.valid, B, S, n) for name, part in given.items()}
    return left if isinstance(mask, dict) else left[""]


def following(positions: Any) -> Any:
    """[..., B, 1]: position of the first token after these [..., B, S], the last of which is text."""
    return positions[..., -1:] + 1
