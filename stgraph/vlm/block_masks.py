"""Block masks of flex attention, which are functions of (batch, head, query, key), cut to remaining columns."""

from __future__ import annotations

from typing import Any


def is_block_mask(mask: Any) -> bool:
    """Whether ``mask`` is a BlockMask of flex attention."""
    return hasattr(mask, "mask_mod")


def cut_block_mask(mask: Any, queries: Any, columns: Any, seen: Any) -> Any:
    """Block mask of the remaining queries and columns, which hides the same pairs among them as ``mask``.

    It is rebuilt, as transformers does for each forward pass, and holds [B, L, n] bools.

    Parameters
    ----------
    mask : BlockMask of a whole prompt, or of new tokens after it
    queries : [B, L] int64, the remaining queries of ``mask``; None for all, unchanged
    columns : [B, n] int64, its remaining columns
    seen : [B, n] bool, False at padding columns, which are hidden. Queries at padding see everything
    """
    import torch
    from torch.nn.attention.flex_attention import create_block_mask

    inner, (B, n) = mask.mask_mod, columns.shape

    def of_prompt(b: Any, h: Any, q: Any, k: Any) -> Any:
        return seen[b, k] & (~seen[b, q] | inner(b, h, queries[b, q], columns[b, k]))

    def of_new(b: Any, h: Any, q: Any, k: Any) -> Any:
        return seen[b, k] & inner(b, h, q, columns[b, k])

    made, n_queries = (of_new, mask.shape[-2]) if queries is None else (of_prompt, queries.shape[1])
    heads = mask.shape[1] if mask.shape[1] > 1 else None
    with torch.no_grad():
        return create_block_mask(made, B, heads, n_queries, n, device=columns.device)
