"""What a study is, which may not change under its name, and the study.json that says so at every launch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from study.config.search_space import BUDGET_SHARE_RANGE, FILTERS_RATIO_RANGE, PARAMETER_BUDGET
from study.config.study_config import PUBLISHED_RECIPE, SEARCH_METRICS, StudyConfig
from study.plan.looks import DECLARED, declare_looks
from study.plan.trials import list_skipped_cells, list_skipped_levels
from study.storage import provenance
from study.storage.location import Location, hide_credentials
from study.storage.schema import SCHEMA_VERSION
from trainables.data.datasets import data_name
from trainables.data.images import Dataset
from trainables.errors import InputError
from trainables.training.objectives import TRAINED_BY
from trainables.trial_config import RECIPES, Recipe

KEPT = ("rules_sha256",)
"""What a study declares in study.json when it begins, and no later launch changes or adds."""


def make_identity(config: StudyConfig, dataset_sha256: str) -> dict[str, Any]:
    """Return what may not change under the same name: data, splits, recipe, search, epochs and base seed.

    Trials, finalists, seeds, cells, arms and phases may grow: trials keep their ids, which say what is confirmed.
    """
    controls = [RECIPES[config.control_recipe]] if config.control_recipe else []
    recipes = [*controls, config.tuned_recipe, RECIPES[PUBLISHED_RECIPE]]  # Of one name what is searched counts.
    identity = {
        "dataset": data_name(config.dataset),
        "dataset_sha256": dataset_sha256,
        "recipes": {recipe.name: _dump_recipe(recipe) for recipe in recipes},
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "seed": config.seed,
        "published_epochs": config.published_epochs,
        "budget_share_range": list(BUDGET_SHARE_RANGE),
        "filters_ratio_range": list(FILTERS_RATIO_RANGE),
        "parameter_budget": PARAMETER_BUDGET,
        "multiply_adds_budget": config.multiply_adds_budget,
        "sampler": config.sampler,
        "generation_size": config.generation_size,
    }
    # What is not measured, told apart or asked for is not said, as by earlier versions, whose studies go on.
    identity |= {"control_recipe": config.control_recipe} if config.control_recipe else {}
    identity |= {"search_metric": config.search_metric} if config.search_metric != SEARCH_METRICS[0] else {}
    return identity | ({"with_umap": True} if config.with_umap else {})


def _dump_recipe(recipe: Recipe) -> dict[str, Any]:
    values = dataclasses.asdict(recipe)
    return {name: value for name, value in values.items() if name != "weight_decay_range" or value is not None}


def digest_of(identity: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an identity, the same for equal values whatever their order."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def next_manifest(
    config: StudyConfig, dataset: Dataset, earlier: dict[str, Any] | None, folder: Location
) -> dict[str, Any]:
    """Return study.json with this launch added.

    Raises:
        InputError: the folder belongs to a study of another identity.
    """
    identity = make_identity(config, dataset.sha256)
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "study_sha256": digest_of(identity),
        "identity": identity,
        "config": config.as_dict(),
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "train_images": len(dataset.training),
            "validation_images": len(dataset.validation),
            "test_images": len(dataset.test),
            "labelled": dataset.training.labels is not None,
        },
        "skipped_cells": list_skipped_cells(config),
        "skipped_levels": list_skipped_levels(config),
        "models": config.as_dict()["models"],
        "objectives": config.as_dict()["own_objectives"],
    }
    if looks := (earlier or {}).get(DECLARED) or declare_looks(config):
        manifest[DECLARED] = looks
    launches: list[dict[str, Any]] = []
    commit, dirty = provenance.git_state()
    if earlier is not None:
        check_study(config, dataset.sha256, earlier, folder)
        manifest |= {name: earlier[name] for name in KEPT if name in earlier}
        manifest["models"] = _join_rows(earlier.get("models", []), manifest["models"])
        manifest["objectives"] = _join_rows(_list_objectives(earlier), manifest["objectives"])
        launches = earlier["launches"]
        if launches and launches[-1]["git_commit"] != commit:
            print(
                f"warning: this study was begun with other code ({launches[-1]['git_commit']}); "
                "each row says which code made it",
                file=sys.stderr,
            )
    launch = {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": hide_credentials(shlex.join(sys.argv)),
        "seeds": config.seeds,
        "seeds_at": config.as_dict()["seeds_at"],
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": provenance.versions(),
        **provenance.machine(),
    }
    return manifest | {"launches": [*launches, launch]}


def check_study(config: StudyConfig, dataset_sha256: str, earlier: dict[str, Any], folder: Location) -> None:
    """Refuse a folder that the study of ``config`` cannot go on in; ``earlier`` is its study.json.

    Raises:
        InputError: it belongs to a study of another identity, or has another model of one of these names.
    """
    check_identity(make_identity(config, dataset_sha256), earlier, folder)
    now = config.as_dict()
    _check_own("model", earlier.get("models", []), now["models"], folder)
    began = _list_trained_by(_list_objectives(earlier))
    _check_own("objective", began, _list_trained_by(now["own_objectives"]), folder)


def check_identity(identity: dict[str, Any], earlier: dict[str, Any], folder: Location) -> None:
    """Refuse a folder whose study.json, ``earlier``, is that of a study of another identity.

    Raises:
        InputError: with what differs.
    """
    if earlier.get("study_sha256") != digest_of(identity):
        raise InputError(
            f"{folder} belongs to another study: {'; '.join(_list_differences(earlier.get('identity', {}), identity))}",
            "the data, splits, recipe, space, epochs and seed that the study began with",
            "choose another --name for this study, or repeat the earlier settings",
        )


def _list_objectives(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the user's own objectives in study.json; earlier versions kept those of the last launch alone."""
    known: list[dict[str, Any]] = manifest.get("objectives") or manifest.get("config", {}).get("own_objectives", [])
    return known


def _list_trained_by(objectives: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: each[name] for name in ("name", *TRAINED_BY)} for each in objectives]


def _check_own(what: str, earlier: list[dict[str, Any]], now: list[dict[str, Any]], folder: Location) -> None:
    """Refuse a row of the user's own that has changed, as far as a row says what it does; new ones may join.

    They are no part of the identity, since cells may grow.
    """
    known = {row["name"]: row for row in earlier}
    for row in now:
        if changes := _list_differences(known.get(row["name"], row), row):
            raise InputError(
                f"{folder} has another {what} called {row['name']}: {'; '.join(changes)}",
                f"the {what} that the study began with",
                f"give the changed {what} another name, or choose another --name for the study",
            )


def _join_rows(earlier: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the models, or objectives, of the user's own that the study has had so far, and has now."""
    return list({row["name"]: row for row in (*earlier, *now)}.values())


def _list_differences(earlier: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name in sorted(earlier.keys() | now.keys()):
        before, after = earlier.get(name), now.get(name)
        # Tuples became lists in study.json.
        after = list(after) if isinstance(after, tuple) else after
        if isinstance(before, dict) and isinstance(after, dict):
            found += _list_differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix}{name} was {_shorten(before)}, is {_shorten(after)}")
    return found


def _shorten(value: Any) -> str:
    text = str(value) if not isinstance(value, dict) else "given" if value else "absent"
    return text if len(text) <= 20 else f"{text[:12]}..."
