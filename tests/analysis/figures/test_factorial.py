"""A factorial is drawn with the means of its cells and the effects of the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from analysis.figures.factorial import factorial_effects
from analysis.results import StudyResults
from analysis.tables.ablations import factorial
from analysis.tables.table import Absent
from study.config.factorial import POOLINGS, UNPOOLINGS
from tests.analysis.figures.panels import drawn, mean_and_half_width
from tests.analysis.stats.test_factorial import by_hand, make_crossed
from tests.analysis.tables.cells import look_at, shown


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """A study of the factorial with four seeds."""
    return make_crossed(tmp_path_factory.mktemp("crossed"))


def test_every_combination_is_drawn_with_its_interval_and_every_effect_below(crossed: StudyResults) -> None:
    """A line a pooling over three unpoolings; ten effects, for that of switches on squared error is a number."""
    figure = drawn(factorial_effects(crossed)).figure
    above, _, below, _ = figure.axes
    assert (above.get_xlabel(), above.get_ylabel()) == ("Unpooling", "Squared error (per image)")
    assert below.get_xlabel() == "Difference in squared error (per image)"
    assert [label.get_text() for label in above.get_xticklabels()] == [*UNPOOLINGS, "switches"]
    lines = [each for each in above.containers if isinstance(each, ErrorbarContainer)]
    assert len(lines) == len(POOLINGS)
    for pooling, line in zip(POOLINGS, lines, strict=True):
        expected = [mean_and_half_width(list(by_hand(pooling, each))) for each in UNPOOLINGS]
        assert line.lines[0].get_ydata() == pytest.approx([mean for mean, _ in expected])
        widths = [(top - bottom) / 2 for (_, bottom), (_, top) in line.lines[2][0].get_segments()]
        assert widths == pytest.approx([width for _, width in expected])
    assert [text.get_text() for text in above.texts] == [f"{by_hand('max', 'switches').mean():.2f} †"]
    frame = shown(factorial(crossed)).frame
    effects = [each for each in below.containers if isinstance(each, ErrorbarContainer)]
    points = [each.lines[0].get_data() for each in effects]
    values = frame["reconstruction_squared_error_difference"].to_numpy(dtype=float)
    assert np.array(points)[:, 0, 0] == pytest.approx(values[:10])
    labels = [label.get_text() for label in below.get_yticklabels()]
    assert all(label.endswith(effect) for label, effect in zip(labels, frame["effect"], strict=True))


def test_what_differs_is_marked_and_switches_are_not_tested(crossed: StudyResults) -> None:
    """By squared error, which they carry past the code; by the linear error they are tested like the others."""
    frame = shown(factorial(crossed)).frame.set_index("effect")
    name, other = "reconstruction_squared_error_difference", "linear_classifier_error_difference"
    assert frame.loc["stride - max", f"{name}_mark"] == "significant"
    assert frame.loc["switches - corner, max", f"{name}_mark"] == "unranked"
    # One of the interactions is .75 by every seed.
    same = "(average - max) with tile - with corner"
    assert frame.index[frame[f"{name}_p_holm"].isna()].tolist() == [same, "switches - corner, max"]
    assert frame.loc[same, f"{name}_mark"] == ""
    tested = frame[f"{name}_p_value"].dropna()
    assert len(tested) == 9
    assert frame[f"{name}_p_holm"].min() == pytest.approx(9 * tested.min())
    assert frame[f"{other}_p_holm"].notna().sum() == 11


def test_the_caption_says_at_which_level_effects_are_filled(crossed: StudyResults) -> None:
    """That of its looks where a study has some."""
    assert "filled: differs from 0 at 5 % (Holm" in drawn(factorial_effects(crossed)).caption
    assert "filled: differs from 0 at 1.1 % (Holm" in drawn(factorial_effects(look_at(crossed, 0.0111))).caption


def test_a_study_without_a_factorial_lacks_nothing(results: StudyResults, tmp_path: Path) -> None:
    """Neither table nor figure is missing: nobody asked for one."""
    for made in (factorial(results), factorial_effects(results)):
        assert isinstance(made, Absent)
        assert made.reason == ""
