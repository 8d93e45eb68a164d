"""Training of one model with one seed, epoch by epoch, on one device."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.models import initialization
from trainables.models.architectures import Architecture, ModuleAutoencoder
from trainables.models.autoencoder import Autoencoder
from trainables.models.module import OwnModule, seeded
from trainables.ops.engine import Losses, find_norm, has_kernels
from trainables.training.devices import flush_subnormals
from trainables.training.muon import Muon
from trainables.training.objectives import OBJECTIVES, Objective
from trainables.training.optimizers import Adam, Group, Optimizer, StochasticGradientDescent
from trainables.training.pretraining import Block, Pretraining
from trainables.trial_config import LAYERWISE, TrialConfig

SCALING_IMAGES = 500
"""Training images on which the `data_scaled` starting weights are scaled."""

MEASURING_BATCH = 500
"""Images a forward pass when nothing is trained."""


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """What is known after an epoch; the names are the columns of the table `epochs`."""

    epoch: int
    learning_rate: float
    train_cross_entropy: float
    train_squared_error: float
    validation_cross_entropy: float | None
    validation_squared_error: float | None
    seconds: float

    @property
    def finite(self) -> bool:
        """Whether every loss of the epoch is a number; a training that is not has diverged."""
        watched = (self.train_cross_entropy, self.train_squared_error, self.validation_cross_entropy)
        return all(math.isfinite(value) for value in watched if value is not None)


class StepLosses(NamedTuple):
    """Of a step, averaged over its images: what is minimised, and the errors of the reconstructions.

    Errors are NaN, and so null in rows, where nothing is reconstructed.
    """

    minimised: Tensor
    cross_entropy: Tensor
    squared_error: Tensor

    def add(self, penalty: Tensor) -> StepLosses:
        """Return the same with a penalty added to what is minimised."""
        return self._replace(minimised=self.minimised + penalty)


@dataclass(frozen=True, slots=True)
class Step:
    """What an objective is given: a batch of clean images, the model, and its source of noise.

    ``images`` are ``(batch, 1, side, side)`` float32 in [0, 1]; ``labels``, ``(batch,)``, are there where the objective
    asks for them.
    """

    model: Autoencoder
    images: Tensor
    trial_config: TrialConfig
    noise: torch.Generator
    labels: Tensor | None = None

    @property
    def strength(self) -> float:
        """The objective's strength, 0 of one that has none."""
        return self.trial_config.objective_strength or 0.0

    def compare(self, logits: Tensor) -> StepLosses:
        """Return the losses of reconstructions, given as logits of the images' shape."""
        cross_entropy, squared_error = reconstruction_losses(logits, self.images)
        return StepLosses(select_loss(self.trial_config, cross_entropy, squared_error), cross_entropy, squared_error)

    def lose(self, minimised: Tensor) -> StepLosses:
        """Return the losses of a step without reconstructions."""
        nothing = torch.full_like(minimised, math.nan, requires_grad=False)
        return StepLosses(minimised, nothing, nothing)

    def compare_each(self, logits: Tensor, count: int) -> StepLosses:
        """Return the losses of every single reconstruction, (count * batch,), of ``count`` for each image in turn."""
        images = self.images.repeat(count, 1, 1, 1)
        cross_entropy = F.binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).sum(1)
        squared_error = (torch.sigmoid(logits) - images).square().flatten(1).sum(1)
        return StepLosses(select_loss(self.trial_config, cross_entropy, squared_error), cross_entropy, squared_error)

    def differentiate(self, value: Tensor, by: Tensor) -> Tensor:
        """Return the derivative of a scalar, which can be differentiated again where the model is plain."""
        (slope,) = torch.autograd.grad(value, by, create_graph=True)
        return slope

    def draw_uniform(self, like: Tensor) -> Tensor:
        """Draw numbers of [0, 1), as many as a tensor has, in its shape; how it lies in memory changes none."""
        return torch.empty(like.shape, dtype=like.dtype, device=like.device).uniform_(generator=self.noise)

    def draw_normal(self, like: Tensor) -> Tensor:
        """Draw numbers of mean 0 and variance 1, likewise."""
        return torch.empty(like.shape, dtype=like.dtype, device=like.device).normal_(generator=self.noise)


class Training:
    """A model in training. The same settings, seed and images give the same numbers on the same processor.

    Args:
        trial_config: what to train and how.
        seed: decides the starting weights, the order of the images and the noise of an objective, or of a module of the
            user's own, by generators that share nothing.
        train_pixels: ``(images, side, side)`` uint8, on the device.
        validation_pixels: of the same kind, measured after every epoch, or None.
        row: of the table of architectures, by default the built-in one that the settings name.
        objective: likewise.
        train_labels: ``(images,)``, on the device, for an objective that needs them.

    Raises:
        InputError: there are fewer images than a batch holds, or no labels where the objective needs them.
    """

    def __init__(
        self,
        trial_config: TrialConfig,
        seed: int,
        train_pixels: Tensor,
        validation_pixels: Tensor | None = None,
        row: Architecture | None = None,
        objective: Objective | None = None,
        train_labels: Tensor | None = None,
    ) -> None:
        if len(train_pixels) < trial_config.batch_size:
            raise InputError(
                f"batch_size {trial_config.batch_size} with {len(train_pixels)} training images",
                "a batch no larger than the training set",
                "choose a smaller batch_size or another data set",
            )
        self.trial_config = trial_config
        self.train_pixels, self.validation_pixels = train_pixels, validation_pixels
        self.objective = objective or OBJECTIVES[trial_config.objective]
        if self.objective.labelled and train_labels is None:
            raise InputError(
                f"objective {self.objective.name} without labels",
                "images with labels",
                "choose other data or another one",
            )
        self._labels = train_labels if self.objective.labelled else None
        # The first two words are the same however many are asked for.
        weights_seed, order_seed, noise_seed = np.random.SeedSequence(seed).generate_state(3, np.uint64)
        self._order = torch.Generator().manual_seed(int(order_seed))
        self._noise_seed = int(noise_seed)
        self._noise = torch.Generator(train_pixels.device).manual_seed(int(noise_seed))
        self.model = make_model(trial_config, train_pixels.shape[-1], row, self.objective, int(weights_seed))
        _draw_weights(self.model, trial_config, int(weights_seed), train_pixels)
        self.optimizer = make_optimizer(trial_config, self.model)
        self.epoch = 0
        # Images that do not fill a batch wait for the next epoch's order: every step has the same shape.
        self.steps_per_epoch = len(train_pixels) // trial_config.batch_size
        steps = self.steps_per_epoch * trial_config.epochs_planned
        layerwise, make = trial_config.pretraining == LAYERWISE, partial(make_optimizer, trial_config)
        self._pretraining = Pretraining(self.model, make, steps) if layerwise else None

    @property
    def done(self) -> bool:
        """Whether the full budget of epochs is trained."""
        return self.epoch >= self.trial_config.epochs_planned

    def draw_order(self) -> Tensor:
        """Draw the order of the images of the next epoch, ``(images,)`` int64 on the processor."""
        return torch.randperm(len(self.train_pixels), generator=self._order)

    @flush_subnormals()
    def train_epoch(self) -> EpochMetrics:
        """Train on every image once, in a fresh order, and return the metrics of the epoch."""
        started = time.perf_counter()
        # A module of the user's own may draw from PyTorch's generator, which processes use for other things as well.
        draws = np.random.SeedSequence([self._noise_seed, self.epoch]).generate_state(1, np.uint64)[0]
        own = not self.trial_config.layered
        with seeded(int(draws), self.train_pixels.device) if own else nullcontext():
            rate, cross_entropy, squared_error = self._train_steps()
            return self.end_epoch(started, rate, cross_entropy, squared_error)

    def _train_steps(self) -> tuple[float, float, float]:
        """Take the steps of an epoch; return the last learning rate and the mean losses."""
        device = self.train_pixels.device
        batch_size = self.trial_config.batch_size
        order = self.draw_order().to(device)
        sums = torch.zeros(2, device=device, dtype=torch.float64)
        first_step = self.epoch * self.steps_per_epoch
        rate = self.trial_config.learning_rate
        for step in range(self.steps_per_epoch):
            rate = schedule_learning_rate(self.trial_config, first_step + step, self.steps_per_epoch)
            part = None if self._pretraining is None else self._pretraining.find_part(first_step + step)
            for group in (part[1] if part else self.optimizer).groups:
                group.rate = rate * group.factor
            chosen = order[step * batch_size : (step + 1) * batch_size]
            labels = None if self._labels is None else self._labels.index_select(0, chosen)
            images = scale_pixels(self.train_pixels.index_select(0, chosen))
            sums += self._step(images, labels) if part is None else self._pretrain(images, *part)
        cross_entropy, squared_error = (sums / self.steps_per_epoch).tolist()
        return rate, cross_entropy, squared_error

    def end_epoch(self, started: float, rate: float, cross_entropy: float, squared_error: float) -> EpochMetrics:
        """Count an epoch that began at ``started`` of `time.perf_counter`, and measure validation."""
        self.epoch += 1
        self.model.eval()
        validation = (None, None) if self.validation_pixels is None else measure(self.model, self.validation_pixels)
        self.model.train()
        return EpochMetrics(
            epoch=self.epoch,
            learning_rate=rate,
            train_cross_entropy=cross_entropy,
            train_squared_error=squared_error,
            validation_cross_entropy=validation[0],
            validation_squared_error=validation[1],
            seconds=time.perf_counter() - started,
        )

    def make_step(self, images: Tensor, labels: Tensor | None = None) -> Step:
        """Return what the objective is given of a batch of images, ``(batch, 1, side, side)`` in [0, 1]."""
        return Step(self.model, images, self.trial_config, self._noise, labels)

    def _step(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Change the weights by one batch and return its (cross-entropy, squared error) per image."""
        losses = self.objective.find_losses(self.make_step(images, labels))
        self._descend(losses.minimised, self.optimizer)
        return torch.stack((losses.cross_entropy.detach(), losses.squared_error.detach()))

    def _pretrain(self, images: Tensor, block: Block, optimizer: Optimizer) -> Tensor:
        """Change the weights of a block by one batch and return the same of the whole model as it was before."""
        step = self.make_step(images)
        with torch.no_grad():
            losses = self.objective.find_losses(step)
        self._descend(block.find_loss(step), optimizer)
        return torch.stack((losses.cross_entropy, losses.squared_error))

    def _descend(self, minimised: Tensor, optimizer: Optimizer) -> None:
        optimizer.clear_gradients()
        minimised.backward()
        if self.trial_config.gradient_norm_limit is not None:
            _limit_norm(optimizer, self.trial_config.gradient_norm_limit)
        optimizer.step()


def _limit_norm(optimizer: Optimizer, limit: float) -> None:
    """Scale gradients down to Euclidean norm ``limit`` where it is larger: `clip_grad_norm_`, which always scales."""
    gradients = [gradient for group in optimizer.groups for gradient in group.gradients]
    on_core = all(gradient.device.type == "cpu" for gradient in gradients) and has_kernels()
    norm = find_norm(gradients) if on_core else torch.nn.utils.get_total_norm(gradients)
    if not norm + 1e-6 <= limit:  # what is not a number is scaled, and shows
        torch._foreach_mul_(gradients, limit / (norm + 1e-6))


def scale_pixels(pixels: Tensor) -> Tensor:
    """Return uint8 ``(batch, side, side)`` as float32 ``(batch, 1, side, side)`` in [0, 1]."""
    # With images last in memory, as the engine has them.
    return pixels.permute(1, 2, 0).contiguous().float().div_(255).permute(2, 0, 1).unsqueeze(1)


def move_pixels(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return ``pixels`` as a tensor; on the processor it shares their memory, which may be read-only."""
    with warnings.catch_warnings():
        # The object store's arrays are read-only and nothing here writes to images.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(pixels).to(device)


def reconstruction_losses(logits: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and squared error per image: summed over pixels, averaged over the batch; scalars.

    Caffe's Euclidean loss is half of the squared error. Source: [file].
    """
    fast = logits.device.type == "cpu" and logits.dtype == images.dtype == torch.float32 and has_kernels()
    if fast and not images.requires_grad:  # An image is what its reconstruction is compared with, too.
        return Losses.apply(logits, images)  # type: ignore[no-untyped-call,no-any-return]
    count = len(images)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, images, reduction="sum") / count
    squared_error = F.mse_loss(torch.sigmoid(logits), images, reduction="sum") / count
    return cross_entropy, squared_error


def select_loss(trial_config: TrialConfig, cross_entropy: Tensor, squared_error: Tensor) -> Tensor:
    """Return what training minimises, of the shape of the two losses."""
    losses: dict[str | None, Tensor] = {
        "cross_entropy": cross_entropy,
        "euclidean": squared_error / 2,
        "both": cross_entropy + squared_error / 2,
    }
    return losses[trial_config.loss]


def train_to_end(training: Training, on_epoch: Callable[[EpochMetrics], None] | None = None) -> EpochMetrics:
    """Train what is left of a training; return the losses of its last epoch.

    Args:
        training: with at least one epoch left.
        on_epoch: is given the losses of every epoch.

    Raises:
        InputError: a loss is not finite.
    """
    while True:
        metrics = training.train_epoch()
        if on_epoch:
            on_epoch(metrics)
        if not metrics.finite:
            raise InputError(
                f"a loss of epoch {metrics.epoch} is not finite",
                f"a learning rate that suits the data; it was {training.trial_config.learning_rate:g}",
                "give a lower learning_rate, or another seed",
            )
        if training.done:
            return metrics


@torch.inference_mode()
def measure(model: Autoencoder, pixels: Tensor) -> tuple[float, float]:
    """Return cross-entropy and squared error per image of ``pixels``, (images, side, side) uint8."""
    sums = torch.zeros(2, device=pixels.device, dtype=torch.float64)
    for batch in pixels.split(MEASURING_BATCH):
        images = scale_pixels(batch)
        sums += torch.stack(reconstruction_losses(model(images), images)) * len(batch)
    cross_entropy, squared_error = (sums / len(pixels)).tolist()
    return cross_entropy, squared_error


def mean_image_cross_entropy(pixels: NDArray[np.uint8]) -> float:
    """Return the cross-entropy per image of predicting the mean image of ``pixels`` for every one of them.

    It is the entropy of the mean image's pixels: what a model reaches that ignores its input.
    """
    mean = pixels.mean(axis=0, dtype=np.float64) / 255
    seen = mean[(mean > 0) & (mean < 1)]
    return float(-(seen * np.log(seen) + (1 - seen) * np.log1p(-seen)).sum())


def schedule_learning_rate(trial_config: TrialConfig, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of ``step``, from 0."""
    if trial_config.schedule == "constant":
        return trial_config.learning_rate
    total = trial_config.epochs_planned * steps_per_epoch
    warmup = trial_config.warmup_fraction * total
    if step < warmup:
        return trial_config.learning_rate * (step + 1) / (warmup + 1)
    if trial_config.schedule == "warmup_linear":
        return trial_config.learning_rate * (total - step) / (total - warmup)
    return trial_config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def make_model(
    trial_config: TrialConfig,
    image_size: int,
    row: Architecture | None = None,
    objective: Objective | None = None,
    seed: int = 0,
) -> Autoencoder:
    """Return the model of a trial on the processor, of ``row`` and ``objective`` as there.

    Its weights are zero; those of a module of the user's own are what its factory gives it with ``seed``.
    """
    objective = objective or OBJECTIVES[trial_config.objective]
    read_code, variant = objective.read_code, trial_config.variant(row)
    read = None if read_code is None else partial(_read_code, read_code, trial_config.objective_strength or 0.0)
    if isinstance(variant, ModuleAutoencoder):
        return OwnModule(variant, trial_config.code_size, trial_config.settings, image_size, read, seed)
    model = Autoencoder(
        variant,
        trial_config.code_size,
        trial_config.filters,
        image_size,
        objective.outputs_per_unit,
        read,
        objective.decodes,
    )
    model.plain, model.linear = objective.plain, objective.linear
    return model


def _read_code(read_code: Callable[[Tensor, float], Tensor], strength: float, outputs: Tensor) -> Tensor:
    return read_code(outputs, strength)


def _draw_weights(model: Autoencoder, trial_config: TrialConfig, seed: int, train_pixels: Tensor) -> None:
    """Draw the starting weights of a model, but for a module's own, and move it to where the images are."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    if trial_config.starting_weights == "caffe":
        initialization.draw_caffe(model, generator)
    elif trial_config.starting_weights == "data_scaled":
        chosen = torch.randperm(len(train_pixels), generator=generator)[:SCALING_IMAGES]
        images = scale_pixels(train_pixels[chosen.to(train_pixels.device)].cpu())
        initialization.draw_data_scaled(model, generator, images)
    model.to(train_pixels.device)


def make_optimizer(trial_config: TrialConfig, model: nn.Module) -> Optimizer:
    """Return the optimizer of a model whose parameters are named by weight and bias, or of a module of the user's own.

    Weight decay is decoupled and of weights alone with Muon; with the others it is an L2 penalty, on biases as well.
    """
    weights, biases = (
        Group(parameters, factor, factor * trial_config.learning_rate)
        for parameters, factor in zip(
            _split_parameters(model, trial_config.layered),
            (1.0, trial_config.bias_learning_rate_factor),
            strict=True,
        )
    )
    momentum, weight_decay = trial_config.momentum, trial_config.weight_decay
    second_moment_decay = trial_config.second_moment_decay or 0.999
    if trial_config.optimizer == "muon":
        return Muon(
            weights, biases, momentum=momentum, second_moment_decay=second_moment_decay, weight_decay=weight_decay
        )
    if trial_config.optimizer == "adam":
        return Adam((weights, biases), betas=(momentum, second_moment_decay), weight_decay=weight_decay)
    nesterov = trial_config.optimizer == "nesterov"
    return StochasticGradientDescent((weights, biases), momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


def _split_parameters(model: nn.Module, layered: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Return weights and biases.

    Of a module of the user's own, whose names say nothing, weights are matrices and the kernels of two-dimensional
    convolutions, and biases all others.
    """
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    weights = {name for name, each in trained.items() if (name.endswith("weight") if layered else each.dim() in (2, 4))}
    return [trained[name] for name in trained if name in weights], [
        trained[name] for name in trained if name not in weights
    ]
