"""Code generation for loops over the channels of a few rows of features, in explicit vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
from llvmlite import binding, ir
from numba.core import cgutils, types

from stgraph.kernels.cpu.rows import widened

_I8, _I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
SUM = ("contract", "nsz")  # no reordering: results would depend on where vectors start


def _lanes() -> int:
    """Number of float32 values in a vector: as many as a register holds."""
    wide = numba.config.CPU_NAME in (None, "host") and numba.config.CPU_FEATURES is None
    return 16 if wide and binding.get_host_cpu_features().get("avx512f", False) else 8


LANES = _lanes()
VECTOR = ir.VectorType(F32, LANES)
_LINE = 64  # bytes per cache line
Vectors = list[Any]


def lead_of(source: Any) -> int:
    """Number of elements by which the first vector starts before its row, so that no load crosses a cache line; 0
    unless it is the same for all rows.

    Sums do not depend on it: lanes are added in halves, which gives the same bits wherever the first lane is.

    Parameters
    ----------
    source : :func:`stgraph.kernels.cpu.rows.row_source`
    """
    if not isinstance(source, tuple):
        return 0
    flat, start, *strides, _ = source
    size, width = flat.itemsize, LANES * flat.itemsize
    at = flat.ctypes.data + start * size
    return 0 if at % size or any(stride * size % width for stride in strides) else at % width // size


def zero() -> ir.Constant:
    return ir.Constant(VECTOR, [0.0] * LANES)


def _load(builder: Any, pointer: Any, element: Any, align: int, within: Any) -> Any:
    """LANES elements; of a partial vector only those ``within``, otherwise zeros."""
    kind = ir.VectorType(element, LANES)
    pointer = builder.bitcast(pointer, kind.as_pointer())
    if within is None:
        loaded = builder.load(pointer)
        loaded.align = align
        return loaded
    name = "f32" if element == F32 else "i16"
    signature = ir.FunctionType(kind, [pointer.type, I32, within.type, kind])
    load = cgutils.get_or_insert_function(builder.module, signature, f"llvm.masked.load.v{LANES}{name}.p0")
    return builder.call(load, [pointer, I32(align), within, ir.Constant(kind, None)])


def _channels(builder: Any, stored: Any, row: Any, k: Any, within: Any) -> Any:
    """LANES channels of a row from byte ``k`` on, as float32."""
    element = F32 if stored == types.float32 else _I16
    loaded = _load(builder, builder.gep(row, [k]), element, stored.bitwidth // 8, within)
    return widened(builder, loaded, stored)


@dataclass
class Rows:
    """A loop over the channels of some rows, generated piece by piece with ``carried = body(channels, first one,
    carried)``, and prefetching of the same channels of rows needed later.

    Attributes
    ----------
    stored : dtype
    here : pointers to the rows
    n : number of channels; vectors are filled with zeros beyond them
    k : the channel reached; below 0, by less than a vector, at the start of some rows
    carried : value of the body after the channel reached
    """

    builder: Any
    stored: Any
    here: Vectors
    n: Any
    k: Any
    carried: Vectors
    body: Callable[[Vectors, Any, Vectors], Vectors]

    def over_all(self, later: Vectors) -> Vectors:
        """Loop over all channels and return the final carried value."""
        builder = self.builder
        self.part(builder.icmp_signed("<", self.k, I64(0)), later)
        self.whole(self.n, later)
        self.part(builder.icmp_signed("<", self.k, self.n), later)
        return self.carried

    def part(self, condition: Any, later: Vectors) -> None:
        """One vector that may reach beyond the row, if the condition holds."""
        builder, before = self.builder, self.builder.block
        some, done = builder.append_basic_block("some"), builder.append_basic_block("done")
        builder.cbranch(condition, some, done)
        builder.position_at_end(some)
        lane = builder.add(spread(builder, self.k), ir.Constant(ir.VectorType(I64, LANES), list(range(LANES))))
        within = builder.icmp_unsigned("<", lane, spread(builder, self.n))
        new = self._step(self.k, self.carried, later, within)
        builder.branch(done)
        builder.position_at_end(done)
        self.k, *self.carried = self._joined([(before, [self.k, *self.carried]), (some, new)])

    def whole(self, end: Any, later: Vectors) -> None:
        """Whole vectors that end at ``end`` or before; first as many at a time as a cache line holds, so that no line
        is requested twice."""
        at_once = _LINE // (LANES * self.stored.bitwidth // 8)
        if at_once > 1:
            self._vectors(at_once, end, later)
        self._vectors(1, end, later)

    def _vectors(self, at_once: int, end: Any, later: Vectors) -> None:
        builder, before = self.builder, self.builder.block
        check, some, done = (builder.append_basic_block(name) for name in ("check", "whole", "done"))
        builder.branch(check)
        builder.position_at_end(check)
        k, *state = self._joined([(before, [self.k, *self.carried])])
        fits = builder.icmp_signed("<=", builder.add(k, I64(at_once * LANES)), end)
        builder.cbranch(fits, some, done)
        builder.position_at_end(some)
        found = [k, *state]
        for i in range(at_once):
            found = self._step(found[0], found[1:], [] if i else later, None)
        for phi, value in zip([k, *state], found, strict=True):
            phi.add_incoming(value, some)
        builder.branch(check)
        builder.position_at_end(done)
        self.k, self.carried = k, state

    def _step(self, k: Any, state: Vectors, later: Vectors, within: Any) -> Vectors:
        builder = self.builder
        at = builder.mul(k, I64(self.stored.bitwidth // 8))
        signature = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), I32, I32, I32])
        prefetch = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
        for pointer in later:  # read, keep in the nearest cache, data
            builder.call(prefetch, [builder.gep(pointer, [at]), I32(0), I32(3), I32(1)])
        rows = [_channels(builder, self.stored, row, at, within) for row in self.here]
        return [builder.add(k, I64(LANES)), *self.body(rows, k, state)]

    def _joined(self, sources: list[tuple[Any, Vectors]]) -> Vectors:
        found = [self.builder.phi(value.type) for value in sources[0][1]]
        for block, values in sources:
            for phi, value in zip(found, values, strict=True):
                phi.add_incoming(value, block)
        return found


def plus_product(builder: Any, total: Any, a: Any, b: Any) -> Any:
    return builder.fadd(total, builder.fmul(a, b, flags=SUM), flags=SUM)


def folded(builder: Any, vectors: Vectors) -> Any:
    """Sums of each vector's lanes, as one vector; the number of vectors is a power of two and at most LANES. Halves of
    two vectors are added at once until one vector is left, then within it."""
    width = LANES  # lanes that hold one sum
    while width > 1:
        paired = len(vectors) > 1
        pairs = zip(vectors[::2], vectors[1::2], strict=True) if paired else [(vectors[0], vectors[0])]
        lanes = vectors[0].type.count * (2 if paired else 1)
        width //= 2
        first = [start + i for start in range(0, lanes, 2 * width) for i in range(width)]
        vectors = [_fold(builder, a, b, first, width) for a, b in pairs]
    return vectors[0]


def _fold(builder: Any, a: Any, b: Any, lanes: list[int], distance: int) -> Any:
    kind = ir.VectorType(I32, len(lanes))
    halves = [builder.shuffle_vector(a, b, ir.Constant(kind, [i + shift for i in lanes])) for shift in (0, distance)]
    return builder.fadd(*halves, flags=SUM)


def rows_at(context: Any, builder: Any, flat: Any, array: Any, offsets: Sequence[Any]) -> Vectors:
    """Pointers to the rows at ``offsets`` in the flat features."""
    base = builder.bitcast(data_of(context, builder, flat, array), _I8.as_pointer())
    return [builder.gep(base, [builder.mul(offset, I64(flat.dtype.bitwidth // 8))]) for offset in offsets]


def data_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def element_of(context: Any, builder: Any, kind: Any, array: Any, i: Any) -> Any:
    return builder.load(builder.gep(data_of(context, builder, kind, array), [i]))


def moved(builder: Any, row: Any, channels: Any, size: int) -> Any:
    """The pointer advanced by ``channels``."""
    return builder.gep(row, [builder.mul(channels, I64(size))])


def spread(builder: Any, scalar: Any) -> Any:
    kind = ir.VectorType(scalar.type, LANES)
    vector = builder.insert_element(ir.Constant(kind, None), scalar, I32(0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))
