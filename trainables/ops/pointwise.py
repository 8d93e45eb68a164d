"""What is done value by value: activations and their derivatives, pooling and unpooling of 2x2 windows."""

from __future__ import annotations

import numpy as np

from trainables.ops.compilation import BYTES, DOUBLES, FLOAT, FLOATS, INTEGER, inline, kernel
from trainables.ops.operations import AVERAGED, CHOSEN, RELU, SIGMOID, TANH

f32 = np.float32


@inline
def exp(x):
    """Return e^x to 1e-7, within what float32 holds; what is not a number stays so."""
    x = f32(-87) if x < f32(-87) else x
    x = f32(88) if x > f32(88) else x
    n = np.floor(x * f32(1.44269504088896341) + f32(0.5))
    r = x - n * f32(0.693359375) + n * f32(2.12194440e-4)
    p = f32(1.9875691500e-4) * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    p = p * r + f32(5.0000001201e-1)
    p = p * r * r + r + f32(1)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@inline
def activate(y, activation):
    """Apply an activation to a row of values."""
    if activation == SIGMOID:
        for e in range(len(y)):
            y[e] = f32(1) / (f32(1) + exp(-y[e]))
    elif activation == TANH:
        for e in range(len(y)):
            y[e] = f32(2) / (f32(1) + exp(f32(-2) * y[e])) - f32(1)
    elif activation == RELU:
        for e in range(len(y)):
            y[e] = f32(0) if y[e] < f32(0) else y[e]


@inline
def multiply_derivative(g, y, sums, activation):
    """Multiply a row of gradients by the derivative of the activation whose values are ``y``; add them to ``sums``."""
    if activation == SIGMOID:
        for e in range(len(g)):
            d = g[e] * y[e] * (f32(1) - y[e])
            g[e] = d
            sums[e] += d
    elif activation == TANH:
        for e in range(len(g)):
            d = g[e] * (f32(1) - y[e] * y[e])
            g[e] = d
            sums[e] += d
    elif activation == RELU:
        for e in range(len(g)):
            d = f32(0) if y[e] <= f32(0) else g[e]
            g[e] = d
            sums[e] += d
    else:
        for e in range(len(g)):
            sums[e] += g[e]


@kernel(FLOATS, INTEGER)
def activate_all(y, activation):
    """Apply an activation to all values."""
    activate(y, activation)


@kernel(FLOATS, FLOATS, FLOATS, INTEGER, INTEGER)
def multiply_derivatives(g, y, sums, n, activation):
    """Do that place by place, n values each."""
    for at in range(0, len(g), n):
        multiply_derivative(g[at : at + n], y[at : at + n], sums, activation)


@inline
def combine_cells(cells, phase, out, combine):
    """Write of each window's four values, the rows of ``cells``, the one of its phase, their sum or their average."""
    n = len(out)
    a, b, c, d = cells[:n], cells[n : 2 * n], cells[2 * n : 3 * n], cells[3 * n : 4 * n]
    if combine == CHOSEN:
        for e in range(n):
            top = a[e] if phase[e] == 0 else b[e]
            low = c[e] if phase[e] == 2 else d[e]
            out[e] = top if phase[e] < 2 else low
    else:
        factor = f32(0.25) if combine == AVERAGED else f32(1)
        for e in range(n):
            out[e] = (a[e] + b[e] + c[e] + d[e]) * factor


@inline
def scale_row(values, out, factor):
    """Write a row of values times ``factor``."""
    for e in range(len(out)):
        out[e] = values[e] * factor


@inline
def place_row(values, phase, out, cell):
    """Write those values of a row whose phase is ``cell``, and zeros for the others."""
    for e in range(len(out)):
        out[e] = values[e] if phase[e] == cell else f32(0)


@kernel(FLOATS, BYTES, FLOATS, INTEGER, INTEGER, INTEGER, FLOAT)
def spread(values, phase, out, side, out_side, n, factor):
    """Write each of side x side places' n values, times ``factor``, to all four cells of its window of ``out``.

    Factor 0 instead puts each value into the cell that ``phase`` names, zeros into the others.
    """
    for p in range(side * side):
        row, phases = values[p * n : p * n + n], phase[p * n : p * n + n]
        for cell in range(4):
            at = ((p // side * 2 + cell // 2) * out_side + p % side * 2 + cell % 2) * n
            if factor == f32(0):
                place_row(row, phases, out[at : at + n], np.uint8(cell))
            else:
                scale_row(row, out[at : at + n], factor)


@kernel(FLOATS, BYTES, FLOATS, FLOATS, INTEGER, INTEGER, INTEGER)
def average(values, phase, cells, out, side, values_side, n):
    """Write the average of each window of ``values``."""
    for p in range(side * side):
        for cell in range(4):
            at = ((p // side * 2 + cell // 2) * values_side + p % side * 2 + cell % 2) * n
            scale_row(values[at : at + n], cells[cell * n : cell * n + n], f32(1))
        combine_cells(cells, phase, out[p * n : p * n + n], AVERAGED)


@inline
def log1p(x):
    """Return log(1 + x) of x in [0, 1], by the series of the inverse hyperbolic tangent."""
    t = x / (x + f32(2))
    u = t * t
    p = f32(1 / 13) * u + f32(1 / 11)
    p = p * u + f32(1 / 9)
    p = p * u + f32(1 / 7)
    p = p * u + f32(1 / 5)
    p = p * u + f32(1 / 3)
    return f32(2) * t * (p * u + f32(1))


@kernel(FLOATS, FLOATS, FLOATS, FLOATS, DOUBLES)
def measure_losses(logits, images, first, second, losses):
    """Add up cross-entropy and squared error, and write how each changes with each of the logits."""
    for at in range(0, len(images), 1024):
        z, x, a, b = logits[at : at + 1024], images[at : at + 1024], first[at : at + 1024], second[at : at + 1024]
        cross_entropy = squared_error = f32(0)
        for e in range(len(z)):
            small = exp(-abs(z[e]))
            inverse = f32(1) / (f32(1) + small)
            s = small * inverse if z[e] < f32(0) else inverse
            d = s - x[e]
            cross_entropy += (f32(0) if z[e] < f32(0) else z[e]) - z[e] * x[e] + log1p(small)
            squared_error += d * d
            a[e] = d
            b[e] = f32(2) * d * s * (f32(1) - s)
        losses[0] += cross_entropy
        losses[1] += squared_error


@kernel(FLOATS)
def sum_squares(values):
    """Return the sum of squares."""
    total = 0.0
    for at in range(0, len(values), 1024):
        part = f32(0)
        row = values[at : at + 1024]
        for e in range(len(row)):
            part += row[e] * row[e]
        total += part
    return total


@kernel(FLOATS, FLOATS, INTEGER)
def sum_images(sums, out, batch):
    """Write the sums over images of ``[map][image]``: the gradient of biases."""
    for m in range(len(out)):
        total = f32(0)
        row = sums[m * batch : m * batch + batch]
        for e in range(batch):
            total += row[e]
        out[m] = total
