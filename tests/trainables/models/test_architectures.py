"""The table of architectures: what its rows say of themselves, and which combinations make no sense."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from trainables.errors import FieldError
from trainables.models.architectures import BUILT_IN, CONTROLS, SEARCHED, ConvolutionalAutoencoder, with_variant
from trainables.models.custom import dump_row


def test_switches_need_maxima() -> None:
    """Averages have no position."""
    with pytest.raises(FieldError, match="switches"):
        with_variant(BUILT_IN["model_3"], pooling="average")


def test_models_differ_only_as_the_paper_says() -> None:
    """Models 3, 4 and 5 share halves and sizes; switches flow in model 3 only; model 5 changes the activation alone."""
    three, four, five = (dump_row(BUILT_IN[f"model_{number}"]) for number in (3, 4, 5))
    same = {name: four[name] for name in ("name", "label", "notation", "source")}
    assert three | same | {"unpooling": "corner"} == four
    assert five | same | {"activation": "sigmoid"} == four
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


def test_every_kind_of_row_says_the_same_of_itself() -> None:
    """Rooms above ask for these, never for the kind."""
    said = ("trained", "ranked", "searched", "published_filters", "pooling", "unpooling", "fixed_code_size", "lossless")
    facts = {name: [getattr(row, fact) for fact in said] for name, row in {**BUILT_IN, **CONTROLS}.items()}
    assert facts["model_3"] == [True, True, SEARCHED, (26, 36), "max", "switches", None, False]
    assert facts["classic_autoencoder"] == [True, False, ("learning_rate",), None, None, None, None, False]
    assert facts["pca"] == [False, False, (), None, None, None, None, False]
    assert facts["raw_pixels"] == [False, False, (), None, None, None, 784, True]
    assert [name for name, row in {**BUILT_IN, **CONTROLS}.items() if not row.through_code] == ["model_3"]


def test_rows_are_values() -> None:
    """Frozen and hashable, so that what is worked out of them can be cached."""
    assert len({*BUILT_IN.values(), dataclasses.replace(BUILT_IN["model_1"])}) == len(BUILT_IN)
    with pytest.raises(dataclasses.FrozenInstanceError):
        BUILT_IN["model_1"].label = "Model one"  # type: ignore[misc]
