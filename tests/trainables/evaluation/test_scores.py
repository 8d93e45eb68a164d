"""Scores: every metric has one unit and one better direction."""

from __future__ import annotations

import pytest

from trainables.evaluation.scores import Score, make_scores


def test_losses_of_a_reconstruction_are_lower_the_better() -> None:
    """Cross-entropy in nats; PCA gives no probabilities, hence none."""
    assert make_scores("reconstruction", {"cross_entropy": 90.0, "squared_error": 13.5}) == [
        Score("test", "reconstruction", "cross_entropy", 90.0, "nats/image", "lower"),
        Score("test", "reconstruction", "squared_error", 13.5, "1/image", "lower"),
    ]
    assert make_scores("mean_code", {"squared_error": 13.5}) == [
        Score("test", "mean_code", "squared_error", 13.5, "1/image", "lower")
    ]


def test_values_become_plain_floats_which_rows_can_hold() -> None:
    """Counts too."""
    (score,) = make_scores("code", {"dead_units": 3})
    assert type(score.value) is float
    assert (score.value, score.unit, score.direction) == (3.0, "units", "none")


def test_a_metric_that_is_not_declared_has_no_score() -> None:
    """A typing error never becomes a row."""
    with pytest.raises(KeyError, match="acuracy"):
        make_scores("k_means", {"acuracy": 0.5})
