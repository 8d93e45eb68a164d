"""Looks keep the error rates that docs/protocol.md states, at reduced size, and cost little power."""

from __future__ import annotations

import numpy as np
import pytest
from family_wise_error import VARIANCES, draw_runs, measure_error
from until_decided import AT_MARGIN, PLANS, main, take_looks

from study.plan.looks import share_level


@pytest.mark.parametrize("looks", PLANS)
@pytest.mark.parametrize("variances", [settings[-1] for settings in VARIANCES.values()])
def test_all_looks_together_call_chance_a_difference_in_five_percent_at_most(
    looks: tuple[int, ...], variances: tuple[float, ...]
) -> None:
    """Six equal models that no look can call equivalent; judged at 5 % each time they are apart too often."""
    runs = draw_runs(2_000, looks[-1], variances)
    error, _ = measure_error(take_looks(runs, looks, share_level(looks), 0.0)[0])
    assert 0.01 < error < 0.05
    if len(looks) > 1:
        assert measure_error(take_looks(runs, looks, [0.05] * len(looks), 0.0)[0])[0] > 0.06


def test_models_that_differ_by_the_margin_are_seldom_called_equivalent() -> None:
    """One pair of six models differs by it: of that pair alone."""
    runs = draw_runs(2_000, 12, (1.0,) * 6, AT_MARGIN)
    _, equivalent, used = take_looks(runs, (5, 8, 12), share_level((5, 8, 12)), AT_MARGIN)
    assert measure_error(equivalent[:, :5])[0] < 0.05
    assert equivalent[:, 5:].mean() > 0.5
    assert 5 < used.mean() < 12


def test_a_difference_is_found_nearly_as_often_as_at_once() -> None:
    """Of two deviations, one model from five others."""
    runs = draw_runs(2_000, 12, (1.0,) * 6, 2)
    power = [take_looks(runs, looks, share_level(looks), 0.0)[0][:, :5].mean() for looks in ((5, 8, 12), (12,))]
    assert power[1] - 0.03 < power[0] < power[1]
    assert not np.isnan(power).any()


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Two ways of spending and two kinds of variances for each plan of looks, one way for a single look."""
    assert main(["--simulations", "50"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 2 * 2 * 2 + 2
