"""Block masks of flex attention: functions of (batch, head, query, key) instead of tensors, and their cut."""

from __future__ import annotations

from typing import Any


def is_block_mask(mask: Any) -> bool:
    """Whether ``mask`` is a BlockMask of flex attention."""
    return hasattr(mask, "mask_mod")


def cut_block_mask(mask: Any, queries: Any, columns: Any, seen: Any) -> Any:
    """The block mask of the queries and columns that are left, which hides what ``mask`` hides between them.

    It is made anew, as transformers makes one for each forward pass: [B, L, n] bools are alive while it is.

    Parameters
    ----------
    mask : BlockMask of a whole prompt, or of new tokens behind it
    queries : [B, L] int64, which queries of ``mask`` are left; None: all, as they are
    columns : [B, n] int64, which of its columns are left
    seen : [B, n] bool, False at columns of padding, which nothing sees. Queries there see all that is there
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
