"""One row of a layer's attention, that of the last token, beside the attention function that a model uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stgraph.errors import UnavailableError


def last_row(query: Any, key: Any, attention_mask: Any, seen: Any, options: Mapping[str, Any]) -> Any:
    """[B, L] float32: attention of the last token to all tokens of a prompt, mean over heads.

    Parameters
    ----------
    query : [B, heads, L, c], as attention functions of transformers get it
    key : [B, kv_heads, n >= L, c]; a static cache hands out room that is not used yet
    attention_mask : of the caller; one for pairs of tokens may hide more than padding, differ by head, or add a bias
    seen : [B, L] bool, False at padding
    options : the function's other arguments

    Raises
    ------
    UnavailableError
        an option that this row does not follow
    """
    import torch

    unknown = [name for name in ("softcap", "s_aux") if options.get(name) is not None]
    if unknown:
        raise UnavailableError(f"attention with {unknown[0]!r} cannot be read; choose a selector that needs none")
    B, heads, L, c = query.shape
    kv_heads = key.shape[1]
    last = query[:, :, -1].float().view(B, kv_heads, heads // kv_heads, c)
    scaling, window = options.get("scaling"), options.get("sliding_window")
    scores = torch.matmul(last, key[:, :, :L].float().transpose(-1, -2)) * (c**-0.5 if scaling is None else scaling)
    if window is not None:
        seen = seen & (torch.arange(L, device=seen.device) > L - 1 - window)
    if getattr(attention_mask, "ndim", 0) == 4:
        mask = attention_mask[:, :, -1, :L]
        mask = mask.view(len(mask), kv_heads, -1, L) if mask.shape[1] == heads else mask[:, :, None]
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    scores = scores.masked_fill(~seen.to(scores.device)[:, None, None, :], float("-inf"))
    return scores.softmax(-1).mean((1, 2))
