"""Attention of the last prompt token to the visual tokens, as carried by a dump."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.errors import InputError, MissingSignalError
from stgraph.selection.method import check_finite
from stgraph.tokens import VideoTokens

SHALLOW_LAYER = 1  # the decoder layer whose attention ST-SimDiff's authors use


def layer_attention(tokens: VideoTokens, layer: int, needed_by: str) -> Array:
    """[N] float64: head-mean attention of the last prompt token to each node of ``tokens``, in decoder layer ``layer``.

    Raises
    ------
    MissingSignalError
        no ``llm_attn_last``, ``llm_attn_layers`` or ``seq_index``, or that layer was not saved
    InputError
        the attention holds NaN or Inf, or ``seq_index`` points outside the sequence
    """
    return at_nodes(tokens, of_layer(tokens, "llm_attn_last", layer, needed_by), "llm_attn_last", needed_by, layer)


def of_layer(tokens: VideoTokens, name: str, layer: int, needed_by: str) -> Array:
    """Values of decoder layer ``layer`` in the signal ``name`` ([saved, ...]).

    Raises
    ------
    MissingSignalError
        neither the signal nor ``llm_attn_layers`` nor ``seq_index``, or that layer was not saved
    """
    saved, layers = tokens.signal(name, needed_by), tokens.signal("llm_attn_layers", needed_by)
    tokens.signal("seq_index", needed_by)
    place = np.flatnonzero(layers == layer)
    if place.size == 0:
        raise MissingSignalError(
            f"{needed_by} needs the signal {name!r} of decoder layer {layer}; saved are layers "
            f"{', '.join(map(str, layers.tolist()))}"
        )
    found: Array = saved[place[0]]
    return found


def sequence_values(tokens: VideoTokens, name: str, needed_by: str) -> Array:
    """[N] float64: values of a signal [seq] at the nodes of ``tokens``.

    Raises
    ------
    MissingSignalError
        neither the signal nor ``seq_index``
    InputError
        it holds NaN or Inf, or ``seq_index`` points outside the sequence
    """
    return at_nodes(tokens, tokens.signal(name, needed_by), name, needed_by)


def at_nodes(tokens: VideoTokens, values: Array, name: str, needed_by: str, layer: int | None = None) -> Array:
    """[N] float64: ``values`` ([seq]) of the signal ``name``, of one ``layer`` or of all, at the nodes of ``tokens``.

    Raises
    ------
    MissingSignalError
        no ``seq_index``
    InputError
        values that are NaN or Inf, or ``seq_index`` points outside the sequence
    """
    at = tokens.signal("seq_index", needed_by)[tokens.grid.rows]
    if at.min() < 0 or at.max() >= values.size:
        raise InputError(
            f"signal 'seq_index' runs from {at.min()} to {at.max()}, but {name!r} has {values.size} positions"
        )
    found: Array = values.astype(np.float64)[at]
    check_finite(f"signal {name!r}" if layer is None else f"signal {name!r} of layer {layer}", found)
    return found


def has_shallow_attention(tokens: VideoTokens) -> bool:
    """Whether the tokens carry a signal for :func:`shallow_attention`."""
    if "importance" in tokens.signals:
        return True
    layers = tokens.signals.get("llm_attn_layers")
    there = {"llm_attn_last", "seq_index"} <= tokens.signals.keys()
    return there and layers is not None and bool((layers == SHALLOW_LAYER).any())


def shallow_attention(tokens: VideoTokens, needed_by: str) -> Array:
    """[N] float64: the signal ``importance`` if the tokens carry it, otherwise ``llm_attn_last`` of layer 1.

    Both are the attention of the last prompt token in a shallow layer of the unpruned sequence.

    Raises
    ------
    MissingSignalError
        neither
    InputError
        it holds NaN or Inf
    """
    if not has_shallow_attention(tokens):
        raise MissingSignalError(
            f"{needed_by} needs the signal 'importance', or 'llm_attn_last' of decoder layer {SHALLOW_LAYER} with "
            f"'llm_attn_layers' and 'seq_index'; these tokens carry: {', '.join(tokens.signals) or 'none'}. Where "
            "newline tokens count, 'importance' has no value for them: use the others, or newlines='out'"
        )
    if "importance" not in tokens.signals:
        return layer_attention(tokens, SHALLOW_LAYER, needed_by)
    attention: Array = tokens.signal("importance", needed_by).reshape(-1).astype(np.float64)
    check_finite("signal 'importance'", attention)
    return attention
