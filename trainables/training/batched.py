"""Several seeds of one configuration trained as one batched model: each with its own weights, order and losses.

Seeds stand side by side in the axis of maps, ``(batch, seeds * maps, side, side)``, so that a convolution of all is one
grouped convolution and a fully connected layer of all one batched product. No layer mixes seeds, the optimizers work
element by element, and gradients are limited seed by seed: a seed is trained as it would be alone, to rounding, and one
that diverges disturbs no other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.autoencoder import Autoencoder, Stage, Switches
from trainables.models.layers import Layer
from trainables.ops.pooling import pool_with_phases, unpool, unpool_tile
from trainables.training.cuda_graphs import StepRunner
from trainables.training.training import EpochMetrics, Training, make_optimizer, schedule_learning_rate, select_loss


class BatchedAutoencoder(nn.Module):
    """As many auto-encoders as ``models``, of one architecture, in one module of their names.

    Its parameters are theirs, stacked in a first axis; the models keep theirs as views, so that whatever trains the
    stack trains them.
    """

    def __init__(self, models: Sequence[Autoencoder]) -> None:
        super().__init__()
        self.seeds = len(models)
        # Its stages say what to compute; kept in a tuple, which hides its parameters from this module's.
        self._plan = (models[0],)
        for stage in models[0].stages:
            name = stage.layer.name
            layer = nn.Module()
            for kind in ("weight", "bias"):
                alone = [model.get_submodule(name).get_parameter(kind) for model in models]
                stacked = nn.Parameter(torch.stack([parameter.detach() for parameter in alone]))
                for parameter, view in zip(alone, stacked.detach(), strict=True):
                    parameter.data = view
                layer.register_parameter(kind, stacked)
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``(batch, seeds, side, side)`` of each seed's own ``images``, of the same shape."""
        (plan,) = self._plan
        switches: Switches = {}
        maps = images
        for stage in plan.stages:
            maps = plan.activate(stage, self._preactivate(stage, maps, switches))
        return maps.view_as(images)

    def _preactivate(self, stage: Stage, maps: Tensor, switches: Switches) -> Tensor:
        """Return what the stage's activation is applied to, as `Autoencoder.preactivate` does for one seed."""
        (plan,) = self._plan
        layer = stage.layer
        module = self.get_submodule(layer.name)
        weight, bias = module.get_parameter("weight"), module.get_parameter("bias")
        if layer.kind == "linear":
            return self._product(layer, maps, weight.transpose(1, 2), bias)
        if layer.kind == "conv":
            maps = F.conv2d(maps, weight.flatten(0, 1), bias.flatten(), stride=layer.stride, groups=self.seeds)
            if stage.pool_level is not None and plan.pooling == "max":
                # Positions in maps of an odd side are not those in what is unpooled, a row and a column less.
                pool = pool_with_phases if maps.shape[-1] % 2 else _pool_with_positions
                maps, switches[stage.pool_level] = pool(maps)
            return maps
        if layer.in_size == 1 and stage.unpool_level is None:
            return self._product(layer, maps, weight.flatten(2), bias)
        stride, padding = 1, 0
        if stage.unpool_level is not None:
            if plan.unpooling == "corner":
                stride, padding = 2, 1  # Unpooling to the corner and this deconvolution are one of stride 2.
            elif plan.unpooling == "switches":
                switch = switches[stage.unpool_level]
                maps = unpool(maps, switch) if switch.dtype == torch.uint8 else F.max_unpool2d(maps, switch, [2, 2])
            else:
                maps = unpool_tile(maps if plan.unpooling == "tile" else 0.25 * maps)
        return F.conv_transpose2d(
            maps, weight.flatten(0, 1), bias.flatten(), stride=stride, output_padding=padding, groups=self.seeds
        )

    def _product(self, layer: Layer, maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return each seed's maps times its ``weight``, ``(seeds, inputs, outputs)``, as maps of side ``out_size``."""
        batch = len(maps)
        inputs = maps.reshape(batch, self.seeds, -1).transpose(0, 1)
        outputs = torch.bmm(inputs, weight).view(self.seeds, batch, layer.out_maps, -1) + bias[:, None, :, None]
        return outputs.transpose(0, 1).reshape(batch, -1, layer.out_size, layer.out_size)


class BatchedTraining:
    """Trains several `Training` of the same settings and images as one; their models change with it.

    An epoch is a number of equal steps on buffers of the device, which read the images of each seed, the learning rate
    and the sums from there: nothing of a step depends on the host, so it can be captured and replayed.

    Args:
        trainings: not begun, one a seed.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        first = trainings[0]
        self.trainings, self.trial_config = tuple(trainings), first.trial_config
        self.steps_per_epoch = first.steps_per_epoch
        self.epoch = 0
        self.model = BatchedAutoencoder([training.model for training in trainings])
        device = first.train_pixels.device
        self._pixels = first.train_pixels
        self._parameters = list(self.model.parameters())
        self.optimizer = make_optimizer(self.trial_config, self.model)
        for group in self.optimizer.groups:
            group.rate = torch.zeros((), device=device)
        seeds, batch = len(trainings), self.trial_config.batch_size
        self._orders = torch.zeros(seeds, self.steps_per_epoch, batch, dtype=torch.int64, device=device)
        self._rates = torch.zeros(self.steps_per_epoch, device=device)
        self._position = torch.zeros(1, dtype=torch.int64, device=device)
        self._sums = torch.zeros(2, seeds, dtype=torch.float64, device=device)
        self._runner = StepRunner(self._step, self._list_changed, device)

    @property
    def done(self) -> bool:
        """Whether the full budget of epochs is trained."""
        return self.epoch >= self.trial_config.epochs_planned

    def train_epoch(self) -> list[EpochMetrics]:
        """Train every seed on every image once, each in its own fresh order; return the metrics seed by seed."""
        started = time.perf_counter()
        used = self.steps_per_epoch * self.trial_config.batch_size
        orders = torch.stack([training.draw_order()[:used] for training in self.trainings])
        first_step = self.epoch * self.steps_per_epoch
        rates = [
            schedule_learning_rate(self.trial_config, first_step + step, self.steps_per_epoch)
            for step in range(self.steps_per_epoch)
        ]
        self._orders.copy_(orders.view_as(self._orders))
        self._rates.copy_(torch.tensor(rates))
        self.replay_epoch()
        self.epoch += 1
        cross_entropies, squared_errors = (self._sums / self.steps_per_epoch).tolist()
        return [
            training.end_epoch(started, rates[-1], cross_entropy, squared_error)
            for training, cross_entropy, squared_error in zip(
                self.trainings, cross_entropies, squared_errors, strict=True
            )
        ]

    def replay_epoch(self) -> None:
        """Run an epoch's steps on what the buffers hold, without waiting for them: what a device takes at least."""
        self._position.zero_()
        self._sums.zero_()
        self._runner.run(self.steps_per_epoch)

    def _step(self) -> None:
        """Change the weights of every seed by its next batch and add its losses to the sums."""
        position = self._position % self.steps_per_epoch  # A capture warms up by more steps than a short epoch has.
        rate = self._rates[position].squeeze()
        for group in self.optimizer.groups:
            group.rate = rate * group.factor
        chosen = self._orders[:, position].squeeze(1)
        images = self._pixels[chosen].transpose(0, 1).float().div_(255)  # (batch, seeds, side, side)
        logits = self.model(images)
        losses = _compute_losses(logits, images)
        # Each seed's gradient is that of its own loss: no term of the sum holds another seed's weights.
        gradients = torch.autograd.grad(select_loss(self.trial_config, *losses).sum(), self._parameters)
        if self.trial_config.gradient_norm_limit is not None:
            gradients = _limit_norms(gradients, self.trial_config.gradient_norm_limit)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient.contiguous()  # Fused optimizers read it as laid out like its parameter.
        self.optimizer.step()
        self._sums += losses.detach()
        self._position += 1

    def _list_changed(self) -> list[Tensor]:
        return [self._position, self._sums, *self._parameters, *self.optimizer.list_state()]


def _pool_with_positions(maps: Tensor) -> tuple[Tensor, Tensor]:
    pooled, position = F.max_pool2d(maps, 2, return_indices=True)
    return pooled, position


def _compute_losses(logits: Tensor, images: Tensor) -> Tensor:
    """Return cross-entropy and squared error per image of each seed, ``(2, seeds)``: summed over pixels."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, images, reduction="none")
    squared_error = (torch.sigmoid(logits) - images).square()
    return torch.stack((cross_entropy, squared_error)).sum((1, 3, 4)) / len(images)


def _limit_norms(gradients: Sequence[Tensor], limit: float) -> tuple[Tensor, ...]:
    """Scale each seed's gradients down to Euclidean norm ``limit``, as `clip_grad_norm_` does for one."""
    # Side by side first: squares and sums of each would be two launches a parameter, an eighth of a step on a GPU.
    squares = torch.cat([gradient.flatten(1) for gradient in gradients], 1).square().sum(1)
    scale = (limit / (squares.sqrt() + 1e-6)).clamp(max=1.0)
    return tuple(gradient * scale.view(-1, *[1] * (gradient.dim() - 1)) for gradient in gradients)
