"""Deconvolutions by Fourier transform, alone, with sides and numbers of maps that the models do not have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainables.ops.engine import Chain, choose_form, load_kernels
from trainables.ops.operations import Operation

pytestmark = pytest.mark.skipif(load_kernels().instruction_set == "plain", reason="a machine without the engine")


@pytest.mark.parametrize(
    ("given", "results", "side", "images"), [(4, 4, 12, 100), (3, 5, 20, 7), (1, 2, 2, 33), (7, 3, 15, 1)]
)
def test_a_transformed_deconvolution_equals_conv_transpose2d(given: int, results: int, side: int, images: int) -> None:
    """Values and every gradient, before a layer that adds its maps up."""
    kernel = 29 - side
    operation = Operation("deconv", given, side, results, 28, kernel, 1, "tanh")
    assert choose_form(operation).__name__ == "_Fourier"
    generator = torch.Generator().manual_seed(side)
    shapes = (images, given, side, side), (given, results, kernel, kernel), (results,), (results, 1, 1, 1), (1,)
    leaves = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    maps, weight, bias, last_weight, last_bias = leaves
    expected = F.conv_transpose2d(F.conv_transpose2d(maps, weight, bias).tanh(), last_weight, last_bias)
    direction = torch.randn(expected.shape, generator=generator)
    gradients = torch.autograd.grad(expected, leaves, direction)

    chain = Chain((operation, Operation("deconv", results, 28, 1, 28, 1, 1, "none")), images)
    work, phases = chain.borrow().work, [chain.no_phases] * 2
    parameters = [leaf.detach() for leaf in leaves[1:]]
    found = chain.forward(maps.detach(), parameters, phases, work)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    of_parameters = chain.backward(direction, found, phases, work, to_input=True)
    ours = [chain.view_array(work.input_gradient, given, side), *of_parameters]
    for mine, theirs in zip(ours, gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_a_spectrum_is_numpys() -> None:
    """Of maps of 12x12 with zeros around them; half of the frequencies say all."""
    kernels = load_kernels()
    fourier, lanes = kernels.fourier, kernels.lanes
    values = np.random.default_rng(0).standard_normal((12, 12, lanes)).astype(np.float32)
    spectrum = torch.zeros(fourier.FREQUENCIES * 2 * lanes).numpy()
    scratch = torch.zeros(2 * 15 * 28 * lanes).numpy()
    given = torch.from_numpy(values).flatten().clone().numpy()
    fourier.to_spectrum(given, spectrum, scratch, 12, lanes)
    expected = np.fft.rfft2(values, s=(28, 28), axes=(0, 1))
    found = spectrum.reshape(28, 15, 2, lanes)
    np.testing.assert_allclose(found[:, :, 0] + 1j * found[:, :, 1], expected, atol=1e-4)
    back = torch.zeros(12 * 12 * lanes).numpy()
    fourier.from_spectrum(spectrum, back, scratch, 12, lanes)
    np.testing.assert_allclose(back, given, atol=1e-5)
