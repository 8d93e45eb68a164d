"""The page of the study of objectives: what was expected, and what a study with known numbers says of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import objectives_page
import pytest
import scipy.stats
from publish_reference import replace_parts

from analysis.results import ResultsError, StudyResults, load_study
from analysis.stats.metrics import LINEAR_ERROR, SQUARED_ERROR
from tests.analysis.objectives.studies import expected, write_study
from tests.synthetic import write_synthetic_study
from trainables.training.objectives import OBJECTIVES, RECONSTRUCTION

PLAIN = {RECONSTRUCTION}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is said of a study in which denoising errs less, k-sparse more, and a variational model blurs."""
    return [*objectives_page.list_outcomes(load_study(write_study(tmp_path_factory.mktemp("study") / "study")))]


def test_every_expectation_is_a_sentence_with_what_came_out(outcomes: list[str]) -> None:
    """Differences are those that the study was made with; whether they are shown is Welch's test, by Holm's method."""
    denoising, sparse, variational, moments, what_where = outcomes
    assert "Linear error (%) of Denoising minus Reconstruction -0.50 ± " in denoising
    assert denoising.endswith("Linear error (%) of Contractive and Reconstruction: no runs of both to compare.")
    assert "Linear error (%) of k-sparse minus Denoising +2.50 ± " in sparse
    assert "Squared error of Variational minus Reconstruction +3.00 ± " in variational
    assert "of Importance weighted and Variational: no runs of both" in variational
    assert "no runs of both" in moments
    assert "Here: Not decided whether the intermediate loss cures model 3" in what_where
    pairs = [
        ("denoising", "reconstruction", "linear_classifier", "error"),
        ("k_sparse", "denoising", "linear_classifier", "error"),
        ("variational", "reconstruction", "reconstruction", "squared_error"),
    ]
    p_values = [
        scipy.stats.ttest_ind(
            *(expected(name, "middle", evaluator, metric) for name in (first, second)), equal_var=False
        ).pvalue
        for first, second, evaluator, metric in pairs
    ]
    verdicts = dict.fromkeys(pairs, "not shown")
    for rank, (p_value, pair) in enumerate(sorted(zip(p_values, pairs, strict=True))):
        if p_value * (3 - rank) >= 0.05:
            break
        verdicts[pair] = "the opposite" if pair[0] == "k_sparse" else "as expected"
    for sentence, pair in zip(outcomes, pairs, strict=False):
        assert f" (n = 3), {verdicts[pair]}" in sentence
    assert len({*verdicts.values()}) > 1


def test_few_seeds_have_no_test(tmp_path: Path) -> None:
    """The difference is told."""
    study = load_study(write_study(tmp_path / "study", seeds=2))
    assert "-0.50 (fewer than 3 seeds: no test)" in next(objectives_page.list_outcomes(study))


def test_expectations_are_of_objectives_and_metrics_that_there_are() -> None:
    """Each is compared at its middle strength."""
    comparisons = [each for expected_ in objectives_page.EXPECTED for each in expected_.comparisons]
    assert {each.first for each in comparisons} | {each.second for each in comparisons} <= {*OBJECTIVES}
    assert {each.metric for each in comparisons} == {LINEAR_ERROR, SQUARED_ERROR, objectives_page.BOUND}


def test_the_page_says_what_the_rows_say() -> None:
    """As far as they are there; before any is confirmed it says that nothing is."""
    text = objectives_page.PAGE.read_text(encoding="utf-8")
    try:
        parts = objectives_page.make_objectives_parts(load_study(objectives_page.ROWS))
    except ResultsError:
        assert text.count(objectives_page.NOT_YET) == 5
    else:
        assert replace_parts(text, parts) == text
        models = objectives_page.MODELS_PAGE.read_text(encoding="utf-8")
        assert replace_parts(models, objectives_page.describe_measured(load_study(objectives_page.ROWS))) == models


def test_what_each_objective_came_to_is_told_beside_plain_reconstruction(tmp_path: Path) -> None:
    """By the names of the marks in docs/models.md: means and t intervals of the middle strength, of model 4 or 3."""
    parts = objectives_page.describe_measured(load_study(write_study(tmp_path / "study")))
    assert {*parts} == {f"measured {name}" for name in ("denoising", "variational", "k_sparse", "what_where")}
    models = objectives_page.MODELS_PAGE.read_text(encoding="utf-8")
    assert {*re.findall("<!-- (measured .+) -->", models)} == {f"measured {name}" for name in {*OBJECTIVES} - PLAIN}
    assert all(part in replace_parts(models, parts) for part in parts.values())
    told = parts["measured variational"]
    for place, form in (("middle", "Squared error {} ("), ("none", " ({}); Linear error (%)")):
        values = expected("variational", place, "reconstruction", "squared_error")
        half = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(values)
        assert form.format(f"{np.mean(values):.2f} ± {half:.2f}") in told
    assert re.search(r"; Bound \S+ ± \S+\.$", told), "plain reconstruction has none"
    assert ", Model 3 at " in parts["measured what_where"]


def test_a_study_of_one_objective_has_no_page(tmp_path: Path) -> None:
    """Nor one that has searched alone: words, and its rows are kept."""
    with pytest.raises(ResultsError, match="no model by several objectives"):
        objectives_page.make_objectives_parts(load_study(write_synthetic_study(tmp_path / "study", code_sizes=(10,))))


def test_the_page_has_the_table_and_what_was_trained(tmp_path: Path) -> None:
    """Strengths and all, at code size 10."""
    study: StudyResults = load_study(write_study(tmp_path / "study"))
    parts = objectives_page.make_objectives_parts(study)
    page = replace_parts(objectives_page.PAGE.read_text(encoding="utf-8"), parts)
    assert all(part in page for part in parts.values())
    assert parts["objectives"].count("| Denoising |") == 3
    assert "| Variational |" in parts["objectives"]
    assert "| Arm `tuned` |" in parts["protocol"]
    assert "| not decided |" in parts["bypass"]
