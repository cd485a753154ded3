"""Reading the attention of chosen decoder layers during a whole forward pass, without eager attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from stgraph.errors import UnavailableError
from stgraph.vlm.attention_probe import check_layer
from stgraph.vlm.attention_switch import models_own, register, switched

ATTENTION = "stgraph_recorded"

Read = Callable[[int, Any, Any, Any, Mapping[str, Any]], None]

# Which layer each recorded attention module is of, what its layer was turned by, and who reads.
_Recording = tuple[dict[Any, int], dict[int, Any], Read]
_recording: ContextVar[_Recording | None] = ContextVar("reader of the pass under way", default=None)


@contextmanager
def recording(text: Any, layers: Sequence[int], read: Read) -> Iterator[None]:
    """Call ``read`` in each of ``layers`` while the text model runs one unpadded prompt.

    In this context the chosen layers use a registered attention function, which passes its inputs to ``read`` and
    everything on to the model's own function.

    Parameters
    ----------
    read : called with the layer, its queries [1, heads, L, c] and keys [1, kv_heads, L, c] after normalisation and
        rotation, its keyword ``position_embeddings`` (or None), and the options of the function

    Raises
    ------
    InputError, UnavailableError
        the layer does not exist, or its attention does not go through transformers' attention interface
    """
    register(ATTENTION, _recorded, "reading attention")
    for layer in layers:
        check_layer(text, layer)
    seen: set[int] = set()

    def noted(layer: int, *given: Any) -> None:
        seen.add(layer)
        read(layer, *given)

    modules, turned = {text.layers[layer].self_attn: layer for layer in layers}, dict[int, Any]()
    token = _recording.set((modules, turned, noted))
    try:
        with ExitStack() as stack:
            for layer in layers:
                note = partial(_note_rotation, turned, layer)
                stack.callback(text.layers[layer].register_forward_pre_hook(note, with_kwargs=True).remove)
                attention = text.layers[layer].self_attn
                stack.enter_context(switched(attention, ATTENTION, lambda: _recording.get() is not None))
            yield
    finally:
        _recording.reset(token)
    missing = [layer for layer in layers if layer not in seen]
    if missing:
        raise UnavailableError(
            f"decoder layer {missing[0]} of {type(text).__name__} computes attention without transformers' attention "
            "interface; its attention cannot be read"
        )


def _note_rotation(turned: dict[int, Any], layer: int, module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
    turned[layer] = kwargs.get("position_embeddings")


def _recorded(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    """An attention function of transformers: query [1, heads, L, c], key [1, kv_heads, L, c]."""
    recorded = _recording.get()
    assert recorded is not None
    modules, turned, read = recorded
    read(modules[module], query, key, turned.get(modules[module]), options)
    token = _recording.set(None)  # the function below may read its own name from the configuration
    try:
        return models_own(module)(module, query, key, value, attention_mask, **options)
    finally:
        _recording.reset(token)
