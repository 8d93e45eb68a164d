"""The models as a table: five of Turchenko, Chalmers and Luczak (2019), the sixth that completes the grid, controls.

A convolutional model is a row that joins an encoder half and a decoder half; `layers` works out the sizes of a row's
layers. What the annotations of a row say is what a row of one's own may be: `custom` has pydantic check it.

Sources, in brackets below: [abstract] the publisher's abstract; [file] a Caffe network file that appears to be the
authors'; [similar] one of the same design, authorship uncertain; [notes] a reader's public notes on the paper; [rule]
computed from [file]; [ours] a decision of this project where nothing public says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictInt, StrictStr, with_config
from pydantic.fields import FieldInfo

from trainables.errors import FieldError

Activation = Literal["sigmoid", "tanh", "relu"]
Pooling = Literal["none", "max", "average", "stride"]
Unpooling = Literal["none", "corner", "tile", "average", "switches"]
Count = Annotated[int, Field(strict=True, ge=1, le=10_000)]
"""Filter counts, widths and kernels, at most far above what fits."""

Pair = Annotated[tuple[Count, Count], Field(description="2 whole numbers from 1")]
Filters = Pair


def _pattern(pattern: str, description: str) -> FieldInfo:
    return Field(strict=True, pattern=f"^{pattern}$", description=description)  # type: ignore[no-any-return]


Name = Annotated[str, _pattern("[a-z][a-z0-9_]{0,39}", "small letters, digits and '_', from a letter on, at most 40")]
Text = Annotated[str, _pattern(r"[^\x00-\x1f\x7f]{1,100}", "a text of 1 to 100 characters, without line breaks")]
Note = Annotated[str, _pattern(r"[^\x00-\x1f\x7f]{0,200}", "a text of at most 200 characters, without line breaks")]

Setting = StrictBool | StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)] | StrictStr
"""A value that a module's factory is given by name, as JSON and TOML have it."""

_forbid_others = with_config(ConfigDict(extra="forbid", revalidate_instances="always"))

IMAGE_SIZE = 28
SEARCHED = ("learning_rate", "filters_1", "filters_2")
"""Settings that the search of a convolutional model chooses; any other model's are among them."""


@_forbid_others
@dataclass(frozen=True, slots=True)
class Encoder:
    """Two convolutions of stride 1 without padding, each followed by 2x2 pooling of stride 2 or by none."""

    name: Text
    kernels: Pair
    pooled: StrictBool
    source: Note = ""


@_forbid_others
@dataclass(frozen=True, slots=True)
class Decoder:
    """Three deconvolutions of stride 1; the last gives one map; the first two are followed by unpooling or by none.

    Without unpooling the filter counts follow the rule of `_balance_filters`; with it they are the encoder's.
    """

    name: Text
    kernels: Annotated[tuple[Count, Count, Count], Field(description="3 whole numbers from 1")]
    unpooled: StrictBool
    source: Note = ""


PLAIN = Encoder("plain", kernels=(9, 9), pooled=False, source="[file]")
POOLED = Encoder("pooled", kernels=(5, 5), pooled=True, source="[similar]")
DECONV = Decoder("deconv", kernels=(12, 17, 1), unpooled=False, source="[file]")
UNPOOL = Decoder("unpool", kernels=(4, 5, 5), unpooled=True, source="[similar]")


@_forbid_others
@dataclass(frozen=True, slots=True)
class ConvolutionalAutoencoder:
    """A row of the table of convolutional models: two halves and what flows between them.

    Every kind of row says of itself, under the same names, whether it is ``trained``, whether it is ``ranked`` (it
    shares the parameter budget), which settings are ``searched``, and its ``published_filters``. Those that are trained
    say how many non-zero weights an input of a fully connected layer has on average at the start of recipe caffe.
    One that is not ``layered`` is a module of which codes and images are known and no layers: what needs layers is left
    out of it, and it alone has ``settings``.
    """

    name: Name
    label: Text
    notation: Text
    encoder: Encoder
    decoder: Decoder
    published_filters: Filters
    source: Note = ""
    activation: Activation = "sigmoid"
    pooling: Pooling = "none"
    unpooling: Unpooling = "none"

    def __post_init__(self) -> None:
        if self.encoder.pooled == (self.pooling == "none"):
            raise FieldError(
                "pooling",
                f"{self.name}: encoder {self.encoder.name} does not go with pooling {self.pooling}",
                "pooling max, average or stride, or encoder PLAIN"
                if self.encoder.pooled
                else "pooling none, or encoder POOLED",
                "change one of them",
            )
        if self.decoder.unpooled == (self.unpooling == "none"):
            raise FieldError(
                "unpooling",
                f"{self.name}: decoder {self.decoder.name} does not go with unpooling {self.unpooling}",
                "unpooling corner, tile, average or switches, or decoder DECONV"
                if self.decoder.unpooled
                else "unpooling none, or decoder UNPOOL",
                "change one of them",
            )
        if self.unpooling == "switches" and self.pooling != "max":
            raise FieldError(
                "unpooling",
                f"{self.name}: switches are the positions of maxima, so they need pooling max",
                "pooling max, or unpooling corner, tile or average",
                "change one of them",
            )

    trained: ClassVar[bool] = True
    ranked: ClassVar[bool] = True
    layered: ClassVar[bool] = True
    settings: ClassVar[None] = None
    searched: ClassVar[tuple[str, ...]] = SEARCHED
    sparse_inputs: ClassVar[int] = 25  # Source: [file], the filler's ``sparse``.
    fixed_code_size: ClassVar[None] = None
    lossless: ClassVar[bool] = False
    with_umap: ClassVar[bool] = False

    @property
    def through_code(self) -> bool:
        """Whether the decoder has the code alone: switches carry the image past it."""
        return self.unpooling != "switches"


@_forbid_others
@dataclass(frozen=True, slots=True)
class ClassicAutoencoder:
    """Fully connected layers only, mirrored around the code. A control: its widths are not searched."""

    trained: ClassVar[bool] = True
    ranked: ClassVar[bool] = False
    layered: ClassVar[bool] = True
    settings: ClassVar[None] = None
    searched: ClassVar[tuple[str, ...]] = SEARCHED[:1]
    sparse_inputs: ClassVar[int] = 15  # Source: Caffe's example mnist_autoencoder.
    published_filters: ClassVar[None] = None
    pooling: ClassVar[None] = None
    unpooling: ClassVar[None] = None
    fixed_code_size: ClassVar[None] = None
    lossless: ClassVar[bool] = False
    with_umap: ClassVar[bool] = False
    through_code: ClassVar[bool] = True

    name: Name
    label: Text
    notation: Text
    widths: Annotated[tuple[Count, ...], Field(min_length=1, max_length=10, description="1 to 10 whole numbers from 1")]
    source: Note = ""
    activation: Activation = "sigmoid"


@_forbid_others
@dataclass(frozen=True, slots=True)
class ModuleAutoencoder:
    """A module of the user's own; it is ranked, and keeps to the parameter budget.

    ``build(code_size, **settings)`` returns an `nn.Module` with two methods: ``encode`` takes images, (batch, 1, side,
    side) float32 in [0, 1], and returns codes, (batch, code_size); ``decode`` takes such codes and returns logits of
    the images' shape, whose sigmoid is the reconstruction. It stands in no file but the user's: a row that was read
    from another has None.

    ``settings`` are what search trial 0 gives it, ``space`` is what later ones choose from, by setting: one of Optuna's
    distributions, as ``{"distribution": "IntDistribution", "low": 8, "high": 64, "log": True}``. What the space leaves
    out stays as it is.
    """

    trained: ClassVar[bool] = True
    ranked: ClassVar[bool] = True
    layered: ClassVar[bool] = False
    searched: ClassVar[tuple[str, ...]] = SEARCHED[:1]
    sparse_inputs: ClassVar[int] = 0
    published_filters: ClassVar[None] = None
    activation: ClassVar[None] = None
    pooling: ClassVar[None] = None
    unpooling: ClassVar[None] = None
    fixed_code_size: ClassVar[None] = None
    lossless: ClassVar[bool] = False
    with_umap: ClassVar[bool] = False
    through_code: ClassVar[bool] = True

    name: Name
    label: Text
    notation: Text
    build: Annotated[Callable[..., Any] | None, Field(exclude=True, description="a function that returns the module")]
    settings: Annotated[
        dict[Name, Setting], Field(description="what build takes besides code_size, by name: numbers, texts, booleans")
    ] = field(default_factory=dict)
    space: Annotated[
        dict[Name, dict[StrictStr, Setting | list[Setting]]],
        Field(description="distributions of Optuna by the name of a setting, as docs/extending.md shows"),
    ] = field(default_factory=dict)
    source: Note = ""


@dataclass(frozen=True, slots=True)
class Control:
    """A code to compare with, of which nothing is searched: principal components, the pixels, one that sees labels.

    ``fixed_code_size`` is the one code size that it has, where it has but one; ``lossless`` is a code from which the
    image comes back as it was, so that its reconstruction says nothing; ``with_umap``: only a study with UMAP has it.

    One that is trained, by a study's recipe and only where ``--architectures`` asks for it, has a ``network``; what it
    minimises is ``objective``, of `trainables.training.controls`, and ``loss``, where it reconstructs. With
    ``supervised`` it is trained with the labels.
    """

    name: str
    label: str
    notation: str
    source: str
    fixed_code_size: int | None = None
    lossless: bool = False
    with_umap: bool = False
    network: Architecture | None = None
    objective: str = ""
    loss: Literal["euclidean"] | None = None
    supervised: bool = False

    ranked: ClassVar[bool] = False
    layered: ClassVar[bool] = True
    searched: ClassVar[tuple[str, ...]] = ()
    published_filters: ClassVar[None] = None
    pooling: ClassVar[None] = None
    unpooling: ClassVar[None] = None
    through_code: ClassVar[bool] = True

    @property
    def trained(self) -> bool:
        """Whether it has weights that training changes."""
        return self.network is not None


Architecture = ConvolutionalAutoencoder | ClassicAutoencoder | ModuleAutoencoder


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

_ASKED_FOR: tuple[Architecture, ...] = (
    ConvolutionalAutoencoder(
        name="all_convolutional",
        label="All convolutional",
        notation="(conv of stride 2 <-> deconv of stride 2)",
        encoder=POOLED,
        decoder=UNPOOL,
        published_filters=(26, 36),
        source="Springenberg et al. (2014): strides in place of pooling, here in model 4; sizes [similar]",
        pooling="stride",
        unpooling="corner",
    ),
)

STUDIED = tuple(row.name for row in _ROWS)
"""The models that a preset studies; others are studied where ``--architectures`` asks for them."""

BUILT_IN: Mapping[str, Architecture] = MappingProxyType({row.name: row for row in (*_ROWS, *_ASKED_FOR)})
"""The models of this file that are trained, by name, in the order of tables and figures."""

CONTROLS: Mapping[str, Control] = MappingProxyType(
    {
        row.name: row
        for row in (
            Control("pca", "PCA", "(linear <-> linear)", "Pearson (1901); Hotelling (1933)"),
            Control("umap", "UMAP", "(neighbours)", "McInnes, Healy and Melville (2018)", with_umap=True),
            Control("raw_pixels", "Raw pixels", "(identity)", "", fixed_code_size=IMAGE_SIZE**2, lossless=True),
            Control(
                "siamese",
                "Siamese network (sees labels)",
                "(conv, pool)",
                "Hadsell, Chopra and LeCun (2006); Caffe's example siamese; the encoder is model 4's",
                network=dataclasses.replace(BUILT_IN["model_4"], name="siamese"),
                objective="contrastive",
                supervised=True,
            ),
            Control(
                "linear_autoencoder",
                "Linear auto-encoder",
                "(linear layer <-> linear layer)",
                "Baldi and Hornik (1989): at its optimum PCA",
                network=ClassicAutoencoder("linear_autoencoder", "", "", widths=()),
                objective="linear_reconstruction",
                loss="euclidean",
            ),
        )
    }
)
"""Codes to compare with, by name; they go through the same evaluation and stand in the same tables."""

TRAINED_CONTROLS: Mapping[str, Control] = MappingProxyType({name: row for name, row in CONTROLS.items() if row.trained})
"""Those that are trained, which a study has where it is asked for them."""


def with_variant(
    architecture: Architecture,
    activation: Activation | None = None,
    pooling: Pooling | None = None,
    unpooling: Unpooling | None = None,
) -> Architecture:
    """Return ``architecture`` with some of its non-linearity, pooling and unpooling replaced.

    Raises:
        FieldError: the combination makes no sense, as switches without maxima.
    """
    changes = {"activation": activation, "pooling": pooling, "unpooling": unpooling}
    given = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(architecture, **given)  # type: ignore[arg-type]
