"""Sums over eight tokens at a time: contiguous rows in explicit vectors, others element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import overload

from stgraph.aliases import Array
from stgraph.kernels.cpu.compiled import compiled
from stgraph.kernels.cpu.rows import row, widen
from stgraph.kernels.cpu.vectors import add_products, add_scaled


@compiled()
def token(x, node, H, W):  # type: ignore[no-untyped-def]
    t, rest = node // (H * W), node % (H * W)
    return row(x, t, rest // W, rest % W)


def origin(x: Any, node: int, H: int, W: int) -> int:
    """Position by which :func:`add_eight` and :func:`sum_eight` find a token (used only inside kernels)."""
    raise NotImplementedError("origin() is only meaningful inside a compiled kernel")


def add_eight(
    x: Any, origins: Array, i: int, k: int, n: int, lead: int, scales: Array, H: int, W: int, total: Array
) -> None:
    """total[:n] += channels k..k+n-1 of tokens i..i+7 times their scales (used only inside kernels)."""
    raise NotImplementedError("add_eight() is only meaningful inside a compiled kernel")


def sum_eight(
    x: Any,
    origins: Array,
    i: int,
    k: int,
    n: int,
    lead: int,
    total: Array,
    H: int,
    W: int,
    sums: Array,
    ahead: Any,
    first: int,
) -> None:
    """sums[i..i+7] += the products of channels k..k+n-1 of eight tokens with ``total``; channels from ``first`` on of
    tokens ahead[i..i+7] are prefetched (used only inside kernels)."""
    raise NotImplementedError("sum_eight() is only meaningful inside a compiled kernel")


@overload(origin, inline="always")
def _origin_in(x: Any, node: Any, H: Any, W: Any) -> Any:
    if isinstance(x, types.BaseTuple):

        def offset(x: Any, node: Any, H: Any, W: Any) -> Any:
            _, start, frame, line, step, _ = x
            if line == W * step and frame == H * line:  # contiguous tokens, the usual case: no divisions
                return start + node * step
            t, rest = node // (H * W), node % (H * W)
            return start + t * frame + rest // W * line + rest % W * step

        return offset

    def itself(x: Any, node: Any, H: Any, W: Any) -> Any:
        return node

    return itself


@overload(add_eight, inline="always")
def _add_eight_of(
    x: Any, origins: Any, i: Any, k: Any, n: Any, lead: Any, scales: Any, H: Any, W: Any, total: Any
) -> Any:
    if isinstance(x, types.BaseTuple):

        def of_buffer(
            x: Any, origins: Any, i: Any, k: Any, n: Any, lead: Any, scales: Any, H: Any, W: Any, total: Any
        ) -> Any:
            add_scaled(x[0], origins, i, k, n, lead, scales, total)

        return of_buffer

    def of_array(
        x: Any, origins: Any, i: Any, k: Any, n: Any, lead: Any, scales: Any, H: Any, W: Any, total: Any
    ) -> Any:
        for j in range(i, i + 8):
            here = token(x, origins[j], H, W)
            for c in range(n):
                total[c] += widen(here[k + c]) * scales[j]

    return of_array


@overload(sum_eight, inline="always")
def _sum_eight_of(
    x: Any,
    origins: Any,
    i: Any,
    k: Any,
    n: Any,
    lead: Any,
    total: Any,
    H: Any,
    W: Any,
    sums: Any,
    ahead: Any,
    first: Any,
) -> Any:
    if isinstance(x, types.BaseTuple):

        def of_buffer(
            x: Any,
            origins: Any,
            i: Any,
            k: Any,
            n: Any,
            lead: Any,
            total: Any,
            H: Any,
            W: Any,
            sums: Any,
            ahead: Any,
            first: Any,
        ) -> Any:
            add_products(x[0], origins, i, k, n, lead, total, sums, ahead, first)

        return of_buffer

    def of_array(
        x: Any,
        origins: Any,
        i: Any,
        k: Any,
        n: Any,
        lead: Any,
        total: Any,
        H: Any,
        W: Any,
        sums: Any,
        ahead: Any,
        first: Any,
    ) -> Any:
        for j in range(i, i + 8):
            here, found = token(x, origins[j], H, W), np.float32(0)
            for c in range(n):
                found += widen(here[k + c]) * total[c]
            sums[j] += found

    return of_array
