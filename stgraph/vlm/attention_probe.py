"""Attention of the last prompt token in one shallow layer, read without eager attention.

The decoder layers before the probed one run unchanged, on any attention backend. While a probe runs in this context,
only the probed layer uses a different attention function, registered through transformers' public
``AttentionInterface``: it sees queries and keys after normalisation and rotation, computes one row of the attention,
and ends the pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

from stgraph.errors import InputError, UnavailableError
from stgraph.vlm.attention_row import last_row
from stgraph.vlm.attention_switch import register, switched
from stgraph.vlm.keywords import CACHE_NAMES

ATTENTION = "stgraph_last_row"
_NO_CACHE = (*CACHE_NAMES, "cache_position", "use_cache", "output_attentions", "output_hidden_states")


class _Found(Exception):
    """Carries the attention out of the forward pass it ends."""

    def __init__(self, attention: Any) -> None:
        self.attention = attention


_valid: ContextVar[Any] = ContextVar("valid columns of the probe under way", default=None)


def probing() -> bool:
    """Whether the current pass in this context is a probe."""
    return _valid.get() is not None


def check_layer(text: Any, layer: int) -> None:
    """Raise unless the attention of decoder layer ``layer`` of this text model can be probed."""
    n_layers = len(text.layers)
    if not isinstance(layer, int) or isinstance(layer, bool) or not 0 <= layer < n_layers:
        raise InputError(f"probe layer is {layer!r}; the text model has decoder layers 0 to {n_layers - 1}")
    if not hasattr(getattr(text.layers[layer], "self_attn", None), "config"):
        raise UnavailableError(
            f"decoder layer {layer} of {type(text).__name__} has no attention that can be probed; choose another "
            "probe_layer, or a selector that needs no attention"
        )


def probed(text: Any, layer: int) -> AbstractContextManager[None]:
    """While open, decoder layer ``layer`` of this text model can be probed; other passes are unaffected."""
    register(ATTENTION, _last_row, "probing attention")
    return switched(text.layers[layer].self_attn, ATTENTION, probing)


def last_token_attention(text: Any, inputs: Mapping[str, Any], valid: Any) -> Any:
    """[B, L] float32: attention of the last token to all tokens in the layer of :func:`probed`, mean over heads.

    Parameters
    ----------
    text : the text model
    inputs : keyword arguments of its forward pass, without padding on the right
    valid : [B, L] bool, False at padding

    Raises
    ------
    UnavailableError
        no layer's attention goes through transformers' attention interface, or no layer can be probed any more
    """
    import torch

    kept = {name: value for name, value in inputs.items() if name not in _NO_CACHE}
    token = _valid.set(valid)
    try:
        with torch.no_grad():
            text(**kept, use_cache=False, output_attentions=False, output_hidden_states=False)
    except _Found as found:
        return found.attention
    finally:
        _valid.reset(token)
    raise unreadable(text)


def last_token_attention_in(layer: Any, hidden: Any, keywords: Mapping[str, Any], valid: Any) -> Any:
    """[B, L] float32: the same for one layer of :func:`probed`, from its inputs.

    Parameters
    ----------
    hidden : [B, L, d]
    keywords : of the layer
    valid : [B, L] bool, False at padding
    """
    import torch

    kept = {name: value for name, value in keywords.items() if name not in _NO_CACHE}
    token = _valid.set(valid)
    try:
        with torch.no_grad():
            layer(hidden, **kept)
    except _Found as found:
        return found.attention
    finally:
        _valid.reset(token)
    raise unreadable(layer)


def unreadable(module: Any) -> UnavailableError:
    """The refusal of a layer or model whose attention bypasses the interface."""
    return UnavailableError(
        f"{type(module).__name__} computes attention without transformers' attention interface, or compress() was left "
        "while this prompt was on its way. Where the attention cannot be read, choose a selector that needs none, "
        "such as st-simdiff with importance='centrality'"
    )


def _last_row(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
    """An attention function of transformers that ends the pass."""
    raise _Found(last_row(query, key, attention_mask, _valid.get(), options))
