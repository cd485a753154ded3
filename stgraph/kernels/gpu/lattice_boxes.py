"""Boxes of 2 x 2 x 2 tokens on a GPU: the twin of ``kernels/cpu/lattice_boxes.py``, with the same pieces.

All boxes are processed at once, one corner after the other; nothing waits for the device."""

from __future__ import annotations

from typing import Any

import torch

_LEAST = 3  # fewest tokens of a piece that is kept


def box_pieces(
    similarity: Any, tau: float, families: tuple[bool, bool, bool], mass: Any, gamma: float, cap: int
) -> Any:
    """[N] int32: for each token the token that names its piece; itself if it starts alone.

    Parameters
    ----------
    similarity, tau, families, mass, gamma, cap : see :func:`stgraph.kernels.cpu.lattice_boxes.box_pieces`, with tensors
        instead of arrays
    """
    _, T, H, W = similarity.shape
    n, device = T * H * W, similarity.device
    node = _corners(torch.arange(n, device=device).reshape(T, H, W), -1)
    total = _corners(mass.reshape(T, H, W), 0.0)
    piece = torch.arange(8, device=device).expand(node.shape).contiguous()
    size = torch.ones_like(piece)
    for axis in range(3):
        # NaN, the missing neighbour, compares false.
        above = torch.where(similarity[axis] > tau, similarity[axis], 0.0).double() * families[axis]
        _join_across(1 << axis, _corners(above, 0.0), piece, total, size, gamma, cap)
    called = torch.where(size.gather(1, piece) >= _LEAST, node.gather(1, piece), node)
    labels = torch.empty(n + 1, dtype=torch.int32, device=device)
    labels[node.reshape(-1)] = called.reshape(-1).to(torch.int32)  # corners outside go to the last entry
    return labels[:n]


def _corners(values: Any, outside: Any) -> Any:
    """[n_boxes, 8] of values [T, H, W]; bit 0 of a corner: right, bit 1: bottom, bit 2: later."""
    T, H, W = values.shape
    padded = torch.nn.functional.pad(values, (0, W % 2, 0, H % 2, 0, T % 2), value=outside)
    boxes = padded.reshape(-(-T // 2), 2, -(-H // 2), 2, -(-W // 2), 2)
    return boxes.permute(0, 2, 4, 1, 3, 5).reshape(-1, 8)


def _join_across(bit: int, weight: Any, piece: Any, total: Any, size: Any, gamma: float, cap: int) -> None:
    low = [corner for corner in range(8) if not corner & bit]
    for corner in low:
        a, b = piece[:, corner, None].clone(), piece[:, corner | bit, None].clone()
        between = torch.zeros_like(total[:, :1])
        for c in low:
            joins = (piece[:, c, None] == a) & (piece[:, c | bit, None] == b)
            between += torch.where(joins, weight[:, c, None], 0.0)
        total_a, total_b = total.gather(1, a), total.gather(1, b)
        size_a, size_b = size.gather(1, a), size.gather(1, b)
        joined = (weight[:, corner, None] > 0) & (a != b) & (size_a + size_b <= cap)
        joined &= between > gamma * total_a * total_b
        total.scatter_(1, a, torch.where(joined, total_a + total_b, total_a))
        size.scatter_(1, a, torch.where(joined, size_a + size_b, size_a))
        piece.copy_(torch.where(joined & (piece == b), a, piece))
