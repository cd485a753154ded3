"""Signals of one attention layer of a vision encoder, from its queries and keys, without the whole attention matrix."""

from __future__ import annotations

from typing import Any

from stgraph.devices import in_own_dtype
from stgraph.errors import MissingSignalError

OF_CLS = ("enc_cls_attn", "prumerge_cls_attn")  # they need a CLS token
ATTENTION_SIGNALS = (*OF_CLS, "enc_recv_attn", "enc_keys_mean", "enc_keys_full")
ENCODER_SIGNALS = (*ATTENTION_SIGNALS, "enc_features")

CHUNK = 128  # queries at a time: their scores and weights are alive, 2 x heads x CHUNK x L float32 values


def attention_signals(signals: Any, query: Any, key: Any, scale: float, mask: Any = None) -> dict[str, Any]:
    """The requested ones of :data:`ATTENTION_SIGNALS`, with a value for each of L tokens, including those before the
    patches.

    Parameters
    ----------
    signals : names
    query, key : [B, heads, L, c] and [B, kv_heads, L, c], as attention multiplies them
    scale : factor of their products
    mask : [B or 1, heads or 1, L or 1, L], False or -inf where a query does not see a key; None if all are seen

    Returns
    -------
    ``enc_recv_attn`` [B, L], mean over heads and all queries; ``enc_cls_attn`` [B, heads, L], of the first query;
    ``prumerge_cls_attn`` [B, L], of the first query, with all heads as one; ``enc_keys_mean`` [B, L, c], mean over
    heads: float32. ``enc_keys_full`` [B, L, heads * c] in the dtype of the keys
    """
    found: dict[str, Any] = {}
    if "enc_recv_attn" in signals:
        found["enc_recv_attn"] = received(query, key, scale, mask)
    if "enc_cls_attn" in signals:
        rows = _probabilities(query[:, :, :1], _for_heads(query, key), scale, _rows(mask, 0, 1))
        found["enc_cls_attn"] = rows[:, :, 0]
    if "prumerge_cls_attn" in signals:  # the authors' scale is that of the whole width
        whole_query, whole_key = _as_one_head(query[:, :, :1]), _as_one_head(_for_heads(query, key))
        shared = None if mask is None else _rows(mask, 0, 1)[:, :1]
        width = whole_query.shape[-1]
        found["prumerge_cls_attn"] = _probabilities(whole_query, whole_key, width**-0.5, shared)[:, 0, 0]
    if "enc_keys_mean" in signals:
        found["enc_keys_mean"] = key.float().mean(1)
    if "enc_keys_full" in signals:
        found["enc_keys_full"] = _as_one_head(_for_heads(query, key))[:, 0].contiguous()
    return found


def received(query: Any, key: Any, scale: float, mask: Any = None) -> Any:
    """[B, L] float32: the attention each token receives, mean over heads and all queries; a picture and
    :data:`CHUNK` queries at a time. Parameters as in :func:`attention_signals`."""
    import torch

    B, heads, L, _ = query.shape
    found = torch.zeros(B, L, dtype=torch.float32, device=query.device)
    for b in range(B):
        one = slice(b, b + 1)
        keys = _for_heads(query, key[one]).float()
        seen = None if mask is None else mask[one] if len(mask) == B else mask
        for start in range(0, L, CHUNK):
            some = query[one, :, start : start + CHUNK]
            # Not named: the weights of one chunk would be alive beside the scores of the next.
            found[b] += _probabilities(some, keys, scale, _rows(seen, start, CHUNK)).sum((0, 1, 2))
    return found / (heads * L)


def without_first(found: dict[str, Any], n_first: int, tower: str) -> dict[str, Any]:
    """The signals of :func:`attention_signals` at the patches, which follow ``n_first`` tokens.

    Raises
    ------
    MissingSignalError
        the attention of a CLS token is requested, but there is none
    """
    missing = [name for name in OF_CLS if name in found]
    if missing and n_first == 0:
        raise no_cls(missing[0], tower)
    return {name: x[:, :, n_first:] if name == "enc_cls_attn" else x[:, n_first:] for name, x in found.items()}


def no_cls(signal: str, tower: str) -> MissingSignalError:
    """The error for attention of a CLS token in a tower without one."""
    return MissingSignalError(
        f"{signal} is the attention of a CLS token, which {tower} does not have; enc_recv_attn, the attention that "
        "each patch receives, is what ports to such towers use: pass attention='received' to a selector that offers it"
    )


def _probabilities(query: Any, key: Any, scale: float, mask: Any) -> Any:
    import torch

    with in_own_dtype(query.device):
        scores = (query.float() * scale) @ key.float().transpose(-1, -2)  # fewer queries than scores to scale
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1)


def _rows(mask: Any, start: int, n: int) -> Any:
    return mask if mask is None or mask.shape[2] == 1 else mask[:, :, start : start + n]


def _for_heads(query: Any, key: Any) -> Any:
    """The keys of all query heads, if several share one."""
    repeats = query.shape[1] // key.shape[1]
    return key if repeats == 1 else key.repeat_interleave(repeats, dim=1)


def _as_one_head(x: Any) -> Any:
    """[B, heads, L, c] to [B, 1, L, heads * c]."""
    return x.transpose(1, 2).flatten(2)[:, None]
