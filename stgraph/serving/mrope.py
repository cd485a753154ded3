"""Rotary positions (M-RoPE) of a prompt with pruned videos: kept tokens keep their positions.

Text has the positions of the unpruned prompt, which follow from the grids alone; so they are also right if a prefix
cache holds a video and its rows are not seen. The position of a kept token within its video is appended to its row, as
further channels in the embedding's dtype.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

BASE = 256  # bfloat16 holds the integers up to 256: a position is written as two digits
CHANNELS = 6


def own_positions(T: int, H: int, W: int, factor: float, device: Any = "cpu") -> Any:
    """[T*H*W, 3] int64 tensor, raster order: time, row and column within the video; time is ``int(t * factor)``."""
    import torch

    axes = torch.meshgrid(*(torch.arange(n, device=device) for n in (T, H, W)), indexing="ij")
    at = torch.stack(axes, -1).reshape(-1, 3)
    at[:, 0] = (at[:, 0].double() * factor).long()  # single precision would truncate elsewhere than the engine
    return at


def with_channels(rows: Any, positions: Any) -> Any:
    """Rows [K, d] with their positions ([K, 3] int64 below 65,536) appended: [K, d + 6], in the rows' dtype."""
    import torch

    digits = torch.cat([positions // BASE, positions % BASE], dim=1)
    return torch.cat([rows, digits.to(rows)], dim=1)


def positions_in(rows: Any, d: int) -> Any:
    """[K, 3] int64: the positions appended to rows [K, d + 6]."""
    high, low = rows[:, d:].round().long().chunk(2, dim=1)
    return high * BASE + low


def prompt_positions(n_tokens: int, media: Iterable[tuple[int, int, int, int, int, float]]) -> tuple[Any, int]:
    """Positions [3, n_tokens] int64 of a prompt, and the offset of later tokens' positions from their index.

    Parameters
    ----------
    media : for each image or video, in the order of the prompt: offset and length of its placeholders, T, H and W of
        its grid after merging, and positions per time step. Placeholders have the medium's first position until
        :func:`placed` writes their own.
    """
    import torch

    parts, at, start = [], 0, 0
    for offset, length, T, H, W, factor in media:
        parts.append(torch.arange(offset - at, device="cpu").expand(3, -1) + start)
        start += offset - at
        parts.append(torch.full((3, length), start, device="cpu"))
        start += max(int((T - 1) * factor), H - 1, W - 1) + 1
        at = offset + length
    parts.append(torch.arange(n_tokens - at, device="cpu").expand(3, -1) + start)
    return torch.cat(parts, dim=1), start - at


def counted(n_tokens: int) -> Any:
    """[3, n_tokens] int64: positions of a renumbered prompt, as in some methods: 0, 1, ... on all axes."""
    import torch

    return torch.arange(n_tokens, device="cpu").expand(3, -1).clone()


def is_counted(positions: Any) -> bool:
    """Whether positions [3, S] are those of :func:`counted`; those of :func:`prompt_positions` are so only for pure
    text."""
    import torch

    return bool((positions == torch.arange(positions.shape[1], device=positions.device)).all())


def starts_of_runs(positions: Any, is_medium: Any) -> Any:
    """[3, n] int64: for each placeholder, the position at which its image or video begins, one after the text before
    it; no two media are side by side.

    Parameters
    ----------
    positions : [3, S] int64
    is_medium : [S] bool, placeholders of images and videos
    """
    import torch

    begins = is_medium & ~torch.cat([is_medium.new_zeros(1), is_medium[:-1]])
    first_of_run = begins.nonzero()[:, 0]
    before = positions[:, (first_of_run - 1).clamp(min=0)] * (first_of_run > 0) + (first_of_run > 0).long()
    return before[:, (begins.cumsum(0) - 1)[is_medium]]


def placed(positions: Any, is_medium: Any, starts: Any, own: Sequence[Any], n_computed: int) -> Any:
    """A copy of prompt positions with the given rows' own positions.

    Parameters
    ----------
    positions : [3, S] int64
    is_medium : [S] bool, placeholders of images and videos
    starts : [3, n] int64, for each placeholder, the position at which its image or video begins
    own : [k_i, 3] int64 each: positions of the given rows, the placeholders from token ``n_computed`` on
    """
    import torch

    out = positions.clone()
    found = torch.cat(list(own)).T.to(positions.device)
    seen = int(is_medium[:n_computed].sum())
    here = slice(seen, seen + found.shape[1])
    out[:, is_medium.nonzero()[here, 0]] = (starts[:, here] + found).to(positions.dtype)
    return out
