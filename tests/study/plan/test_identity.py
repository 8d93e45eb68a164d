"""What a study is may not change under its name; its study.json says the rest."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from study.config.presets import study_config
from study.config.study_config import StudyConfig, rebuild_config
from study.plan.identity import check_identity, check_study, digest_of, make_identity, next_manifest
from study.storage.location import parse_location
from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.training.objectives import OBJECTIVES, Objective

OTHERS = (
    {"published_epochs": 2},
    {"multiply_adds_budget": 4_000_000},
    {"sampler": "gp"},
    {"search_metric": "squared_error"},
    {"generation_size": 2},
)


def test_identity_holds_what_may_not_change_and_lets_budgets_grow() -> None:
    """Trials, finalists, seeds, cells, arms and phases may grow; data, recipe, space, epochs and base seed may not."""
    base = study_config("quick")
    cells = {"architectures": ("model_1",), "code_sizes": (2,), "phases": ("search",), "arms": ("tuned", "published")}
    grown = study_config("quick", trials=9, finalists=3, validation_seeds=4, seeds=9, **cells)
    assert make_identity(base, "sha") == make_identity(grown, "sha")
    changes: list[dict[str, Any]]
    changes = [{"epochs": 99}, {"weight_decay": 0.03}, {"batch_size": 5}, {"recipe": "caffe"}, {"seed": 1}, *OTHERS]
    for change in changes:
        assert make_identity(study_config("quick", **change), "sha") != make_identity(base, "sha")
    clustered = make_identity(study_config("quick", with_umap=True), "sha")
    assert clustered == make_identity(base, "sha") | {"with_umap": True}
    assert make_identity(base, "other") != make_identity(base, "sha")
    # As earlier versions wrote it, whose studies go on.
    assert "weight_decay_range" not in make_identity(base, "sha")["recipes"]["modern"]
    assert "control_recipe" not in make_identity(base, "sha")
    assert "search_metric" not in make_identity(base, "sha")
    assert make_identity(study_config("quick", recipe="muon"), "sha")["recipes"]["muon"]["weight_decay_range"]


def test_a_study_that_was_begun_before_searches_had_a_metric_goes_on_by_cross_entropy_alone() -> None:
    """Of MNIST, preset sample, as its study.json had it: the same digest, and nothing in it of the metric."""
    mnist = "c99534bf1bd9f6bbe7eb7db909ce0431ec0d8cb8fc9800628433b1a10b6c0673"
    sample = study_config("sample")
    values = sample.as_dict()
    assert values.pop("search_metric") == "cross_entropy"
    digest = "b4b9b8d2e643398b5cf4408c8c66f9e98f92f3acca961c68b80ef26586013d0c"
    begun = {"name": sample.name, "config": values, "identity": make_identity(sample, mnist), "study_sha256": digest}
    begun = json.loads(json.dumps(begun))
    assert digest_of(begun["identity"]) == digest
    assert rebuild_config(begun) == sample
    check_identity(make_identity(sample, mnist), begun, parse_location("there"))
    other = make_identity(study_config("sample", search_metric="squared_error"), mnist)
    with pytest.raises(InputError, match="there belongs to another study: search_metric was None, is squared_error"):
        check_identity(other, begun, parse_location("there"))


def test_a_weight_decay_of_the_study_counts_also_where_controls_have_the_recipes_own() -> None:
    """The two recipes have one name."""
    configs = [study_config("quick", weight_decay=decay, control_recipe="modern") for decay in (None, 0.1, 0.2)]
    assert len({digest_of(make_identity(config, "sha")) for config in configs}) == 3


def test_an_objective_of_ones_own_that_trains_otherwise_is_refused() -> None:
    """Of a resumed study; other words for it are not, nor are more objectives."""

    def configure(**changes: Any) -> StudyConfig:
        own = Objective("mine", "Mine", "as it is", (0.1, 1.0, 10.0), OBJECTIVES["denoising"].find_losses)
        return study_config("quick", own_objectives=(dataclasses.replace(own, **changes),))

    config = configure()
    there = parse_location("there")
    earlier = json.loads(json.dumps(next_manifest(config, load_dataset("digits"), None, there)))
    data = earlier["identity"]["dataset_sha256"]
    for same in (config, configure(label="Ours", formula="otherwise told"), study_config("quick")):
        check_study(same, data, earlier, there)
    with pytest.raises(InputError, match="another objective called mine: strengths was"):
        check_study(configure(strengths=(0.5, 5.0, 50.0)), data, earlier, there)


def test_an_objective_of_ones_own_stays_what_it_was_over_launches_without_it() -> None:
    """The second launch knows nothing of it; the third brings another under its name and is refused."""

    def configure(**changes: Any) -> StudyConfig:
        own = Objective("mine", "Mine", "as it is", (0.1, 1.0, 10.0), OBJECTIVES["denoising"].find_losses)
        return study_config("quick", own_objectives=(dataclasses.replace(own, **changes),))

    there, dataset = parse_location("there"), load_dataset("digits")
    manifest: dict[str, Any] | None = None
    for config in (configure(), study_config("quick")):
        manifest = json.loads(json.dumps(next_manifest(config, dataset, manifest, there)))
    assert manifest is not None
    assert manifest["config"]["own_objectives"] == []
    check_study(configure(), dataset.sha256, manifest, there)
    for refuse in (check_study, lambda config, _, *others: next_manifest(config, dataset, *others)):
        with pytest.raises(InputError, match="another objective called mine: strengths was"):
            refuse(configure(strengths=(0.5, 5.0, 50.0)), dataset.sha256, manifest, there)


def test_every_launch_says_its_seeds_and_those_of_places_that_have_others() -> None:
    """By which a report tells that some were added after looking."""
    there, dataset = parse_location("there"), load_dataset("digits")
    first = json.loads(json.dumps(next_manifest(study_config("quick"), dataset, None, there)))
    more = study_config("quick", seeds_at=(("tuned", 10, 8),))
    launches = json.loads(json.dumps(next_manifest(more, dataset, first, there)))["launches"]
    said = [(launch["seeds"], launch["seeds_at"]) for launch in launches]
    assert said == [(3, []), (3, [["tuned", 10, 8]])]


def test_a_launch_keeps_no_password_of_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports repeat the command, and studies are passed on."""
    monkeypatch.setattr(
        "sys.argv", ["launch.py", "--optuna-storage", "postgresql://me:secret@db/optuna", "--seed", "3"]
    )
    manifest = next_manifest(study_config("quick"), load_dataset("digits"), None, parse_location("there"))
    assert manifest["launches"][0]["command"] == "launch.py --optuna-storage postgresql://***@db/optuna --seed 3"


def test_looks_stay_as_they_were_declared() -> None:
    """Whatever the order in which a later launch gives models and code sizes."""
    there, dataset = parse_location("there"), load_dataset("digits")
    config = study_config("quick", until_decided=True, code_sizes=(2, 10))
    first = json.loads(json.dumps(next_manifest(config, dataset, None, there)))
    turned = dataclasses.replace(config, code_sizes=(10, 2), architectures=config.architectures[::-1])
    assert next_manifest(turned, dataset, first, there)["looks"] == first["looks"]
