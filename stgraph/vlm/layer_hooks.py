"""Hooks on the decoder layers of a text model, which cut columns of a prompt between layers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

from stgraph.vlm.attention_probe import probed, probing
from stgraph.vlm.attention_switch import models_own, register, switched
from stgraph.vlm.calls import is_running, stack_of
from stgraph.vlm.keywords import cache_of
from stgraph.vlm.layer_kinds import mlp_entry
from stgraph.vlm.levels import Level, is_flash
from stgraph.vlm.prompt_pass import PromptPass

ATTENTION = "stgraph_row_of_the_pass"

# The attention module that runs next in this context, its layer, and the pass that needs its last row. A value left by
# an exception is cleared when the next layer starts.
_Wanted = tuple[Any, int, PromptPass]
_wanted: ContextVar[_Wanted | None] = ContextVar("attention row that is wanted next", default=None)


@dataclass(frozen=True, eq=False)
class NewTokens:
    """New tokens after a prompt cut between layers: its levels, tokens in layer 0's cache, new ones."""

    levels: list[Level]
    past: int
    n_new: int


Pass = PromptPass | NewTokens


class LayerHooks:
    """Hooks on the layers of one text model, and each thread's running pass.

    Parameters
    ----------
    text : the text model
    recorded : layers whose attention may be read from the running pass
    probed : layers whose attention may be read before they run
    before_mlp : layers whose states may be read before the feed-forward block
    """

    def __init__(
        self, text: Any, recorded: Iterable[int], probed: Iterable[int], before_mlp: Iterable[int] = ()
    ) -> None:
        self._text = text
        self._recorded, self._probed = sorted(set(recorded)), sorted(set(probed))
        entries = {layer: mlp_entry(text, layer) for layer in sorted(set(before_mlp))}
        self._entries = {layer: part for layer, part in entries.items() if part is not None}
        self._of_thread: dict[int, tuple[FrameType, Pass]] = {}

    @property
    def modules(self) -> dict[str, Any]:
        """Modules that must not be compiled, by the names users would write."""
        found = {f"decoder layer {i}": layer for i, layer in enumerate(self._text.layers)}
        attention = {f"the attention of {name}": getattr(layer, "self_attn", None) for name, layer in found.items()}
        entries = {f"{type(part).__name__} of decoder layer {layer}": part for layer, part in self._entries.items()}
        return {**found, **{name: module for name, module in attention.items() if module is not None}, **entries}

    def attach(self, stack: ExitStack) -> None:
        """Register the hooks, and their removal on ``stack``."""
        register(ATTENTION, _noted, "reading attention")
        for layer in self._probed:
            stack.enter_context(probed(self._text, layer))
        for layer in self._recorded:
            attention = self._text.layers[layer].self_attn
            stack.enter_context(switched(attention, ATTENTION, partial(_is_wanted, attention)))
        for i, module in enumerate(self._text.layers):
            handle = module.register_forward_pre_hook(partial(self._before_layer, i), with_kwargs=True)
            stack.callback(handle.remove)
        for layer, part in self._entries.items():
            stack.callback(part.register_forward_pre_hook(partial(self._before_mlp, layer), with_kwargs=True).remove)
        stack.callback(self._of_thread.clear)

    def begin(self, frame: FrameType, under_way: Pass) -> None:
        """A pass starts on this thread; it ends when ``frame`` has left the stack."""
        self._of_thread[threading.get_ident()] = (frame, under_way)

    def end(self) -> None:
        """The pass of this thread ends."""
        self._of_thread.pop(threading.get_ident(), None)

    def uncut_elsewhere(self) -> list[tuple[int, int]]:
        """Rows and columns of each running prompt of other threads that has not been cut yet."""
        here, frames = threading.get_ident(), sys._current_frames()
        return [
            under_way.shape
            for thread, (frame, under_way) in list(self._of_thread.items())
            if thread != here
            and isinstance(under_way, PromptPass)
            and not under_way.levels
            and any(one is frame for one in stack_of(frames.get(thread)))
        ]

    def _current(self) -> Pass | None:
        entry = self._of_thread.get(threading.get_ident())
        return None if entry is None or not is_running(entry[0]) else entry[1]

    def _before_layer(self, layer: int, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if probing():
            return None
        _wanted.set(None)
        under_way = self._current()
        if under_way is None:
            return None
        named = not args
        hidden = kwargs["hidden_states"] if named else args[0]
        keywords = {name: value for name, value in kwargs.items() if name != "hidden_states"}
        if isinstance(under_way, PromptPass):
            hidden, new = under_way.enter(layer, module, hidden, keywords)
            if under_way.reads(layer):
                _wanted.set((module.self_attn, layer, under_way))
        else:
            level = next((one for one in reversed(under_way.levels) if one.layer <= layer), None)
            if level is None:
                return None
            if level.layer == layer:
                level.check_cache(cache_of(keywords), under_way.past)
            new = level.of_new_tokens(keywords, under_way.past, under_way.n_new, is_flash(self._text))
        return ((), {**new, "hidden_states": hidden}) if named else ((hidden, *args[1:]), new)

    def _before_mlp(self, layer: int, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        under_way = None if probing() else self._current()
        if isinstance(under_way, PromptPass):
            under_way.before_mlp(layer, args[0] if args else kwargs["hidden_states"])


def _is_wanted(attention: Any) -> bool:
    wanted = _wanted.get()
    return wanted is not None and wanted[0] is attention


def _noted(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    """An attention function of transformers that records one row and passes everything on to the model's own."""
    wanted = _wanted.get()
    _wanted.set(None)  # the model's own is asked for below, under the name that the configuration has without us
    if wanted is not None and wanted[0] is module:
        wanted[2].note(wanted[1], query, key, attention_mask, options)
    return models_own(module)(module, query, key, value, attention_mask, **options)
