"""The table of architectures: every declared fact is recomputed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from trainables.errors import InputError
from trainables.models.architectures import BUILT_IN, ConvolutionalAutoencoder, with_variant
from trainables.models.layers import count_multiply_adds, count_parameters, list_layers

# Parameters at code sizes 2, 10, 30, and multiply-adds at code size 30, at the published filter counts.
DECLARED = {
    "model_1": ((297_391, 301_399, 311_419), 1_604_440),
    "model_2": ((319_409, 323_417, 333_437), 3_011_240),
    "model_3": ((337_727, 341_735, 351_755), 4_047_000),
    "model_4": ((337_727, 341_735, 351_755), 4_047_000),
    "model_5": ((337_727, 341_735, 351_755), 4_047_000),
    "unpool_only": ((165_767, 169_775, 179_795), 973_848),
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


def test_switches_need_maxima() -> None:
    """Averages have no position."""
    with pytest.raises(ValueError, match="switches"):
        with_variant(BUILT_IN["model_3"], pooling="average")


def test_models_differ_only_as_the_paper_says() -> None:
    """Models 3, 4 and 5 share halves and sizes; switches flow in model 3 only; model 5 changes the activation alone."""
    three, four, five = (BUILT_IN[f"model_{number}"] for number in (3, 4, 5))
    assert isinstance(four, ConvolutionalAutoencoder)
    same = {"name": four.name, "label": four.label, "notation": four.notation, "source": four.source}
    assert dataclasses.replace(three, **same, unpooling="corner") == four  # type: ignore[type-var]
    assert dataclasses.replace(five, **same, activation="sigmoid") == four  # type: ignore[type-var]
    switched = [
        name
        for name, row in BUILT_IN.items()
        if isinstance(row, ConvolutionalAutoencoder) and row.unpooling == "switches"
    ]
    assert switched == ["model_3"]


def test_table_needs_no_torch() -> None:
    """Analysis reads the table without loading PyTorch."""
    code = "import sys, trainables.models.architectures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
