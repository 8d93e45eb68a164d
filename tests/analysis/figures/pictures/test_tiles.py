"""Which trials' pictures are shown, and how they are read from rows without an order."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from analysis.figures.pictures.decoded import code_walk
from analysis.figures.pictures.filters import learned_filters
from analysis.figures.pictures.layers import layer_maps
from analysis.figures.pictures.tiles import name_code_size, read_pictures, select_models
from analysis.results import StudyResults, load_studies
from analysis.tables.table import Absent
from tests.analysis.figures.panels import MODELS, make_modules
from tests.synthetic import write_synthetic_study


def test_one_trial_a_model_is_shown_of_the_middle_code_size_and_the_tuned_arm(results: StudyResults) -> None:
    """Of two code sizes the larger; the published arm where the tuned one has no pictures."""
    assert [*select_models(results, "map")["trial_id"]] == [f"confirm-{model}-10-tuned-1" for model in MODELS]
    rows = results.pictures[results.pictures["trial_id"] != "confirm-model_3-10-tuned-1"]
    shown = select_models(dataclasses.replace(results, pictures=rows), "map")["trial_id"]
    assert shown.iloc[1] == "confirm-model_3-10-published-1"


def test_a_models_code_size_is_the_middle_one_of_its_own(results: StudyResults, tmp_path: Path) -> None:
    """As of a model that is not confirmed at all code sizes yet, or of a study of other ones."""
    rest = results.trials[~results.trials["trial_id"].str.startswith("confirm-model_1-10-")]
    models = select_models(dataclasses.replace(results, trials=rest), "filter")
    assert [*models["code_size"]] == [2, 10, 10, 10]
    assert name_code_size(models)[0] == ["study", "architecture", "code_size"]
    assert name_code_size(models[1:]) == (["study", "architecture"], "code size 10")
    for name, sizes in (("a", (2, 3, 5)), ("b", (10,))):
        write_synthetic_study(
            tmp_path / name, name=name, architectures=["model_4"], code_sizes=sizes, codes=True, pictures=True
        )
    models = select_models(load_studies([tmp_path / "a", tmp_path / "b"]), "map")
    assert [*zip(models["study"], models["code_size"], strict=True)] == [("a", 3), ("b", 10)]


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ((), "--phase confirm"),
        (MODELS[1:], "--phase confirm"),
        (MODELS, "nothing is known of the layers of modules"),
    ],
)
def test_a_figure_without_pictures_says_which_run_is_to_come(
    results: StudyResults, modules: tuple[str, ...], reason: str
) -> None:
    """Where controls alone have ended, or modules, of whose layers nothing is known, no version is to blame."""
    early = results.trials[
        (results.trials["phase"] != "confirm") | results.trials["architecture"].isin(["pca", "raw_pixels", *modules])
    ]
    for draw in (learned_filters, layer_maps):
        absent = draw(dataclasses.replace(make_modules(results, *modules), trials=early))
        assert isinstance(absent, Absent)
        assert reason in absent.reason and "older version" not in absent.reason


def test_a_study_of_controls_alone_says_that_no_model_was_asked_for(results: StudyResults) -> None:
    """The same launch again would bring none; while models are to come, it is one of their walks that lacks."""
    (study,) = results.studies
    config = study.manifest["config"] | {"architectures": ["linear_autoencoder"]}
    alone = dataclasses.replace(study, manifest={**study.manifest, "config": config})
    controls = dataclasses.replace(results, trials=results.trials[results.trials["arm"] == "control"])
    for draw in (code_walk, learned_filters, layer_maps):
        absent = draw(dataclasses.replace(controls, studies=(alone,)))
        assert isinstance(absent, Absent)
        assert absent.reason == "only controls were asked for: name a model, too, by --architectures"
    early = code_walk(controls)
    assert isinstance(early, Absent)
    assert early.reason.startswith("no confirmed run of a model kept its walk. To get it: ")


def test_pictures_come_by_layer_from_the_image_on(results: StudyResults) -> None:
    """However the rows lie; each at its index."""
    mixed = dataclasses.replace(results, pictures=results.pictures.sample(frac=1, random_state=1))
    trial_id = "confirm-model_3-10-tuned-1"
    maps = read_pictures(mixed, trial_id, "map")
    assert [*maps][:4] == ["image", "conv1", "pool1", "conv2"] and [*maps][-1] == "output"
    assert maps["pool1"].shape == (16, 12, 12)
    rows = results.pictures.query("trial_id == @trial_id and kind == 'map' and layer == 'pool1' and index == 5")
    np.testing.assert_array_equal(maps["pool1"][5].ravel(), rows["values"].iloc[0])
    assert {*read_pictures(mixed, trial_id, "switch")} == {"pool1", "pool2"}
    assert read_pictures(mixed, "confirm-pca-10-control-1", "walk")[""].shape == (10, 28, 28)
    assert read_pictures(mixed, trial_id, "sample") == {}
