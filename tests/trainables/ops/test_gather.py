"""The two kernels of layers with weights, alone, with numbers of maps and images that fill no tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.ops.engine import Chain, load_kernels
from trainables.ops.operations import Operation

pytestmark = pytest.mark.skipif(load_kernels().instruction_set == "plain", reason="a machine without the engine")


def draw(*shape: int) -> Tensor:
    """Return Gaussian values that depend on the shape alone."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("maps", [*range(1, 8), 11, 13, 26])
@pytest.mark.parametrize("images", [1, 16, 17, 40, 70, 113, 150])
def test_every_size_of_tile_gathers_what_conv2d_does(maps: int, images: int) -> None:
    """Out maps and images in all the ways in which they are cut into tiles."""
    operation = Operation("conv", 2, 5, maps, 3, 3, 1, "none")
    given, weight, bias = draw(images, 2, 5, 5), draw(maps, 2, 3, 3), draw(maps)
    chain = Chain((operation,), images)
    found = chain.forward(given, [weight, bias], [chain.no_phases], chain.borrow().work)
    torch.testing.assert_close(found, torch.nn.functional.conv2d(given, weight, bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_single_map_gathers_by_rows_of_the_kernel(stride: int) -> None:
    """Which lie side by side whatever the stride is."""
    given, weight, bias = draw(5, 1, 9, 9), draw(7, 1, 3, 3), draw(7)
    chain = Chain((Operation("conv", 1, 9, 7, 6 // stride + 1, 3, stride, "none"),), 5)
    found = chain.forward(given, [weight, bias], [chain.no_phases], chain.borrow().work)
    torch.testing.assert_close(found, torch.nn.functional.conv2d(given, weight, bias, stride), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("maps", [1, 2, 3, 4, 5, 6, 9, 11])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 6, 7, 9])
def test_every_size_of_tile_correlates_what_autograd_does(maps: int, kernel: int) -> None:
    """Out maps and sides of kernels in all the ways in which they are cut into tiles."""
    given, weight, bias = draw(5, 3, 10, 10), draw(maps, 3, kernel, kernel).requires_grad_(), draw(maps)
    result = torch.nn.functional.conv2d(given, weight, bias)
    direction = draw(*result.shape)
    (expected,) = torch.autograd.grad(result, weight, direction)
    operation = Operation("conv", 3, 10, maps, 11 - kernel, kernel, 1, "none")
    chain = Chain((operation,), 5)
    work = chain.borrow().work
    parameters, phases = [weight.detach(), bias], [chain.no_phases]
    made = chain.forward(given, parameters, phases, work)
    found = chain.backward(direction, made, phases, work, to_input=False)
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], direction.sum((0, 2, 3)), rtol=1e-4, atol=1e-4)


def test_padded_images_add_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies behind the last image in memory stays out of every gradient."""
    operation = Operation("conv", 1, 4, 2, 2, 3, 1, "sigmoid")
    given, weight, bias = draw(3, 1, 4, 4), draw(2, 1, 3, 3), draw(2)
    found = []
    for images in (3, 3 + 2 * load_kernels().lanes):
        chain = Chain((operation,), images)
        work = chain.borrow().work
        padded = torch.cat([given, torch.zeros(images - 3, 1, 4, 4)])
        result = chain.forward(padded, [weight, bias], [chain.no_phases], work)
        direction = torch.zeros_like(result)
        direction[:3] = 1
        found.append(chain.backward(direction, result, [chain.no_phases], work, to_input=False))
    for few, many in zip(*found, strict=True):
        torch.testing.assert_close(few, many)


def test_activations_are_pytorchs_to_a_few_roundings() -> None:
    """Far out too, where the exponential leaves what float32 holds."""
    values = np.concatenate([np.linspace(-120, 120, 4801), [0.0, -0.0, np.inf, -np.inf]]).astype(np.float32)
    for activation, function in (("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("relu", torch.relu)):
        found = _activate(values, activation)
        np.testing.assert_allclose(found, function(torch.from_numpy(values)).numpy(), rtol=1e-6, atol=3e-7)
    assert np.isnan(_activate(np.full(3, np.nan, np.float32), "sigmoid")).all()


def _activate(values: NDArray[np.float32], activation: str) -> NDArray[np.float32]:
    """Send values through a layer that does nothing else."""
    chain = Chain((Operation("conv", 1, 1, 1, 1, 1, 1, activation),), len(values))
    given = torch.from_numpy(values).view(-1, 1, 1, 1)
    one = [torch.ones(1, 1, 1, 1), torch.zeros(1)]
    return chain.forward(given, one, [chain.no_phases], chain.borrow().work).flatten().numpy()
