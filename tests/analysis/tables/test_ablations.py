"""Ablations are differences to their base, paired by seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.stats

from analysis.results import StudyResults
from analysis.tables.ablations import ablations
from tests.analysis.tables.cells import Tables, shown
from tests.synthetic import LEVELS, level_effect


def test_ablations_are_differences_to_the_base_paired_by_seed(tables: Tables) -> None:
    """Mean of the levels' effects, worked out by hand; Holm over the seven levels."""
    frame = shown(tables["ablations"]).frame.set_index("level")
    name = "reconstruction_squared_error_difference"
    levels = [level for group in LEVELS.values() for level in group]
    assert sorted(frame.index) == sorted(levels)
    p_values = {}
    for level in levels:
        effects = np.array([level_effect(level, number) for number in (1, 2, 3)])
        assert frame.loc[level, name] == pytest.approx(effects.mean())
        test = scipy.stats.ttest_1samp(effects, 0.0)
        assert frame.loc[level, f"{name}_low"] == pytest.approx(test.confidence_interval().low)
        p_values[level] = test.pvalue
    smallest = min(p_values, key=lambda level: p_values[level])
    assert frame.loc[smallest, f"{name}_p_holm"] == pytest.approx(7 * p_values[smallest])
    assert frame.loc["tile", f"{name}_mark"] == "significant"
    assert frame.loc["switches", f"{name}_mark"] == "unranked"
    assert any("its decoder has no unpooling" in note for note in shown(tables["ablations"]).footnotes)


def test_an_ablated_code_size_is_compared_with_the_cell_that_it_was_taken_from(results: StudyResults) -> None:
    """Its rows have the new code size, and beside it the base's."""
    tile = results.trials["level"] == "tile"
    changed = results.trials.assign(
        factor=results.trials["factor"].mask(tile, "code_size"),
        level=results.trials["level"].mask(tile, "30"),
        code_size=results.trials["code_size"].mask(tile, 30),
    )
    table = ablations(dataclasses.replace(results, trials=changed))
    row = shown(table).frame.set_index("level").loc["30"]
    assert (row["code_size"], row["factor"]) == (10, "code_size")
    effects = [level_effect("tile", number) for number in (1, 2, 3)]
    assert row["reconstruction_squared_error_difference"] == pytest.approx(np.mean(effects))
