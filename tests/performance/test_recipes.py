"""The comparison of recipes follows its rule, goes on where it was stopped, and trains what it says."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from recipes import Progress, Row, Rule, Run, append_row, format_report, list_tuning, main, read_rows, run_all, train

from trainables.data.datasets import load_dataset
from trainables.errors import InputError
from trainables.training.training import mean_image_cross_entropy

RULE = Rule(
    dataset="digits",
    architectures=("unpool_only", "model_5"),
    code_sizes=(10, 2),
    rate_factors=(1.0, 2.0),
    decays=(0.0, 0.1),
    tuning_epochs=1,
    epochs=4,
    seeds=(1, 2),
)


def make_row(run: Run, cross_entropy: float = 80.0, seconds: float = 1.0, **changes: object) -> Row:
    """Return how a training may have ended."""
    row = Row(
        **dataclasses.asdict(run),
        diverged=False,
        epoch_seconds=seconds,
        cross_entropy=cross_entropy,
        squared_error=9.0,
        linear_error=4.0,
        k_means_accuracy=0.9,
        device="a core",
        git_commit="abc",
    )
    return dataclasses.replace(row, **changes)  # type: ignore[arg-type]


def measure_loss(run: Run) -> float:
    """Make up a cross-entropy: doubled rates are better, decay .1 is better for muon and worse for modern."""
    doubled = run.learning_rate in (0.02, 0.04, 0.006, 0.012)
    loss = 80.0 - doubled + (-20 if run.recipe == "muon" else 20) * run.weight_decay
    return loss - run.seed


def finish(progress: Progress) -> list[Run]:
    """Train by the made-up cross-entropies until nothing is asked for; a muon epoch takes 1.6 times as long."""
    order = []
    while run := progress.find_next():
        order.append(run)
        progress.rows[run] = make_row(run, measure_loss(run), 1.6 if run.recipe == "muon" else 1.0)
        assert len(order) < 1_000
    return order


def test_the_most_important_cells_are_trained_first_and_each_training_once() -> None:
    """A code size is tuned, compared at equal epochs and at equal time before the next one begins."""
    order = finish(Progress(RULE))
    assert len(order) == len(set(order)) == 2 * 2 * (2 * 4 + 2 * 2 + 2)
    assert [run.code_size for run in order] == sorted((run.code_size for run in order), reverse=True)
    first = order[: len(order) // 2]
    assert [run.architecture for run in first[:16]] == ["unpool_only"] * 8 + ["model_5"] * 8
    assert {run.epochs for run in first[:16]} == {1} and {run.seed for run in first[:16]} == {0}
    assert {(run.recipe, run.epochs) for run in first[16:]} == {("modern", 4), ("muon", 4), ("muon", 2)}
    assert {run.seed for run in first[16:]} == {1, 2}


def test_the_whole_comparison_is_of_18_cells_and_begins_with_models_4_1_2_and_5_at_code_size_10() -> None:
    """Two recipes, nine tunings and three seeds each; the dearer one again at equal time."""
    order = finish(Progress(Rule()))
    assert len(order) == 18 * (2 * 9 + 2 * 3 + 3)
    cells = list(dict.fromkeys((run.architecture, run.code_size) for run in order))
    assert cells[:4] == [(name, 10) for name in ("model_4", "model_1", "model_2", "model_5")]
    assert {run.epochs for run in order if run.seed and run.recipe == "muon"} == {12, 7}
    rates = {run.learning_rate for run in order if run.recipe == "muon" and run.architecture != "model_5"}
    assert rates == {0.01, 0.02, 0.04}


def test_one_decay_is_chosen_for_all_and_the_rate_for_each_cell() -> None:
    """By the lowest mean of logarithms at the first code size."""
    progress = Progress(RULE)
    finish(progress)
    assert progress.choose_decays("muon") == (0.1,)
    assert progress.choose_decays("modern") == (0.0,)
    (run, _) = progress.list_finals("muon", ("model_5", 2), 4)
    assert (run.weight_decay, run.learning_rate) == (0.1, 0.006)


def test_a_decay_of_its_own_that_gains_more_than_one_percent_is_searched_for_all() -> None:
    """Model 5 is much better without decay, the other a little better with it."""
    for loss, decays in ((79.5, (0.1,)), (78.0, (0.0, 0.1))):
        progress = Progress(RULE)
        for run in list_tuning(RULE, "muon", ("unpool_only", 10)):
            progress.rows[run] = make_row(run, 80.0 - 30 * run.weight_decay)
        for run in list_tuning(RULE, "muon", ("model_5", 10)):
            assert progress.choose_decays("muon") is None
            progress.rows[run] = make_row(run, 80.0 if run.weight_decay else loss)
        assert progress.choose_decays("muon") == decays


def test_the_dearer_recipe_gets_the_whole_epochs_that_fit_into_the_time_of_the_cheaper_one() -> None:
    """4 epochs of 1 s are 2 of 1.6 s; where one epoch takes longer than all, it is that one."""
    progress = Progress(RULE)
    finish(progress)
    cell = ("unpool_only", 10)
    assert progress.fit_epochs(cell) == {"modern": 4, "muon": 2}
    for run in progress.list_finals("muon", cell, 4):
        progress.rows[run] = dataclasses.replace(progress.rows[run], epoch_seconds=9.0)
    assert progress.fit_epochs(cell) == {"modern": 4, "muon": 1}


def test_rows_come_back_as_they_were_and_a_line_that_was_cut_off_is_trained_again(tmp_path: Path) -> None:
    """Numbers to the last bit, NaN too."""
    path = tmp_path / "rows.csv"
    runs = list_tuning(RULE, "muon", ("model_5", 10))
    rows = [make_row(run, 100 / 3, 1 / 7, diverged=True) for run in runs]
    for row in rows[:2]:
        append_row(path, row)
    whole = path.read_bytes()
    append_row(path, dataclasses.replace(rows[2], squared_error=math.nan))
    assert math.isnan(read_rows(path)[2].squared_error)
    path.write_bytes(path.read_bytes()[:-9])
    assert read_rows(path) == rows[:2]
    append_row(path, rows[3])
    assert read_rows(path) == [rows[0], rows[1], rows[3]]
    assert path.read_bytes().startswith(whole)


def test_a_file_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not appended to."""
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="has the columns"):
        run_all(RULE, path, 1)
    assert main(["--output", str(path), "--report"]) == 2
    assert "accepted:" in capsys.readouterr().err
    assert path.read_text() == "a,b\n1,2\n"


def test_the_report_has_both_tables_and_the_winner() -> None:
    """Ratios by hand: at equal epochs and time each muon cell has 1.0 to 2.0 less of about 77.5."""
    progress = Progress(RULE)
    finish(progress)
    report = format_report(progress)
    assert report.count("| unpool_only | muon | 4 |") == 2
    assert report.count("| unpool_only | muon | 2 |") == 2
    assert "of 4 cells: -0.0261" in report and "**muon**" in report
    empty = format_report(Progress(RULE))
    assert "0 trainings on nothing yet." in empty and "Mean log ratio" not in empty


def test_a_training_is_that_of_its_settings_and_measured_on_validation_images() -> None:
    """Decay and seed change the result, the code is evaluated where asked for, and one that diverges is a row."""
    run = Run("digits", "muon", "unpool_only", 4, 0.02, 0.1, 2, 1)
    row = train(run, evaluated=True)
    assert not row.diverged and 0 < row.cross_entropy < 400 and row.epoch_seconds > 0
    assert 0 < row.linear_error < 100 and 0 < row.k_means_accuracy <= 1
    again = train(run, evaluated=False)
    assert again.cross_entropy == row.cross_entropy and math.isnan(again.linear_error)
    for change in ({"weight_decay": 1.0}, {"seed": 2}, {"learning_rate": 0.01}, {"recipe": "modern"}):
        assert train(dataclasses.replace(run, **change), False).cross_entropy != row.cross_entropy
    lost = train(dataclasses.replace(run, learning_rate=1e30), evaluated=True)
    assert lost.diverged and math.isnan(lost.squared_error)
    assert lost.cross_entropy == mean_image_cross_entropy(load_dataset("digits").search_train.pixels)


@pytest.mark.slow
def test_a_run_that_was_stopped_trains_only_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By two processes, then by one, from all rows but the last two."""
    rule = dataclasses.replace(
        RULE, architectures=("unpool_only",), code_sizes=(4,), rate_factors=(1.0,), epochs=2, seeds=(1,)
    )
    path = tmp_path / "rows.csv"
    run_all(rule, path, 2)
    rows = read_rows(path)
    assert Progress(rule, rows).find_next() is None and len(rows) >= 6
    assert all(row.linear_error > 0 for row in rows if row.seed)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    capsys.readouterr()
    run_all(rule, path, 1)
    assert path.read_bytes().splitlines(keepends=True)[: len(lines) - 2] == lines[:-2]
    assert capsys.readouterr().out.startswith(f"{len(rows) - 1}: ")
    assert len(read_rows(path)) >= 6
