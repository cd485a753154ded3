"""Cutting columns out of a prompt on its way into the text model, and what follows from it while decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stgraph.errors import InputError

CACHE_NAMES = ("cache", "past_key_values")


@dataclass(frozen=True, eq=False)
class Cut:
    """Which columns of a prompt are left.

    Attributes
    ----------
    rows : [R] int64, rows of the batch
    columns : [R, L] int64, columns of the prompt, ascending; rows with fewer are padded on the left
    valid : [R, L] bool, False at padding
    length : S, columns of the prompt before
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
    """The cut that leaves the columns marked in ``keep`` ([B, S] bool), for all rows or for these."""
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
    """The inputs with explicit positions [..., B, S]: where none came, what the text model would count itself."""
    import torch

    embeds, positions = inputs["inputs_embeds"], inputs.get("position_ids")
    B, S = embeds.shape[:2]
    if positions is None:
        positions = torch.arange(S, device=embeds.device)[None]
    return {**inputs, "position_ids": positions.expand(*positions.shape[:-2], B, S)}


def cut_inputs(inputs: Mapping[str, Any], cut: Cut, compact: Any = None) -> dict[str, Any]:
    """Keyword arguments of the text model with only the columns of ``cut``.

    Parameters
    ----------
    inputs : of :func:`with_positions`
    compact : [R] bool, rows whose positions are counted anew from 0, on every axis
    """
    import torch

    at, rows = cut.columns, cut.rows[:, None]
    positions = inputs["position_ids"][..., cut.rows, :]
    positions = torch.gather(positions, -1, at.to(positions.device).expand(*positions.shape[:-1], at.shape[1]))
    if compact is not None:
        counted = (cut.valid.cumsum(1) - 1).clamp(min=0).to(positions)
        positions = torch.where(compact.to(positions.device)[:, None], counted, positions)
    out = dict(inputs)
    out["inputs_embeds"] = inputs["inputs_embeds"][rows, at]
    out["position_ids"] = positions
    # Without an explicit mask, gaps between positions are read as several packed sequences.
    out["attention_mask"] = cut.valid.long()
    if inputs.get("cache_position") is not None:
        out["cache_position"] = torch.arange(at.shape[1], device=at.device)
    visual = inputs.get("visual_pos_masks")
    if visual is not None:
        left = torch.zeros_like(visual)
        left[rows.expand_as(at)[cut.valid], at[cut.valid]] = True
        out["visual_pos_masks"] = visual[rows, at] & cut.valid
        entries = left[visual]
        out["deepstack_visual_embeds"] = [level[entries] for level in inputs["deepstack_visual_embeds"]]
    return out


def cache_of(named: Mapping[str, Any]) -> Any:
    """The cache among keyword arguments or outputs, None without: transformers 5.24 renamed it."""
    return next((named[name] for name in CACHE_NAMES if named.get(name) is not None), None)


def following(positions: Any) -> Any:
    """[..., B, 1]: the position of the first token after these [..., B, S], of which the last is text."""
    return positions[..., -1:] + 1


@dataclass(frozen=True, eq=False)
class Continuation:
    """What decoding after a cut prompt needs to know; kept on the cache, and copied with it.

    Attributes
    ----------
    valid : [B, L] bool, columns of the prompt in the cache that are no padding
    padded : whether any is padding
    length, kept_length : S and L
    next_position : [..., B, 1], what the first new token would have been given without the cut
    shift : [..., B, 1], by how much positions are lower than that: 0 but for compact rows
    """

    valid: Any
    padded: bool
    length: int
    kept_length: int
    next_position: Any
    shift: Any

    @property
    def n_dropped(self) -> int:
        """S - L."""
        return self.length - self.kept_length

    def apply(self, inputs: Mapping[str, Any], past: int, given: bool) -> dict[str, Any]:
        """Keyword arguments of the text model for new tokens.

        Parameters
        ----------
        past : tokens in the cache
        given : whether positions came from the caller, who counts the full prompt; else the model counted the cache

        Raises
        ------
        InputError
            the caller believes the cache to hold something else than it does
        """
        import torch

        out = dict(inputs)
        B, n_new = inputs["inputs_embeds"].shape[:2]
        if B != self.valid.shape[0]:
            raise InputError(f"the compressed cache holds {self.valid.shape[0]} rows, but {B} are continued")
        out["attention_mask"] = self._mask(inputs.get("attention_mask"), past, n_new, given)
        if inputs.get("cache_position") is not None:
            out["cache_position"] = inputs["cache_position"] - self.n_dropped
        positions = inputs.get("position_ids")
        if positions is None:
            first = past + self.n_dropped
            positions = torch.arange(first, first + n_new, device=self.valid.device).expand(B, n_new)
        elif not given:
            positions = positions + self.n_dropped
        elif positions.shape[:-1] == self.next_position.shape[:-1]:
            expected = self.next_position + (past - self.kept_length)
            if not torch.equal(positions[..., :1], expected.to(positions)):
                raise continued(past)
        if bool(self.shift.any()):
            positions = positions - self.shift.to(positions)
        out["position_ids"] = positions
        return out

    def _mask(self, mask: Any, past: int, n_new: int, given: bool) -> Any:
        """The mask over what the cache really holds, and the new tokens."""
        import torch

        held = min(past, self.kept_length)  # of the prompt; a guess at its end may have been cropped again
        valid = self.valid[:, :held]
        if isinstance(mask, dict) or (mask is not None and mask.ndim != 2) or (mask is None and self.padded):
            return torch.cat([valid, valid.new_ones(len(valid), past + n_new - held)], 1).long()
        if mask is None:
            return None
        counted_from = {past + n_new + self.n_dropped: held + self.n_dropped}
        if not given:  # a loop of one's own may count what the cache really holds
            counted_from.setdefault(past + n_new, held)
        if mask.shape[1] not in counted_from:
            raise continued(past)
        tail = mask[:, counted_from[mask.shape[1]] :]
        return torch.cat([valid.to(tail), tail], 1)


def continued(past: int) -> InputError:
    """The one message for a compressed cache that is used as if it held the whole prompt."""
    return InputError(
        f"this cache holds {past:,} tokens of a compressed prompt, but the caller counts on the whole prompt: a turn "
        "with generate(past_key_values=cache), prefill_chunk_size, assisted decoding or a cropped cache would feed "
        "tokens twice. Start each turn without past_key_values, or feed only the new tokens to forward"
    )
