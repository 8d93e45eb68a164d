"""Intervals over seeds and images: by SciPy where one of them changes nothing, by other draws for both."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats
from crossed_intervals import RATIOS, cross, draw_values, ignore_images, measure_coverage, tabulate

from analysis.results import StudyResults, load_study
from analysis.stats.crossed import cross_confirmed, cross_intervals, resample_images
from analysis.tables.scores import CLASSIFICATION, score_table
from analysis.tables.table import SEEDS_ALONE_CAPTION, Table
from tests.synthetic import write_synthetic_study

IMAGES = 300
CLOSE = 0.06
"""Share of half an interval by which two thousand draws miss its end at most, four times as often as seen."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of four seeds, of which one run diverged, and controls of four seeds."""
    return write_synthetic_study(
        tmp_path_factory.mktemp("study"),
        architectures=("model_1", "model_4"),
        code_sizes=(10,),
        seeds=4,
        control_seeds=4,
        test_images=IMAGES,
        search_trials=1,
    )


@pytest.fixture(scope="module")
def results(folder: Path) -> StudyResults:
    """Its rows."""
    return load_study(folder)


def assert_ends(found: tuple[float, float], low: float, high: float) -> None:
    """Compare an interval with one of other draws."""
    assert found == pytest.approx((low, high), abs=CLOSE * (high - low) / 2)


def test_where_images_change_nothing_it_is_the_t_interval_over_seeds() -> None:
    """Of 3 and of 8 runs."""
    low, high = cross_intervals(np.full((2, 50), 7.0), [7.0, 7.0], [0.5, 2.0], [3, 8], 20_000)
    for place, (deviation, runs) in enumerate([(0.5, 3), (2.0, 8)]):
        expected = scipy.stats.t.interval(0.95, runs - 1, 7.0, deviation / np.sqrt(runs))
        assert_ends((low[place], high[place]), *expected)


def test_where_seeds_change_nothing_it_is_the_bootstrap_over_images() -> None:
    """As SciPy makes it, of errors that are rare; one run without a deviation leaves nothing to say."""
    errors = 100.0 * (np.arange(IMAGES) % 40 == 0)
    expected = scipy.stats.bootstrap((errors,), np.mean, n_resamples=20_000, method="percentile").confidence_interval
    low, high = cross_intervals(np.stack([errors] * 2), [errors.mean()] * 2, [0.0, np.nan], [1, 1], 20_000)
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=100 / IMAGES)
    assert np.isnan([low[1], high[1]]).all()


def test_the_same_images_are_drawn_for_all_means() -> None:
    """Two that are the same image by image move alike, whatever their level."""
    values = np.random.default_rng(2).normal(size=IMAGES)
    one, other = resample_images(np.stack([values, values + 3]), np.random.default_rng(0), 150).T
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert one.std() == pytest.approx(values.std() / np.sqrt(IMAGES), rel=0.3)


@pytest.mark.parametrize("architecture", ["model_1", "pca"])
def test_a_cell_is_drawn_anew_by_seeds_and_images(architecture: str, folder: Path, results: StudyResults) -> None:
    """MLP error from the files, image by image; the seeds' part by SciPy's t distribution, in a loop."""
    rows = [
        np.array(row["values"], np.float64)
        for row in pq.read_table(folder / "image_scores").to_pylist()
        if row["evaluator"] == "mlp_classifier"
        and row["trial_id"].startswith(f"confirm-{architecture}-10-{'control' if architecture == 'pca' else 'tuned'}")
    ]
    scores = [
        row["value"]
        for row in pq.read_table(folder / "scores").to_pylist()
        if (row["evaluator"], row["metric"]) == ("mlp_classifier", "error")
        and row["trial_id"].startswith(f"confirm-{architecture}-10-{'control' if architecture == 'pca' else 'tuned'}")
    ]
    assert len(rows) == len(scores) == 4
    profile, generator = np.mean(rows, axis=0), np.random.default_rng(5)
    error = scipy.stats.sem(scores)
    means = [
        np.mean(scores)
        + generator.choice(profile, IMAGES).mean()
        - profile.mean()
        + scipy.stats.t.rvs(3, random_state=generator) * error
        for _ in range(4_000)
    ]
    found = cross_confirmed(results)
    found = found[(found["evaluator"] == "mlp_classifier") & (found["architecture"] == architecture)]
    (row,) = found[found["arm"] != "published"].to_dict("records")
    assert_ends((row["images_low"], row["images_high"]), *np.quantile(means, [0.025, 0.975]))


def test_a_computed_value_of_a_control_varies_by_images_alone(results: StudyResults) -> None:
    """PCA's squared error, which four seeds give alike, by the normal distribution."""
    found = cross_confirmed(results)
    (row,) = found[(found["evaluator"] == "reconstruction") & (found["architecture"] == "pca")].to_dict("records")
    values = results.image_scores[results.image_scores["trial_id"] == "confirm-pca-10-control-1"]
    of_images = values[values["evaluator"] == "reconstruction"]["values"].iloc[0].astype(float)
    width = 1.96 * of_images.std() / np.sqrt(IMAGES)
    assert_ends((row["images_low"], row["images_high"]), 26.71 - width, 26.71 + width)


def test_of_one_seed_what_a_control_computes_has_an_interval_over_images_and_nothing_else_has_one(
    tmp_path: Path,
) -> None:
    """What other seeds would do to a model nobody knows, nor what to a perceptron or to a code that is drawn."""
    write_synthetic_study(tmp_path, architectures=("model_1",), code_sizes=(10,), seeds=1, test_images=50, mishaps={})
    results = load_study(tmp_path)
    found = cross_confirmed(results)
    known = found[found["images_low"].notna()]
    computed = {"linear_classifier", "nearest_neighbours"}
    assert {*zip(known["architecture"], known["arm"], known["evaluator"], strict=True)} == {
        ("pca", "control", "reconstruction"),
        *itertools.product(("pca", "raw_pixels"), ("control",), computed),
    }
    assert {*found["evaluator"]} == {"reconstruction", "mlp_classifier", *computed}
    trained = results.trials["architecture"].astype("str").replace("pca", "siamese")
    found = cross_confirmed(dataclasses.replace(results, trials=results.trials.assign(architecture=trained)))
    assert found.loc[found["architecture"] == "siamese", "images_low"].isna().all()


def test_a_cell_of_which_a_run_keeps_no_images_has_no_interval(results: StudyResults) -> None:
    """As of a study that an earlier version began; of one without any there is none at all."""
    kept = results.image_scores
    lacking = dataclasses.replace(results, image_scores=kept[kept["trial_id"] != "confirm-model_4-10-tuned-2"])
    cells = {(row["architecture"], row["arm"]) for row in cross_confirmed(lacking).to_dict("records")}
    assert ("model_4", "tuned") not in cells
    assert {("model_1", "tuned"), ("model_4", "published"), ("model_1", "published")} <= cells  # a diverged run is none
    assert cross_confirmed(dataclasses.replace(results, image_scores=kept[:0])).empty


def test_seeds_added_to_a_study_without_scores_of_images_have_no_interval_by_themselves(results: StudyResults) -> None:
    """Every cell has runs of the earlier version; tables say that their intervals are over seeds alone."""
    added = results.image_scores[results.image_scores["trial_id"].str.endswith("-4")]
    continued = dataclasses.replace(results, image_scores=added)
    assert len(added) and cross_confirmed(continued).empty
    table = score_table(continued, CLASSIFICATION)
    assert isinstance(table, Table) and SEEDS_ALONE_CAPTION in table.caption


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_hold_the_mean_as_often_as_they_say(seeds: int) -> None:
    """At 300 simulations 92 % are 2.4 standard errors below 95 %; over seeds alone far fewer hold it."""
    covered = {name: measure_coverage(cross(draw_values(300, seeds, ratio))) for name, ratio in RATIOS.items()}
    assert min(covered.values()) > 0.92, covered
    assert measure_coverage(ignore_images(draw_values(300, seeds, RATIOS["images alone"]))) < 0.9


def test_the_table_of_ways_has_a_line_a_setting() -> None:
    """With two simulations of each."""
    assert len(tabulate(2).splitlines()) == 2 + 3 * len(RATIOS)
