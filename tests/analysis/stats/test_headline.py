"""The contrast over all code sizes is the one worked out from the runs by NumPy and SciPy."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.results import StudyResults, load_study
from analysis.stats.contrasts import make_contrast
from analysis.stats.headline import MARGIN, compare_headline, get_pca_errors
from tests.synthetic import true_score, write_synthetic_study

PCA = {2: 61.433, 10: 26.71, 30: 13.355}
"""As `tests.synthetic` has them: 2.3 times, once and half of 26.71."""
MODELS = ("model_1", "model_2", "model_4", "model_5")
WHOLE = "2, 10, 30"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """Four ranked models and model 3 at three code sizes, five seeds each."""
    folder = tmp_path_factory.mktemp("study")
    write_synthetic_study(
        folder, architectures=(*MODELS, "model_3"), search_trials=1, seeds=5, control_seeds=3, mishaps={}
    )
    return load_study(folder)


def shares_of(name: str, arm: str = "tuned", sizes: tuple[int, ...] = (2, 10, 30)) -> list[np.ndarray]:
    """Return each code size's runs as shares of PCA's error."""
    runs = {
        size: [true_score("reconstruction", "squared_error", name, size, arm, number) for number in range(1, 6)]
        for size in sizes
    }
    return [np.array(values) / PCA[size] for size, values in runs.items()]


def test_the_average_over_code_sizes_has_welchs_test_with_satterthwaites_freedom(results: StudyResults) -> None:
    """All six pairs of an arm, their p values, Holm's and those of equivalence; model 3 is not ranked."""
    _, pairs = compare_headline(results)
    for arm in ("tuned", "published"):
        found = pairs[(pairs["arm"] == arm) & (pairs["code_sizes"] == WHOLE)].set_index(["architecture", "other"])
        assert {frozenset(pair) for pair in found.index} == {
            frozenset(pair) for pair in itertools.combinations(MODELS, 2)
        }
        expected, equivalent = {}, {}
        for pair in found.index:
            first, second = (shares_of(name, arm) for name in pair)
            difference = np.mean([each.mean() for each in first]) - np.mean([each.mean() for each in second])
            parts = np.array([each.var(ddof=1) / 5 / 9 for each in (*first, *second)])
            error, freedom = parts.sum() ** 0.5, parts.sum() ** 2 / (parts**2 / 4).sum()
            expected[pair] = 2 * scipy.stats.t.sf(abs(difference) / error, freedom)
            sides = (scipy.stats.t.sf((MARGIN + sign * difference) / error, freedom) for sign in (1, -1))
            equivalent[pair] = max(sides)
            row = found.loc[pair]
            assert row["difference"] == pytest.approx(difference)
            assert row["p_value"] == pytest.approx(expected[pair])
            assert row["high"] == pytest.approx(difference + error * scipy.stats.t.ppf(0.975, freedom))
        for column, p_values in (("p_holm", expected), ("p_equivalent", equivalent)):
            for pair, p_value in adjust_by_holm(p_values).items():
                assert found.loc[pair, column] == pytest.approx(p_value)
        outcomes = found["outcome"].to_dict()
        for pair, p_value in adjust_by_holm(expected).items():
            same = "equivalent" if adjust_by_holm(equivalent)[pair] < 0.05 else "undecided"
            assert outcomes[pair] == ("better" if p_value < 0.05 else same)


def adjust_by_holm(p_values: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Return them Holm-adjusted, by the definition."""
    adjusted, largest = {}, 0.0
    for place, (pair, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, p_value * (len(p_values) - place)))
        adjusted[pair] = largest
    return adjusted


def test_models_have_their_average_share_and_each_code_size_its_own(results: StudyResults) -> None:
    """The mean over the three sizes; a single size has the t interval of its runs."""
    models, pairs = compare_headline(results)
    models = models[models["arm"] == "tuned"].set_index(["code_sizes", "architecture"])
    assert models.loc[(WHOLE, "model_4"), "share"] == pytest.approx(
        np.mean([each.mean() for each in shares_of("model_4")])
    )
    (runs,) = shares_of("model_4", sizes=(10,))
    low, high = scipy.stats.t.interval(0.95, 4, runs.mean(), scipy.stats.sem(runs))
    found = [models.loc[("10", "model_4"), name] for name in ("low", "high")]
    assert found == pytest.approx([low, high])
    assert models.loc[(WHOLE, "model_5"), "mark"] == "best"
    assert set(pairs["code_sizes"]) == {WHOLE, "2", "10", "30"}


def test_a_model_with_two_seeds_at_one_code_size_is_not_compared_over_all(results: StudyResults) -> None:
    """It has no share there, and nobody is best alone beside it; at the other sizes it is compared."""
    lost = results.trials["trial_id"].isin([f"confirm-model_1-30-tuned-{number}" for number in (1, 2, 3)])
    models, pairs = compare_headline(dataclasses.replace(results, trials=results.trials[~lost]))
    models = models[models["arm"] == "tuned"].set_index(["code_sizes", "architecture"])
    absent = models["share"].isna()
    assert list(absent.index[absent]) == [(WHOLE, "model_1"), ("30", "model_1")]
    assert models.loc[(WHOLE, "model_5"), "mark"] == "tie"
    assert not ((pairs["code_sizes"] == WHOLE) & (pairs["arm"] == "tuned") & (pairs["architecture"] == "model_1")).any()
    assert ((pairs["code_sizes"] == "10") & (pairs["architecture"] == "model_1")).any()


def test_clipped_pca_decides_where_a_study_has_it_at_every_code_size(results: StudyResults) -> None:
    """Its error is 12.59 instead of 13.87 at code size 30 on MNIST; with a gap it is not mixed with the other."""
    plain = results.scores[
        results.scores["trial_id"].str.startswith("confirm-pca") & (results.scores["metric"] == "squared_error")
    ]
    clipped = plain.assign(metric="clipped_squared_error", value=plain["value"] * 0.9)

    assert len(get_pca_errors(results)) == len(PCA)  # three seeds of each

    def having(rows: pd.DataFrame) -> StudyResults:
        labels = results.scores.astype({"metric": "str"})
        return dataclasses.replace(results, scores=pd.concat([labels, rows], ignore_index=True))

    whole = having(clipped)
    assert get_pca_errors(whole).set_index("code_size")["pca"].to_dict() == pytest.approx(
        {size: 0.9 * value for size, value in PCA.items()}
    )
    assert compare_headline(whole)[0]["share"].iloc[0] == pytest.approx(
        compare_headline(results)[0]["share"].iloc[0] / 0.9
    )
    part = get_pca_errors(having(clipped[~clipped["trial_id"].str.contains("-30-")]))
    assert part.set_index("code_size")["pca"].to_dict() == pytest.approx(PCA)
    assert not part["clipped"].any()


def test_chance_alone_decides_no_headline_more_often_than_stated() -> None:
    """Four equal models at three code sizes of unequal deviation: Holm over the six pairs, 4,000 simulations."""
    generator = np.random.default_rng(1)
    deviations = np.array([3.0, 1.0, 0.5])[:, None] * np.array([1.0, 1.0, 2.0, 2.0])[:, None, None]
    runs = generator.normal(size=(4000, 4, 3, 3)) * deviations
    means, spread = runs.mean(axis=-1), runs.std(axis=-1, ddof=1)
    first, second = np.array(list(itertools.combinations(range(4), 2))).T
    weights = np.repeat([1 / 3, -1 / 3], 3)
    pairs = [np.concatenate([each[:, first], each[:, second]], axis=-1) for each in (means, spread)]
    p_values = make_contrast(weights, pairs[0], pairs[1], 3).p_value()
    share = float((6 * p_values.min(axis=-1) < 0.05).mean())
    assert 0.01 < share < 0.05


def test_a_pair_that_differs_by_itself_is_not_better_unless_it_does_among_all_pairs(results: StudyResults) -> None:
    """Four models whose runs are 0.1 apart: of model 5, 0.26 above model 4, p is .03, over six pairs .19."""
    runs = pd.Series(np.linspace(11.0, 11.4, 5), range(1, 6))
    above = {"model_1": 0.1, "model_2": 0.1, "model_4": 0.0, "model_5": 0.26}
    scores = results.scores.copy()
    for (name, add), number in itertools.product(above.items(), runs.index):
        own = (scores["trial_id"] == f"confirm-{name}-10-tuned-{number}") & (scores["metric"] == "squared_error")
        assert own.any()
        scores.loc[own, "value"] = runs[number] + add
    _, pairs = compare_headline(dataclasses.replace(results, scores=scores))
    of_size = pairs[(pairs["code_sizes"] == "10") & (pairs["arm"] == "tuned")]
    (row,) = of_size[(of_size["architecture"] == "model_5") & (of_size["other"] == "model_4")].to_dict("records")
    p_value = scipy.stats.ttest_ind(runs + 0.26, runs, equal_var=False).pvalue
    assert row["p_value"] == pytest.approx(p_value)
    assert p_value < 0.05 < row["p_holm"] == pytest.approx(6 * p_value)
    assert row["outcome"] == "equivalent"
