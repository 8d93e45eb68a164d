"""Sizes and layers are those declared; a model that nothing describes is shown all the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd

from analysis.tables.costs import cost
from analysis.tables.models import architectures, sizes
from analysis.tables.scores import reconstruction
from tests.analysis.tables.cells import Tables, line, made, shown
from trainables.models.architectures import BUILT_IN, STUDIED
from trainables.models.layers import count_parameters


def test_sizes_are_those_declared_at_the_published_filter_counts(tables: Tables) -> None:
    """And the tuned ones follow from the tuned filter counts."""
    table = tables["sizes"]
    for name, record in ((name, BUILT_IN[name]) for name in STUDIED):
        arm = "tuned" if name == "classic_autoencoder" else "published"
        row = line(table, name, arm)
        assert row["parameters"] == count_parameters(record, 10)
    published, tuned = line(table, "model_4", "published"), line(table, "model_4")
    assert published["multiply_adds"] == 4_047_000 - 10_000
    assert (tuned["filters_1"], tuned["filters_2"]) == (25, 35)
    assert tuned["parameters"] < published["parameters"]


def test_architectures_show_their_maps_layer_by_layer(tables: Tables) -> None:
    """Model 4 as in the paper's network file of the same design."""
    frame = shown(tables["architectures"]).frame.set_index("architecture")
    assert frame.loc["model_4", "layers"] == (
        "1@28, conv5 26@24, pool 26@12, conv5 36@8, pool 36@4, fc 250, code, fc 250, "
        "deconv4 36@4, unpool 36@8, deconv5 26@12, unpool 26@24, deconv5 1@28"
    )
    assert list(frame.index) == [*STUDIED, "pca", "raw_pixels"]


def test_a_users_own_architecture_is_compared_like_any_other(tmp_path: Path) -> None:
    """Its layers are not known here, its parameters are in the rows."""
    results = made(tmp_path, architectures=("model_4", "mine"))
    table = reconstruction(results)
    assert line(table, "mine")["label"] == "mine"
    assert line(table, "model_4")["reconstruction_squared_error_mark"] == "a"
    assert line(sizes(results), "mine")["parameters"] == 100_000
    assert pd.isna(line(cost(results), "mine")["multiply_adds"])
    frame = shown(architectures(results)).frame.set_index("architecture")
    assert frame.loc["mine", "label"] == "mine"


def test_a_control_that_was_asked_for_has_no_size_before_it_has_run(tmp_path: Path) -> None:
    """It has no filter counts to work one out from; a model has one from the beginning."""
    results = made(tmp_path)
    (study,) = results.studies
    config = study.manifest["config"] | {"architectures": ["model_4", "unpool_only", "siamese"]}
    asked = dataclasses.replace(study, manifest={**study.manifest, "config": config})
    frame = shown(sizes(dataclasses.replace(results, studies=(asked,)))).frame
    assert {"unpool_only", "siamese"} & {*frame["architecture"]} == {"unpool_only"}
