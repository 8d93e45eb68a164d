"""Kernels of layers with weights: one for values and gradients of inputs, one for gradients of weights.

Maps lie in memory as ``[place][map][image]``, places row by row, images padded with zeros to `LANES`. A value of the
result is a sum over *taps*: for every place of the result a list of pairs (place of the given maps, place of the
kernel), entries ``start[p]`` to ``start[p + 1]`` of ``q`` and ``t``. Unpooling to a corner, strides and borders are
shorter lists. Plain vector arithmetic over images does the rest, in a tile of maps x images that stays in registers.
"""

from __future__ import annotations

import numpy as np
from numba.types import UniTuple

from trainables.ops.compilation import (
    BYTES,
    FLOATS,
    GATHER_TILES,
    INTEGER,
    INTEGERS,
    LANES,
    PRODUCT_TILES,
    inline,
    kernel,
)
from trainables.ops.operations import DIRECT, LARGEST
from trainables.ops.pointwise import activate, combine_cells, multiply_derivative, place_row
from trainables.ops.tiles import gather_tile, lane_sums, largest_of_four, product_tile

f32 = np.float32
ROWS, MOST_COLUMNS = max(GATHER_TILES), (0, *GATHER_TILES.values())
PRODUCT_ROWS, MOST_PRODUCT_COLUMNS = max(PRODUCT_TILES), (0, *PRODUCT_TILES.values())


@kernel(
    FLOATS, FLOATS, FLOATS, INTEGERS, INTEGERS, INTEGERS, FLOATS, FLOATS, BYTES, FLOATS, FLOATS, UniTuple(INTEGER, 11)
)
def gather(maps, weight, bias, start, q, t, out, buffer, phase, other, sums, sizes):
    """Write every place of ``out``, then activate it, or multiply it by the derivative of ``other``."""
    places, rows, n, run, size, batch, wo, wi, combine, activation, backward = sizes
    cells = 1 if combine == DIRECT else 4
    target = out if combine == DIRECT else buffer
    blocks = -(-rows // ROWS)
    for p in range(places):
        for cell in range(cells):
            begin, end = start[p * cells + cell], start[p * cells + cell + 1]
            base = p * n if combine == DIRECT else cell * n
            o = 0
            for block in range(blocks):
                high = rows // blocks + (block < rows % blocks)
                first, left = 0, batch // LANES
                tiles = -(-left // MOST_COLUMNS[high])
                for tile in range(tiles):
                    wide = left // tiles + (tile < left % tiles)
                    gather_tile(
                        high,
                        wide,
                        maps,
                        first,
                        q,
                        t,
                        begin,
                        end,
                        run,
                        size,
                        batch,
                        weight,
                        o * wo,
                        wo,
                        wi,
                        bias,
                        o,
                        target,
                        base + o * batch + first,
                    )
                    first += wide * LANES
                o += high
        if combine == LARGEST:
            for e in range(0, n, LANES):
                largest_of_four(buffer, e, n, out, p * n + e, phase)
        elif combine != DIRECT:
            combine_cells(buffer, phase[p * n : p * n + n], out[p * n : p * n + n], combine)
        if backward:
            multiply_derivative(out[p * n : p * n + n], other[p * n : p * n + n], sums, activation)
        else:
            activate(out[p * n : p * n + n], activation)


@inline
def sum_lanes(sums, out, at, n):
    """Write the sums over lanes of n vectors to ``out[at : at + n]``; ``sums`` has room for LANES vectors more."""
    whole = n // LANES * LANES
    for e in range(0, whole, LANES):
        lane_sums(sums, e * LANES, out, at + e)
    if whole < n:
        lane_sums(sums, whole * LANES, sums, 0)
        out[at + whole : at + n] = sums[: n - whole]


@kernel(FLOATS, BYTES, FLOATS, FLOATS, FLOATS, FLOATS, UniTuple(INTEGER, 7))
def correlate(left, phase, right, out, sums, cells, sizes):
    """Write the gradient of a kernel, ``out[a, b, ky, kx]``.

    It is the sum over places (y, x) of ``left`` and over images of ``left[y, x][a]`` times
    ``right[stride * y + ky, stride * x + kx][b]``. Where there are phases, ``left`` has one value for each window of
    2x2 places, which lies at its phase among zeros; two rows of it at a time are spread to ``cells``.
    """
    left_maps, left_side, right_maps, right_side, kernel, stride, batch = sizes
    n = right_maps * kernel * kernel
    column_step = right_maps * batch
    blocks = -(-left_maps // PRODUCT_ROWS)
    windows = left_side // 2
    o = 0
    for block in range(blocks):
        high = left_maps // blocks + (block < left_maps % blocks)
        tiles = -(-kernel // MOST_PRODUCT_COLUMNS[high])
        sums[: high * n * LANES] = f32(0)
        source, place_step = left, left_maps * batch
        if len(phase):
            source, place_step = cells, high * batch
            cells[: 2 * left_side * place_step] = f32(0)
        for y in range(2 * windows if len(phase) else left_side):
            a = (y * left_side * left_maps + o) * batch
            if len(phase):
                a = y % 2 * left_side * place_step
                if y % 2 == 0:
                    for x in range(windows):
                        at = ((y // 2 * windows + x) * left_maps + o) * batch
                        row, which = left[at : at + place_step], phase[at : at + place_step]
                        for cell in range(4):
                            to = (cell // 2 * left_side + 2 * x + cell % 2) * place_step
                            place_row(row, which, cells[to : to + place_step], np.uint8(cell))
            for m in range(right_maps):
                for ky in range(kernel):
                    kx = 0
                    for tile in range(tiles):
                        wide = kernel // tiles + (tile < kernel % tiles)
                        b = (((stride * y + ky) * right_side + kx) * right_maps + m) * batch
                        to = (m * kernel * kernel + ky * kernel + kx) * LANES
                        product_tile(
                            high,
                            wide,
                            source,
                            a,
                            place_step,
                            right,
                            b,
                            stride * column_step,
                            column_step,
                            left_side,
                            batch,
                            sums,
                            to,
                            n * LANES,
                        )
                        kx += wide
        sum_lanes(sums, out, o * n, high * n)
        o += high
