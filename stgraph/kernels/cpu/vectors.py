"""Loops over rows of features in explicit vectors, for the two kernels that read every feature.

What the compiler makes of a plain loop leaves two things out that cost as much as the arithmetic: the rows needed next
are fetched only when they are needed, and 16-bit formats are widened the long way. Each intrinsic here is one loop over
the channels of a few rows, which also asks for the rows that come next. Every sum has the same lanes wherever its rows
stand, so that equal rows give equal bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from stgraph.kernels.cpu.rows import widened

_I8, _I16, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_SUM = ("reassoc", "contract", "nsz")


def _lanes() -> int:
    """float32 numbers in a vector: as many as a register holds."""
    wide = numba.config.CPU_NAME in (None, "host") and numba.config.CPU_FEATURES is None
    return 16 if wide and binding.get_host_cpu_features().get("avx512f", False) else 8


LANES = _lanes()
_VECTOR = ir.VectorType(_F32, LANES)
Vectors = list[Any]


def _zero() -> ir.Constant:
    return ir.Constant(_VECTOR, [0.0] * LANES)


def _load(builder: Any, pointer: Any, element: Any, align: int, keep: Any) -> Any:
    """LANES elements; of a last part only the first ``keep``, and zeros."""
    kind = ir.VectorType(element, LANES)
    pointer = builder.bitcast(pointer, kind.as_pointer())
    if keep is None:
        loaded = builder.load(pointer)
        loaded.align = align
        return loaded
    count = ir.Constant(ir.VectorType(_I64, LANES), None)
    count = builder.insert_element(count, keep, _I32(0))
    spread = builder.shuffle_vector(count, count, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))
    mask = builder.icmp_signed("<", ir.Constant(spread.type, list(range(LANES))), spread)
    name = "f32" if element == _F32 else "i16"
    signature = ir.FunctionType(kind, [pointer.type, _I32, mask.type, kind])
    load = cgutils.get_or_insert_function(builder.module, signature, f"llvm.masked.load.v{LANES}{name}.p0")
    return builder.call(load, [pointer, _I32(align), mask, ir.Constant(kind, None)])


def _channels(builder: Any, stored: Any, row: Any, k: Any, keep: Any) -> Any:
    """LANES channels of a row from byte ``k`` on, as float32."""
    element = _F32 if stored == types.float32 else _I16
    loaded = _load(builder, builder.gep(row, [k]), element, stored.bitwidth // 8, keep)
    return widened(builder, loaded, stored)


def _over_channels(
    builder: Any,
    stored: Any,
    here: Vectors,
    later: Vectors,
    n: Any,
    carried: Sequence[Any],
    body: Callable[[Vectors, Any, Vectors], Vectors],
) -> Vectors:
    """Emit ``carried = body(channels of each row, first channel, carried)`` over n channels of the rows that start
    ``here``, and the call for those of the rows needed ``later``."""
    size = _I64(stored.bitwidth // 8)
    signature = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
    prefetch = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
    before = builder.block
    check, whole, last, part, done = (
        builder.append_basic_block(name) for name in ("check", "whole", "last", "part", "done")
    )
    builder.branch(check)
    builder.position_at_end(check)
    k, state = builder.phi(_I64), [builder.phi(one.type) for one in carried]
    after = builder.add(k, _I64(LANES))
    builder.cbranch(builder.icmp_signed("<=", after, n), whole, last)

    def steps(keep: Any) -> Vectors:
        at = builder.mul(k, size)
        for pointer in later:  # read, keep in the nearest cache, data
            builder.call(prefetch, [builder.gep(pointer, [at]), _I32(0), _I32(3), _I32(1)])
        return body([_channels(builder, stored, row, at, keep) for row in here], k, state)

    builder.position_at_end(whole)
    new = steps(None)
    builder.branch(check)
    for phi, start, value in zip([k, *state], [_I64(0), *carried], [after, *new], strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(value, whole)
    builder.position_at_end(last)
    builder.cbranch(builder.icmp_signed("<", k, n), part, done)
    builder.position_at_end(part)
    rest = steps(builder.sub(n, k))
    builder.branch(done)
    builder.position_at_end(done)
    found = [builder.phi(one.type) for one in carried]
    for phi, value, other in zip(found, state, rest, strict=True):
        phi.add_incoming(value, last)
        phi.add_incoming(other, part)
    return found


def _plus_product(builder: Any, total: Any, a: Any, b: Any) -> Any:
    return builder.fadd(total, builder.fmul(a, b, flags=_SUM), flags=_SUM)


def _sums(builder: Any, vectors: Vectors) -> list[Any]:
    """The sum of each vector's lanes; their number is a power of two of at most LANES. The halves of two vectors are
    added at once, until there is one vector, and then within it."""
    width = LANES  # lanes that hold one sum
    while width > 1:
        paired = len(vectors) > 1
        pairs = zip(vectors[::2], vectors[1::2], strict=True) if paired else [(vectors[0], vectors[0])]
        lanes = vectors[0].type.count * (2 if paired else 1)
        width //= 2
        first = [start + i for start in range(0, lanes, 2 * width) for i in range(width)]
        vectors = [_fold(builder, a, b, first, width) for a, b in pairs]
    return [builder.extract_element(vectors[0], _I32(i)) for i in range(vectors[0].type.count)]


def _fold(builder: Any, a: Any, b: Any, lanes: list[int], distance: int) -> Any:
    kind = ir.VectorType(_I32, len(lanes))
    halves = [builder.shuffle_vector(a, b, ir.Constant(kind, [i + shift for i in lanes])) for shift in (0, distance)]
    return builder.fadd(*halves, flags=_SUM)


def _rows_at(context: Any, builder: Any, flat: Any, array: Any, offsets: Sequence[Any]) -> Vectors:
    """Pointers to the rows at ``offsets`` of the flat features."""
    base = builder.bitcast(_data(context, builder, flat, array), _I8.as_pointer())
    return [builder.gep(base, [builder.mul(offset, _I64(flat.dtype.bitwidth // 8))]) for offset in offsets]


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _element(context: Any, builder: Any, kind: Any, array: Any, i: Any) -> Any:
    return builder.load(builder.gep(_data(context, builder, kind, array), [i]))


@intrinsic
def neighbour_sums(typing_context: Any, flat: Any, rows: Any, ahead: Any, n: Any) -> Any:
    """Eight products of two tokens, p and q, one frame apart: p with p, its left, its upper and its previous one; q
    with q, its left, its upper one and p. ``rows``: offsets of p, q, p's left, q's left, p's upper, q's upper, p's
    previous; ``ahead``: those of the rows that come next."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        here, later = (
            _rows_at(context, builder, flat, args[0], cgutils.unpack_tuple(builder, offsets)) for offsets in args[1:3]
        )

        def add(rows: Vectors, k: Any, sums: Vectors) -> Vectors:
            p, q, p_left, q_left, p_up, q_up, p_before = rows
            terms = [(p, p), (p, p_left), (p, p_up), (p, p_before), (q, q), (q, q_left), (q, q_up), (q, p)]
            return [_plus_product(builder, total, a, b) for total, (a, b) in zip(sums, terms, strict=True)]

        sums = _over_channels(builder, flat.dtype, here, later, args[3], [_zero()] * 8, add)
        return context.make_tuple(builder, signature.return_type, _sums(builder, sums))

    return types.UniTuple(types.float32, 8)(flat, rows, ahead, n), codegen


def _eight(context: Any, builder: Any, flat: Any, offsets: Any, given: Sequence[Any]) -> Vectors:
    """Channels from ``k`` on of the rows i..i+7. ``given``: the flat features, [>= i + 8] offsets, i and k."""
    array, starts, i, k = given
    found = [_element(context, builder, offsets, starts, builder.add(i, _I64(j))) for j in range(8)]
    return _rows_at(context, builder, flat, array, [builder.add(start, k) for start in found])


@intrinsic
def add_scaled(typing_context: Any, flat: Any, offsets: Any, i: Any, k: Any, n: Any, scales: Any, total: Any) -> Any:
    """total += channels k..k+n-1 of eight rows times their scales.

    ``offsets``, ``scales``: [>= i + 8] int64, float32; ``total``: [n, rounded up to LANES] float32. Rows that come from
    memory are found faster the fewer instructions there are between them: none is asked for ahead.
    """
    kinds = (flat, offsets, i, k, n, scales, total)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        here = _eight(context, builder, flat, offsets, args[:4])
        places = [builder.add(args[2], _I64(j)) for j in range(8)]
        spread = [_spread(builder, _element(context, builder, scales, args[5], place)) for place in places]
        held = _data(context, builder, total, args[6])

        def add(rows: Vectors, k: Any, nothing: Vectors) -> Vectors:
            place = builder.bitcast(builder.gep(held, [k]), _VECTOR.as_pointer())
            found = builder.load(place)
            found.align = 4
            for row, scale in zip(rows, spread, strict=True):
                found = _plus_product(builder, found, row, scale)
            builder.store(found, place).align = 4
            return nothing

        _over_channels(builder, flat.dtype, here, [], args[4], [], add)
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
    total: Any,
    sums: Any,
    ahead: Any,
    first: Any,
) -> Any:
    """sums[i..i+7] += the products of channels k..k+n-1 of eight rows with ``total``; shapes as for
    :func:`add_scaled`, ``sums`` [>= i + 8] float64.

    This second look finds its rows near, and the memory idle: it asks for channels first..first+n-1 of the rows at
    ahead[i..i+7], which come next. ``ahead``: offsets, or None.
    """
    kinds = (flat, offsets, i, k, n, total, sums, ahead, first)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        here = _eight(context, builder, flat, offsets, args[:4])
        later = (
            [] if ahead == types.none else _eight(context, builder, flat, ahead, (args[0], args[7], args[2], args[8]))
        )
        held = _data(context, builder, total, args[5])

        def add(rows: Vectors, k: Any, found: Vectors) -> Vectors:
            with_total = builder.load(builder.bitcast(builder.gep(held, [k]), _VECTOR.as_pointer()))
            with_total.align = 4
            return [_plus_product(builder, one, row, with_total) for one, row in zip(found, rows, strict=True)]

        found = _over_channels(builder, flat.dtype, here, later, args[4], [_zero()] * 8, add)
        out = _data(context, builder, sums, args[6])
        for j, one in enumerate(_sums(builder, found)):
            at = builder.gep(out, [builder.add(args[2], _I64(j))])
            builder.store(builder.fadd(builder.load(at), builder.fpext(one, ir.DoubleType())), at)
        return context.get_dummy_value()

    return types.void(*kinds), codegen


def _spread(builder: Any, scalar: Any) -> Any:
    vector = builder.insert_element(ir.Constant(_VECTOR, None), scalar, _I32(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES))
