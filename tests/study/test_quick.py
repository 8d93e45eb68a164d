"""What `make study` has made in the checkout: the whole quick study, as a newcomer has it after the first command."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.results import StudyResults, join_scores, load_study
from study.storage.provenance import git_state
from tests.documents import ROOT


@pytest.fixture(scope="module")
def results() -> StudyResults:
    """The rows of this commit's `make study`."""
    folder = ROOT / "results" / "quick-digits"
    if not (folder / "study.json").exists():
        pytest.skip("`make study` has not been run here")
    results = load_study(folder)
    if {str(commit) for commit in results.trials["git_commit"]} != {git_state()[0]}:
        pytest.skip("`make study` was run with other code")
    return results


def test_every_trial_of_the_quick_study_is_complete(results: StudyResults) -> None:
    """None was lost, failed or diverged, and nothing is said to be missing."""
    assert set(results.trials["status"]) <= {"complete", "pruned"}
    assert not results.problems
    assert len(results.trials[results.trials["phase"] == "confirm"]) > 20


def test_every_architecture_learned_more_than_the_mean_image(results: StudyResults) -> None:
    """In both arms no model reconstructs as badly as one that ignores its input, by half of a digit's variance."""
    scores = join_scores(results)
    errors = scores[(scores["metric"] == "squared_error") & (scores["split"] == "test")]
    tuned = errors[errors["arm"] == "tuned"].groupby("architecture", observed=True)["value"].max()
    assert len(tuned) >= 6
    assert (tuned < 40).all(), tuned


def test_its_report_is_there(results: StudyResults) -> None:
    """The page, and a table that a spreadsheet reads."""
    report = Path(results.path) / "report"
    assert "Reconstruction of the test images" in (report / "report.html").read_text(encoding="utf-8")
    assert (report / "tables" / "summary.csv").read_text(encoding="utf-8").count("\n") > 6
