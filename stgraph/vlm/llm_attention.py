"""Attention of the last prompt token in chosen decoder layers of a whole forward pass, without eager attention."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from stgraph.errors import UnavailableError, missing_dependency
from stgraph.vlm.probe import check_layer

ATTENTION = "stgraph_recorded"

_rows: ContextVar[dict[int, Any]] = ContextVar("attention rows of the pass under way")


@contextmanager
def recording(text: Any, layers: Sequence[int]) -> Iterator[dict[int, Any]]:
    """Fills a mapping of layer -> [L] float32, mean over heads, while the text model runs one unpadded prompt.

    The chosen layers get a copy of their configuration that names an attention function of ours, which computes one row
    and hands everything on to the function the model uses.

    Raises
    ------
    InputError, UnavailableError
        no such layer, or one whose attention does not go through transformers' attention interface
    """
    try:
        from transformers import AttentionInterface
    except ImportError:
        raise missing_dependency("reading attention", "transformers", "hf") from None
    AttentionInterface.register(ATTENTION, _recorded)
    found: dict[int, Any] = {}
    token = _rows.set(found)
    try:
        with ExitStack() as stack:
            for layer in layers:
                check_layer(text, layer)
                stack.enter_context(_named(text.layers[layer].self_attn, layer))
            yield found
    finally:
        _rows.reset(token)
    missing = [layer for layer in layers if layer not in found]
    if missing:
        raise UnavailableError(
            f"decoder layer {missing[0]} of {type(text).__name__} computes attention without transformers' attention "
            "interface; its attention cannot be read"
        )


@contextmanager
def _named(attention: Any, layer: int) -> Iterator[None]:
    """Give one attention module, and no other that shares its configuration, our function."""
    shared = attention.config
    own = copy.copy(shared)
    own._attn_implementation_internal = ATTENTION
    own.stgraph_forwards_to, own.stgraph_layer = shared._attn_implementation, layer
    attention.config = own
    try:
        yield
    finally:
        attention.config = shared


def _recorded(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    """An attention function of transformers: query [1, heads, L, c], key [1, kv_heads, L, c]."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    unknown = [name for name in ("softcap", "s_aux") if options.get(name) is not None]
    if unknown:
        raise UnavailableError(f"attention with {unknown[0]!r} cannot be read; leave llm_attn_last and importance out")
    L, c = query.shape[2:]
    kv_heads = key.shape[1]
    scaling, window = options.get("scaling"), options.get("sliding_window")
    last = query[0, :, -1].float().view(kv_heads, -1, c)
    scores = last @ key[0].float().transpose(-1, -2) * (c**-0.5 if scaling is None else scaling)
    if window is not None:
        scores[..., : max(L - window, 0)] = float("-inf")
    _rows.get()[module.config.stgraph_layer] = scores.softmax(-1).mean((0, 1))
    onward = module.config.stgraph_forwards_to
    if onward == "eager":  # not in the table: each model's file has its own
        function = sys.modules[type(module).__module__].eager_attention_forward
    else:
        function = ALL_ATTENTION_FUNCTIONS[onward]
    return function(module, query, key, value, attention_mask, **options)
