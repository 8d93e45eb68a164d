"""Importance comes from ranks of search trials within their cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.stats.importance import compute_importances, rank_in_cell


def draw_trials(rng: np.random.Generator, count: int, **changes: object) -> pd.DataFrame:
    """Return search trials of one cell with random settings, but for ``changes`` of columns; nothing is lost yet."""
    values: dict[str, object] = {
        "study": "s",
        "phase": "search",
        "architecture": "model_1",
        "code_size": 10,
        "number": range(1, count + 1),
        "round": 1,
        "sampler": "tpe",
        "status": "complete",
        "epochs": 5,
        "learning_rate": 10 ** rng.uniform(-3, -1, count),
        "weight_decay": 0.0,
        "filters_1": rng.integers(2, 64, count),
        "filters_2": rng.integers(2, 64, count),
    }
    return pd.DataFrame(values | changes)


def test_importance_finds_what_decides() -> None:
    """Shares of 1, highest for the hyperparameter that makes the loss."""
    rng, count = np.random.default_rng(0), 200
    trials = draw_trials(rng, count, architecture=np.repeat(["model_1", "model_2"], count // 2))
    trials["search_value"] = abs(np.log(trials["filters_1"] / 20)) + 0.01 * rng.random(count)
    shares = compute_importances(trials).set_index(["architecture", "hyperparameter"])["importance"]
    for architecture in ("", "model_1", "model_2"):
        assert shares[architecture].sum() == pytest.approx(1)
        assert shares[architecture].idxmax() == "filters_1"
        assert shares[architecture]["filters_1"] > 0.8
        assert "weight_decay" not in shares[architecture], "it was not searched"
    assert compute_importances(trials.head(19)).empty


def test_trial_0_a_grid_and_later_rounds_are_left_out() -> None:
    """What nobody drew says nothing of where draws are good; what trained longer cannot be compared."""
    trials = pd.DataFrame(
        {
            "study": "s",
            "phase": "search",
            "architecture": ["model_1"] * 4 + ["model_2"],
            "code_size": 10,
            "number": [0, 1, 2, 2, 1],
            "round": [1, 1, 1, 2, 3],
            "sampler": ["gp"] * 4 + ["grid"],
            "status": "complete",
            "epochs": 2,
            "search_value": [1.0, 3.0, 2.0, 1.0, 1.0],
            "learning_rate": [0.001, 0.01, 0.1, 0.1, 0.1],
            "weight_decay": 0.1,
            "filters_1": 4,
            "filters_2": 4,
        }
    )
    assert rank_in_cell(trials)["rank"].to_dict() == {2: 0.0, 1: 1.0}


def test_trials_are_ranked_within_their_cell() -> None:
    """Complete before stopped before diverged; failed ones say nothing."""
    trials = pd.DataFrame(
        {
            "study": "s",
            "phase": "search",
            "architecture": "model_1",
            "code_size": 10,
            "number": range(1, 7),
            "round": None,
            "sampler": None,
            "status": ["pruned", "complete", "diverged", "pruned", "complete", "failed"],
            "epochs": [1, 9, 1, 3, 9, 1],
            "search_value": [50.0, 90.0, np.nan, 70.0, 80.0, np.nan],
            "learning_rate": [0.001, 0.01, 0.1, 0.01, 0.01, 0.01],
            "weight_decay": [0.0, 0.01, 0.1, 0.001, 0.1, 0.1],
            "filters_1": 4,
            "filters_2": 4,
        }
    )
    ranked = rank_in_cell(trials)
    assert ranked["rank"].to_dict() == {4: 0.0, 1: 0.25, 3: 0.5, 0: 0.75, 2: 1.0}
    assert ranked["learning_rate"].round(6).to_dict() == {4: 0.5, 1: 0.5, 3: 0.5, 0: 0.0, 2: 1.0}
    assert ranked["weight_decay"].round(6).to_dict() == {4: 1.0, 1: 0.5, 3: 0.0, 0: 0.0, 2: 1.0}
    assert (ranked["filters_1"] == 0.5).all()  # nothing varied


def test_a_weight_decay_that_was_searched_has_its_importance() -> None:
    """Of one study it decides all; beside it one whose recipe has a fixed one, which has none."""
    rng, count = np.random.default_rng(0), 200
    decays = np.where(np.arange(count) < count // 2, 10 ** rng.uniform(-2, -0.7, count), 0.1)
    trials = draw_trials(rng, count, study=np.repeat(["decays", "fixed"], count // 2), weight_decay=decays)
    trials["search_value"] = abs(np.log(trials["weight_decay"] / 0.05)) + 0.01 * rng.random(count)
    shares = compute_importances(trials).set_index(["study", "architecture", "hyperparameter"])["importance"]
    assert [*shares["decays"]["model_1"].index] == ["learning_rate", "weight_decay", "filters_1", "filters_2"]
    assert shares["decays"]["model_1"]["weight_decay"] > 0.8
    assert [*shares["fixed"]["model_1"].index] == ["learning_rate", "filters_1", "filters_2"]
