"""Starting weights: Caffe's fillers as the authors used them, and weights scaled by data so that every model trains."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainables.models.autoencoder import Autoencoder, Switches

CONSTANT = 1e-6
"""A deviation up to which a map is taken for a constant one."""

PREACTIVATION_DEVIATION = {"sigmoid": 1.5, "tanh": 1.0, "relu": 1.0, "none": 1.0}
"""Standard deviation that `draw_data_scaled` gives to what an activation is applied to; ``none``: code and output."""


@torch.no_grad()
def draw_caffe(model: Autoencoder, generator: torch.Generator) -> None:
    """Draw Caffe's starting weights: "xavier" for convolutions and deconvolutions, sparse Gaussian for the rest.

    xavier is uniform within sqrt(3 / fan_in), where Caffe takes fan_in as the elements of one slice of the weight's
    first axis (for a deconvolution's (in, out, k, k) that is out x k^2). The Gaussian has standard deviation 1, each
    weight being kept with probability min(1, sparse_inputs / outputs). Biases are 0. Source: [file].
    """
    for stage in model.stages:
        weight = model.weight(stage.layer)
        model.bias(stage.layer).zero_()
        if stage.layer.kind == "linear":
            weight.normal_(generator=generator)
            kept = min(1.0, model.architecture.sparse_inputs / weight.shape[0])
            weight.mul_(torch.rand(weight.shape, generator=generator) < kept)
        else:
            bound = math.sqrt(3 / weight[0].numel())
            weight.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def draw_data_scaled(model: Autoencoder, generator: torch.Generator, images: Tensor) -> None:
    """Draw orthogonal (fully connected) or Gaussian weights, then rescale them layer by layer on ``images``.

    Each layer in turn is brought to the standard deviation of `PREACTIVATION_DEVIATION` before its activation, with
    biases that centre every map there; the output's mean is the logit of the mean pixel, so that training starts where
    Caffe's starts to learn after its plateau; that of a linear model has the images' mean and deviation. The idea is
    layer-sequential unit variance (Mishkin and Matas, 2016).

    Args:
        model: on the processor.
        generator: source of the weights.
        images: a few hundred training images, ``(batch, 1, side, side)`` float32 in [0, 1].
    """
    switches: Switches = {}
    maps = images
    for stage in model.stages:
        weight, bias = model.weight(stage.layer), model.bias(stage.layer)
        bias.zero_()
        if stage.layer.kind == "linear":
            torch.nn.init.orthogonal_(weight, generator=generator)
        else:
            weight.normal_(generator=generator)
        before = model.preactivate(stage, maps, switches)
        axes = tuple(axis for axis in range(before.dim()) if axis != 1)
        # Around each map's own mean, since the bias takes the mean away. A constant map has nothing to scale.
        deviation = before.var(axes).mean().sqrt()
        linear = model.linear and stage.layer.name == "output"
        wanted = images.var(0).mean().sqrt() if linear else PREACTIVATION_DEVIATION[stage.layer.activation]
        scale = wanted / deviation if deviation > CONSTANT else torch.ones_like(deviation)
        weight.mul_(scale)
        # Convolutions, products and maxima scale with their weights.
        before = before * scale
        bias.sub_(before.mean(axes))
        if stage.layer.name == "output":
            pixel = images.mean()
            bias.add_(pixel if linear else torch.logit(pixel.clamp(1e-3, 1 - 1e-3)))
        maps = model.activate(stage, before + bias.view(-1, *[1] * (before.dim() - 2)))
