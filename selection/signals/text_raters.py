"""Text raters: the text tokens of a prompt whose attention ranks visual tokens (SparseVLM)."""

from __future__ import annotations

import numpy as np

from stgraph.aliases import Array
from stgraph.devices import astype, beside, to_host
from stgraph.errors import InputError
from stgraph.selection.method import check_finite
from stgraph.selection.signals.attention import at_nodes, of_layer
from stgraph.tokens import VideoTokens

_ROUNDING = 1e-9  # shares nearer to their mean than this part of it are equal to it


def text_raters(tokens: VideoTokens, needed_by: str) -> Array:
    """[R] int64, ascending: places in ``text_embeds`` of the text tokens most related to the video.

    Each visual token shares one vote among the text tokens, by the softmax of their dot products; raters are those with
    more than the mean share, or all text tokens if none has more (``LlamaDynamicvitModel.forward`` of SparseVLM is left
    without a rater).

    Raises
    ------
    MissingSignalError
        no ``text_embeds``
    InputError
        they are NaN or infinite, or no text follows the video
    """
    text = tokens.signal("text_embeds", needed_by)
    if len(text) == 0:
        raise InputError(f"{needed_by}: the prompt has no text tokens after the video to rate its tokens")
    check_finite("signal 'text_embeds'", text)
    wide = text.astype(np.float64).T
    votes = np.zeros(len(text))
    for frame in tokens.lattice.reshape(tokens.grid.T, -1, tokens.dimension):
        products = to_host(astype(frame, "float64") @ beside(wide, frame))
        products = products - products.max(axis=1, keepdims=True)
        np.exp(products, out=products)
        votes += (products / products.sum(axis=1, keepdims=True)).sum(axis=0)
    raters = np.flatnonzero(votes > votes.mean() * (1 + _ROUNDING))
    return raters if raters.size else np.arange(len(text))


def rated(tokens: VideoTokens, name: str, raters: Array, layer: int, needed_by: str) -> Array:
    """[R, N] float64: attention of the raters to each node of ``tokens`` in decoder layer ``layer``, by the signal
    ``name``.

    Raises
    ------
    MissingSignalError
        the signal, ``llm_attn_layers`` or ``seq_index`` is absent, or that layer was not saved
    InputError
        attention that is NaN or infinite, or ``seq_index`` points outside the sequence
    """
    saved = of_layer(tokens, name, layer, needed_by)
    return np.stack([at_nodes(tokens, saved[rater], name, needed_by, layer) for rater in raters.tolist()])
