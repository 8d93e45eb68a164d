"""Convolutions by the Fourier transform, against sums written out."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from trainables.ops import fourier


def test_a_shifted_impulse_shifts_the_maps_around() -> None:
    """A circular convolution of period 4, or of an odd one."""
    for side in (4, 5):
        maps = torch.arange(float(side * side)).view(side, side, 1, 1)
        impulse = torch.zeros(2, 2, 1, 1)
        impulse[1, 0] = 1.0
        torch.testing.assert_close(fourier.convolve(maps, impulse, side), maps.roll(1, 0), atol=1e-4, rtol=1e-5)


def test_correlation_is_the_convolution_of_a_layer() -> None:
    """Without padding, summed over maps."""
    generator = torch.Generator().manual_seed(0)
    maps, weight = torch.randn(6, 6, 3, 2, generator=generator), torch.randn(3, 3, 4, 3, generator=generator)
    ours = fourier.correlate(maps, weight)
    stock = F.conv2d(maps.permute(3, 2, 0, 1), weight.permute(2, 3, 0, 1))
    assert ours.shape == (4, 4, 4, 2)
    torch.testing.assert_close(ours.permute(3, 2, 0, 1), stock, atol=1e-4, rtol=1e-4)


def test_what_was_kept_while_nothing_was_trained_serves_a_training() -> None:
    """A process may encode images first: gradients flow through the kept tables afterwards."""
    fourier._make_tables.cache_clear()
    fourier._make_inverse_tables.cache_clear()
    maps = torch.ones(6, 6, 3, 2)
    with torch.inference_mode():
        fourier.correlate(maps, torch.ones(3, 3, 4, 3))
    weight = torch.ones(3, 3, 4, 3, requires_grad=True)
    fourier.correlate(maps, weight).sum().backward()
    torch.testing.assert_close(weight.grad, torch.full_like(weight, 4 * 4 * 2.0), atol=1e-3, rtol=1e-5)
