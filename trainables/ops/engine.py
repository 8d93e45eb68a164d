"""The engine of a processor core: consecutive layers through compiled kernels, as one function of autograd.

`Layers` computes what stock layers compute, to rounding, and their gradients; objectives and optimizers know nothing
of it. A whole half of an auto-encoder is the most that it is given. Inside, maps lie in memory as
``[place][map][image]``, images padded to whole vectors, so that all arithmetic runs over images.
"""

from __future__ import annotations

import itertools
import math
import threading
import weakref
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.ops.operations import (
    ACTIVATIONS,
    AVERAGED,
    CHOSEN,
    DIRECT,
    LARGEST,
    NONE,
    SUMMED,
    Operation,
    Taps,
    list_taps,
)

Floats = NDArray[np.float32]
Phases = NDArray[np.uint8]

_BOUNDARY = 64
"""Bytes of the widest vectors."""

FOURIER_KERNEL, IMAGE_SIDE = 9, 28
"""Side of the kernels from which deconvolutions are transformed, and side of the images that they end at."""

_DERIVATIVE = 9
"""Where in ``sizes`` of `gather.gather` the activation stands."""

_FACTORS = {"max": 0.0, "switches": 0.0, "tile": 1.0, "average": 0.25}
"""What `pointwise.spread` is told; 0 is for values that go to the one cell of their phase."""


@lru_cache
def load_kernels() -> Kernels:
    """Return the compiled kernels, compiled or loaded the first time that a process asks for them."""
    from trainables.ops import compilation, fourier, gather, pointwise

    report = compilation.compile_kernels()
    return Kernels(compilation.INSTRUCTION_SET, compilation.LANES, report, gather, pointwise, fourier)


def has_kernels() -> bool:
    """Whether this processor has vectors that there are kernels for."""
    return load_kernels().instruction_set != "plain"


def find_norm(tensors: Sequence[Tensor]) -> float:
    """Return the Euclidean norm of all values of float32 tensors on the processor."""
    return math.sqrt(sum(load_kernels().pointwise.sum_squares(_read(tensor)) for tensor in tensors))


class Kernels(NamedTuple):
    """The modules of kernels, for vectors of ``lanes`` float32, and in words how they were had."""

    instruction_set: str
    lanes: int
    report: str
    gather: Any
    pointwise: Any
    fourier: Any


def _make_aligned(size: int, dtype: type = np.float32) -> NDArray[Any]:
    memory = np.zeros(size * np.dtype(dtype).itemsize + _BOUNDARY, np.uint8)
    first = -memory.ctypes.data % _BOUNDARY
    return memory[first : first + size * np.dtype(dtype).itemsize].view(dtype)


class _Gather:
    """A layer by taps: every value of its result, or of its input's gradient, gathers what it is made of."""

    def __init__(self, op: Operation, before: Operation | None, chain: Chain) -> None:
        self.op, self.chain, self.kernels, self.batch = op, chain, chain.kernels, chain.batch
        area, lanes = op.kernel**2, self.kernels.lanes
        maps = op.in_maps if op.kind == "conv" else op.out_maps
        self.sum_count = int(self.kernels.gather.PRODUCT_ROWS * maps * area + lanes) * lanes
        across, along = (op.in_maps * area, area) if op.kind == "conv" else (area, op.out_maps * area)
        pooled = op.pooling == "max"
        taps = list_taps(op.kind, op.out_side, op.in_side, op.kernel, op.stride, pooled)
        sizes = self._list_sizes(
            (op.result_side if pooled else op.out_side) ** 2,
            (op.out_maps, op.in_maps),
            (across, along),
            LARGEST if pooled else DIRECT,
            ACTIVATIONS[op.activation],
        )
        self.taps, self.sizes = self._join_rows(op.kind, taps, sizes)
        derivative = NONE if before is None else _find_derivative(before)
        combine = {"none": DIRECT, "tile": SUMMED, "average": AVERAGED, "switches": CHOSEN}[op.unpooling]
        opposite = "deconv" if op.kind == "conv" else "conv"
        taps = list_taps(opposite, op.in_side, op.out_side, op.kernel, op.stride, combine != DIRECT)
        sizes = self._list_sizes(op.given_side**2, (op.in_maps, op.out_maps), (along, across), combine, derivative, 1)
        self.back_taps, self.back_sizes = self._join_rows(opposite, taps, sizes)

    def _list_sizes(
        self, places: int, maps: tuple[int, int], strides: tuple[int, int], combine: int, activation: int, back: int = 0
    ) -> tuple[int, ...]:
        """Return ``sizes`` of `gather.gather`: maps of the result and of what is summed, strides of their weights."""
        n = maps[0] * self.batch
        return (places, maps[0], n, maps[1], maps[1] * self.batch, self.batch, *strides, combine, activation, back)

    def _join_rows(self, kind: str, taps: Taps, sizes: tuple[int, ...]) -> tuple[Taps, tuple[int, ...]]:
        """Let a tap of a single map be a whole row of the kernel, whose products are summed in one loop."""
        if kind == "deconv" or sizes[3] > 1:
            return taps, sizes
        (start, q, t), kernel = taps, self.op.kernel
        joined = (start // kernel, q[::kernel].copy(), t[::kernel].copy())
        return joined, (*sizes[:3], kernel, *sizes[4:7], 1, *sizes[8:])

    def forward(self, maps: Floats, weight: Floats, bias: Floats, out: Floats, phases: Phases, kept: Floats) -> None:
        """Write the activated and pooled result of ``maps`` to ``out``, and phases where maxima are taken.

        ``kept`` holds what the way back needs again.
        """
        none = self.chain.nothing
        self.kernels.gather.gather(
            maps, weight, bias, *self.taps, out, self.chain.cells, phases, none, none, self.sizes
        )

    def find_input_gradient(
        self, gradient: Floats, weight: Floats, given: Floats, out: Floats, sums: Floats, phases: Phases, kept: Floats
    ) -> None:
        """Write the gradient before the activation whose values are ``given``, and add it up in ``sums``."""
        self.kernels.gather.gather(
            gradient, weight, self.chain.zeros, *self.back_taps, out, self.chain.cells, phases, given, sums,
            self.back_sizes,
        )  # fmt: skip

    def find_weight_gradient(self, gradient: Floats, maps: Floats, phases: Phases, out: Floats, kept: Floats) -> None:
        """Write the gradient of the weights, of maxima or switched values that ``phases`` spread."""
        op = self.op
        sides = (op.out_maps, op.out_side, op.in_maps, op.in_side), (op.in_maps, op.in_side, op.out_maps, op.out_side)
        sizes = (*sides[op.kind == "deconv"], op.kernel, op.stride, self.batch)
        left, right = (gradient, maps) if op.kind == "conv" else (maps, gradient)
        sums, cells = self.chain.scratch[: self.sum_count], self.chain.scratch[self.sum_count :]
        self.kernels.gather.correlate(left, phases, right, out, sums, cells, sizes)

    def count_kept(self) -> int:
        """Return how many floats are kept from the way forward to the way back."""
        return 0

    def count_scratch(self) -> int:
        """Return how many floats its weight gradient needs."""
        side = self.op.out_side if self.op.kind == "conv" else self.op.in_side
        return self.sum_count + 2 * side * int(self.kernels.gather.PRODUCT_ROWS) * self.batch


class _Product(_Gather):
    """A layer between maps as large as its kernel and single values: PyTorch's matrix products.

    A row of its weight is a single value's, by maps, then places; maps lie by places first, and are put in that order.
    """

    def __init__(self, op: Operation, before: Operation | None, chain: Chain) -> None:
        super().__init__(op, before, chain)
        self.derivative = self.back_sizes[_DERIVATIVE]
        self.singles, self.maps = (op.out_maps, op.in_maps) if op.kind == "conv" else (op.in_maps, op.out_maps)
        self.area = op.kernel**2
        self.ordered = _make_aligned(self.maps * self.area * self.batch)

    def forward(self, maps: Floats, weight: Floats, bias: Floats, out: Floats, phases: Phases, kept: Floats) -> None:
        """Write the activated result of ``maps``; of maps as large as the kernel those in order are kept."""
        matrix = torch.from_numpy(weight).view(self.singles, -1)
        if self.op.kind == "conv":
            _copy_swapped(maps, kept, self.area, self.maps)
            torch.addmm(torch.from_numpy(bias)[:, None], matrix, self._view(kept), out=self._view(out))
        else:
            biases = torch.from_numpy(np.repeat(bias, self.area))[:, None]
            torch.addmm(biases, matrix.T, self._view(maps), out=self._view(self.ordered))
            _copy_swapped(self.ordered, out, self.maps, self.area)
        self.kernels.pointwise.activate_all(out, ACTIVATIONS[self.op.activation])

    def find_weight_gradient(self, gradient: Floats, maps: Floats, phases: Phases, out: Floats, kept: Floats) -> None:
        """Write the gradient of the weights; ``gradient`` in order stays for the input's."""
        left, right = gradient, kept
        if self.op.kind == "deconv":
            _copy_swapped(gradient, self.ordered, self.area, self.maps)
            left, right = maps, self.ordered
        images = slice(self.chain.images)
        matrix = torch.from_numpy(out).view(self.singles, -1)
        torch.mm(self._view(left)[:, images], self._view(right)[:, images].T, out=matrix)

    def find_input_gradient(
        self, gradient: Floats, weight: Floats, given: Floats, out: Floats, sums: Floats, phases: Phases, kept: Floats
    ) -> None:
        """Write the gradient before the activation whose values are ``given``, and add it up in ``sums``."""
        matrix = torch.from_numpy(weight).view(self.singles, -1)
        if self.op.kind == "conv":
            torch.mm(matrix.T, self._view(gradient), out=self._view(self.ordered))
            _copy_swapped(self.ordered, out, self.maps, self.area)
        else:
            torch.mm(matrix, self._view(self.ordered), out=self._view(out))
        n = self.op.in_maps * self.batch
        self.kernels.pointwise.multiply_derivatives(out, given, sums, n, self.derivative)

    def _view(self, rows: Floats) -> Tensor:
        """Return rows of images, with what they are padded with: whole vectors."""
        return torch.from_numpy(rows).view(-1, self.batch)

    def count_kept(self) -> int:
        """Return the size of the maps in order."""
        return int(self.ordered.size) if self.op.kind == "conv" else 0

    def count_scratch(self) -> int:
        """Return that it needs none."""
        return 0


class _Fourier(_Gather):
    """A deconvolution with a large kernel, whose result is as large as the images: products of spectrums."""

    def __init__(self, op: Operation, before: Operation | None, chain: Chain) -> None:
        super().__init__(op, before, chain)
        fourier, given, results = self.kernels.fourier, op.in_maps, op.out_maps
        self.derivative = self.back_sizes[_DERIVATIVE]
        self.lanes = chain.pad(given * results)
        places = np.arange(fourier.FREQUENCIES + 1, dtype=np.int32)
        self.taps = self.back_taps = places, places[:-1].copy(), places[:-1] * np.int32(4 * given * results)
        shape = fourier.FREQUENCIES, (2 * results, 2 * given), (1, 2 * results)
        self.sizes = self._list_sizes(*shape, DIRECT, NONE)
        self.back_sizes = self._list_sizes(shape[0], (2 * given, 2 * results), (2 * results, 1), DIRECT, NONE)
        self.outer = _make_aligned(fourier.FREQUENCIES * 2 * results * self.batch)
        self.inner = _make_aligned(fourier.FREQUENCIES * 2 * given * self.batch)
        self.weights = _make_aligned(fourier.FREQUENCIES * 2 * self.lanes)
        self.packed = _make_aligned(op.kernel**2 * self.lanes)

    def forward(self, maps: Floats, weight: Floats, bias: Floats, out: Floats, phases: Phases, kept: Floats) -> None:
        """Write the activated result of ``maps``; its spectrum and that of the weights, as matrices, are kept."""
        op, fourier, pairs = self.op, self.kernels.fourier, self.op.in_maps * self.op.out_maps
        spectrum, matrices = kept[: self.inner.size], kept[self.inner.size :]
        fourier.to_spectrum(maps, spectrum, self.chain.scratch, op.in_side, op.in_maps * self.batch)
        self.packed.reshape(-1, self.lanes)[:, :pairs] = weight.reshape(pairs, -1).T
        fourier.to_spectrum(self.packed, self.weights, self.chain.scratch, op.kernel, self.lanes)
        fourier.expand_weight(self.weights, matrices, op.in_maps, op.out_maps, self.lanes)
        self._multiply(spectrum, matrices, self.outer, self.sizes)
        # The first frequency is the sum of all values.
        self.outer[: op.out_maps * self.batch].reshape(op.out_maps, -1)[:] += bias[:, None] * np.float32(op.out_side**2)
        fourier.from_spectrum(self.outer, out, self.chain.scratch, op.out_side, op.out_maps * self.batch)
        self.kernels.pointwise.activate_all(out, ACTIVATIONS[op.activation])

    def find_weight_gradient(self, gradient: Floats, maps: Floats, phases: Phases, out: Floats, kept: Floats) -> None:
        """Write the gradient of the weights; the spectrum of ``gradient`` stays for the input's."""
        op, fourier, pairs = self.op, self.kernels.fourier, self.op.in_maps * self.op.out_maps
        fourier.to_spectrum(gradient, self.outer, self.chain.scratch, op.out_side, op.out_maps * self.batch)
        sizes = op.in_maps, op.out_maps, self.lanes, self.batch
        fourier.correlate_spectrum(kept, self.outer, self.weights, self.chain.scratch, *sizes)
        fourier.from_spectrum(self.weights, self.packed, self.chain.scratch, op.kernel, self.lanes)
        out.reshape(pairs, -1)[:] = self.packed.reshape(-1, self.lanes)[:, :pairs].T

    def find_input_gradient(
        self, gradient: Floats, weight: Floats, given: Floats, out: Floats, sums: Floats, phases: Phases, kept: Floats
    ) -> None:
        """Write the gradient before the activation whose values are ``given``, and add it up in ``sums``."""
        op, n = self.op, self.op.in_maps * self.batch
        self._multiply(self.outer, kept[self.inner.size :], self.inner, self.back_sizes)
        self.kernels.fourier.from_spectrum(self.inner, out, self.chain.scratch, op.in_side, n)
        self.kernels.pointwise.multiply_derivatives(out, given, sums, n, self.derivative)

    def _multiply(self, maps: Floats, matrices: Floats, out: Floats, sizes: tuple[int, ...]) -> None:
        none, chain = self.chain.nothing, self.chain
        self.kernels.gather.gather(
            maps, matrices, chain.zeros, *self.taps, out, none, chain.no_phases, none, none, sizes
        )

    def count_kept(self) -> int:
        """Return the size of the input's spectrum and of a real matrix for each frequency."""
        return int(self.inner.size) + int(self.kernels.fourier.FREQUENCIES) * 4 * self.op.in_maps * self.op.out_maps

    def count_scratch(self) -> int:
        """Return how many floats a transform or the product of spectrums needs."""
        fourier, lanes = self.kernels.fourier, self.kernels.lanes
        products = 6 * self.op.in_maps * self.op.out_maps + 2 * lanes
        return int(max(2 * fourier.HALF * fourier.SIDE, products) * lanes)


def choose_form(op: Operation) -> type[_Gather]:
    """Return the kernels that a layer takes: the one table of it.

    ========== ========================================= =============================== =================
    form       layers                                    values, gradients of inputs     of weights
    ========== ========================================= =============================== =================
    product    fully connected, deconvolution of 1x1     PyTorch's product               PyTorch's product
    fourier    deconvolution, large kernel, to 28x28     transform, gather, transform    correlate
    gather     every other                               gather                          correlate
    ========== ========================================= =============================== =================
    """
    if op.is_product:
        return _Product
    large = op.kind == "deconv" and op.stride == 1 and op.unpooling == "none" and op.kernel >= FOURIER_KERNEL
    return _Fourier if large and op.out_side == IMAGE_SIDE and op.in_side > 1 else _Gather


class _Workspace:
    """Memory of one forward pass and its backward pass, an array for each layer."""

    def __init__(self, operations: tuple[Operation, ...], batch: int, layers: Sequence[_Gather]) -> None:
        self.kept = [_make_aligned(layer.count_kept()) for layer in layers]
        first = operations[0]
        self.parameters: list[Floats] = []
        self.input = _make_aligned(first.given_side**2 * first.in_maps * batch)
        self.input_gradient = _make_aligned(self.input.size)
        results = [op.result_side**2 * op.out_maps * batch for op in operations]
        before_pooling = [op.out_side**2 * op.out_maps * batch for op in operations]
        unpooled = [op.in_side**2 * op.in_maps * batch for op in operations]
        pooling, unpooling = [op.pooling for op in operations], [op.unpooling for op in operations]
        self.outputs = [_make_aligned(size) for size in results]
        self.gradients = [_make_aligned(size) for size in results]
        self.sums = [_make_aligned(max(op.out_maps, op.in_maps) * batch) for op in operations]
        self.unpooled = [_make_aligned(size * (kind != "none")) for size, kind in zip(unpooled, unpooling, strict=True)]
        self.averaged = [
            _make_aligned(size * (kind == "average")) for size, kind in zip(before_pooling, pooling, strict=True)
        ]
        self.spread = [
            _make_aligned(size * (kind != "none")) for size, kind in zip(before_pooling, pooling, strict=True)
        ]
        self.phases: list[Phases] = [
            _make_aligned(size * (kind == "max"), np.uint8) for size, kind in zip(results, pooling, strict=True)
        ]


class _Lease:
    """Holds a workspace, and gives it back when nobody can read it any more."""

    def __init__(self, free: list[_Workspace], work: _Workspace) -> None:
        self.free, self.work = free, work

    def __del__(self) -> None:
        self.free.append(self.work)


class Chain:
    """Operations one after the other, for one number of images: consecutive layers of a half of an auto-encoder."""

    def __init__(self, operations: tuple[Operation, ...], images: int) -> None:
        self.kernels = load_kernels()
        self.operations, self.images, self.batch = operations, images, self.pad(images)
        widest = max(max(op.out_maps, op.in_maps) for op in operations)
        # A product of complex numbers has twice the maps.
        self.cells, self.zeros = _make_aligned(4 * widest * self.batch), _make_aligned(2 * widest)
        self.nothing, self.no_phases = _make_aligned(0), _make_aligned(0, np.uint8)
        # Layers that owned the chain would keep its memory, and that of its parameters, until Python looks for cycles.
        owner = weakref.proxy(self)
        self.layers = [
            choose_form(op)(op, before, owner) for op, before in zip(operations, (None, *operations[:-1]), strict=True)
        ]
        for before, op in itertools.pairwise(operations):
            made, given = (before.out_maps, before.result_side), (op.in_maps, op.given_side)
            if made != given:
                raise ValueError(f"maps and side {made}, where the layer behind takes {given}")
        self.scratch = _make_aligned(max(layer.count_scratch() for layer in self.layers))
        self.free: list[_Workspace] = []
        self._arrays: dict[int, tuple[int, Floats]] = {}
        # Where the gradients of weights and biases lie, each on a boundary: offset, size, shape, strides.
        self._places: list[tuple[int, int, tuple[int, ...], tuple[int, ...]]] = []
        self._gradient_size = 0

    def _read_parameters(self, parameters: Sequence[Tensor]) -> list[Floats]:
        """Return the parameters as flat arrays; those that lie where they lay are not read again."""
        if not self._places:
            for parameter in parameters:
                strides = torch.empty(parameter.shape, device="meta").stride()
                self._places.append((self._gradient_size, parameter.numel(), tuple(parameter.shape), strides))
                self._gradient_size += self.pad(parameter.numel())
        for i, parameter in enumerate(parameters):
            place = parameter.data_ptr() if parameter.is_contiguous() else -1
            if place == -1 or self._arrays.get(i, (0,))[0] != place:
                self._arrays[i] = place, _read(parameter)
        return [self._arrays[i][1] for i in range(len(parameters))]

    def pad(self, size: int) -> int:
        """Return ``size``, rounded up to whole vectors."""
        return -(-size // self.kernels.lanes) * self.kernels.lanes

    def borrow(self) -> _Lease:
        """Return memory that nobody else uses."""
        return _Lease(self.free, self.free.pop() if self.free else _Workspace(self.operations, self.batch, self.layers))

    def view(self, memory: Tensor, maps: int, side: int) -> Tensor:
        """Return ``(images, maps, side, side)`` that lie in memory as ``[place][map][image]``."""
        return memory.view(side, side, maps, self.batch)[..., : self.images].permute(3, 2, 0, 1)

    def view_array(self, array: NDArray[Any], maps: int, side: int) -> Tensor:
        """Return the same of an array."""
        return self.view(torch.from_numpy(array), maps, side)

    def read_phases(self, switches: Tensor, maps: int, side: int) -> Phases:
        """Return phases as they lie in memory, ``[place][map][image]``; those of `Layers` without copying them."""
        memory = torch.zeros(side * side * maps * self.batch, dtype=torch.uint8)
        view = self.view(memory, maps, side)
        _check_shape("switches", switches, view)
        whole = switches.untyped_storage().nbytes() == memory.numel()
        if switches.dtype == torch.uint8 and whole and switches.stride() == view.stride():
            return switches.as_strided(memory.shape, (1,), 0).numpy()
        view.copy_(switches)
        return memory.numpy()

    def forward(
        self, given: Tensor, parameters: Sequence[Tensor], phases: Sequence[Phases], work: _Workspace
    ) -> Tensor:
        """Return the result of ``given``, ``(images, maps, side, side)`` both, in memory of its own."""
        first, last = self.operations[0], self.operations[-1]
        view = self.view_array(work.input, first.in_maps, first.given_side)
        _check_shape("an input", given, view)
        view.copy_(given)
        result = torch.empty(last.result_side**2 * last.out_maps * self.batch)
        work.parameters = self._read_parameters(parameters)
        outputs = [*work.outputs[:-1], result.numpy()]
        maps = work.input
        for i, (op, layer) in enumerate(zip(self.operations, self.layers, strict=True)):
            weight, bias = work.parameters[2 * i : 2 * i + 2]
            if op.unpooling != "none":
                self._spread(maps, phases[i], work.unpooled[i], op.given_side, op.in_side, op.in_maps, op.unpooling)
                maps = work.unpooled[i]
            if op.pooling == "average":
                layer.forward(maps, weight, bias, work.averaged[i], self.no_phases, work.kept[i])
                self.kernels.pointwise.average(
                    work.averaged[i], self.no_phases, self.cells, outputs[i], op.result_side, op.out_side,
                    op.out_maps * self.batch,
                )  # fmt: skip
            else:
                layer.forward(maps, weight, bias, outputs[i], phases[i], work.kept[i])
            maps = outputs[i]
        return self.view(result, last.out_maps, last.result_side)

    def backward(
        self, given: Tensor, result: Tensor, phases: Sequence[Phases], work: _Workspace, to_input: bool
    ) -> list[Tensor]:
        """Return the gradients of the parameters from ``given``, that of ``result``; the input's stays in ``work``."""
        pointwise, last = self.kernels.pointwise, self.operations[-1]
        # Behind the last image lie zeros, which nothing else writes: not the NaN that a diverged training left there.
        work.gradients[-1].reshape(-1, self.batch)[:, self.images :] = 0
        self.view_array(work.gradients[-1], last.out_maps, last.result_side).copy_(given)
        for sums in work.sums:
            sums.fill(0)
        values = result.as_strided((work.gradients[-1].size,), (1,), 0).numpy()
        n, derivative = last.out_maps * self.batch, _find_derivative(last)
        pointwise.multiply_derivatives(work.gradients[-1], values, work.sums[-1], n, derivative)
        memory = torch.empty(self._gradient_size)
        array = memory.numpy()
        for i in reversed(range(len(self.operations))):
            op, layer = self.operations[i], self.layers[i]
            gradient = work.gradients[i]
            before = work.outputs[i - 1] if i else work.input
            maps = before if op.unpooling == "none" else work.unpooled[i]
            spread = self.no_phases
            if op.unpooling == "switches":
                maps, spread = before, phases[i]
            elif op.pooling == "max" and not i and not to_input:
                spread = phases[i]
            elif op.pooling != "none":
                kind, side = op.pooling, op.result_side
                if op.out_side % 2:
                    work.spread[i].fill(0)  # the last row and column, which no window has
                self._spread(gradient, phases[i], work.spread[i], side, op.out_side, op.out_maps, kind)
                gradient = work.spread[i]
            if op.pooling == "average":
                work.sums[i].fill(0)
                n, activation = op.out_maps * self.batch, ACTIVATIONS[op.activation]
                pointwise.multiply_derivatives(gradient, work.averaged[i], work.sums[i], n, activation)
            of_weight, of_bias = (array[at : at + size] for at, size, *_ in self._places[2 * i : 2 * i + 2])
            layer.find_weight_gradient(gradient, maps, spread, of_weight, work.kept[i])
            pointwise.sum_images(work.sums[i], of_bias, self.batch)
            if i or to_input:
                out, sums = (work.gradients[i - 1] if i else work.input_gradient), work.sums[max(i - 1, 0)]
                chosen = phases[i] if op.unpooling == "switches" else self.no_phases
                weight = work.parameters[2 * i]
                layer.find_input_gradient(gradient, weight, before, out, sums, chosen, work.kept[i])
        return [memory.as_strided(shape, strides, at) for at, _, shape, strides in self._places]

    def _spread(
        self, values: Floats, phases: Phases, out: Floats, side: int, out_side: int, maps: int, kind: str
    ) -> None:
        factor = np.float32(_FACTORS[kind])
        self.kernels.pointwise.spread(values, phases, out, side, out_side, maps * self.batch, factor)


def _find_derivative(op: Operation) -> int:
    """Return the activation by whose derivative the gradient of an operation's result is multiplied first.

    It is NONE where the operation averages: that gradient is spread first, and multiplied then.
    """
    return NONE if op.pooling == "average" else ACTIVATIONS[op.activation]


def _copy_swapped(values: Floats, out: Floats, first: int, second: int) -> None:
    """Write ``[first][second][image]`` as ``[second][first][image]``."""
    np.copyto(out.reshape(second, first, -1), values.reshape(first, second, -1).swapaxes(0, 1))


def _check_shape(what: str, given: Tensor, view: Tensor) -> None:
    """Refuse what would be read beyond its end, or broadcast in silence."""
    if given.shape != view.shape:
        raise ValueError(f"{what} of shape {tuple(given.shape)}, where {tuple(view.shape)} is accepted")


def _read(tensor: Tensor) -> Floats:
    """Return a tensor's values as one flat array, which shares its memory where that is possible."""
    return tensor.detach().reshape(-1).numpy()


@lru_cache(maxsize=16)
def find_chain(operations: tuple[Operation, ...], images: int, thread: int) -> Chain:
    """Return the chain of operations for a number of images and a thread; those used last are kept.

    A chain has buffers that are its own during a pass, and other threads run while its kernels compute.
    """
    return Chain(operations, images)


class Layers(torch.autograd.Function):
    """What operations make of maps and, if the maxima are ``switched``, their phases, from the first pooling on."""

    @staticmethod
    def forward(
        ctx: Any,
        operations: tuple[Operation, ...],
        switched: bool,
        switches: tuple[Tensor, ...],
        maps: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return maps and phases, ``(batch, maps, side, side)`` float32 and uint8, of maps of that shape.

        ``switches`` are phases for every operation that unpools with them, ``parameters`` weight and bias of each.
        """
        ctx.chain = chain = find_chain(operations, len(maps), threading.get_ident())
        ctx.lease = lease = chain.borrow()
        memory = [torch.from_numpy(phases) for phases in lease.work.phases]
        if switched:  # They outlive the workspace.
            memory = [torch.empty_like(phases) for phases in memory]
        ctx.phases = [phases.numpy() for phases in memory]
        given = iter(switches)
        for i, op in enumerate(operations):
            if op.unpooling == "switches":
                ctx.phases[i] = chain.read_phases(next(given), op.in_maps, op.given_side)
        result = chain.forward(maps, parameters, ctx.phases, lease.work)
        found = [
            chain.view(phases, op.out_maps, op.result_side)
            for op, phases in zip(operations, memory, strict=True)
            if switched and op.pooling == "max"
        ]
        ctx.save_for_backward(result, *parameters)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*found)
        return result, *found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the maps, where it is needed, and of the parameters.

        Raises:
            RuntimeError: they are to be differentiated again, as by ``create_graph=True``, which kernels cannot.
        """
        if torch.is_grad_enabled():  # PyTorch itself refuses only what depends on the gradients given here.
            raise RuntimeError("kernels cannot be differentiated twice: an objective that needs it says plain=True")
        result, *parameters = ctx.saved_tensors  # raises where one has changed since the way forward
        given, chain, work, to_input = gradients[0], ctx.chain, ctx.lease.work, ctx.needs_input_grad[3]
        if given is None:
            return None, None, None, None, *(None for _ in parameters)
        found = chain.backward(given, result, ctx.phases, work, to_input)
        first = chain.operations[0]
        of_input = chain.view_array(work.input_gradient, first.in_maps, first.given_side).clone() if to_input else None
        return None, None, None, of_input, *found


class Losses(torch.autograd.Function):
    """Cross-entropy and squared error of reconstructions, summed over pixels and averaged over images."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return both losses, scalars, of logits and images of one shape, ``(batch, maps, side, side)``."""
        _check_shape("images", images, logits)
        given, wanted = (tensor.detach().permute(1, 2, 3, 0).contiguous() for tensor in (logits, images))
        ctx.slopes = torch.empty(2, *given.shape)
        losses = torch.zeros(2, dtype=torch.float64)
        measure_losses = load_kernels().pointwise.measure_losses
        measure_losses(_read(given), _read(wanted), _read(ctx.slopes[0]), _read(ctx.slopes[1]), losses.numpy())
        ctx.save_for_backward(logits, images)
        ctx.set_materialize_grads(False)
        cross_entropy, squared_error = (losses / len(images)).float()
        return cross_entropy, squared_error

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, None]:
        """Return the gradient of the logits, which can be differentiated again."""
        if torch.is_grad_enabled():
            logits, wanted = ctx.saved_tensors
            shown = logits.sigmoid()
            slopes = (shown - wanted, 2 * (shown - wanted) * shown * (1 - shown))
            scaled = (
                (slope, part / len(wanted)) for slope, part in zip(slopes, gradients, strict=True) if part is not None
            )
            first, *rest = (slope * share for slope, share in scaled)
            return sum(rest, first), None
        images = ctx.slopes.shape[-1]
        parts = [slope * (part / images) for slope, part in zip(ctx.slopes, gradients, strict=True) if part is not None]
        return (parts[0] if len(parts) == 1 else parts[0] + parts[1]).permute(3, 0, 1, 2), None
