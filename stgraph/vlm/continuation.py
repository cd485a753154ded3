"""Decoding after a cut prompt: masks, positions and counts over the actual contents of the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stgraph.errors import InputError
from stgraph.vlm.caches import is_static
from stgraph.vlm.keywords import cache_of
from stgraph.vlm.layer_kinds import check_window
from stgraph.vlm.levels import Level
from stgraph.vlm.masks import are_pairs, hide, is_plain, unusable


@dataclass(frozen=True, eq=False)
class Continuation:
    """State for decoding after a cut prompt; kept on the cache, and copied with it.

    Attributes
    ----------
    real : [B, S] bool, columns of the prompt that are not padding
    columns, valid : [B, L], those in the cache; False at padding
    padded : whether any column is padding
    length, kept_length : S and L
    window : columns a windowed layer looks back on; None without such a layer
    next_position : [..., B, 1], position of the first new token without the cut
    shift : [..., B, 1], how much lower positions are: 0 except for compact rows
    ids : [B, S] int64 NumPy array, the prompt's tokens
    counted : whether positions are counted here, ignoring the caller's: in later turns ``generate`` does not know them
    levels : columns held by decoder layers from some layer on, if columns were cut between layers; filled as the prompt
        passes through them
    """

    real: Any
    columns: Any
    valid: Any
    padded: bool
    length: int
    kept_length: int
    window: int | None
    next_position: Any
    shift: Any
    ids: Any
    counted: bool = False
    levels: list[Level] = field(default_factory=list)

    @property
    def n_dropped(self) -> int:
        """S - L."""
        return self.length - self.kept_length

    def apply(self, inputs: Mapping[str, Any], past: int, given: bool) -> dict[str, Any]:
        """Keyword arguments of the text model for new tokens.

        Parameters
        ----------
        past : tokens in the cache
        given : whether positions came from the caller, who counts the full prompt; otherwise the model counted the
            cache

        Raises
        ------
        InputError
            the caller expects different contents of the cache, or a window has become too short
        """
        import torch

        out = dict(inputs)
        B, n_new = inputs["inputs_embeds"].shape[:2]
        if B != self.valid.shape[0]:
            raise InputError(f"the compressed cache holds {self.valid.shape[0]} rows, but {B} are continued")
        if self.window is not None:
            check_window(self.window, int(self.real.sum(1).max()) + past - self.kept_length + n_new)
        out["attention_mask"] = self._mask(inputs, past, n_new, given)
        if inputs.get("cache_position") is not None:
            out["cache_position"] = inputs["cache_position"] - self.n_dropped
        positions = inputs.get("position_ids")
        ahead, real = self._ahead(out["attention_mask"], past, n_new)
        expected = self.next_position + ahead
        if self.counted:
            positions = expected
        elif positions is None:
            first = past + self.n_dropped
            positions = torch.arange(first, first + n_new, device=self.valid.device).expand(B, n_new)
        elif not given:
            positions = positions + self.n_dropped
        elif positions.shape[:-1] == self.next_position.shape[:-1]:
            one_by_one = self.next_position + (past - self.kept_length)  # as generate() of transformers 4 counts
            right = ((positions == expected.to(positions)) | ~real.to(positions.device)).all()
            if not bool(right) and not torch.equal(positions[..., :1], one_by_one.to(positions)):
                raise continued(past)
        if bool(self.shift.any()):
            positions = positions - self.shift.to(positions)
        out["position_ids"] = positions
        return out

    def _ahead(self, mask: Any, past: int, n_new: int) -> tuple[Any, Any]:
        """[1 or B, n_new] int64: tokens between the prompt and each new one, without padding; and bool, whether it is
        none itself."""
        import torch

        if getattr(mask, "ndim", 0) != 2 or past < self.kept_length:
            first = past - self.kept_length
            ahead = torch.arange(first, first + n_new, device=self.next_position.device)[None]
            return ahead, torch.ones_like(ahead, dtype=torch.bool)
        behind = mask[:, self.kept_length :].to(self.next_position.device).bool()
        return (behind.cumsum(1) - 1).clamp(min=0)[:, -n_new:], behind[:, -n_new:]

    def _mask(self, inputs: Mapping[str, Any], past: int, n_new: int, given: bool) -> Any:
        """The mask over the actual contents of the cache, and the new tokens."""
        import torch

        mask = inputs.get("attention_mask")
        held = min(past, self.kept_length)  # of the prompt; a guess at its end may have been cropped again
        valid = self.valid[:, :held]
        if isinstance(mask, dict) or (mask is not None and mask.ndim != 2) or (mask is None and self.padded):
            own = self._own_masks(mask, cache_of(inputs), past, n_new)
            return torch.cat([valid, valid.new_ones(len(valid), past + n_new - held)], 1).long() if own is None else own
        if mask is None:
            return None
        counted_from = {past + n_new + self.n_dropped: held + self.n_dropped}
        if not given:  # a loop of one's own may count what the cache really holds
            counted_from.setdefault(past + n_new, held)
        if mask.shape[1] not in counted_from:
            raise continued(past)
        tail = mask[:, counted_from[mask.shape[1]] :]
        return torch.cat([valid.to(tail), tail], 1)

    def _own_masks(self, mask: Any, cache: Any, past: int, n_new: int) -> Any:
        """Masks for pairs of new and old tokens that hide more than padding, cut; None if there are none."""
        import torch

        parts = mask if isinstance(mask, dict) else {"": mask}
        pairs = {name: part for name, part in parts.items() if part is not None and getattr(part, "ndim", 0) != 2}
        new = torch.arange(past, past + n_new)
        for part in pairs.values():
            if not are_pairs(part, len(self.valid), n_new):
                raise unusable(part, n_new)
        # Callers count what the cache holds, or what it would hold.
        if all(is_plain(m, self.real, new) or is_plain(m, self.real, new + self.n_dropped) for m in pairs.values()):
            return None
        lengths = {part.shape[3] for part in pairs.values()}
        held = min(past, self.kept_length)
        if is_static(cache) or len(pairs) < len(parts) or lengths - {past + n_new + self.n_dropped}:
            raise InputError(
                f"the attention mask for new tokens has {max(lengths):,} columns and hides more than padding; after a "
                f"compressed prompt it can be cut if all of them have {past + n_new + self.n_dropped:,}, the whole "
                "prompt and what follows, and the cache is a dynamic one"
            )
        columns = self.columns[:, None, None, :held]
        left = {}
        for name, part in pairs.items():
            old = torch.take_along_dim(part.expand(len(self.valid), -1, -1, -1), columns.to(part.device), 3)
            old = hide(old, ~self.valid[:, None, None, :held])
            left[name] = torch.cat([old, part[..., held + self.n_dropped :].expand(len(old), -1, -1, -1)], 3)
        return left if isinstance(mask, dict) else left[""]


def new_video(past: int) -> InputError:
    """The refusal of a video or image after a prompt that is in the cache."""
    return InputError(
        f"a video or an image comes in a later turn, or in pieces, when the cache already holds {past:,} tokens of a "
        "compressed prompt: compress() cuts whole prompts. Start this turn without past_key_values and "
        "prefill_chunk_size, with the whole conversation and all its videos"
    )


def cut_inside(selector: str) -> InputError:
    """The refusal of a cache cut between decoder layers, where hooks on the layers are lacking."""
    return InputError(
        "this cache holds a prompt that was cut between decoder layers, each of which needs a mask of its own, but "
        f"{selector} cuts before the first: go on in compress() with the selector that cut it, or another of its kind"
    )


def continued(past: int) -> InputError:
    """The error for a compressed cache used as if it held the whole prompt."""
    return InputError(
        f"this cache holds {past:,} tokens of a compressed prompt, but the caller counts on the whole prompt: "
        "prefill_chunk_size, assisted decoding or a cropped cache would feed tokens twice. Go on with "
        "generate(input_ids=all tokens of the conversation, past_key_values=cache), or feed only the new tokens to "
        "forward"
    )
