"""The hooks on one model: what they read on the way in, and where they cut the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgraph.errors import InputError, UnavailableError
from stgraph.grid import TokenGrid
from stgraph.selection.base import Selector
from stgraph.vlm.families import Parts
from stgraph.vlm.grids import Grids, find_videos, merged_grids
from stgraph.vlm.pruning import Asked, Pruner
from stgraph.vlm.sequence import Continuation, cache_of, continued
from stgraph.vlm.stats import Stats

Array = np.ndarray[Any, Any]

_STATE = "_stgraph_continuation"  # on a cache object, so that copies of the cache carry it along


@dataclass(frozen=True, eq=False)
class _Call:
    """What the base model was called with: token ids [B, S], and whether its caller counts positions."""

    ids: Any
    positions_given: bool


class Hooks:
    """Forward hooks on the modules of one model instance; nothing else of it is touched."""

    def __init__(
        self, parts: Parts, selector: Selector, probe_layer: int, positions: str, grids: Grids | None, stats: Stats
    ) -> None:
        self.parts = parts
        self.grids = grids
        self.pruner = Pruner(parts, selector, probe_layer, positions, stats)
        self._handles: list[Any] = []
        self._encoded: list[list[TokenGrid]] = []
        self._call: _Call | None = None
        self._asked = Asked()
        self._made: Continuation | None = None

    def attach(self) -> None:
        """Register the hooks.

        Raises
        ------
        InputError
            the model is being compressed already
        """
        parts = self.parts
        present = parts.text._forward_pre_hooks.values()
        if any(isinstance(getattr(hook, "__self__", None), Hooks) for hook in present):
            raise InputError(
                f"this {type(parts.model).__name__} is being compressed already; leave the first compress() before "
                "entering another, or load the model twice"
            )
        add = self._handles.append
        add(parts.model.register_forward_pre_hook(self._before_model, with_kwargs=True))
        add(parts.model.register_forward_hook(self._after_model, always_call=True))
        add(parts.base.register_forward_pre_hook(self._before_base, with_kwargs=True))
        add(parts.text.register_forward_pre_hook(self._before_text, with_kwargs=True))
        add(parts.text.register_forward_hook(self._after_text, with_kwargs=True))
        if parts.family.side is None and parts.vision is not None:
            add(parts.vision.register_forward_pre_hook(self._before_vision, with_kwargs=True))

    def detach(self) -> None:
        """Remove the hooks, and forget what they read."""
        while self._handles:
            self._handles.pop().remove()
        self._encoded.clear()
        self._call = self._made = None
        self._asked = Asked()

    def _before_model(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        logits = kwargs.get("logits_to_keep")
        if kwargs.get("labels") is not None:
            self._asked = Asked(per_token="labels")
        elif getattr(logits, "ndim", 0):
            self._asked = Asked(per_token="logits_to_keep (positions)")
        elif isinstance(logits, int):
            self._asked = Asked(n_last=logits)

    def _after_model(self, module: Any, args: tuple[Any, ...], output: Any) -> None:
        self._asked = Asked()

    def _before_base(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        given = kwargs.get("position_ids") is not None or kwargs.get("cache_position") is not None
        self._call = _Call(kwargs.get("input_ids", args[0] if args else None), given)

    def _before_vision(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Note the grids (after spatial merging) of one call: images and videos come in calls of their own."""
        thw = kwargs.get("grid_thw", args[1] if len(args) > 1 else None)
        if thw is None:
            return
        merge = kwargs.get("merge_sizes", args[2] if len(args) > 2 else None)
        grids = merged_grids(module, thw, merge)
        self._encoded = [*self._encoded[-1:], grids]

    def _before_text(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call, self._call = self._call, None
        if self.pruner.probing or kwargs.get("inputs_embeds") is None:
            return None
        import torch

        if torch.compiler.is_compiling():
            raise UnavailableError("compress() cannot cut inside a compiled model: generate(..., disable_compile=True)")
        cache = cache_of(kwargs)
        past = 0 if cache is None else int(cache.get_seq_length())
        if past:
            return self._continue(kwargs, cache, past, call)
        if cache is not None and hasattr(cache, _STATE):
            delattr(cache, _STATE)  # a cache that was reset
        if call is None:
            return None
        if call.ids is None:
            raise InputError("compress() finds the video by its token ids: pass input_ids, not inputs_embeds")
        new = self._start(kwargs, call)
        if new is None:
            return None
        if cache is not None:
            setattr(cache, _STATE, self._made)
        return (), new

    def _start(self, kwargs: dict[str, Any], call: _Call) -> dict[str, Any] | None:
        """The inputs of a prompt with fewer video tokens; None where none is to go, so that nothing is touched."""
        ids = call.ids.cpu().numpy()
        if not (ids == self.parts.token_id).any():
            return None
        videos = find_videos(ids, self.parts, self._last_video_grids(ids), self.grids)
        cut = self.pruner.prune(kwargs, ids, videos, self._asked)
        if cut is None:
            return None
        new, self._made = cut
        return new

    def _last_video_grids(self, ids: Array) -> list[TokenGrid] | None:
        """The grids of the prompt's videos: of the last call of the vision tower that fits, for videos come last."""
        total = int((ids == self.parts.token_id).sum())
        fitting = [grids for grids in self._encoded if total % sum(grid.n_tokens for grid in grids) == 0]
        found = (fitting or self._encoded)[-1:]
        self._encoded = []
        return found[0] if found else None

    def _continue(self, kwargs: dict[str, Any], cache: Any, past: int, call: _Call | None) -> Any:
        """New tokens after a prompt that is in the cache."""
        state: Continuation | None = getattr(cache, _STATE, None)
        ids = None if call is None else call.ids
        if ids is not None and ids.shape[1] > 1 and bool((ids == self.parts.token_id).any()):
            if state is not None:
                raise continued(past)
            raise InputError(
                f"video tokens arrive when the cache already holds {past:,} tokens: compress() needs the whole prompt "
                "in one forward pass. Leave out prefill_chunk_size, and start without past_key_values"
            )
        if state is None:
            return None
        return (), state.apply(kwargs, past, call is not None and call.positions_given)

    def _after_text(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Remember the cut on a cache that the text model made itself."""
        made, self._made = self._made, None
        cache = cache_of(output)
        if made is not None and cache is not None:
            setattr(cache, _STATE, made)
