"""Attention of the last prompt token in chosen decoder layers of a whole forward pass, without eager attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from stgraph.errors import UnavailableError
from stgraph.vlm.attention_probe import check_layer
from stgraph.vlm.attention_row import last_row
from stgraph.vlm.attention_switch import models_own, register, switched

ATTENTION = "stgraph_recorded"

# Which layer each recorded attention module is of, and what was found.
_Recording = tuple[dict[Any, int], dict[int, Any]]
_recording: ContextVar[_Recording | None] = ContextVar("attention rows of the pass under way", default=None)


@contextmanager
def recording(text: Any, layers: Sequence[int]) -> Iterator[dict[int, Any]]:
    """Fills a mapping of layer -> [L] float32, mean over heads, while the text model runs one unpadded prompt.

    In this context the chosen layers ask an attention function of ours, which computes one row and hands everything on
    to the function the model uses.

    Raises
    ------
    InputError, UnavailableError
        no such layer, or one whose attention does not go through transformers' attention interface
    """
    register(ATTENTION, _recorded, "reading attention")
    found: dict[int, Any] = {}
    for layer in layers:
        check_layer(text, layer)
    modules = {text.layers[layer].self_attn: layer for layer in layers}
    token = _recording.set((modules, found))
    try:
        with ExitStack() as stack:
            for attention in modules:
                stack.enter_context(switched(attention, ATTENTION, lambda: _recording.get() is not None))
            yield found
    finally:
        _recording.reset(token)
    missing = [layer for layer in layers if layer not in found]
    if missing:
        raise UnavailableError(
            f"decoder layer {missing[0]} of {type(text).__name__} computes attention without transformers' attention "
            "interface; its attention cannot be read"
        )


def _recorded(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    """An attention function of transformers: query [1, heads, L, c], key [1, kv_heads, L, c]."""
    import torch

    recorded = _recording.get()
    assert recorded is not None
    modules, found = recorded
    seen = torch.ones(1, query.shape[2], dtype=torch.bool, device=query.device)
    found[modules[module]] = last_row(query, key, None, seen, options)[0]
    token = _recording.set(None)  # the function below may read its own name from the configuration
    try:
        return models_own(module)(module, query, key, value, attention_mask, **options)
    finally:
        _recording.reset(token)
