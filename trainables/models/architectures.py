"""The models as a table: five of Turchenko, Chalmers and Luczak (2019), the sixth that completes the grid, controls.

A convolutional model is a row that joins an encoder half and a decoder half; `list_layers` reads a row and gives its
layers with their sizes, from which parameters and multiply-adds follow and from which `autoencoder` builds the module.

Sources, in brackets below: [abstract] the publisher's abstract; [file] a Caffe network file that appears to be the
authors'; [similar] one of the same design, authorship uncertain; [notes] a reader's public notes on the paper; [rule]
computed from [file]; [ours] a decision of this project where nothing public says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from trainables.errors import InputError

Activation = Literal["sigmoid", "tanh", "relu"]
Pooling = Literal["none", "max", "average", "stride"]
Unpooling = Literal["none", "corner", "tile", "average", "switches"]
Filters = tuple[int, int]

IMAGE_SIZE = 28
SEARCHED = ("learning_rate", "filters_1", "filters_2")
"""Settings that the search of a convolutional model chooses; any other model's are among them."""

HIDDEN_UNITS = 250
"""Width of the fully connected layers beside the code. Source: [file]."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """Two convolutions of stride 1 without padding, each followed by 2x2 pooling of stride 2 or by none."""

    name: str
    kernels: tuple[int, int]
    pooled: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Three deconvolutions of stride 1; the last gives one map; the first two are followed by unpooling or by none.

    Without unpooling the filter counts follow the rule of `_symmetric_filters`; with it they are the encoder's.
    """

    name: str
    kernels: tuple[int, int, int]
    unpooled: bool
    source: str = ""


PLAIN = Encoder("plain", kernels=(9, 9), pooled=False, source="[file]")
POOLED = Encoder("pooled", kernels=(5, 5), pooled=True, source="[similar]")
DECONV = Decoder("deconv", kernels=(12, 17, 1), unpooled=False, source="[file]")
UNPOOL = Decoder("unpool", kernels=(4, 5, 5), unpooled=True, source="[similar]")


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
        if not self.weight_shape:
            return 0
        count = self.out_maps
        product = 1
        for side in self.weight_shape:
            product *= side
        return count + product

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a forward pass for one image, those with unpooling's zeros included.

        Biases are left out; a deconvolution counts in x out x kernel^2 x height x width of its input.
        """
        if self.kind == "linear":
            return self.out_maps * self.in_maps * self.in_size**2
        area = self.out_size if self.kind == "conv" else self.in_size
        if self.kind in ("conv", "deconv"):
            return self.in_maps * self.out_maps * self.kernel**2 * area**2
        return 0


@dataclass(frozen=True, slots=True)
class ConvolutionalAutoencoder:
    """A row of the table of convolutional models: two halves and what flows between them.

    Every kind of row says of itself, under the same names, whether it is ``trained``, whether it is ``ranked`` (it
    shares the parameter budget), which settings are ``searched``, and its ``published_filters``.
    """

    name: str
    label: str
    notation: str
    encoder: Encoder
    decoder: Decoder
    published_filters: Filters
    source: str = ""
    activation: Activation = "sigmoid"
    pooling: Pooling = "none"
    unpooling: Unpooling = "none"

    def __post_init__(self) -> None:
        if self.encoder.pooled == (self.pooling == "none"):
            raise ValueError(f"{self.name}: encoder {self.encoder.name} does not go with pooling {self.pooling}")
        if self.decoder.unpooled == (self.unpooling == "none"):
            raise ValueError(f"{self.name}: decoder {self.decoder.name} does not go with unpooling {self.unpooling}")
        if self.unpooling == "switches" and self.pooling != "max":
            raise ValueError(f"{self.name}: switches are the positions of maxima, so they need pooling max")

    trained: ClassVar[bool] = True
    ranked: ClassVar[bool] = True
    searched: ClassVar[tuple[str, ...]] = SEARCHED
    fixed_code_size: ClassVar[None] = None
    lossless: ClassVar[bool] = False

    @property
    def through_code(self) -> bool:
        """Whether the decoder has the code alone: switches carry the image past it."""
        return self.unpooling != "switches"


@dataclass(frozen=True, slots=True)
class ClassicAutoencoder:
    """Fully connected layers only, mirrored around the code. A control: its widths are not searched."""

    trained: ClassVar[bool] = True
    ranked: ClassVar[bool] = False
    searched: ClassVar[tuple[str, ...]] = SEARCHED[:1]
    published_filters: ClassVar[None] = None
    pooling: ClassVar[None] = None
    unpooling: ClassVar[None] = None
    fixed_code_size: ClassVar[None] = None
    lossless: ClassVar[bool] = False
    through_code: ClassVar[bool] = True

    name: str
    label: str
    notation: str
    widths: tuple[int, ...]
    source: str = ""
    activation: Activation = "sigmoid"


@dataclass(frozen=True, slots=True)
class Control:
    """A code without training: principal components, or the pixels themselves.

    ``fixed_code_size`` is the one code size that it has, where it has but one; ``lossless`` is a code from which the
    image comes back as it was, so that its reconstruction says nothing.
    """

    name: str
    label: str
    notation: str
    source: str
    fixed_code_size: int | None = None
    lossless: bool = False

    trained: ClassVar[bool] = False
    ranked: ClassVar[bool] = False
    searched: ClassVar[tuple[str, ...]] = ()
    published_filters: ClassVar[None] = None
    pooling: ClassVar[None] = None
    unpooling: ClassVar[None] = None
    through_code: ClassVar[bool] = True


Architecture = ConvolutionalAutoencoder | ClassicAutoencoder


_ROWS: tuple[Architecture, ...] = (
    ConvolutionalAutoencoder(
        name="model_1",
        label="Model 1",
        notation="(conv <-> deconv)",
        encoder=PLAIN,
        decoder=DECONV,
        published_filters=(8, 4),
        source="[file]",
    ),
    ConvolutionalAutoencoder(
        name="model_2",
        label="Model 2",
        notation="(conv, pool <-> deconv)",
        encoder=POOLED,
        decoder=DECONV,
        published_filters=(26, 36),
        source="[abstract: the idea of Neon's example]; sizes [rule]",
        pooling="max",
    ),
    ConvolutionalAutoencoder(
        name="model_3",
        label="Model 3",
        notation="(conv, pool (sw) <-> unpool (sw), deconv)",
        encoder=POOLED,
        decoder=UNPOOL,
        published_filters=(26, 36),
        source="[notes]; sizes [similar]",
        pooling="max",
        unpooling="switches",
    ),
    ConvolutionalAutoencoder(
        name="model_4",
        label="Model 4",
        notation="(conv, pool <-> unpool, deconv)",
        encoder=POOLED,
        decoder=UNPOOL,
        published_filters=(26, 36),
        source="[abstract]; sizes [similar]",
        pooling="max",
        unpooling="corner",
    ),
    ConvolutionalAutoencoder(
        name="model_5",
        label="Model 5",
        notation="(conv, pool (tanh) <-> unpool (tanh), deconv)",
        encoder=POOLED,
        decoder=UNPOOL,
        published_filters=(26, 36),
        source="[ours]: no public source defines the fifth model; sizes [similar]",
        activation="tanh",
        pooling="max",
        unpooling="corner",
    ),
    ConvolutionalAutoencoder(
        name="unpool_only",
        label="Unpool only",
        notation="(conv <-> unpool, deconv)",
        encoder=PLAIN,
        decoder=UNPOOL,
        published_filters=(8, 4),
        source="[ours]: completes the grid of halves, the other reading of the fifth model",
        unpooling="corner",
    ),
    ClassicAutoencoder(
        name="classic_autoencoder",
        label="Classic auto-encoder",
        notation="(fully connected <-> fully connected)",
        widths=(1000, 500, 250),
        source="Caffe's example mnist_autoencoder",
    ),
)

BUILT_IN: Mapping[str, Architecture] = MappingProxyType({row.name: row for row in _ROWS})
"""The models of this file that are trained, by name, in the order of tables and figures."""

ARCHITECTURES = BUILT_IN

CONTROLS: Mapping[str, Control] = MappingProxyType(
    {
        row.name: row
        for row in (
            Control("pca", "PCA", "(linear <-> linear)", "Pearson (1901); Hotelling (1933)"),
            Control("raw_pixels", "Raw pixels", "(identity)", "", fixed_code_size=IMAGE_SIZE**2, lossless=True),
        )
    }
)
"""Codes that need no training, by name; they go through the same evaluation and stand in the same tables."""


def list_layers(
    architecture: Architecture, code_size: int, filters: Filters | None = None, image_size: int = IMAGE_SIZE
) -> tuple[Layer, ...]:
    """Return the layers of ``architecture`` from image to output, each with its sizes.

    Args:
        architecture: a row of `BUILT_IN` or one of its kind.
        code_size: units of the code layer.
        filters: filter counts of the two convolutions; the published ones when None. A classic auto-encoder has none.
        image_size: side of the square, one-channel images, in pixels.

    Raises:
        InputError: the sizes do not work out: a kernel larger than its maps, or an output that is not the image's size.
    """
    if code_size < 1:
        raise InputError(f"code size {code_size}", "a whole number of at least 1", "give another code size")
    if isinstance(architecture, ClassicAutoencoder):
        return _classic_layers(architecture, code_size, image_size)
    filters = filters or architecture.published_filters
    if min(filters) < 1:
        raise InputError(f"filter counts {filters}", "whole numbers of at least 1", "give other filter counts")
    encoder = _encoder_layers(architecture, filters, image_size)
    last = encoder[-1]
    middle = (
        Layer("fc_in", "linear", last.out_maps, last.out_size, HIDDEN_UNITS, 1, activation=architecture.activation),
        Layer("code", "linear", HIDDEN_UNITS, 1, code_size, 1),
        Layer("fc_out", "linear", code_size, 1, HIDDEN_UNITS, 1, activation=architecture.activation),
    )
    decoder = _decoder_layers(architecture, encoder, filters, image_size)
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


def _encoder_layers(architecture: ConvolutionalAutoencoder, filters: Filters, image_size: int) -> tuple[Layer, ...]:
    stack: list[Layer] = []
    maps, size = 1, image_size
    strided = architecture.pooling == "stride"
    for number, (kernel, out_maps) in enumerate(zip(architecture.encoder.kernels, filters, strict=True), start=1):
        stride = 2 if strided else 1
        out_size = (size - kernel) // stride + 1
        stack.append(
            Layer(f"conv{number}", "conv", maps, size, out_maps, out_size, kernel, stride, architecture.activation)
        )
        maps, size = out_maps, out_size
        if architecture.encoder.pooled and not strided:
            stack.append(Layer(f"pool{number}", "pool", maps, size, maps, size // 2, kernel=2, stride=2))
            size //= 2
    return tuple(stack)


def _decoder_layers(
    architecture: ConvolutionalAutoencoder, encoder: tuple[Layer, ...], filters: Filters, image_size: int
) -> tuple[Layer, ...]:
    decoder = architecture.decoder
    counts = filters if decoder.unpooled else _symmetric_filters(encoder, decoder, image_size)
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


def _symmetric_filters(encoder: tuple[Layer, ...], decoder: Decoder, image_size: int) -> Filters:
    """Filter counts that give each decoder level as many elements as the encoder's of the same number.

    Total elements of each encoder stage's output, after its pooling where it has one, divided by the area of the
    decoder's map, rounded, at least 1. Source: the paper's advice of symmetry [notes] made a rule [rule]; it
    reproduces the authors' two files.
    """
    elements = {layer.name[-1]: layer.out_maps * layer.out_size**2 for layer in encoder}  # pooling overwrites conv
    size_2 = decoder.kernels[0]
    size_1 = size_2 + decoder.kernels[1] - 1
    return max(1, round(elements["1"] / size_1**2)), max(1, round(elements["2"] / size_2**2))


def _classic_layers(architecture: ClassicAutoencoder, code_size: int, image_size: int) -> tuple[Layer, ...]:
    act = architecture.activation
    stack: list[Layer] = []
    maps, size = 1, image_size
    for number, width in enumerate(architecture.widths, start=1):
        stack.append(Layer(f"fc{number}_in", "linear", maps, size, width, 1, activation=act))
        maps, size = width, 1
    stack.append(Layer("code", "linear", maps, 1, code_size, 1))
    maps = code_size
    for number, width in reversed(tuple(enumerate(architecture.widths, start=1))):
        stack.append(Layer(f"fc{number}_out", "linear", maps, 1, width, 1, activation=act))
        maps = width
    stack.append(Layer("output", "linear", maps, 1, image_size**2, 1))
    return tuple(stack)


def count_parameters(architecture: Architecture, code_size: int, filters: Filters | None = None) -> int:
    """Return the number of trained weights and biases."""
    return sum(layer.parameters for layer in list_layers(architecture, code_size, filters))


def count_multiply_adds(architecture: Architecture, code_size: int, filters: Filters | None = None) -> int:
    """Return the multiply-adds of a forward pass for one image, products with unpooling's zeros included."""
    return sum(layer.multiply_adds for layer in list_layers(architecture, code_size, filters))


def with_variant(
    architecture: Architecture,
    activation: Activation | None = None,
    pooling: Pooling | None = None,
    unpooling: Unpooling | None = None,
) -> Architecture:
    """Return ``architecture`` with some of its non-linearity, pooling and unpooling replaced.

    Raises:
        ValueError: the combination makes no sense, as switches without maxima.
    """
    changes = {"activation": activation, "pooling": pooling, "unpooling": unpooling}
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(architecture, **given)  # type: ignore[arg-type]
