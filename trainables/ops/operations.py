"""What the engine computes: layers as operations on maps, and the places that each place of a result is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NONE, SIGMOID, TANH, RELU = range(4)
ACTIVATIONS = {"none": NONE, "sigmoid": SIGMOID, "tanh": TANH, "relu": RELU}

DIRECT, LARGEST, CHOSEN, SUMMED, AVERAGED = range(5)
"""What becomes of a place's values: they are stored, or those of a window's four cells are combined to one."""

Integers = NDArray[np.int32]
Taps = tuple[Integers, Integers, Integers]
"""``start``, ``q`` and ``t`` of `gather.gather`: entries ``start[p]`` to ``start[p + 1]`` are the taps of place p."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A layer with weights, the unpooling before it, and the activation and pooling after it; maps are square.

    A fully connected layer is a convolution as large as its maps. Unpooling to the corner and a deconvolution are one
    deconvolution of ``stride`` 2; ``unpooling`` is of the other kinds, which fill the cells of maps twice as large.
    """

    kind: Literal["conv", "deconv"]
    in_maps: int
    in_side: int
    out_maps: int
    out_side: int
    kernel: int
    stride: int
    activation: str
    pooling: Literal["none", "max", "average"] = "none"
    unpooling: Literal["none", "tile", "average", "switches"] = "none"

    @property
    def given_side(self) -> int:
        """Side of the maps that it is given, before its unpooling."""
        return self.in_side if self.unpooling == "none" else self.in_side // 2

    @property
    def result_side(self) -> int:
        """Side of the maps that it returns, after its pooling."""
        return self.out_side if self.pooling == "none" else self.out_side // 2

    @property
    def is_product(self) -> bool:
        """Whether each of its weights is used once per image: between maps as large as the kernel and single values."""
        small, large = (self.out_side, self.in_side) if self.kind == "conv" else (self.in_side, self.out_side)
        return small == 1 and large == self.kernel and self.pooling == "none"


_Pairs = list[list[tuple[int, int]]]
"""For every row of the result: rows of the given maps, each with a row of the kernel."""


@lru_cache(maxsize=64)
def list_taps(kind: str, side: int, given_side: int, kernel: int, stride: int, windows: bool) -> Taps:
    """Return the taps of every place of a result of ``side``, of maps of ``given_side``.

    Args:
        kind: ``conv``, where place y takes rows ``stride * y + k``, or ``deconv``, the other way round.
        side: of the result; with ``windows`` before four cells are combined.
        given_side: of the maps that are read.
        kernel: side of the kernel.
        stride: of the layer.
        windows: whether a place is one of 2x2 cells, whose taps follow each other.
    """
    pairs: _Pairs = [
        [
            (stride * y + k if kind == "conv" else (y - k) // stride, k)
            for k in range(kernel)
            if kind == "conv" or ((y - k) % stride == 0 and 0 <= (y - k) // stride < given_side)
        ]
        for y in range(side)
    ]
    rows = [np.array(pair, np.int32).reshape(-1, 2) for pair in pairs]
    size = 2 if windows else 1
    start, q, t = [0], [], []
    for place in range((side // size) ** 2):
        for cell in range(size**2):
            down = rows[size * (place // (side // size)) + cell // 2]
            right = rows[size * (place % (side // size)) + cell % 2]
            q.append((down[:, :1] * given_side + right[:, 0]).ravel())
            t.append((down[:, 1:] * kernel + right[:, 1]).ravel())
            start.append(start[-1] + q[-1].size)
    return np.array(start, np.int32), np.concatenate(q), np.concatenate(t)
