"""Attention rows of the prompt's text, computed beside the model's own attention function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stgraph.devices import in_own_dtype
from stgraph.errors import UnavailableError

_CHUNK = 64  # rows of the attention that are held at a time


def last_row(query: Any, key: Any, attention_mask: Any, seen: Any, options: Mapping[str, Any]) -> Any:
    """[B, L] float32: attention of the last token to all tokens of a prompt, mean over heads.

    Parameters
    ----------
    query : [B, heads, L, c], as passed to attention functions of transformers
    key : [B, kv_heads, n >= L, c]; a static cache includes unused room
    attention_mask : of the caller; a mask for pairs of tokens may hide more than padding, differ by head, or add a bias
    seen : [B, L] bool, False at padding
    options : the function's other arguments

    Raises
    ------
    UnavailableError
        an option is not supported here
    """
    return _weights(query, key, attention_mask, seen, options)[:, :, :, 0].mean((1, 2))


def text_maximum(query: Any, key: Any, attention_mask: Any, seen: Any, options: Mapping[str, Any], at: Any) -> Any:
    """[B, L] float32: attention of the tokens ``at`` ([Q] int64) to all of a prompt, maximum over them and heads.

    Parameters are those of :func:`last_row`; each token sees only itself and earlier ones.
    """
    import torch

    chunks = [_weights(query, key, attention_mask, seen, options, some).amax((1, 2, 3)) for some in at.split(_CHUNK)]
    return torch.stack(chunks).amax(0)


def text_mean(
    query: Any,
    key: Any,
    attention_mask: Any,
    seen: Any,
    options: Mapping[str, Any],
    at: Any,
    rotation: Any = None,
    raters: Any = None,
    visual: Any = None,
) -> Any:
    """[Q, L] float32: attention of each of the tokens ``at`` ([Q] int64) of one prompt (B = 1), mean over heads.

    With ``rotation``, each weight is divided by that of all-ones queries and keys under it, and the mean is over the 14
    heads (half of them if fewer than 28) in which ``raters`` ([R] int64) give the columns ``visual`` the most weight.
    SparseVLM+ divides by that product unchanged. Far after the video it may fall to zero and below, which would reverse
    the order: here it is at least 1 % of its value at distance zero.

    Parameters are those of :func:`last_row`, and :func:`rotation_of`; each token sees only itself and earlier ones.
    """
    import torch

    def rows(some: Any) -> Any:
        weights = _weights(query, key, attention_mask, seen, options, some)[0].flatten(0, 1)
        if rotation is None:
            return weights
        cosine, sine = rotation
        some = some.to(cosine.device)
        # Pairs of channels turned by angles a and b: (1, 1) times (1, 1) gives 2 cos(a - b), in any layout of them.
        with in_own_dtype(cosine.device):
            plain = (cosine[some] @ cosine.T + sine[some] @ sine.T) / cosine.shape[-1]
        return weights / plain.clamp(min=0.01)

    heads: Any = slice(None)
    if rotation is not None:
        columns = visual.to(query.device)
        mass = torch.stack([rows(some)[:, :, columns].sum((1, 2)) for some in raters.split(_CHUNK)]).sum(0)
        heads = torch.argsort(-mass, stable=True)[: min(14, (len(mass) + 1) // 2)]
    return torch.cat([rows(some)[heads].mean(0) for some in at.split(_CHUNK)])


def summed_maximum(query: Any, key: Any, attention_mask: Any, seen: Any, options: Mapping[str, Any], at: Any) -> Any:
    """[L] float32: attention of the tokens ``at`` ([Q] int64) of one prompt (B = 1), maximum over heads, summed.

    Parameters are those of :func:`last_row`; each token sees only itself and earlier ones.
    """
    import torch

    total = torch.zeros(query.shape[2], dtype=torch.float32, device=query.device)
    for some in at.split(_CHUNK):
        total += _weights(query, key, attention_mask, seen, options, some)[0].amax((0, 1)).sum(0)
    return total


def key_norms(key: Any, length: int) -> Any:
    """[B, L] float64: L1 norm of each token's keys, all key heads together.

    Parameters
    ----------
    key : [B, kv_heads, n >= L, c]
    length : L
    """
    return key[:, :, :length].double().abs().sum((1, 3))


def rotation_of(text: Any, turned: Any, row: int) -> tuple[Any, Any]:
    """Cosines and sines ([L, c] each) by which a layer turns one row of the batch.

    Parameters
    ----------
    text : the text model
    turned : its keyword ``position_embeddings``: [1 or B, L, c] each, or [axes, 1 or B, L, c] of which the
        configuration says which channels are turned by which axis

    Raises
    ------
    UnavailableError
        the layer receives none
    """
    if turned is None:
        raise UnavailableError(
            f"{type(text).__name__} does not hand its layers the rotation of positions, by which this selector "
            "corrects attention: choose another version of it"
        )
    rope = getattr(text.config, "rope_parameters", None) or getattr(text.config, "rope_scaling", None)
    sections = (rope or {}).get("mrope_section")
    parts = [part if part.shape[-3] == 1 else part[..., row : row + 1, :, :] for part in turned]
    cosine, sine = (_of_axes(part.float(), sections)[0] for part in parts)
    return cosine, sine


def _of_axes(part: Any, sections: Any) -> Any:
    import torch

    if part.ndim == 3:
        return part
    parts = part.split([*sections, *sections], dim=-1)
    return torch.cat([one[i % len(part)] for i, one in enumerate(parts)], dim=-1)


def _weights(query: Any, key: Any, attention_mask: Any, seen: Any, options: Mapping[str, Any], at: Any = None) -> Any:
    """[B, kv_heads, heads per kv head, Q, L] float32: rows ``at`` ([Q]) of the attention, or the last one."""
    import torch

    unknown = [name for name in ("softcap", "s_aux") if options.get(name) is not None]
    if unknown:
        raise UnavailableError(f"attention with {unknown[0]!r} cannot be read; choose a selector that needs none")
    B, heads, L, c = query.shape
    kv_heads = key.shape[1]
    at = torch.tensor([L - 1], device=query.device) if at is None else at
    rows = query[:, :, at].float().reshape(B, kv_heads, -1, c)
    scaling, window = options.get("scaling"), options.get("sliding_window")
    with in_own_dtype(query.device):
        scores = torch.matmul(rows, key[:, :, :L].float().transpose(-1, -2)) * (c**-0.5 if scaling is None else scaling)
    scores = scores.view(B, kv_heads, heads // kv_heads, len(at), L)
    columns, at = torch.arange(L, device=scores.device), at.to(scores.device)
    within = columns <= at[:, None]
    if window is not None:
        within &= columns > at[:, None] - window
    if getattr(attention_mask, "ndim", 0) == 4:
        mask = attention_mask[:, :, :, :L][:, :, at]
        grouped = mask.shape[1] == heads
        mask = mask.view(len(mask), kv_heads, -1, len(at), L) if grouped else mask[:, :, None]
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    hidden = ~(seen.to(scores.device)[:, None] & within)
    return scores.masked_fill(hidden[:, None, None], float("-inf")).softmax(-1)
