"""What becomes of reconstruction, stability and layers, against values worked out by hand."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from analysis.provenance import format_command
from analysis.results import Study, StudyResults
from analysis.tables.diagnostics import layer_values, other_scores
from analysis.tables.scores import CLUSTERING, score_table
from analysis.tables.table import Absent
from tests.analysis.tables.cells import Tables, line, scores_of, shown


def test_reliance_shows_that_model_3_passes_the_code_by(tables: Tables) -> None:
    """The mean code costs it little, another image's switches everything."""
    table = tables["reliance"]
    model_3, model_4 = line(table, "model_3"), line(table, "model_4")
    own = scores_of("model_4")
    assert model_4["own_code_squared_error"] == pytest.approx(own.mean())
    assert model_4["increase_squared_error"] == pytest.approx((4.5 * own - own).mean())
    assert model_4["increase_squared_error_half_width"] == pytest.approx(3.5 * own.std(ddof=1) * 4.302653 / 3**0.5)
    assert pd.isna(model_4["other_switches_squared_error"])
    assert model_3["increase_squared_error"] < 5 < 40 < model_4["increase_squared_error"]
    assert model_3["other_switches_squared_error"] > 80


def test_stability_is_the_share_of_runs_that_converge_and_their_spread(tables: Tables) -> None:
    """Neither diverged nor failed nor collapsed."""
    table = tables["stability"]
    assert line(table, "model_4")["converged_share"] == 1
    for cell in (("model_1", "published"), ("model_2", "published"), ("unpool_only", "tuned")):
        assert line(table, *cell)["converged_share"] == pytest.approx(2 / 3)
    spread = line(table, "model_2", "published")
    good = scores_of("model_2", "published", (1, 2))
    assert spread["reconstruction_squared_error_deviation"] == pytest.approx(good.std(ddof=1))
    assert spread["reconstruction_squared_error_maximum"] == pytest.approx(good.max())


def test_layers_and_scores_without_a_table_of_their_own_are_not_lost(results: StudyResults) -> None:
    """An evaluator unknown here appears under other scores."""
    frame = shown(layer_values(results)).frame
    assert frame.groupby("layer")["dead_maps"].max().to_dict() == {"conv1": 0.0, "code": 1.0}
    assert isinstance(other_scores(results), Absent)
    names = results.scores["evaluator"].astype("str").replace(["k_means", "k_means_whitened"], ["novel", "other"])
    other = dataclasses.replace(results, scores=results.scores.assign(evaluator=names))
    frame = shown(other_scores(other)).frame
    assert set(frame["evaluator"]) == {"novel", "other"}
    assert isinstance(score_table(other, CLUSTERING), Absent)


def test_the_command_for_missing_rows_gives_no_flag_twice() -> None:
    """What is asked for replaces what the last launch asked for; its factors mean nothing outside phase ablate."""
    last = "study/launch.py --preset sample --phase ablate --architectures model_4 model_1 --factors loss --seeds 2"
    study = Study("sample-mnist", "results/sample-mnist", {"launches": [{"command": last}]})
    assert format_command(study, "search confirm", "--architectures model_2") == (
        "python study/launch.py --preset sample --seeds 2 --phase search confirm --architectures model_2"
    )
    assert format_command(study, "ablate", "--factors activation") == (
        "python study/launch.py --preset sample --architectures model_4 model_1 --seeds 2 --phase ablate "
        "--factors activation"
    )
