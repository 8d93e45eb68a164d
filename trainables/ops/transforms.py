"""A discrete Fourier transform of vectors as straight-line code, an intrinsic whose text is a recursion.

A value is None, known to be zero, or a vector of LLVM; a complex value is a pair of them.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from trainables.ops.compilation import LANES
from trainables.ops.tiles import FLOAT, LONG, VECTOR, ZERO, load, move, point_to, store

SIDE = 28
"""Values that are transformed: the side of the images."""

HALF = SIDE // 2 + 1
"""Of real values the first coefficients say all."""


class _Algebra:
    """Sums and products of vectors of which some are known to be zero."""

    def __init__(self, builder):
        self.builder, self.flags = builder, ("contract", "nsz")

    def add(self, a, b):
        return b if a is None else a if b is None else self.builder.fadd(a, b, flags=self.flags)

    def subtract(self, a, b):
        if b is None:
            return a
        return self.builder.fneg(b) if a is None else self.builder.fsub(a, b, flags=self.flags)

    def scale(self, factor, a):
        if a is None or abs(factor) < 1e-12:
            return None
        if abs(abs(factor) - 1) < 1e-12:
            return a if factor > 0 else self.builder.fneg(a)
        return self.builder.fmul(ir.Constant(VECTOR, [ir.Constant(FLOAT, factor)] * LANES), a, flags=self.flags)

    def plus(self, x, y):
        return self.add(x[0], y[0]), self.add(x[1], y[1])

    def minus(self, x, y):
        return self.subtract(x[0], y[0]), self.subtract(x[1], y[1])

    def turn(self, angle, x):
        c, s = math.cos(angle), math.sin(angle)
        return (
            self.subtract(self.scale(c, x[0]), self.scale(s, x[1])),
            self.add(self.scale(c, x[1]), self.scale(s, x[0])),
        )

    def transform(self, x, sign):
        """Return the sums over j of x[j] exp(sign 2 pi i j k / n), for every k."""
        n = len(x)
        if n == 1:
            return x
        p = next(p for p in (2, 3, 5, 7, n) if n % p == 0)
        if p == n:
            return self._transform_prime(x, sign)
        parts = [self.transform(x[r::p], sign) for r in range(p)]
        out = [None] * n
        for k in range(n // p):
            turned = [self.turn(sign * 2 * math.pi * r * k / n, part[k]) for r, part in enumerate(parts)]
            out[k :: n // p] = self.transform(turned, sign)
        return out

    def _transform_prime(self, x, sign):
        n = len(x)
        if n == 2:
            return [self.plus(*x), self.minus(*x)]
        pairs = [(self.plus(x[j], x[n - j]), self.minus(x[j], x[n - j])) for j in range(1, n // 2 + 1)]
        out = [x[0]] * n
        for total, _ in pairs:
            out[0] = self.plus(out[0], total)
        for k in range(1, n // 2 + 1):
            even, odd = x[0], (None, None)
            for j, (total, difference) in enumerate(pairs, start=1):
                c, s = math.cos(2 * math.pi * j * k / n), sign * math.sin(2 * math.pi * j * k / n)
                even = self.plus(even, (self.scale(c, total[0]), self.scale(c, total[1])))
                odd = self.plus(odd, (self.scale(-s, difference[1]), self.scale(s, difference[0])))
            out[k], out[n - k] = self.plus(even, odd), self.minus(even, odd)
        return out


@intrinsic(prefer_literal=True)
def transform(typing, form, source, at, stride, imaginary, given, target, to, target_stride, target_imaginary, kept):
    """Transform SIDE vectors, ``source[at + j * stride]``, of which those from ``given`` on are zeros.

    The first ``kept`` results are written to ``target[to + k * target_stride]``; imaginary parts lie ``imaginary``
    further. ``form`` is literally "real" (no imaginary parts are read, HALF results), "complex", "inverse" (with the
    other sign), or "hermitian" (HALF are read, of a spectrum of real values, which are written over SIDE^2).
    """
    form = form.literal_value if hasattr(form, "literal_value") else form
    name = types.literal(form)

    def build(context, builder, signature, arguments):
        (_, source_, at_, stride_, imaginary_, given_, target_, to_, target_stride_, target_imaginary_, kept_) = (
            arguments
        )
        algebra = _Algebra(builder)
        nothing = builder.alloca(VECTOR)
        builder.store(ZERO, nothing)
        nothing.align = 4 * LANES

        def point(base, step_, number, limit):
            inside = builder.icmp_signed("<", LONG(number), limit)
            spare = builder.bitcast(nothing, FLOAT.as_pointer())
            return builder.select(inside, move(builder, base, step_, number), spare)

        real = point_to(context, builder, source, source_, at_)
        parts = [real] if form == "real" else [real, builder.gep(real, [imaginary_])]
        read = HALF if form == "hermitian" else SIDE
        x = [tuple(load(builder, point(base, stride_, j, given_)) for base in parts) for j in range(read)]
        x = [(*value, None)[:2] for value in x]
        if form == "hermitian":
            x[0], x[-1] = (x[0][0], None), (x[-1][0], None)
            x += [(x[SIDE - j][0], algebra.scale(-1, x[SIDE - j][1])) for j in range(HALF, SIDE)]
        y = algebra.transform(x, 1 if form in ("inverse", "hermitian") else -1)
        first = point_to(context, builder, target, target_, to_)
        second = builder.gep(first, [target_imaginary_])
        for k in range(HALF if form == "real" else SIDE):
            if form == "hermitian":
                value = algebra.scale(1 / SIDE**2, y[k][0])
                store(builder, value, point(first, target_stride_, k, kept_))
            else:
                for value, base in zip(y[k], (first, second), strict=True):
                    store(builder, ZERO if value is None else value, point(base, target_stride_, k, kept_))
        return context.get_dummy_value()

    i = types.int64
    return types.void(name, source, i, i, i, i, target, i, i, i, i), build
