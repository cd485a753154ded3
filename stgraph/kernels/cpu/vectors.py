"""Sums over rows of features in explicit vectors, for the two kernels that read every feature.

Plain compiled loops lose as much time as the arithmetic takes: rows are fetched only when needed, every load crosses a
cache line if the array is not aligned to one, and 16-bit formats are widened slowly. Each intrinsic here is one loop
over the channels of a few rows. Every sum has the same lanes wherever its rows lie, so that equal rows give equal bits.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from stgraph.kernels.cpu.vector_loops import (
    I32,
    I64,
    LANES,
    VECTOR,
    Rows,
    Vectors,
    data_of,
    element_of,
    folded,
    moved,
    plus_product,
    rows_at,
    spread,
    zero,
)

# Columns of tokens whose products with neighbours are summed together: as many as the registers hold.
COLUMNS = 2 if LANES == 16 else 1
EARLY = 1024  # bytes of a row between the channels being summed and those being prefetched


@intrinsic
def neighbour_sums(
    typing_context: Any, flat: Any, rows: Any, ahead: Any, n: Any, lead: Any, out: Any, places: Any
) -> Any:
    """Products of tokens p and q, one frame apart, with themselves and their left, upper and previous neighbours, for
    one or more columns.

    ``rows``: offsets of each column's p, then each column's q, p's left and q's left of the first column, the tokens
    above p, above q, and before p. ``ahead``: offsets of the next p and q, to prefetch. ``lead``:
    :func:`stgraph.kernels.cpu.vector_loops.lead_of`. ``out``: contiguous float32; ``places``: index in it of the four
    products of each column's p and q. Where places are equal, the products of p and of the first column stay.
    """
    columns = (len(rows) - 2) // 5

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        here, later = (
            rows_at(context, builder, flat, args[0], cgutils.unpack_tuple(builder, offsets)) for offsets in args[1:3]
        )
        n, lead = args[3:5]

        def add(rows: Vectors, k: Any, sums: Vectors) -> Vectors:
            p, q, edge, rest = (
                rows[:columns],
                rows[columns : 2 * columns],
                rows[2 * columns :][:2],
                rows[2 * columns + 2 :],
            )
            p_up, q_up, before = (rest[i * columns : (i + 1) * columns] for i in range(3))
            terms = []
            for c in range(columns):
                p_left, q_left = (p[c - 1], q[c - 1]) if c else edge
                terms += [(p[c], other) for other in (p[c], p_left, p_up[c], before[c])]
                terms += [(q[c], other) for other in (q[c], q_left, q_up[c], p[c])]
            return [plus_product(builder, total, a, b) for total, (a, b) in zip(sums, terms, strict=True)]

        # Rows are prefetched a little ahead: while the last channels are summed, the first ones of the next rows.
        size = flat.dtype.bitwidth // 8
        early = builder.select(builder.icmp_signed("<", n, I64(EARLY // size)), n, I64(EARLY // size))
        turn = builder.sub(n, early)
        turn = builder.sub(turn, builder.urem(builder.add(turn, lead), I64(LANES)))
        own = [moved(builder, row, early, size) for row in here[: 2 * columns]]
        later = [moved(builder, row, builder.neg(turn), size) for row in later]
        loop = Rows(builder, flat.dtype, here, n, builder.neg(lead), [zero()] * (8 * columns), add)
        loop.part(builder.icmp_signed("<", loop.k, I64(0)), own)
        loop.whole(turn, own)
        loop.whole(n, later)
        loop.part(builder.icmp_signed("<", loop.k, n), later)
        sums, held = folded(builder, loop.carried), data_of(context, builder, out, args[5])
        for i, place in reversed(list(enumerate(cgutils.unpack_tuple(builder, args[6])))):
            lanes = ir.Constant(ir.VectorType(I32, 4), list(range(4 * i, 4 * i + 4)))
            four = builder.shuffle_vector(sums, sums, lanes)
            builder.store(four, builder.bitcast(builder.gep(held, [place]), four.type.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(flat, rows, ahead, n, lead, out, places), codegen


def _eight(context: Any, builder: Any, flat: Any, offsets: Any, given: Any) -> Vectors:
    """Channels from ``k`` on of rows i..i+7. ``given``: flat features, [>= i + 8] offsets, i and k."""
    array, starts, i, k = given
    found = [element_of(context, builder, offsets, starts, builder.add(i, I64(j))) for j in range(8)]
    return rows_at(context, builder, flat, array, [builder.add(start, k) for start in found])


@intrinsic
def add_scaled(
    typing_context: Any, flat: Any, offsets: Any, i: Any, k: Any, n: Any, lead: Any, scales: Any, total: Any
) -> Any:
    """total += channels k..k+n-1 of eight rows times their scales.

    ``offsets``, ``scales``: [>= i + 8] int64, float32; ``lead``: as for :func:`neighbour_sums`; ``total``: [n, plus
    LANES on either side] float32, finite. Rows are not prefetched: they arrive from memory faster the fewer
    instructions there are between them.
    """
    kinds = (flat, offsets, i, k, n, lead, scales, total)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        here = _eight(context, builder, flat, offsets, args[:4])
        places = [builder.add(args[2], I64(j)) for j in range(8)]
        wide = [spread(builder, element_of(context, builder, scales, args[6], place)) for place in places]
        held = data_of(context, builder, total, args[7])

        def add(rows: Vectors, k: Any, nothing: Vectors) -> Vectors:
            place = builder.bitcast(builder.gep(held, [k]), VECTOR.as_pointer())
            found = builder.load(place)
            found.align = 4
            for row, scale in zip(rows, wide, strict=True):
                found = plus_product(builder, found, row, scale)
            builder.store(found, place).align = 4
            return nothing

        Rows(builder, flat.dtype, here, args[4], builder.neg(args[5]), [], add).over_all([])
        return context.get_dummy_value()

    return types.void(*kinds), codegen


@intrinsic
def add_products(
    typing_context: Any,
    flat: Any,
    offsets: Any,
    i: Any,
    k: Any,
    n: Any,
    lead: Any,
    total: Any,
    sums: Any,
    ahead: Any,
    first: Any,
) -> Any:
    """sums[i..i+7] += the products of channels k..k+n-1 of eight rows with ``total``; shapes as for
    :func:`add_scaled`, ``sums`` [>= i + 8] float64.

    This second read finds its rows in the cache and memory idle, so it prefetches channels first..first+n-1 of the next
    rows, at ahead[i..i+7]. ``ahead``: offsets, or None.
    """
    kinds = (flat, offsets, i, k, n, lead, total, sums, ahead, first)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        here = _eight(context, builder, flat, offsets, args[:4])
        later = (
            [] if ahead == types.none else _eight(context, builder, flat, ahead, (args[0], args[8], args[2], args[9]))
        )
        held = data_of(context, builder, total, args[6])

        def add(rows: Vectors, k: Any, found: Vectors) -> Vectors:
            with_total = builder.load(builder.bitcast(builder.gep(held, [k]), VECTOR.as_pointer()))
            with_total.align = 4
            return [plus_product(builder, one, row, with_total) for one, row in zip(found, rows, strict=True)]

        loop = Rows(builder, flat.dtype, here, args[4], builder.neg(args[5]), [zero()] * 8, add)
        found = loop.over_all(later)
        found, out = folded(builder, found), data_of(context, builder, sums, args[7])
        for j in range(8):
            one = builder.extract_element(found, I32(j))
            at = builder.gep(out, [builder.add(args[2], I64(j))])
            builder.store(builder.fadd(builder.load(at), builder.fpext(one, ir.DoubleType())), at)
        return context.get_dummy_value()

    return types.void(*kinds), codegen
