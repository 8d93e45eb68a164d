"""Outcomes and verdicts of comparisons with p values that are given, worked out by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from analysis.claims.evidence import Evidence
from analysis.claims.verdicts import Verdict, decide_verdict, judge


def make_evidence(difference: float, p_value: float, **changes: Any) -> Evidence:
    """Return a comparison whose subject should lie lower."""
    values = {"difference": difference, "p_value": p_value}
    return Evidence("tuned", 10, "Model 1", "lower", "PCA", "squared error", **(values | changes))


@pytest.mark.parametrize(
    ("given", "outcomes", "verdict"),
    [
        ([(-1.0, 0.04), (-1.0, 0.049)], ["holds", "holds"], "supported"),
        ([(-1.0, 0.04), (-1.0, 0.06)], ["holds", "open"], "not decided"),
        ([(-1.0, 0.04), (1.0, 0.03)], ["holds", "open"], "not decided"),  # Holm makes .06 of the .03
        ([(-1.0, 0.04), (1.0, 0.02)], ["holds", "fails"], "contradicted"),
        ([(-1.0, 0.04), (1.0, float("nan"))], ["holds", "open"], "not decided"),
    ],
)
def test_a_claim_holds_by_each_test_as_it_stands_and_fails_by_holms(
    given: list[tuple[float, float]], outcomes: list[str], verdict: Verdict
) -> None:
    """All have to hold, so each is tested at 5 %; any may fail, so these p values are adjusted."""
    judged = judge([make_evidence(*each) for each in given], 10)
    assert [each.outcome for each in judged] == outcomes
    assert decide_verdict(judged) == verdict


def test_what_is_missing_and_what_does_not_decide() -> None:
    """A gap leaves nothing to test unless another fails; what is shown beside takes no part in Holm's family."""
    gap, beside = make_evidence(0.0, float("nan"), missing="runs"), make_evidence(1.0, 0.01, decides=False)
    good, bad = make_evidence(-1.0, 0.01), make_evidence(1.0, 0.01)
    assert decide_verdict(judge([good, gap], 10)) == "not testable"
    assert decide_verdict(judge([bad, gap], 10)) == "contradicted"
    elsewhere = dataclasses.replace(good, code_size=30)
    judged = judge([good, beside, elsewhere], 10)
    assert [each.outcome for each in judged] == ["holds", "fails"]
    assert judged[0].p_holm == 0.01
