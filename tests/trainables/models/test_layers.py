"""The layers of each row: every declared size is recomputed."""

from __future__ import annotations

import pytest

from trainables.errors import InputError
from trainables.models.architectures import BUILT_IN, with_variant
from trainables.models.layers import Layer, count_multiply_adds, count_parameters, list_layers

# Parameters at code sizes 2, 10, 30, and multiply-adds at code size 30, at the published filter counts.
DECLARED = {
    "model_1": ((297_391, 301_399, 311_419), 1_604_440),
    "model_2": ((319_409, 323_417, 333_437), 3_011_240),
    "model_3": ((337_727, 341_735, 351_755), 4_047_000),
    "model_4": ((337_727, 341_735, 351_755), 4_047_000),
    "model_5": ((337_727, 341_735, 351_755), 4_047_000),
    "unpool_only": ((165_767, 169_775, 179_795), 973_848),
    # Strides of 2: a quarter of the places of both convolutions, of 24 and 8 a side.
    "all_convolutional": ((337_727, 341_735, 351_755), 4_047_000 - 650 * (576 - 144) - 23_400 * (64 - 16)),
    "classic_autoencoder": ((2_823_286, 2_827_294, 2_837_314), 2_833_000),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_declared_parameters_are_those_of_the_layers(name: str) -> None:
    """The paper's sizes give the declared counts."""
    assert tuple(count_parameters(BUILT_IN[name], code_size) for code_size in (2, 10, 30)) == DECLARED[name][0]


@pytest.mark.parametrize("name", BUILT_IN)
def test_declared_multiply_adds_fall_by_500_a_code_unit(name: str) -> None:
    """Every code unit is joined to 250 units on either side."""
    row, declared = BUILT_IN[name], DECLARED[name][1]
    counts = [count_multiply_adds(row, code_size) for code_size in (30, 10, 2)]
    assert counts == [declared, declared - 10_000, declared - 14_000]


@pytest.mark.parametrize(
    ("name", "filters", "decoder_filters"),
    [
        ("model_1", (8, 4), (4, 4)),
        ("model_1", (12, 16), (16, 6)),
        ("model_2", (26, 36), (4, 5)),
        ("model_2", (8, 4), (1, 1)),
    ],
)
def test_symmetry_rule_reproduces_the_authors_files(
    name: str, filters: tuple[int, int], decoder_filters: tuple[int, int]
) -> None:
    """deconv2 and deconv1 have as many elements as the encoder's stages, and at least one map."""
    maps = {layer.name: layer.out_maps for layer in list_layers(BUILT_IN[name], 10, filters)}
    assert (maps["deconv2"], maps["deconv1"]) == decoder_filters


@pytest.mark.parametrize("name", BUILT_IN)
def test_sizes_chain_from_image_to_image(name: str) -> None:
    """Each layer takes what the one before gives; the output has the image's elements."""
    stack = list_layers(BUILT_IN[name], 10)
    elements = [28 * 28, *(layer.out_maps * layer.out_size**2 for layer in stack)]
    assert [layer.in_maps * layer.in_size**2 for layer in stack] == elements[:-1]
    assert elements[-1] == 28 * 28


def test_pooling_by_stride_keeps_the_sizes_of_pooling_by_maxima() -> None:
    """28 -> 12 -> 4 either way."""
    row = BUILT_IN["model_4"]
    strided = list_layers(with_variant(row, pooling="stride"), 10)
    assert [layer.out_size for layer in strided[:2]] == [12, 4]
    assert sum(layer.parameters for layer in strided) == count_parameters(row, 10)


def test_images_that_do_not_fit_are_refused_with_the_sizes() -> None:
    """The message shows the arithmetic layer by layer."""
    with pytest.raises(InputError, match=r"conv1 32 -> 28"):
        list_layers(BUILT_IN["model_4"], 10, image_size=32)


@pytest.mark.parametrize(("code_size", "filters"), [(0, None), (10, (0, 4))])
def test_sizes_below_one_are_refused(code_size: int, filters: tuple[int, int] | None) -> None:
    """A layer without units is a mistake."""
    with pytest.raises(InputError):
        list_layers(BUILT_IN["model_1"], code_size, filters)


def test_a_layer_counts_its_weights_and_their_products() -> None:
    """A convolution of 3 maps of 10x10 with 5 kernels of 3x3, the deconvolution back, a linear layer, a pool."""
    conv = Layer("conv", "conv", 3, 10, 5, 8, kernel=3)
    assert (conv.weight_shape, conv.parameters, conv.multiply_adds) == ((5, 3, 3, 3), 140, 135 * 64)
    deconv = Layer("deconv", "deconv", 5, 8, 3, 10, kernel=3)
    assert (deconv.weight_shape, deconv.parameters, deconv.multiply_adds) == ((5, 3, 3, 3), 138, 135 * 64)
    linear = Layer("fc", "linear", 3, 10, 7, 1)
    assert (linear.weight_shape, linear.parameters, linear.multiply_adds) == ((7, 300), 2_107, 2_100)
    pool = Layer("pool", "pool", 3, 10, 3, 5, kernel=2, stride=2)
    assert (pool.weight_shape, pool.parameters, pool.multiply_adds) == ((), 0, 0)
