"""Deconvolutions with large kernels, by the Fourier transform of maps of the images' side.

A spectrum lies in memory as ``[frequency][real parts of maps, imaginary parts of maps][image]``. At every frequency a
deconvolution is a small complex product over maps, which `gather.gather` computes as a real one of twice the size.
"""

from __future__ import annotations

from trainables.ops.compilation import FLOATS, INTEGER, LANES, kernel
from trainables.ops.gather import MOST_PRODUCT_COLUMNS, PRODUCT_ROWS, f32, sum_lanes
from trainables.ops.tiles import product_tile
from trainables.ops.transforms import HALF, SIDE, transform

FREQUENCIES = SIDE * HALF


@kernel(FLOATS, FLOATS, FLOATS, INTEGER, INTEGER)
def to_spectrum(values, out, scratch, side, lanes):
    """Transform ``[place][lane]`` of maps of ``side``, which zeros surround."""
    for v in range(0, lanes, LANES):
        for y in range(side):
            transform(
                "real", values, y * side * lanes + v, lanes, 0, side, scratch, y * 2 * HALF * LANES, 2 * LANES, LANES,
                HALF,
            )  # fmt: skip
        for k in range(HALF):
            transform(
                "complex", scratch, k * 2 * LANES, 2 * HALF * LANES, LANES, side, out, k * 2 * lanes + v,
                HALF * 2 * lanes, lanes, SIDE,
            )  # fmt: skip


@kernel(FLOATS, FLOATS, FLOATS, INTEGER, INTEGER)
def from_spectrum(spectrum, out, scratch, side, lanes):
    """Transform back, of which the first ``side`` rows and columns are written."""
    for v in range(0, lanes, LANES):
        for k in range(HALF):
            transform(
                "inverse", spectrum, k * 2 * lanes + v, HALF * 2 * lanes, lanes, SIDE, scratch, k * 2 * LANES,
                2 * HALF * LANES, LANES, SIDE,
            )  # fmt: skip
        for y in range(side):
            transform(
                "hermitian", scratch, y * 2 * HALF * LANES, 2 * LANES, LANES, HALF, out, y * side * lanes + v, lanes, 0,
                side,
            )  # fmt: skip


@kernel(FLOATS, FLOATS, INTEGER, INTEGER, INTEGER)
def expand_weight(spectrum, out, rows, columns, lanes):
    """Write complex matrices as real ones: re, im; -im, re. The spectrum has a lane for each row and column."""
    for f in range(FREQUENCIES):
        for r in range(rows):
            for c in range(columns):
                re, im = spectrum[f * 2 * lanes + r * columns + c], spectrum[(f * 2 + 1) * lanes + r * columns + c]
                top = (f * 2 * rows + r) * 2 * columns + c
                low = top + rows * 2 * columns
                out[top], out[top + columns], out[low], out[low + columns] = re, im, -im, re


@kernel(FLOATS, FLOATS, FLOATS, FLOATS, INTEGER, INTEGER, INTEGER, INTEGER)
def correlate_spectrum(left, right, out, sums, rows, columns, lanes, batch):
    """Write conj(left) x right, summed over images: a lane for each map of ``left`` and map of ``right``."""
    high, wide, n = 2 * rows, 2 * columns, rows * columns
    blocks, tiles = -(-high // PRODUCT_ROWS), -(-wide // MOST_PRODUCT_COLUMNS[PRODUCT_ROWS])
    for f in range(FREQUENCIES):
        sums[: high * wide * LANES] = f32(0)
        o = 0
        for block in range(blocks):
            tall = high // blocks + (block < high % blocks)
            p = 0
            for tile in range(tiles):
                broad = wide // tiles + (tile < wide % tiles)
                product_tile(
                    tall, broad, left, (f * high + o) * batch, 0, right, (f * wide + p) * batch, 0, batch, 1, batch,
                    sums, (o * wide + p) * LANES, wide * LANES,
                )  # fmt: skip
                p += broad
            o += tall
        for r in range(rows):
            for e in range(columns * LANES):
                top, low = r * wide * LANES + e, (rows + r) * wide * LANES + e
                to = (high * wide + r * columns) * LANES + e
                sums[to] = sums[top] + sums[low + columns * LANES]
                sums[to + n * LANES] = sums[top + columns * LANES] - sums[low]
        sum_lanes(sums[(high * wide + n) * LANES :], out, (f * 2 + 1) * lanes, n)
        sum_lanes(sums[high * wide * LANES :], out, f * 2 * lanes, n)
