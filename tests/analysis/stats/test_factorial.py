"""Main effects and interactions of pooling and unpooling, worked out by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.results import StudyResults, load_study
from analysis.stats.factorial import (
    collect_cells,
    estimate_effects,
    explain_no_factorial,
    find_factorials,
    list_effects,
)
from analysis.stats.metrics import SQUARED_ERROR
from analysis.tables.ablations import factorial
from analysis.tables.table import Absent, Table
from study.config.factorial import POOLINGS, UNPOOLINGS, make_factorial
from tests.synthetic import write_synthetic_study
from trainables.models.architectures import BUILT_IN, CONTROLS, ConvolutionalAutoencoder

POOLING = {"max": 0.0, "average": 2.0, "stride": 5.0}
UNPOOLING = {"corner": 0.0, "tile": -1.0, "average": 1.5}
TOGETHER = {("average", "tile"): 0.75, ("stride", "average"): -3.0}
"""What each adds to the squared error."""


def effect_of(pooling: str, unpooling: str) -> float:
    """Return what a combination adds; switches take 8."""
    own = -8.0 if unpooling == "switches" else UNPOOLING[unpooling]
    return 20.0 + POOLING[pooling] + own + TOGETHER.get((pooling, unpooling), 0.0)


def make_crossed(folder: Path, seeds: int = 4) -> StudyResults:
    """Return a study of the factorial, where each seed shifts all of a seed's runs, and each run a little."""
    rows = {row.name: row for row in make_factorial()}
    write_synthetic_study(folder, architectures=tuple(rows), code_sizes=(10,), arms=("tuned",), seeds=seeds, mishaps={})
    results = load_study(folder)
    settings = results.trials["architecture"].astype("str").map(rows)
    trials = results.trials.assign(
        pooling=[row.pooling if row else "none" for row in settings.where(settings.notna(), None)],
        unpooling=[row.unpooling if row else "none" for row in settings.where(settings.notna(), None)],
    )
    scores = results.scores.merge(trials[["trial_id", "pooling", "unpooling", "number", "arm"]], on="trial_id")
    changed = (scores["metric"] == "squared_error") & (scores["evaluator"] == "reconstruction")
    changed &= (scores["arm"] != "control") & (scores["split"] == "test")
    joined: list[dict[Any, Any]] = scores.to_dict("records")
    values = np.array(
        [
            effect_of(row["pooling"], row["unpooling"]) + shift_of(row["number"], row["pooling"], row["unpooling"])
            if here
            else row["value"]
            for here, row in zip(changed, joined, strict=True)
        ]
    )
    return dataclasses.replace(
        results, models={**rows, **CONTROLS}, trials=trials, scores=results.scores.assign(value=values)
    )


def shift_of(number: int, pooling: str, unpooling: str) -> float:
    """Return a seed's part, which all cells share, and that of the run."""
    return 3.0 * number + 0.1 * ((len(pooling) * 7 + len(unpooling) * 3) * number % 5)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """A study of the factorial with four seeds."""
    return make_crossed(tmp_path_factory.mktemp("crossed"))


def by_hand(pooling: str, unpooling: str, numbers: range = range(1, 5)) -> np.ndarray:
    """Return the squared errors of a combination by seed."""
    return np.array([effect_of(pooling, unpooling) + shift_of(number, pooling, unpooling) for number in numbers])


def test_a_complete_crossing_is_found_with_the_cell_beside_it(results: StudyResults) -> None:
    """In the order of the table of models."""
    (found,) = find_factorials(results)
    assert (found.poolings, found.unpoolings, found.code_size) == (POOLINGS, UNPOOLINGS, 10)
    assert found.cells["stride", "tile"] == "stride_tile"
    assert found.beside == {("max", "switches"): "max_switches"}


def test_effects_are_sums_of_cells_seed_by_seed(results: StudyResults) -> None:
    """Means and intervals by scipy; the seeds' part, 3 times the number, is in none of them."""
    (found,) = find_factorials(results)
    frame = estimate_effects(collect_cells(results, found, SQUARED_ERROR), found).set_index("effect")
    assert frame["factor"].tolist() == ["pooling"] * 3 + ["unpooling"] * 3 + ["interaction"] * 4 + ["switches"]
    stride = np.mean([by_hand("stride", each) - by_hand("max", each) for each in UNPOOLINGS], axis=0)
    tile = np.mean([by_hand(each, "average") - by_hand(each, "tile") for each in POOLINGS], axis=0)
    both = by_hand("stride", "average") - by_hand("max", "average") - by_hand("stride", "corner")
    expected = {
        ("pooling", "stride - max"): stride,
        ("unpooling", "average - tile"): tile,
        ("interaction", "(stride - max) with average - with corner"): both + by_hand("max", "corner"),
        ("switches", "switches - corner, max"): by_hand("max", "switches") - by_hand("max", "corner"),
    }
    for (factor, effect), values in expected.items():
        row, test = frame.loc[effect], scipy.stats.ttest_1samp(values, 0.0)
        assert (row["factor"], row["n"]) == (factor, 4)
        assert row["difference"] == pytest.approx(values.mean())
        assert row["low"] == pytest.approx(test.confidence_interval().low)
        assert row["p_value"] == pytest.approx(test.pvalue)
    assert expected["pooling", "stride - max"].mean() == pytest.approx(5.0 - 3.0 / 3, abs=0.5)


def test_weights_of_every_effect_add_up_to_nothing(results: StudyResults) -> None:
    """So that what all cells of a seed share is in none."""
    (found,) = find_factorials(results)
    assert all(sum(effect.weights.values()) == pytest.approx(0) for effect in list_effects(found))


def test_a_seed_that_a_cell_lacks_takes_no_part(results: StudyResults) -> None:
    """In the effects to which the cell belongs."""
    (found,) = find_factorials(results)
    cells = collect_cells(results, found, SQUARED_ERROR)
    lost = (cells["pooling"] == "average") & (cells["unpooling"] == "tile") & (cells["seed"] == 1002)
    frame = estimate_effects(cells[~lost], found).set_index("effect")
    assert frame.loc[["average - max", "tile - corner"], "n"].tolist() == [3, 3]
    assert frame.loc[["stride - max", "average - corner", "switches - corner, max"], "n"].tolist() == [4, 4, 4]


def test_an_effect_of_two_seeds_or_the_same_for_all_is_not_tested(results: StudyResults) -> None:
    """Its interval stays; of errors that come in steps any difference would else be certain."""
    (found,) = find_factorials(results)
    cells = collect_cells(results, found, SQUARED_ERROR)
    two = estimate_effects(cells[cells["seed"] <= 1002], found)
    assert (two["n"] == 2).all()
    assert two["half_width"].notna().all()
    assert two["p_value"].isna().all()
    same = cells.assign(value=[effect_of(*each) for each in zip(cells["pooling"], cells["unpooling"], strict=True)])
    for values in (same["value"], same["value"] + 0.1 * cells["seed"]):  # the second with rounding
        assert estimate_effects(cells.assign(value=values), found)["p_value"].isna().all()


def test_of_two_models_with_one_combination_the_later_counts(results: StudyResults) -> None:
    """Model 4, whose search may have chosen other filter counts, is none of the factorial that stands beside it."""
    own = results.trials[results.trials["architecture"] == "max_corner"]
    beside = own.assign(architecture="model_4", filters_1=20, trial_id=own["trial_id"] + "-")
    for parts in ([beside, results.trials], [results.trials, beside]):
        trials = pd.concat([part.astype({"architecture": "str"}) for part in parts], ignore_index=True)
        trials = trials.astype({"architecture": "category"})
        models = {"model_4": BUILT_IN["model_4"], **results.models}
        (found,) = find_factorials(dataclasses.replace(results, trials=trials, models=models))
        assert found.cells["max", "corner"] == "max_corner"


def test_models_by_another_objective_are_a_crossing_of_their_own(results: StudyResults) -> None:
    """Neither replaces the other, nor stands among its cells; tables and figures tell them apart."""
    study = add_denoised(results)
    found = find_factorials(study)
    assert len(found) == 2
    plain, other = found
    assert {*plain.cells.values()} == {f"{pooling}_{unpooling}" for pooling in POOLINGS for unpooling in UNPOOLINGS}
    assert other.cells == {each: f"{name}-denoising" for each, name in plain.cells.items()}
    table = factorial(study)
    assert isinstance(table, Table)
    assert table.sections[-1].header == "models as"
    assert table.frame["first"].nunique() == 2
    assert not factorial(results).frame.duplicated().any()  # type: ignore[union-attr]


def add_denoised(results: StudyResults) -> StudyResults:
    """Return a study of the factorial with the same models by another objective, all of whose scores are 1 higher."""
    added = {name: getattr(results, name).astype({"trial_id": "str"}) for name in ("trials", "scores")}
    denoised = {name: frame.assign(trial_id=frame["trial_id"] + "-denoising") for name, frame in added.items()}
    architectures = denoised["trials"]["architecture"].astype("str")
    denoised["trials"] = denoised["trials"].assign(architecture=architectures + "-denoising", objective="denoising")
    scores = denoised["scores"]["value"] + 1.0
    denoised["scores"] = denoised["scores"].assign(value=scores)
    both = {name: pd.concat([added[name], denoised[name]], ignore_index=True) for name in added}
    rows = {name: row for name, row in results.models.items() if isinstance(row, ConvolutionalAutoencoder)}
    named = {
        f"{name}-denoising": dataclasses.replace(row, name=f"{name}-denoising", label=f"{row.label} (denoising)")
        for name, row in rows.items()
    }
    return dataclasses.replace(results, models={**results.models, **named}, **both)


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ("a cell is missing", "no run of stride_tile is complete at code size 10"),
        ("filters differ", "the models differ in filters_1 at code size 10"),
    ],
)
def test_what_is_not_matched_is_no_factorial(results: StudyResults, change: str, lacking: str) -> None:
    """Eight cells, or one of other filter counts, whose effect would be taken for pooling's; the report says which."""
    here = (results.trials["architecture"] == "stride_tile") & (results.trials["phase"] == "confirm")
    filters = results.trials["filters_1"].mask(here, 20)
    trials = results.trials[~here] if change == "a cell is missing" else results.trials.assign(filters_1=filters)
    unmatched = dataclasses.replace(results, trials=pd.DataFrame(trials))
    assert find_factorials(unmatched) == []
    assert factorial(unmatched) == Absent("factorial", "Pooling and unpooling crossed", lacking)


def test_what_does_not_cross_lacks_nothing(results: StudyResults) -> None:
    """Five combinations that nobody asked to be nine, whatever is confirmed; nor does a complete crossing."""
    assert explain_no_factorial(results) == ""
    (study,) = results.studies
    some = [f"max_{unpooling}" for unpooling in UNPOOLINGS] + ["stride_corner", "average_corner"]
    config = study.manifest["config"] | {"architectures": some}
    asked = dataclasses.replace(study, manifest={**study.manifest, "config": config})
    trials = results.trials[results.trials["architecture"].isin(some[1:])]
    assert explain_no_factorial(dataclasses.replace(results, studies=(asked,), trials=trials)) == ""
