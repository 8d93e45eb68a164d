"""Arithmetic on tiles of vectors that stay in registers, which Numba's language lacks, as intrinsics for it.

A tile is rows x columns vectors of `LANES` float32. Numba would have to know its size when it compiles; here LLVM gets
a small function for every size, and an intrinsic calls the one of the size at hand, so that any number of maps and
images runs through kernels that are compiled once. Offsets count float32, no bounds are checked, and vectors are
loaded and stored on a boundary of their own size.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from trainables.ops.compilation import GATHER_TILES, LANES, PRODUCT_TILES

FLOAT, INT, LONG, BYTE = ir.FloatType(), ir.IntType(32), ir.IntType(64), ir.IntType(8)
VECTOR = ir.VectorType(FLOAT, LANES)
FLOATS, INTS = FLOAT.as_pointer(), INT.as_pointer()
ZERO = ir.Constant(VECTOR, None)


def point_to(context, builder, kind, array, offset):
    """Return the address of element ``offset`` of a contiguous array of Numba."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [offset])


def move(builder, pointer, stride, number):
    """Return ``pointer`` moved by ``number`` strides; either may be a plain integer."""
    stride = LONG(stride) if isinstance(stride, int) else stride
    number = LONG(number) if isinstance(number, int) else number
    return builder.gep(pointer, [builder.mul(stride, number)])


def load(builder, pointer):
    """Return the vector at ``pointer``."""
    return builder.load(builder.bitcast(pointer, VECTOR.as_pointer()), align=4 * LANES)


def store(builder, vector, pointer, align=4 * LANES):
    """Write ``vector`` at ``pointer``."""
    builder.store(vector, builder.bitcast(pointer, VECTOR.as_pointer()), align=align)


def splat(builder, scalar):
    """Return a vector full of ``scalar``."""
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), scalar, INT(0))
    return builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), ir.Constant(ir.VectorType(INT, LANES), None))


def _fma(builder, a, b, c):
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), [a, b, c])


class _Tile:
    """Sums in the making: rows x columns vectors, variables that LLVM turns into registers."""

    def __init__(self, builder, rows, columns, values=None):
        self.builder, self.rows, self.columns = builder, rows, columns
        self.sums = [[builder.alloca(VECTOR) for _ in range(columns)] for _ in range(rows)]
        for r, row in enumerate(self.sums):
            for place in row:
                builder.store(ZERO if values is None else values[r], place)

    def add_products(self, rows, columns):
        """Add ``rows[r] * columns[c]``; either may be a generator, whose vectors are then loaded one at a time."""
        if not isinstance(rows, list):
            for place, row in zip(self.sums, rows, strict=True):
                self._add(zip(place, columns, strict=True), row)
        else:
            for c, column in enumerate(columns):
                self._add(((place[c], row) for place, row in zip(self.sums, rows, strict=True)), column)

    def _add(self, pairs, factor):
        for place, value in pairs:
            self.builder.store(_fma(self.builder, value, factor, self.builder.load(place)), place)

    def store(self, pointer, row_stride, column_stride, add=False):
        """Write the vectors at ``pointer``, or add them to what is there."""
        for r, row in enumerate(self.sums):
            first = move(self.builder, pointer, row_stride, r)
            for c, place in enumerate(row):
                to = move(self.builder, first, column_stride, c)
                value = self.builder.load(place)
                store(self.builder, self.builder.fadd(value, load(self.builder, to)) if add else value, to)


def _call_for_size(builder, name, sizes, write, rows, columns, arguments):
    """Call the function of a tile of ``rows`` x ``columns``; ``write(builder, rows, columns, *arguments)`` is its body.

    ``sizes`` holds the most columns of every number of rows.
    """
    done = builder.append_basic_block()
    choice = builder.switch(builder.add(builder.mul(rows, LONG(16)), columns), done)
    for r, most in sizes.items():
        for c in range(1, most + 1):
            kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
            function = ir.Function(builder.module, kind, f"{name}_{r}_{c}_{builder.function.name}")
            function.linkage = "internal"
            function.attributes.add("noinline")
            inner = ir.IRBuilder(function.append_basic_block())
            write(inner, r, c, *function.args)
            inner.ret_void()
            with builder.goto_block(builder.append_basic_block()):
                choice.add_case(LONG(16 * r + c), builder.block)
                builder.call(function, arguments)
                builder.branch(done)
    builder.position_at_end(done)


def _gather(builder, rows, columns, maps, q, t, count, run, size, batch, weight, wo, wi, bias, out):
    values = [splat(builder, builder.load(move(builder, bias, 1, r))) for r in range(rows)]
    tile = _Tile(builder, rows, columns, values)
    with cgutils.for_range(builder, count) as taps:
        place = builder.sext(builder.load(builder.gep(q, [taps.index])), LONG)
        x = move(builder, maps, size, place)
        w = builder.gep(weight, [builder.sext(builder.load(builder.gep(t, [taps.index])), LONG)])
        with cgutils.for_range(builder, run) as inner:
            row = move(builder, x, batch, inner.index)
            vectors = [load(builder, builder.gep(row, [LONG(LANES * c)])) for c in range(columns)]
            first = move(builder, w, wi, inner.index)
            scalars = (splat(builder, builder.load(move(builder, first, wo, r))) for r in range(rows))
            tile.add_products(scalars, vectors)
    tile.store(out, batch, LANES)


@intrinsic
def gather_tile(
    typing, rows, columns, maps, first, q, t, begin, end, run, size, batch, weight, at, wo, wi, bias, bias_at, out, to
):  # fmt: skip
    """Write ``out[to + r * batch + e]``, e over ``columns`` vectors: bias plus the sum over taps and maps.

    A tap k adds ``weight[at + t[k] + r * wo + i * wi] * maps[q[k] * size + i * batch + first + e]``, i up to ``run``.
    """

    def build(context, builder, signature, arguments):
        (rows_, columns_, maps_, first_, q_, t_, begin_, end_, run_, size_, batch_, weight_, at_, wo_, wi_,
         bias_, bias_at_, out_, to_) = arguments  # fmt: skip
        q_, t_ = point_to(context, builder, q, q_, begin_), point_to(context, builder, t, t_, begin_)
        maps_, weight_ = (
            point_to(context, builder, maps, maps_, first_),
            point_to(context, builder, weight, weight_, at_),
        )
        bias_, out_ = point_to(context, builder, bias, bias_, bias_at_), point_to(context, builder, out, out_, to_)
        count = builder.sub(end_, begin_)
        given = [maps_, q_, t_, count, run_, size_, batch_, weight_, wo_, wi_, bias_, out_]
        _call_for_size(builder, "gather", GATHER_TILES, _gather, rows_, columns_, given)
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, maps, i, q, t, i, i, i, i, i, weight, i, i, i, bias, i, out, i), build


def _products(builder, rows, columns, left, left_step, right, right_step, column_step, places, batch, sums, row_step):
    tile = _Tile(builder, rows, columns)
    with cgutils.for_range(builder, places) as outer:
        a, b = move(builder, left, left_step, outer.index), move(builder, right, right_step, outer.index)
        with cgutils.for_range(builder, builder.udiv(batch, LONG(LANES))) as inner:
            first, second = move(builder, a, LANES, inner.index), move(builder, b, LANES, inner.index)
            vectors = [load(builder, move(builder, first, batch, r)) for r in range(rows)]
            others = (load(builder, move(builder, second, column_step, c)) for c in range(columns))
            tile.add_products(vectors, others)
    tile.store(sums, row_step, LANES, add=True)


@intrinsic
def product_tile(
    typing, rows, columns, left, a, left_step, right, b, right_step, column_step, places, batch, sums, to, row_step
):
    """Add to the vectors ``sums[to + r * row_step + c * LANES]`` products of maps, summed over places and images.

    Place p adds ``left[a + p * left_step + r * batch + e] * right[b + p * right_step + c * column_step + e]``, of
    which e over lanes stays apart.
    """

    def build(context, builder, signature, arguments):
        (rows_, columns_, left_, a_, left_step_, right_, b_, right_step_, column_step_, places_, batch_, sums_, to_,
         row_step_) = arguments  # fmt: skip
        _call_for_size(
            builder, "products", PRODUCT_TILES, _products, rows_, columns_,
            [
                point_to(context, builder, left, left_, a_), left_step_, point_to(context, builder, right, right_, b_),
                right_step_, column_step_, places_, batch_, point_to(context, builder, sums, sums_, to_), row_step_,
            ],
        )  # fmt: skip
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, left, i, i, right, i, i, i, i, i, sums, i, i), build


@intrinsic
def lane_sums(typing, vectors, start, array, offset):
    """Write the sums over lanes of LANES vectors from ``vectors[start]`` on to ``array[offset : offset + LANES]``."""

    def build(context, builder, signature, arguments):
        base = point_to(context, builder, vectors, arguments[0], arguments[1])
        rows = [load(builder, move(builder, base, LANES, r)) for r in range(LANES)]
        mask = [ir.Constant(ir.VectorType(INT, LANES), [INT(i) for i in range(odd, 2 * LANES, 2)]) for odd in (0, 1)]
        while len(rows) > 1:
            rows = [
                builder.fadd(builder.shuffle_vector(a, b, mask[0]), builder.shuffle_vector(a, b, mask[1]))
                for a, b in zip(rows[::2], rows[1::2], strict=True)
            ]
        store(builder, rows[0], point_to(context, builder, array, arguments[2], arguments[3]), align=4)
        return context.get_dummy_value()

    return types.void(vectors, types.int64, array, types.int64), build


@intrinsic
def largest_of_four(typing, values, at, stride, out, to, which):
    """Write the largest of vectors ``values[at + c * stride]``, c from 0 to 3, to ``out[to]``, and c to ``which[to]``.

    Of equal values the first counts, and what is not a number counts as the largest, as in PyTorch's max pooling.
    """
    small = ir.VectorType(BYTE, LANES)

    def build(context, builder, signature, arguments):
        first = point_to(context, builder, values, arguments[0], arguments[1])
        best, cell = load(builder, first), ir.Constant(small, None)
        for c in range(1, 4):
            candidate = load(builder, move(builder, first, arguments[2], c))
            is_nan = builder.fcmp_unordered("uno", candidate, candidate)
            greater = builder.or_(builder.fcmp_ordered(">", candidate, best), is_nan)
            best = builder.select(greater, candidate, best)
            cell = builder.select(greater, ir.Constant(small, [BYTE(c)] * LANES), cell)
        store(builder, best, point_to(context, builder, out, arguments[3], arguments[4]))
        phases = point_to(context, builder, which, arguments[5], arguments[4])
        builder.store(cell, builder.bitcast(phases, small.as_pointer()), align=1)
        return context.get_dummy_value()

    i = types.int64
    return types.void(values, i, i, out, i, which), build
