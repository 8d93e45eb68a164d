"""The one module that interprets a row of the table of architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.errors import InputError
from trainables.models.architectures import IMAGE_SIZE, Architecture, Filters, Pooling, Unpooling
from trainables.models.layers import Layer, list_layers
from trainables.ops.engine import Layers, has_kernels
from trainables.ops.operations import Operation
from trainables.ops.pooling import pool_with_phases, unpool, unpool_tile

Switches = dict[int, Tensor]
"""Where in its 2x2 window each of the encoder's maxima was, by level, 1 or 2: (batch, maps, side, side) uint8.

0 to 3 are top-left, top-right, bottom-left, bottom-right; the side is that of the pooled maps.
"""

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "none": lambda maps: maps,
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A layer with weights, the unpooling before it and the pooling after it: what lies between two activations."""

    layer: Layer
    unpool_level: int | None
    pool_level: int | None


class _Parameters(nn.Module):
    """Weight and bias of one layer, zero until starting weights are drawn."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layer.weight_shape))
        self.bias = nn.Parameter(torch.zeros(layer.out_maps))


class Autoencoder(nn.Module):
    """An auto-encoder of any row; its state is named by the row's layers, ``conv1.weight`` and so on.

    Images are ``(batch, 1, side, side)`` float32 in [0, 1]; decoded images are logits of the same shape, whose sigmoid
    is the reconstruction. Weights are zero until `starting_weights` draws them.

    The code layer has ``outputs_per_unit`` outputs for each unit of the code, which ``read_code`` makes of them; by
    default they are the code. One that is not ``decoded`` ends there: it has an encoder alone. One that is
    ``linear`` decodes to the image itself.
    """

    def __init__(
        self,
        architecture: Architecture,
        code_size: int,
        filters: Filters | None = None,
        image_size: int = IMAGE_SIZE,
        outputs_per_unit: int = 1,
        read_code: Callable[[Tensor], Tensor] | None = None,
        decoded: bool = True,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self._read_code = read_code
        self.code_size = code_size
        self.image_size = image_size
        stages = tuple(_pair_layers(list_layers(architecture, code_size, filters, image_size, outputs_per_unit)))
        after_code = 1 + [stage.layer.name for stage in stages].index("code")
        self.encoder_stages, self.decoder_stages = stages[:after_code], stages[after_code:] if decoded else ()
        self.stages = self.encoder_stages + self.decoder_stages
        self.pooling: Pooling = architecture.pooling or "none"
        self.unpooling: Unpooling = architecture.unpooling or "none"
        self.plain, self.linear = False, False
        self._operations = {stage: _make_operation(stage, self.pooling, self.unpooling) for stage in self.stages}
        for stage in self.stages:
            self.add_module(stage.layer.name, _Parameters(stage.layer))

    def weight(self, layer: Layer) -> nn.Parameter:
        """Return the weight of ``layer``."""
        return self.get_submodule(layer.name).weight  # type: ignore[return-value]

    def bias(self, layer: Layer) -> nn.Parameter:
        """Return the bias of ``layer``."""
        return self.get_submodule(layer.name).bias  # type: ignore[return-value]

    def count_multiply_adds(self) -> int:
        """Return the multiply-adds of a forward pass for one image, products with unpooling's zeros included."""
        return sum(stage.layer.multiply_adds for stage in self.stages)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the reconstruction, ``(batch, 1, side, side)``."""
        return self.decode(*self.encode_with_switches(images))

    def encode(self, images: Tensor) -> Tensor:
        """Return the code, ``(batch, code_size)``."""
        return self.encode_with_switches(images)[0]

    def encode_with_switches(self, images: Tensor) -> tuple[Tensor, Switches]:
        """Return the code and the switches, which are empty unless the decoder uses them."""
        outputs, switches = self.compute_outputs(images)
        return self.read_code(outputs), switches

    def compute_outputs(self, images: Tensor) -> tuple[Tensor, Switches]:
        """Return the outputs of the code layer, ``(batch, outputs)``, and the switches."""
        switches: Switches = {}
        return self._run(self.encoder_stages, images, switches), switches

    def run(self, stages: Iterable[Stage], maps: Tensor, switches: Switches) -> Tensor:
        """Return what consecutive layers make of ``maps``; the code where they end at its layer.

        Switches of the encoder's maxima are added to ``switches``, and read where the decoder unpools. Maps are
        ``(batch, maps, side, side)``, those of fully connected layers ``(batch, units)``.
        """
        chosen = set(stages)
        for half in (self.encoder_stages, self.decoder_stages):
            if part := tuple(stage for stage in half if stage in chosen):
                maps = self._run(part, maps, switches)
                maps = self.read_code(maps) if part[-1].layer.name == "code" else maps
        return maps

    def _run(self, stages: tuple[Stage, ...], maps: Tensor, switches: Switches) -> Tensor:
        """Return the same of layers of one half; the code layer's outputs are returned as they are."""
        if self._compiles(maps):
            switched = self.unpooling == "switches"
            pooled = [stage.pool_level for stage in stages if stage.pool_level is not None and switched]
            unpooled = [stage.unpool_level for stage in stages if stage.unpool_level is not None and switched]
            maps, *phases = Layers.apply(  # type: ignore[no-untyped-call]
                tuple(self._operations[stage] for stage in stages),
                switched,
                tuple(switches[level] for level in unpooled),
                maps if maps.dim() == 4 else maps[:, :, None, None],
                *self._list_parameters(stages),
            )
            switches.update(zip(pooled, phases, strict=True))
            return maps.flatten(1) if stages[-1].layer.kind == "linear" else maps
        for stage in stages:
            maps = self.preactivate(stage, maps, switches)
            maps = maps if stage.layer.name == "code" else self.activate(stage, maps)
        return maps

    def read_code(self, outputs: Tensor) -> Tensor:
        """Return the code, ``(batch, code_size)``, that the outputs of the code layer make."""
        return outputs if self._read_code is None else self._read_code(outputs)

    def decode(self, code: Tensor, switches: Switches | None = None) -> Tensor:
        """Return the logits of the image that ``code`` stands for, ``(batch, 1, side, side)``.

        Raises:
            InputError: the model unpools with switches and none are given: a code alone does not tell it where to put
                its values.
        """
        if self.unpooling == "switches" and not switches:
            raise InputError(
                f"{self.architecture.name} was asked to decode a code without switches",
                "a code with the switches of an image, as encode_with_switches returns them",
                "pass switches, or choose an architecture that unpools without them, as model_4",
            )
        maps = self._run(self.decoder_stages, code, switches or {})
        return maps.view(-1, 1, self.image_size, self.image_size)

    def _compiles(self, maps: Tensor) -> bool:
        """Whether ``maps`` go through the engine's kernels: this is where it is decided.

        ``plain`` is for what the engine cannot do: derivatives of derivatives, and comparing it with stock layers.
        """
        return (
            not self.plain
            and maps.device.type == "cpu"
            and maps.dtype == self.weight(self.stages[0].layer).dtype == torch.float32
            and len(maps) > 0
            and has_kernels()
        )

    def _list_parameters(self, stages: tuple[Stage, ...]) -> Iterator[Tensor]:
        for stage in stages:
            yield self.weight(stage.layer)
            yield self.bias(stage.layer)

    def preactivate(self, stage: Stage, maps: Tensor, switches: Switches) -> Tensor:
        """Return what the stage's activation is applied to; the encoder's switches are added to ``switches``.

        Maxima are taken before the activation: it is monotone, so the result is the same with a quarter of its work.
        """
        layer = stage.layer
        weight, bias = self.weight(layer), self.bias(layer)
        if layer.kind == "linear":
            return F.linear(maps.flatten(1), weight, bias)
        if layer.kind == "conv":
            maps = F.conv2d(maps, weight, bias, layer.stride)
            if stage.pool_level is not None and self.pooling == "max":
                maps, phases = pool_with_phases(maps)
                if self.unpooling == "switches":
                    switches[stage.pool_level] = phases
            return maps
        if maps.dim() == 2:
            maps = maps[:, :, None, None]
        if stage.unpool_level is not None:
            if self.unpooling == "corner":
                # One of stride 2, whose last row and column see the bias alone.
                return F.conv_transpose2d(maps, weight, bias, stride=2, output_padding=1)
            if self.unpooling == "switches":
                maps = unpool(maps, switches[stage.unpool_level])
            else:
                maps = unpool_tile(maps if self.unpooling == "tile" else 0.25 * maps)
        return F.conv_transpose2d(maps, weight, bias)

    def activate(self, stage: Stage, preactivation: Tensor) -> Tensor:
        """Return the stage's output: its activation, then the average where that is how it pools, or the code."""
        maps = _ACTIVATIONS[stage.layer.activation](preactivation)
        if stage.layer.name == "code":
            return self.read_code(maps)
        if stage.pool_level is not None and self.pooling == "average":
            maps = F.avg_pool2d(maps, 2)
        return maps


def _make_operation(stage: Stage, pooling: Pooling, unpooling: Unpooling) -> Operation:
    """Return what the engine is told of a stage."""
    layer = stage.layer
    corner = stage.unpool_level is not None and unpooling == "corner"
    return Operation(
        kind="deconv" if layer.kind == "deconv" else "conv",
        in_maps=layer.in_maps,
        in_side=layer.in_size // 2 if corner else layer.in_size,
        out_maps=layer.out_maps,
        out_side=layer.out_size,
        kernel=layer.in_size if layer.kind == "linear" else layer.kernel,
        stride=2 if corner else layer.stride,
        activation=layer.activation,
        pooling="none" if stage.pool_level is None or pooling == "stride" else pooling,
        unpooling="none" if stage.unpool_level is None or unpooling == "corner" else unpooling,
    )


def _pair_layers(stack: tuple[Layer, ...]) -> Iterator[Stage]:
    def find_level(neighbour: Layer | None, kind: str) -> int | None:
        return int(neighbour.name[-1]) if neighbour is not None and neighbour.kind == kind else None

    for before, layer, after in zip((None, *stack[:-1]), stack, (*stack[1:], None), strict=True):
        if layer.weight_shape:
            yield Stage(layer, find_level(before, "unpool"), find_level(after, "pool"))
