"""The layers of a row of `architectures` with their sizes, from which parameters and multiply-adds follow.

`autoencoder` builds the module from them. Sources in brackets are those of `architectures`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from trainables.errors import InputError
from trainables.models.architectures import (
    IMAGE_SIZE,
    Activation,
    Architecture,
    ClassicAutoencoder,
    ConvolutionalAutoencoder,
    Decoder,
    Filters,
    ModuleAutoencoder,
)

HIDDEN_UNITS = 250
"""Width of the fully connected layers beside the code. Source: [file]."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer with its sizes; maps are square, a fully connected layer has maps of side 1.

    A ``conv``, ``deconv`` or ``linear`` layer has weights and is followed by ``activation`` (``none`` for code and
    output); a ``pool`` or ``unpool`` layer has none.
    """

    name: str
    kind: Literal["conv", "deconv", "linear", "pool", "unpool"]
    in_maps: int
    in_size: int
    out_maps: int
    out_size: int
    kernel: int = 1
    stride: int = 1
    activation: Activation | Literal["none"] = "none"

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight as PyTorch and Caffe store it; empty for a layer without weights."""
        if self.kind == "linear":
            return (self.out_maps, self.in_maps * self.in_size**2)
        if self.kind == "conv":
            return (self.out_maps, self.in_maps, self.kernel, self.kernel)
        if self.kind == "deconv":
            return (self.in_maps, self.out_maps, self.kernel, self.kernel)
        return ()

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return math.prod(self.weight_shape) + self.out_maps if self.weight_shape else 0

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a forward pass for one image, those with unpooling's zeros included.

        Biases are left out; a deconvolution counts in x out x kernel^2 x height x width of its input.
        """
        if not self.weight_shape:
            return 0
        side = self.in_size if self.kind == "deconv" else self.out_size
        return math.prod(self.weight_shape) * side**2


def list_layers(
    architecture: Architecture,
    code_size: int,
    filters: Filters | None = None,
    image_size: int = IMAGE_SIZE,
    outputs_per_unit: int = 1,
) -> tuple[Layer, ...]:
    """Return the layers of ``architecture`` from image to output, each with its sizes.

    Args:
        architecture: a row of `BUILT_IN` or one of its kind.
        code_size: units of the code layer.
        filters: filter counts of the two convolutions; the published ones when None. A classic auto-encoder has none.
        image_size: side of the square, one-channel images, in pixels.
        outputs_per_unit: of the code layer, for each unit of the code that is made of them.

    Raises:
        InputError: the sizes do not work out: a kernel larger than its maps, or an output that is not the image's size;
            or it is a module of the user's own.
    """
    if code_size < 1:
        raise InputError(f"code size {code_size}", "a whole number of at least 1", "give another code size")
    if isinstance(architecture, ClassicAutoencoder):
        return _list_classic_layers(architecture, code_size, image_size, outputs_per_unit)
    if isinstance(architecture, ModuleAutoencoder):
        raise InputError(
            f"{architecture.name} is a module of its own, of whose layers nothing is known",
            "a row of the table of architectures",
            "choose another model",
        )
    filters = filters or architecture.published_filters
    if min(filters) < 1:
        raise InputError(f"filter counts {filters}", "whole numbers of at least 1", "give other filter counts")
    encoder = _list_encoder_layers(architecture, filters, image_size)
    last = encoder[-1]
    middle = (
        Layer("fc_in", "linear", last.out_maps, last.out_size, HIDDEN_UNITS, 1, activation=architecture.activation),
        Layer("code", "linear", HIDDEN_UNITS, 1, outputs_per_unit * code_size, 1),
        Layer("fc_out", "linear", code_size, 1, HIDDEN_UNITS, 1, activation=architecture.activation),
    )
    decoder = _list_decoder_layers(architecture, encoder, filters, image_size)
    stack = (*encoder, *middle, *decoder)
    if any(layer.out_size < 1 for layer in stack) or stack[-1].out_size != image_size:
        sizes = ", ".join(f"{layer.name} {layer.in_size} -> {layer.out_size}" for layer in stack)
        raise InputError(
            f"{architecture.name} does not fit images of {image_size}x{image_size}: {sizes}",
            "sizes of at least 1 and an output of the image's size",
            "change kernels or images",
        )
    if architecture.unpooling == "switches":
        sides = {layer.name: layer.in_size // 2 if layer.kind == "pool" else layer.in_size for layer in stack}
        for level in "12":
            if sides[f"pool{level}"] != sides[f"unpool{level}"]:
                raise InputError(
                    f"{architecture.name} unpools with switches, but pool{level} gives maps of {sides[f'pool{level}']} "
                    f"and unpool{level} takes maps of {sides[f'unpool{level}']}",
                    "maps of one size on either side of the switches",
                    "change kernels, or unpool otherwise",
                )
    return stack


def _list_encoder_layers(
    architecture: ConvolutionalAutoencoder, filters: Filters, image_size: int
) -> tuple[Layer, ...]:
    stack: list[Layer] = []
    maps, size = 1, image_size
    stride = 2 if architecture.pooling == "stride" else 1
    for number, (kernel, out_maps) in enumerate(zip(architecture.encoder.kernels, filters, strict=True), start=1):
        out_size = (size - kernel) // stride + 1
        stack.append(
            Layer(f"conv{number}", "conv", maps, size, out_maps, out_size, kernel, stride, architecture.activation)
        )
        maps, size = out_maps, out_size
        if architecture.encoder.pooled and stride == 1:
            stack.append(Layer(f"pool{number}", "pool", maps, size, maps, size // 2, kernel=2, stride=2))
            size //= 2
    return tuple(stack)


def _list_decoder_layers(
    architecture: ConvolutionalAutoencoder, encoder: tuple[Layer, ...], filters: Filters, image_size: int
) -> tuple[Layer, ...]:
    decoder = architecture.decoder
    counts = filters if decoder.unpooled else _balance_filters(encoder, decoder, image_size)
    stack: list[Layer] = []
    maps, size = HIDDEN_UNITS, 1
    # Numbered from the output, as in the encoder, so that the same number means the same level.
    for number, kernel, out_maps in ((2, decoder.kernels[0], counts[1]), (1, decoder.kernels[1], counts[0])):
        out_size = size + kernel - 1
        stack.append(
            Layer(f"deconv{number}", "deconv", maps, size, out_maps, out_size, kernel, 1, architecture.activation)
        )
        maps, size = out_maps, out_size
        if decoder.unpooled:
            stack.append(Layer(f"unpool{number}", "unpool", maps, size, maps, size * 2, kernel=2, stride=2))
            size *= 2
    kernel = decoder.kernels[2]
    stack.append(Layer("output", "deconv", maps, size, 1, size + kernel - 1, kernel))
    return tuple(stack)


def _balance_filters(encoder: tuple[Layer, ...], decoder: Decoder, image_size: int) -> Filters:
    """Filter counts that give each decoder level as many elements as the encoder's of the same number.

    Total elements of each encoder stage's output, after its pooling where it has one, divided by the area of the
    decoder's map, rounded, at least 1. Source: the paper's advice of symmetry [notes] made a rule [rule]; it
    reproduces the authors' two files.
    """
    elements = {layer.name[-1]: layer.out_maps * layer.out_size**2 for layer in encoder}  # pooling overwrites conv
    size_2 = decoder.kernels[0]
    size_1 = size_2 + decoder.kernels[1] - 1
    return max(1, round(elements["1"] / size_1**2)), max(1, round(elements["2"] / size_2**2))


def _list_classic_layers(
    architecture: ClassicAutoencoder, code_size: int, image_size: int, outputs_per_unit: int
) -> tuple[Layer, ...]:
    act = architecture.activation
    stack: list[Layer] = []
    maps, size = 1, image_size
    for number, width in enumerate(architecture.widths, start=1):
        stack.append(Layer(f"fc{number}_in", "linear", maps, size, width, 1, activation=act))
        maps, size = width, 1
    stack.append(Layer("code", "linear", maps, size, outputs_per_unit * code_size, 1))
    maps = code_size
    for number, width in reversed(tuple(enumerate(architecture.widths, start=1))):
        stack.append(Layer(f"fc{number}_out", "linear", maps, 1, width, 1, activation=act))
        maps = width
    stack.append(Layer("output", "linear", maps, 1, image_size**2, 1))
    return tuple(stack)


def count_parameters(
    architecture: Architecture, code_size: int, filters: Filters | None = None, outputs_per_unit: int = 1
) -> int:
    """Return the number of trained weights and biases."""
    layers = list_layers(architecture, code_size, filters, outputs_per_unit=outputs_per_unit)
    return sum(layer.parameters for layer in layers)


def count_multiply_adds(
    architecture: Architecture, code_size: int, filters: Filters | None = None, outputs_per_unit: int = 1
) -> int:
    """Return the multiply-adds of a forward pass for one image, products with unpooling's zeros included."""
    layers = list_layers(architecture, code_size, filters, outputs_per_unit=outputs_per_unit)
    return sum(layer.multiply_adds for layer in layers)
