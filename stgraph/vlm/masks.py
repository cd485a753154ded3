"""Pairwise attention masks (one entry per pair of tokens): padding and cutting."""

from __future__ import annotations

from typing import Any

from stgraph.errors import InputError

HIDDEN = -1e4  # added to a score, this and less is a weight of exactly 0; people write -1e4, -1e9, -inf and the lowest


def are_pairs(mask: Any, B: int, S: int) -> bool:
    """Whether ``mask`` is [B or 1, heads or 1, S, n >= S] of bools (True: seen) or floats (added to the scores)."""
    import torch

    tensor = isinstance(mask, torch.Tensor) and (mask.dtype == torch.bool or mask.is_floating_point())
    return tensor and mask.ndim == 4 and mask.shape[0] in (1, B) and mask.shape[2] == S and mask.shape[3] >= S


def unusable(mask: Any, S: int) -> InputError:
    """The refusal of any other mask."""
    shape = getattr(mask, "shape", None)
    kind = getattr(mask, "dtype", type(mask).__name__)
    what = f"of class {kind}" if shape is None else f"{kind} of shape {list(shape)}"
    return InputError(
        f"the attention mask is {what}; compress() can cut [batch, length], or bools or floats of shape [batch, heads, "
        f"length, length], of a prompt of length {S:,}. Pass one of these, or use retain_ratio=1"
    )


def seen(mask: Any) -> Any:
    """Pairs a mask does not hide, bool of the same shape."""
    import torch

    return mask if mask.dtype == torch.bool else mask > HIDDEN


def padding_in(mask: Any, B: int, S: int) -> Any:
    """[B, S] bool: columns that are not padding, by a mask for pairs (:func:`are_pairs`).

    Left padding consists of the first columns that no later token sees and whose rows are blank, all hidden or all
    seen, as prepared by transformers; an earlier document in a packed row has rows of its own. A last token that does
    not see itself is right padding.
    """
    pairs = seen(mask)[:, :, :, :S].expand(B, -1, -1, -1)
    any_seen = pairs.any(1)
    blank = ~any_seen.any(-1) | pairs.all(1).all(-1)
    first = blank.long().cumprod(1).sum(1).tolist()
    real = any_seen.new_ones(B, S)
    for row, p in enumerate(first):
        if p < S and not bool(any_seen[row, p:, :p].any()):
            real[row, :p] = False
    real[:, -1] = any_seen[:, -1, -1]
    return real


def cut_pairs(mask: Any, rows: Any, columns: Any, valid: Any, B: int, S: int, n: int) -> Any:
    """[R, heads, L, n] of the same dtype: the entries of the remaining columns, also for causal attention.

    Parameters
    ----------
    rows : [R] int64, of the batch
    columns, valid : [R, L], of the prompt; False at padding, which is not seen
    n : L, or the length of a static cache, with empty last places
    """
    import torch

    L = columns.shape[1]
    rows, columns, valid = (a.to(mask.device) for a in (rows, columns, valid))
    chosen = mask.expand(B, -1, -1, -1)[rows][..., :S]
    queries = torch.take_along_dim(chosen, columns[:, None, :, None], 2)
    left = torch.take_along_dim(queries, columns[:, None, None, :], 3)
    # Rows of padding see all that is there: a row that sees nothing is not a number in some kernels.
    left = left.masked_fill(~valid[:, None, :, None], True if mask.dtype == torch.bool else 0.0)
    left = hide(left, ~valid[:, None, None, :])
    return hide(torch.nn.functional.pad(left, (0, n - L)), torch.arange(n, device=mask.device) >= L)


def hide(mask: Any, where: Any) -> Any:
    """``mask`` with the given places hidden."""
    import torch

    return mask.masked_fill(where.to(mask.device), False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min)


def causal_pairs(like: Any, S: int) -> Any:
    """[1, 1, S, S] of the dtype of ``like``: the mask of a layer that receives none."""
    import torch

    later = torch.ones(S, S, dtype=torch.bool, device=like.device).triu(1)[None, None]
    return hide((torch.ones if like.dtype == torch.bool else torch.zeros)(later.shape).to(like), later)


def is_plain(mask: Any, real: Any, ends: Any) -> bool:
    """Whether a mask for new tokens hides only padding and later tokens.

    Parameters
    ----------
    mask : [B or 1, heads or 1, q, n]
    real : [B, S] bool, columns of the whole prompt that are not padding; later columns are not padding either
    ends : column of each new token, [q] int64, as counted by the caller
    """
    import torch

    n = mask.shape[3]
    there = torch.nn.functional.pad(real, (0, max(0, n - real.shape[1])), value=True)[:, :n].to(mask.device)
    expected = there[:, None, None, :] & (torch.arange(n, device=mask.device) <= ends.to(mask.device)[:, None])
    clear = mask.dtype == torch.bool or bool(((mask == 0) | ~seen(mask)).all())
    return clear and bool((seen(mask) == expected).all())
