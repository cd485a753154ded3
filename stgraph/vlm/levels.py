"""Levels: the shorter prompts that decoder layers receive from some layer on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stgraph.errors import InputError, UnavailableError
from stgraph.vlm.block_masks import cut_block_mask, is_block_mask
from stgraph.vlm.caches import is_static
from stgraph.vlm.keywords import CACHE_NAMES, cache_of, cut_keywords, mapped
from stgraph.vlm.masks import causal_pairs, cut_pairs, hide

_BY_HAND = frozenset({*CACHE_NAMES, "hidden_states", "position_embeddings", "position_ids", "attention_mask"})


@dataclass(frozen=True, eq=False)
class Level:
    """The columns of a prompt seen by decoder layers from ``layer`` on.

    Attributes
    ----------
    layer : from 0
    at : [B, L] int64, ascending, columns of layer 0's input; rows with fewer are padded on the left
    valid : [B, L] bool, False at padding
    entered : number of columns that entered layer 0
    padded : whether any of ``valid`` is False
    """

    layer: int
    at: Any
    valid: Any
    entered: int
    padded: bool

    @property
    def length(self) -> int:
        """L."""
        return int(self.at.shape[1])

    def of_prompt(self, keywords: Mapping[str, Any], flash: bool) -> dict[str, Any]:
        """Keyword arguments of a decoder layer for this level; ``keywords`` are those of layer 0's columns.

        Rotary embeddings are cut, so that positions are unchanged. Position ids are counted anew: layers do not rotate
        by them, and gaps would be read as packed sequences.

        Raises
        ------
        InputError, UnavailableError
            an argument cannot be cut; the message names it
        """
        import torch

        B, L = self.at.shape
        rows = torch.arange(B, device=self.at.device)

        def turned(name: str, value: Any) -> Any:
            if value.ndim < 2 or value.shape[-2] != self.entered:
                return value
            if value.ndim == 2:
                return value[self.at]
            by_row = value.movedim((-3, -2), (0, 1))
            by_row = by_row.expand(B, *by_row.shape[1:])
            return by_row[rows[:, None], self.at].movedim((0, 1), (-3, -2))

        others = {name: value for name, value in keywords.items() if name not in _BY_HAND}
        out = {**keywords, **cut_keywords(others, rows, self.at, B, self.entered)}
        if keywords.get("position_embeddings") is not None:
            out["position_embeddings"] = mapped("position_embeddings", keywords["position_embeddings"], turned)
        if keywords.get("position_ids") is not None:
            out["position_ids"] = (self.valid.cumsum(1) - 1).clamp(min=0)
        if keywords.get("cache_position") is not None:
            out["cache_position"] = torch.arange(L, device=self.at.device)
        static = is_static(cache_of(keywords))
        out["attention_mask"] = self._prompt_mask(keywords.get("attention_mask"), rows, flash, static)
        return out

    def _prompt_mask(self, mask: Any, rows: Any, flash: bool, static: bool) -> Any:
        check_mask(mask)
        B, L = self.at.shape
        if mask is None and not self.padded:
            return None
        if flash:
            return self.valid.long()
        if mask is None:
            mask = causal_pairs(self.valid, self.entered)
        if is_block_mask(mask):
            room = mask.shape[-1] - L if static else 0
            return cut_block_mask(mask, self.at, _with_room(self.at, room), _with_room(self.valid, room))
        return cut_pairs(mask, rows, self.at, self.valid, B, self.entered, mask.shape[3] if static else L)

    def of_new_tokens(self, keywords: Mapping[str, Any], past: int, n_new: int, flash: bool) -> dict[str, Any]:
        """Keyword arguments of a decoder layer for new tokens.

        Parameters
        ----------
        keywords : those of a layer that holds everything that entered layer 0
        past : number of tokens in layer 0
        n_new : number of new tokens
        """
        out = dict(keywords)
        if keywords.get("cache_position") is not None:
            out["cache_position"] = keywords["cache_position"] - (self.entered - self.length)
        static = is_static(cache_of(keywords))
        out["attention_mask"] = self._mask_of_new(keywords.get("attention_mask"), past, n_new, flash, static)
        return out

    def check_cache(self, cache: Any, past: int) -> None:
        """Raise InputError if this level's first layer holds other tokens than layer 0, which holds ``past``.

        Caches cropped to a length, rather than by a number of tokens, are cut in layer 0 only.
        """
        layers = getattr(cache, "layers", None)
        if layers is None or is_static(cache):
            return
        held, expected = int(layers[self.layer].get_seq_length()), self.length + past - self.entered
        if held != expected:
            raise InputError(
                f"the cache was cropped after tokens were dropped inside the language model: layer 0 holds {past:,}, "
                f"which makes {expected:,} in layer {self.layer}, but {held:,} are there. Leave out assisted decoding "
                "(assistant_model, prompt_lookup_num_tokens), or compress(..., where='before')"
            )

    def _mask_of_new(self, mask: Any, past: int, n_new: int, flash: bool, static: bool) -> Any:
        import torch

        check_mask(mask)
        held = min(past, self.entered)  # of the prompt; what follows the last video may have been cropped again
        left = self.length - (self.entered - held)
        valid, at = self.valid[:, :left], self.at[:, :left]
        if mask is None:
            if not self.padded:
                return None
            seen = torch.cat([valid, valid.new_ones(len(valid), past - held + n_new)], 1)
            if flash:
                return seen.long()
            causal = torch.ones(n_new, seen.shape[1], dtype=torch.bool, device=seen.device).tril(seen.shape[1] - n_new)
            return seen[:, None, None, :] & causal
        if is_block_mask(mask):
            behind = torch.arange(held, mask.shape[-1], device=at.device).expand(len(at), -1)
            columns, seen = torch.cat([at, behind], 1), torch.cat([valid, torch.ones_like(behind).bool()], 1)
            room = mask.shape[-1] - columns.shape[1] if static else 0
            return cut_block_mask(mask, None, _with_room(columns, room), _with_room(seen, room))
        if mask.ndim == 2:
            return torch.cat([valid.to(mask), mask[:, held:]], 1)
        mask = mask.expand(len(valid), -1, -1, -1)
        old = torch.take_along_dim(mask, at[:, None, None, :].to(mask.device), 3)
        new = torch.cat([hide(old, ~valid[:, None, None, :]), mask[..., held:]], 3)
        if not static:
            return new
        places = torch.arange(mask.shape[3], device=mask.device)
        return hide(torch.nn.functional.pad(new, (0, len(places) - new.shape[3])), places >= new.shape[3])


def hidden_before(levels: Sequence[Level]) -> list[Level]:
    """For decoding, the same levels, each hiding the tokens the last one lacks. The first is of layer 0."""
    import torch

    *before, last = levels
    left = torch.zeros_like(levels[0].valid)
    rows, places = last.valid.nonzero(as_tuple=True)
    left[rows, last.at[rows, places]] = True
    hiding = [replace(level, valid=level.valid & left.gather(1, level.at), padded=True) for level in before]
    return [*({level.layer: level for level in hiding}.values()), last]


def _with_room(columns: Any, n: int) -> Any:
    """[B, L + n]: extended by zeros for a static cache's remaining room."""
    import torch

    return torch.nn.functional.pad(columns, (0, n))


def check_mask(mask: Any) -> None:
    """Raise UnavailableError if the masks of decoder layers are neither tensors nor flex attention's block masks."""
    import torch

    if mask is not None and not isinstance(mask, torch.Tensor) and not is_block_mask(mask):
        raise UnavailableError(
            f"the decoder layers get attention masks of class {type(mask).__name__}, which cannot be cut inside the "
            "language model: use sdpa, eager, flex or flash attention, or compress(..., where='before')"
        )


def is_flash(text: Any) -> bool:
    """Whether the text model's layers accept only padding masks."""
    return "flash" in str(text.config._attn_implementation)
