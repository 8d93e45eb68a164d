"""The baseline's model and training loop: stock layers in eager mode, as PyTorch's tutorials write them.

It computes what `trainables.models.autoencoder` computes, from the same table of layers and with the same names of
weights; a test compares them. Batches come from a `DataLoader`, shuffled; the optimizer and the schedule are PyTorch's
own.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from trainables.models.architectures import ConvolutionalAutoencoder
from trainables.models.layers import Layer, list_layers
from trainables.trial_config import TrialConfig

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "none": nn.Identity}


class StockAutoencoder(nn.Module):
    """An auto-encoder of stock layers; images and logits are ``(batch, 1, side, side)``."""

    def __init__(self, trial_config: TrialConfig) -> None:
        super().__init__()
        architecture = trial_config.variant()
        self.unpooling = architecture.unpooling if isinstance(architecture, ConvolutionalAutoencoder) else "none"
        self.stack = list_layers(architecture, trial_config.code_size, trial_config.filters)
        for layer in self.stack:
            self.add_module(layer.name, _module(layer, self.unpooling))
        self.activations = nn.ModuleList(ACTIVATIONS[layer.activation]() for layer in self.stack)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the reconstruction."""
        switches: dict[str, Tensor] = {}
        maps = images
        for layer, activation in zip(self.stack, self.activations, strict=True):
            module = self.get_submodule(layer.name)
            if layer.kind == "linear":
                maps = module(maps.flatten(1))
            elif layer.kind == "pool":
                maps, switches[layer.name[-1]] = module(maps)
            elif layer.kind == "unpool":
                maps = module(maps, switches[layer.name[-1]]) if self.unpooling == "switches" else module(maps)
            else:
                maps = module(maps[:, :, None, None] if maps.dim() == 2 else maps)
            maps = activation(maps)
        return maps.view_as(images)


class UnpoolCorner(nn.Module):
    """Each value in the top-left cell of its 2x2 window; PyTorch has no such layer."""

    def forward(self, maps: Tensor) -> Tensor:
        """Double the sides of ``(batch, maps, side, side)``."""
        batch, count, side, _ = maps.shape
        doubled = maps.new_zeros(batch, count, 2 * side, 2 * side)
        doubled[:, :, ::2, ::2] = maps
        return doubled


def _module(layer: Layer, unpooling: str) -> nn.Module:
    if layer.kind == "linear":
        return nn.Linear(layer.in_maps * layer.in_size**2, layer.out_maps)
    if layer.kind == "conv":
        return nn.Conv2d(layer.in_maps, layer.out_maps, layer.kernel, layer.stride)
    if layer.kind == "deconv":
        return nn.ConvTranspose2d(layer.in_maps, layer.out_maps, layer.kernel)
    if layer.kind == "pool":
        return nn.MaxPool2d(2, return_indices=True)
    return nn.MaxUnpool2d(2) if unpooling == "switches" else UnpoolCorner()


class StockTraining:
    """A model in training by stock parts.

    Args:
        settings: what to train and how, the same record as ours.
        train_images: ``(images, 1, side, side)`` float32 in [0, 1], on the device.
        validation_images: of the same kind, or None.
    """

    def __init__(
        self, trial_config: TrialConfig, train_images: Tensor, validation_images: Tensor | None = None
    ) -> None:
        self.trial_config = trial_config
        self.device = train_images.device
        size = trial_config.batch_size
        # Tutorials leave the data on the host, where worker processes would copy what is in memory already.
        self.loader = DataLoader(TensorDataset(train_images.cpu()), batch_size=size, shuffle=True, drop_last=True)
        self.validation = None
        if validation_images is not None:
            self.validation = DataLoader(TensorDataset(validation_images.cpu()), batch_size=500)
        self.model = StockAutoencoder(trial_config).to(self.device)
        weights = [value for name, value in self.model.named_parameters() if name.endswith("weight")]
        biases = [value for name, value in self.model.named_parameters() if name.endswith("bias")]
        rate = trial_config.learning_rate
        groups: list[dict[str, Any]] = [
            {"params": weights},
            {"params": biases, "lr": rate * trial_config.bias_learning_rate_factor},
        ]
        self.optimizer: torch.optim.Optimizer
        if trial_config.optimizer == "adam":
            betas = (trial_config.momentum, trial_config.second_moment_decay or 0.999)
            self.optimizer = torch.optim.Adam(groups, rate, betas=betas, weight_decay=trial_config.weight_decay)
        elif trial_config.optimizer == "muon":
            raise ValueError("PyTorch's Muon takes matrices and no kernels: compare by another recipe")
        else:
            self.optimizer = torch.optim.SGD(
                groups,
                rate,
                momentum=trial_config.momentum,
                nesterov=trial_config.optimizer == "nesterov",
                weight_decay=trial_config.weight_decay,
            )
        total = trial_config.epochs_planned * len(self.loader)
        warmup = trial_config.warmup_fraction * total

        def factor(step: int) -> float:
            if trial_config.schedule == "constant":
                return 1.0
            if step < warmup:
                return (step + 1) / (warmup + 1)
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)

    def train_epoch(self) -> float:
        """Train on every batch once and return the mean loss."""
        self.model.train()
        total = 0.0
        for (batch,) in self.loader:
            images = batch.to(self.device)
            logits = self.model(images)
            loss = F.binary_cross_entropy_with_logits(logits, images, reduction="sum") / len(images)
            self.optimizer.zero_grad()
            loss.backward()
            if self.trial_config.gradient_norm_limit is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.trial_config.gradient_norm_limit)
            self.optimizer.step()
            self.schedule.step()
            total += loss.item()
        return total / len(self.loader)

    @torch.no_grad()
    def validate(self) -> float:
        """Return the mean cross-entropy of the validation images."""
        assert self.validation is not None
        self.model.eval()
        total, count = 0.0, 0
        for (batch,) in self.validation:
            images = batch.to(self.device)
            total += F.binary_cross_entropy_with_logits(self.model(images), images, reduction="sum").item()
            count += len(images)
        return total / count
