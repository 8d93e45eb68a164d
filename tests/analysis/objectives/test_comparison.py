"""The table by objective: its numbers, its dashes, and where it is absent."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from analysis.objectives.comparison import compare_objectives
from analysis.objectives.runs import STRENGTHS
from analysis.rendering.text import ABSENT, format_lines, format_markdown
from analysis.report import PRINTED, comparison_tables, print_report
from analysis.results import StudyResults, load_study
from analysis.tables.ablations import ablations
from analysis.tables.table import Absent, Table
from tests.analysis.figures.panels import mean_and_half_width
from tests.analysis.objectives.studies import BY_MODEL, OWN_SCORES, expected, own_score, write_study
from tests.synthetic import write_synthetic_study
from trainables.training.objectives import OBJECTIVES


def shown(results: StudyResults) -> Table:
    """Return the table, which must be there."""
    table = compare_objectives(results)
    assert isinstance(table, Table), table
    return table


def line(table: Table, objective: str, place: str, model: str = "model_4", code_size: int = 10) -> pd.Series:
    """Return the one row of a run."""
    frame = table.frame
    rows = frame[(frame["model"] == model) & (frame["code_size"] == code_size)]
    (found,) = [row for _, row in rows.iterrows() if (row["objective"], row["place"]) == (objective, place)]
    return found


@pytest.mark.parametrize(
    ("objective", "place", "model"),
    [
        ("reconstruction", "none", "model_4"),
        *(
            (objective, place, model)
            for model in BY_MODEL
            for objective in BY_MODEL[model]
            for place in ("weak", "strong")
        ),
    ],
)
def test_a_row_has_mean_and_interval_of_its_runs(results: StudyResults, objective: str, place: str, model: str) -> None:
    """Of squared error, linear error and k-means on whitened codes, as scipy gives them."""
    row = line(shown(results), objective, place, model)
    for name, key in {
        "reconstruction_squared_error": ("reconstruction", "squared_error"),
        "linear_classifier_error": ("linear_classifier", "error"),
        "k_means_whitened_accuracy": ("k_means_whitened", "accuracy"),
    }.items():
        mean, half_width = mean_and_half_width(expected(objective, place, *key, model))
        assert (row[name], row[f"{name}_n"]) == (pytest.approx(mean), 3)
        assert row[f"{name}_half_width"] == pytest.approx(half_width)
    assert row["code_hoyer_sparsity"] == expected(objective, place, "code", "hoyer_sparsity", model)[0]
    strengths = dict(zip(STRENGTHS, OBJECTIVES[objective].list_strengths(10), strict=False))
    assert row["strength"] == strengths[place] if strengths else pd.isna(row["strength"])


def test_what_an_objective_has_alone_is_a_dash_elsewhere(results: StudyResults) -> None:
    """KL divergence, active units, bound of the variational one, units that are not 0 of the sparse one."""
    table = shown(results)
    for objective, metrics in OWN_SCORES.items():
        for metric in metrics:
            row = line(table, objective, "strong")
            values = [own_score(objective, "strong", metric, number) for number in (1, 2, 3)]
            assert row[f"objective_{metric}"] == pytest.approx(mean_and_half_width(values)[0])
            assert row[f"objective_{metric}_half_width"] == pytest.approx(mean_and_half_width(values)[1])
            assert table.frame.loc[table.frame["objective"] != objective, f"objective_{metric}"].isna().all()
    headers = [column.header for column in table.columns]
    texts = {each.cells[0].text: dict(zip(headers, each.cells, strict=True)) for each in format_lines(table)}
    assert texts["Denoising"]["KL divergence"].text == texts["Reconstruction"]["Strength"].text == ABSENT
    assert texts["Variational"]["KL divergence"].text.startswith("1")
    assert texts["Variational"]["Nonzero units"].text == ABSENT


def test_rows_are_in_the_order_of_models_sizes_objectives_and_strengths(results: StudyResults) -> None:
    """Under a heading for each model and code size, plain reconstruction first."""
    table = shown(results)
    sections = list(dict.fromkeys(each.section for each in format_lines(table)))
    assert sections == [f"{model}, code size {size}" for model in ("Model 3", "Model 4") for size in (2, 10)]
    last = [
        each.cells[0].text + " " + each.cells[1].text for each in format_lines(table) if each.section == sections[-1]
    ]
    assert last == [
        "Reconstruction —",
        *(f"Denoising {strength}" for strength in ("0.1", "0.25", "0.5")),
        *(f"Variational {strength}" for strength in ("0.25", "1", "4")),
        *(f"k-sparse {strength}" for strength in ("3", "5", "8")),
    ]


def test_reconstruction_with_switches_is_marked(results: StudyResults) -> None:
    """Model 3's squared error alone, with the footnote that says why."""
    table = shown(results)
    marks = table.frame.groupby("model", observed=True)["reconstruction_squared_error_mark"].unique().map(list)
    assert marks.to_dict() == {"model_3": ["unranked"], "model_4": [""]}
    assert "† Not ranked" in format_markdown(table)


def test_runs_that_failed_are_counted(results: StudyResults) -> None:
    """By objective and strength; the mean is of the others."""
    trials = results.trials.copy()
    lost = trials["trial_id"].str.endswith("-1-variational-strong") & (trials["code_size"] == 10)
    trials.loc[lost, "status"] = "diverged"
    trials["full_budget"] &= ~lost
    row = line(shown(dataclasses.replace(results, trials=trials)), "variational", "strong")
    assert (row["diverged"], row["failed"], row["collapsed"], row["linear_classifier_error_n"]) == (1, 0, 0, 2)


def test_a_run_of_which_nothing_completed_keeps_its_row(results: StudyResults) -> None:
    """With dashes for its scores: that it came to nothing is its result."""
    trials = results.trials.copy()
    lost = trials["trial_id"].str.endswith("-variational-strong") & (trials["code_size"] == 10)
    trials.loc[lost, "status"] = "diverged"
    trials["full_budget"] &= ~lost
    row = line(shown(dataclasses.replace(results, trials=trials)), "variational", "strong")
    assert row["diverged"] == 3 and pd.isna(row["reconstruction_squared_error"])
    assert row["reconstruction_squared_error_mark"] == ""


def test_a_study_by_one_objective_has_no_such_table(tmp_path: Path) -> None:
    """And says nothing of it, as nothing is missing."""
    results = load_study(write_synthetic_study(tmp_path, architectures=("model_4",), code_sizes=(10,), search_trials=1))
    assert compare_objectives(results) == Absent("objectives", "Scores by objective", "")


def test_data_without_labels_leave_the_columns_of_classes_out(tmp_path: Path) -> None:
    """Reconstruction, and what objectives have alone, are there."""
    results = load_study(write_study(tmp_path / "study", evaluations=False))
    names = {column.name for column in shown(results).columns}
    assert "linear_classifier_error" not in names and "reconstruction_squared_error" in names


def test_strengths_that_are_ablated_stand_in_their_own_order(results: StudyResults) -> None:
    """Weak before strong, in the table of ablations too, which is about the same runs."""
    table = ablations(results)
    assert isinstance(table, Table)
    levels = table.frame.groupby(["code_size", "architecture"], observed=True)["level"].agg(list)
    assert len(levels) == 4 and all(each == ["weak", "strong"] for each in levels)


def test_the_report_shows_the_table_and_the_finding_where_it_has_rows(results: StudyResults, tmp_path: Path) -> None:
    """Among the main tables of the terminal; of a study by one objective it says nothing."""
    plain = load_study(write_synthetic_study(tmp_path, architectures=("model_3",), code_sizes=(10,), search_trials=1))
    titles = ("Scores by objective", "does the intermediate loss cure model 3's bypass?")
    for each, there in ((results, True), (plain, False)):
        console = Console(file=io.StringIO(), width=200, record=True)
        print_report(each, comparison_tables(each), console, PRINTED)
        shown_text = console.export_text()
        assert [title in shown_text for title in titles] == [there, there]
