"""Which model is best, by how much, and what may be luck: the sentences and the table at the top of a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.rendering import text as rendering
from analysis.rendering.html import render_page
from analysis.report import format_report
from analysis.results import StudyResults, load_studies, load_study
from analysis.tables.diagnostics import clustering, reconstruction
from analysis.tables.summary import answers, summary
from analysis.tables.table import Absent, Table
from tests.synthetic import true_score, write_synthetic_study


def study(folder: Path, **arguments: object) -> StudyResults:
    """Return a study of models 3, 4, 5 and the classic auto-encoder, in which nothing goes wrong."""
    architectures = ("model_3", "model_4", "model_5", "classic_autoencoder")
    defaults: dict[str, object] = {"architectures": architectures, "code_sizes": (10,), "seeds": 5, "mishaps": {}}
    return load_study(write_synthetic_study(folder, **(defaults | arguments)))  # type: ignore[arg-type]


def test_the_best_model_is_named_with_its_distance_and_who_is_worse(tmp_path: Path) -> None:
    """Model 5 has 12.0, model 4 13.6; model 3 has 40 % of errors and is not ranked by its 1.4; controls never are."""
    which, how_much, luck = answers(study(tmp_path))
    assert which.startswith("Model 5 is the best or not told apart from the best in 3 of 4 comparisons;")
    # Model 3's invented squared error makes clusters of its code the best.
    assert "the best mean in 3 and is better than every other model in 3" in which
    gaps = [true_score("reconstruction", "squared_error", "model_4", 10, "tuned", n) for n in range(1, 6)]
    gaps = [
        gap - true_score("reconstruction", "squared_error", "model_5", 10, "tuned", n) for n, gap in enumerate(gaps, 1)
    ]
    assert f"Model 4 {sum(gaps) / 5:+.2f} ± " in how_much
    assert how_much.endswith("at code size 10.")
    assert "Model 5 in 1 of 4" in luck
    assert "Model 3 in 2 of 3" in luck
    assert "Model 4 in 4 of 4" in luck
    assert "Classic" not in which + how_much + luck


def test_noise_is_called_luck(tmp_path: Path) -> None:
    """Two models with the same expected figures: nobody is better than the other."""
    results = study(tmp_path, architectures=("mine_1", "mine_2"), seeds=3)
    which, _, luck = answers(results)
    assert "is better than every other model in 0" in which
    assert "explains (paired t test by seed, Holm-adjusted over the column, 5 %): no model; in none: " in luck


def test_the_table_shows_what_the_tables_of_each_kind_show(tmp_path: Path) -> None:
    """Figures, intervals, n and marks are theirs; the published arm and raw pixels are left out."""
    results = study(tmp_path)
    table = summary(results)
    assert isinstance(table, Table)
    assert set(table.frame["arm"]) == {"tuned", "control"}
    assert "Raw pixels" not in set(table.frame["label"])
    shown = {line.cells[0].text: line.cells for line in rendering.format_lines(table)}
    for whole, name, place in (
        (reconstruction(results), "reconstruction_squared_error", 1),
        (clustering(results), "k_means_accuracy", 4),
    ):
        assert isinstance(whole, Table)
        column = next(column for column in whole.columns if column.name == name)
        rows = whole.frame[
            whole.frame["arm"].isin(("tuned", "control")) & (whole.frame["architecture"] != "raw_pixels")
        ]
        for row in rows.to_dict("records"):
            assert shown[row["label"]][place] == rendering.format_cell(row, column)
    assert shown["Model 3"][1].mark == "†"
    assert [column.header for column in table.columns][-1] == "d/f/c"


def test_a_report_begins_with_the_answer(tmp_path: Path) -> None:
    """In the page before its contents, in Markdown before its tables."""
    results = study(tmp_path, seeds=3)
    (which, *_), table = answers(results), summary(results)
    html = render_page(results, [table])
    assert html.index(which) < html.index("<nav")
    text = format_report(results, [table])
    assert text.index(which) < text.index("## Summary")


def test_of_several_studies_each_has_its_answer(tmp_path: Path) -> None:
    """Named, and not mixed."""
    folders = [
        write_synthetic_study(tmp_path / name, name=name, architectures=models, code_sizes=(10,), mishaps={})
        for name, models in (("a", ("model_4", "model_5")), ("b", ("model_1", "model_4")))
    ]
    found = answers(load_studies([str(folder) for folder in folders]))
    assert found[0].startswith("a: Model 5")
    assert found[3].startswith("b: Model 4")


@pytest.mark.parametrize("arguments", [{"seeds": 1}, {"architectures": ("model_4",)}])
def test_where_nothing_can_be_compared_nothing_is_said(arguments: dict[str, object], tmp_path: Path) -> None:
    """With one seed there is no test, with one model no contest; the table is there all the same."""
    results = study(tmp_path, **arguments)
    assert answers(results) == []
    assert isinstance(summary(results), Table)


def test_without_the_tuned_arm_it_says_what_is_missing(tmp_path: Path) -> None:
    """A study of the published arm alone."""
    results = study(tmp_path, architectures=("model_4", "model_5"), arms=("published",))
    assert isinstance(summary(results), Absent)
    assert answers(results) == []
