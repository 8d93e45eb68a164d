"""Greedy layer-wise pretraining: each layer as an auto-encoder of what the layers below make of an image.

Hinton and Salakhutdinov (2006) train the layers of a classic auto-encoder so, by Boltzmann machines, and Masci et al.
(2011) those of a convolutional one, by auto-encoders; here all are auto-encoders, whose decoders are the model's own
layers that mirror them. Layers that nothing mirrors singly, as the convolutions of model 1, are trained as one block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainables.models.autoencoder import Autoencoder, Stage, Switches
from trainables.training.optimizers import Optimizer

if TYPE_CHECKING:
    from trainables.training.training import Step

SHARE = 0.5
"""Of a trial's steps that pretrain, the same number for each block; the others train all together. Source: [ours]."""


@dataclass(frozen=True, slots=True)
class Block:
    """Layers that are trained together: ``below`` are fixed, ``decoder`` leads back to where ``encoder`` begins."""

    below: tuple[Stage, ...]
    encoder: tuple[Stage, ...]
    decoder: tuple[Stage, ...]

    def find_loss(self, step: Step) -> Tensor:
        """Return what a step minimises: the recipe's loss for images, half the squared error for what lies above."""
        switches: Switches = {}
        with torch.no_grad():
            given = step.model.run(self.below, step.images, switches)
        found = step.model.run((*self.encoder, *self.decoder), given, switches).view(given.shape)
        if not self.below:
            return step.compare(found).minimised
        return (found - given).square().sum() / (2 * len(given))


def list_blocks(model: Autoencoder) -> Iterator[Block]:
    """Yield the blocks from the image to the code.

    One ends where encoder and decoder have as many maps of one side, before the decoder unpools and after the encoder
    pools: at every layer where they are symmetric.
    """
    encoder, decoder = model.encoder_stages, model.decoder_stages
    first, last = 0, len(decoder)
    for place, stage in enumerate(encoder, start=1):
        ends = range(1, last) if place < len(encoder) else range(1)
        fitting = [end for end in ends if _measure_input(decoder[end]) == _measure_output(stage)]
        if fitting:
            yield Block(encoder[:first], encoder[first:place], decoder[fitting[-1] : last])
            first, last = place, fitting[-1]


def _measure_output(stage: Stage) -> tuple[int, int]:
    return stage.layer.out_maps, stage.layer.out_size // (1 if stage.pool_level is None else 2)


def _measure_input(stage: Stage) -> tuple[int, int]:
    return stage.layer.in_maps, stage.layer.in_size // (1 if stage.unpool_level is None else 2)


class Pretraining:
    """Which block of a model each step trains, and by which optimizer, of its own.

    Args:
        model: its weights change.
        make_optimizer: of the parameters of a module.
        steps: of the whole training.
    """

    def __init__(self, model: Autoencoder, make_optimizer: Callable[[nn.Module], Optimizer], steps: int) -> None:
        self._parts = []
        for block in list_blocks(model):
            names = [stage.layer.name for stage in (*block.encoder, *block.decoder)]
            trained = nn.ModuleDict({name: model.get_submodule(name) for name in names})
            self._parts.append((block, make_optimizer(trained)))
        self._steps = int(SHARE * steps)

    def find_part(self, step: int) -> tuple[Block, Optimizer] | None:
        """Return the block of ``step``, from 0, and its optimizer; None once all layers are trained together."""
        return self._parts[step * len(self._parts) // self._steps] if step < self._steps else None
