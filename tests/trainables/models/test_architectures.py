"""The table of architectures: every declared fact is recomputed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from trainables.errors import InputError
from trainables.models.architectures import (
    ARCHITECTURES,
    ConvolutionalAutoencoder,
    architecture_named,
    count_multiply_adds,
    count_parameters,
    list_layers,
    with_variant,
)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("code_size", [2, 10, 30])
def test_declared_parameters_are_those_of_the_layers(name: str, code_size: int) -> None:
    """The paper's sizes give the declared counts."""
    row = ARCHITECTURES[name]
    assert count_parameters(row, code_size) == row.declared_parameters[code_size]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_declared_multiply_adds_fall_by_500_a_code_unit(name: str) -> None:
    """Every code unit is joined to 250 units on either side."""
    row = ARCHITECTURES[name]
    assert count_multiply_adds(row, 30) == row.declared_multiply_adds
    assert count_multiply_adds(row, 10) == row.declared_multiply_adds - 10_000
    assert count_multiply_adds(row, 2) == row.declared_multiply_adds - 14_000


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
    maps = {layer.name: layer.out_maps for layer in list_layers(ARCHITECTURES[name], 10, filters)}
    assert (maps["deconv2"], maps["deconv1"]) == decoder_filters


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sizes_chain_from_image_to_image(name: str) -> None:
    """Each layer takes what the one before gives; the output has the image's elements."""
    stack = list_layers(ARCHITECTURES[name], 10)
    elements = [28 * 28, *(layer.out_maps * layer.out_size**2 for layer in stack)]
    assert [layer.in_maps * layer.in_size**2 for layer in stack] == elements[:-1]
    assert elements[-1] == 28 * 28


def test_pooling_by_stride_keeps_the_sizes_of_pooling_by_maxima() -> None:
    """28 -> 12 -> 4 either way."""
    row = ARCHITECTURES["model_4"]
    strided = list_layers(with_variant(row, pooling="stride"), 10)
    assert [layer.out_size for layer in strided[:2]] == [12, 4]
    assert sum(layer.parameters for layer in strided) == count_parameters(row, 10)


def test_images_that_do_not_fit_are_refused_with_the_sizes() -> None:
    """The message shows the arithmetic layer by layer."""
    with pytest.raises(InputError, match=r"conv1 32 -> 28"):
        list_layers(ARCHITECTURES["model_4"], 10, image_size=32)


@pytest.mark.parametrize(("code_size", "filters"), [(0, None), (10, (0, 4))])
def test_sizes_below_one_are_refused(code_size: int, filters: tuple[int, int] | None) -> None:
    """A layer without units is a mistake."""
    with pytest.raises(InputError):
        list_layers(ARCHITECTURES["model_1"], code_size, filters)


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    """The user sees what is accepted."""
    with pytest.raises(InputError, match="model_1, model_2"):
        architecture_named("model_9")


def test_switches_need_maxima() -> None:
    """Averages have no position."""
    with pytest.raises(ValueError, match="switches"):
        with_variant(ARCHITECTURES["model_3"], pooling="average")


def test_models_differ_only_as_the_paper_says() -> None:
    """Models 3, 4 and 5 share halves and sizes; switches flow in model 3 only; model 5 changes the activation alone."""
    three, four, five = (ARCHITECTURES[f"model_{number}"] for number in (3, 4, 5))
    assert isinstance(four, ConvolutionalAutoencoder)
    same = {"name": four.name, "label": four.label, "notation": four.notation, "source": four.source}
    assert dataclasses.replace(three, **same, unpooling="corner") == four  # type: ignore[type-var]
    assert dataclasses.replace(five, **same, activation="sigmoid") == four  # type: ignore[type-var]
    switched = [
        name
        for name, row in ARCHITECTURES.items()
        if isinstance(row, ConvolutionalAutoencoder) and row.unpooling == "switches"
    ]
    assert switched == ["model_3"]


def test_table_needs_no_torch() -> None:
    """Analysis reads the table without loading PyTorch."""
    code = "import sys, trainables.models.architectures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
