"""What comparisons say together: which hold, and the verdict of an arm on a claim.

The verdict of an arm follows from its deciding comparisons at the claim's code size, one a model and metric. A claim is
*supported* where every one holds: since all of them have to, each is tested at 5 % as it stands (an intersection-union
test). It is *contradicted* where one fails, i.e. lies on the other side: since any of them may, p values are then
Holm-adjusted over claim, arm and code size. Otherwise it is *not testable* where rows are missing, and *not decided*
where they are not: an interval includes zero, or there is none for want of runs.

Source: Berger, "Multiparameter hypothesis testing and acceptance sampling", 1982; Holm, "A simple sequentially
rejective multiple test procedure", 1979.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Literal

from analysis.claims.evidence import Evidence, Judgement
from analysis.stats.contrasts import SIGNIFICANCE
from analysis.stats.intervals import holm

Verdict = Literal["supported", "contradicted", "not decided", "not testable"]
"""Of an arm, ``not testable`` may be followed by how much of the published training it has had: too little to tell."""


def judge(evidence: Sequence[Evidence], code_size: int | None) -> list[Evidence]:
    """Return the comparisons of a claim and arm at a code size with their outcomes."""
    judged = [each for each in evidence if each.code_size == code_size]
    tests = [place for place, each in enumerate(judged) if each.decides and math.isfinite(each.p_value)]
    for place, p_holm in zip(tests, holm([judged[place].p_value for place in tests]), strict=True):
        judged[place] = dataclasses.replace(judged[place], p_holm=float(p_holm))
    return [dataclasses.replace(each, outcome=decide_outcome(each)) for each in judged]


def decide_outcome(each: Evidence) -> Judgement:
    """Return whether a comparison holds, fails, or leaves it open."""
    if each.missing:
        return "missing"
    if each.outcome is not None:  # not by a test
        return each.outcome
    as_claimed = (each.difference > 0) == (each.side == "higher")
    # A p value that is NaN is not below the level, so the comparison stays open.
    if as_claimed:
        return "holds" if each.p_value < SIGNIFICANCE else "open"
    p_value = each.p_holm if each.decides else each.p_value
    return "fails" if p_value < SIGNIFICANCE else "open"


def decide_verdict(deciding: Iterable[Evidence]) -> Verdict:
    """Return what the deciding comparisons of an arm say together."""
    outcomes = {each.outcome for each in deciding}
    if "fails" in outcomes:
        return "contradicted"
    if "missing" in outcomes:
        return "not testable"
    return "not decided" if "open" in outcomes else "supported"
