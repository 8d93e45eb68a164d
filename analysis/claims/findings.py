"""The verdict on every claim of the paper from the rows of a study, with the numbers behind it.

The verdict of an arm follows from its deciding comparisons, one a model, metric and code size. A claim is *supported*
where every one holds: since all of them have to, each is tested at 5 % as it stands (an intersection-union test). It is
*contradicted* where one fails, i.e. lies on the other side: since any of them may, p values are then Holm-adjusted over
claim and arm. Otherwise it is *not testable* where rows are missing, and *not decided* where they are not: an interval
includes no difference, or there is none for want of runs. The verdict on a claim is the one that all arms share: where
they differ, training decides and not the model, and the claim is not decided. A published arm that has had less than
the authors' training says nothing of the paper: its verdicts are *not testable*, and it takes no part.

Source: Berger, "Multiparameter hypothesis testing and acceptance sampling", 1982; Holm, "A simple sequentially
rejective multiple test procedure", 1979.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.claims.claims import CLAIMS, Claim
from analysis.claims.evidence import NO_LABELS, Evidence, Judgement, Rows, collect_rows
from analysis.provenance import format_command
from analysis.results import Study, StudyResults
from analysis.stats.contrasts import SIGNIFICANCE
from analysis.stats.intervals import holm
from analysis.tables.table import Column, Table, list_study_sections
from study.storage.schema import ARMS

Verdict = Literal["supported", "contradicted", "not decided", "not testable"]
"""Of an arm, ``not testable`` may be followed by how much of the published training it has had: too little to tell."""

NAMED = 2
"""Comparisons that a sentence names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of a study on a claim, that of each arm, and a sentence why.

    Attributes:
        evidence: every comparison, those that do not decide included.
        missing: what the rows lack.
        command: what makes it; empty where nothing is missing.
    """

    study: str
    claim: Claim
    verdict: str
    arms: Mapping[str, str]
    reason: str
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    command: str = ""


def findings(results: StudyResults) -> list[Finding]:
    """Return the finding on every claim, study by study."""
    found = []
    for study in results.studies:
        rows = collect_rows(results, study)
        found += [_judge_claim(study, claim, rows) for claim in CLAIMS]
    return found


def tabulate_findings(results: StudyResults) -> tuple[Table, Table]:
    """Return the table of verdicts, and that of the comparisons behind them."""
    found = findings(results)
    return _tabulate_verdicts(results, found), _tabulate_comparisons(results, found)


def _judge_claim(study: Study, claim: Claim, rows: Rows) -> Finding:
    if claim.evidence is None:
        confirmed = {name for factor, _, name, _, _ in rows.runs if not factor}
        there = ", ".join(row.label for name, row in rows.models.items() if row.trained and name in confirmed) or "none"
        return Finding(study.name, claim, "not testable", {}, f"A definition. Confirmed here: {there}.")
    found = list(claim.evidence(rows))
    if not found:
        run = format_command(study, claim.phase)
        return Finding(
            study.name, claim, "not testable", {}, "No run that it compares is confirmed.", (), ("confirmed runs",), run
        )
    evidence: list[Evidence] = []
    arms: dict[str, str] = {}
    reasons = []
    short = rows.published_share < 1
    for arm in ARMS:
        judged = _judge([each for each in found if each.arm == arm])
        deciding = [each for each in judged if each.decides]
        if deciding:
            arms[arm] = _decide_verdict(deciding)
            if arm == "published" and short:
                arms[arm] = f"not testable at {100 * rows.published_share:.2g} % of the published training"
            reasons.append(f"{arm.capitalize()} arm: {_give_reason(judged)}.")
        # What does not decide is not missed.
        evidence += [each for each in judged if each.decides or not each.missing]
    # An arm that says nothing of the paper decides nothing, unless it is the only one.
    shared = {verdict for arm, verdict in arms.items() if not (short and arm == "published")} or set(arms.values())
    lacking = [each for each in evidence if each.missing]
    return Finding(
        study.name,
        claim,
        shared.pop() if len(shared) == 1 else "not decided",
        arms,
        " ".join(reasons),
        tuple(evidence),
        tuple(dict.fromkeys(each.missing for each in lacking)),
        format_command(study, claim.phase, _join_options(lacking))
        if any(each.missing != NO_LABELS for each in lacking)
        else "",
    )


def _judge(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return the comparisons of a claim and arm with their outcomes."""
    tests = [place for place, each in enumerate(evidence) if each.decides and math.isfinite(each.p_value)]
    judged = list(evidence)
    for place, p_holm in zip(tests, holm([evidence[place].p_value for place in tests]), strict=True):
        judged[place] = dataclasses.replace(evidence[place], p_holm=float(p_holm))
    return [dataclasses.replace(each, outcome=_decide_outcome(each)) for each in judged]


def _decide_outcome(each: Evidence) -> Judgement:
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


def _decide_verdict(deciding: Iterable[Evidence]) -> Verdict:
    outcomes = {each.outcome for each in deciding}
    if "fails" in outcomes:
        return "contradicted"
    if "missing" in outcomes:
        return "not testable"
    return "not decided" if "open" in outcomes else "supported"


def _give_reason(judged: Sequence[Evidence]) -> str:
    deciding = [each for each in judged if each.decides]
    holding = [each for each in deciding if each.outcome == "holds"]
    parts = [f"{len(holding)} of {len(deciding)} comparisons hold"]
    if len(holding) == len(deciding) and (tests := [each for each in holding if math.isfinite(each.p_value)]):
        parts.append(f"least certain: {max(tests, key=lambda each: each.p_value).sentence}")
    for outcome in ("fails", "open", "missing"):
        if named := [each for each in deciding if each.outcome == outcome]:
            parts.append(f"{outcome}: {_name_some(named)}")
    if beside := [each for each in judged if not each.decides and each.outcome == "fails"]:
        parts.append(f"beside the rule fails: {_name_some(beside)}")
    return "; ".join(parts)


def _name_some(evidence: Sequence[Evidence]) -> str:
    sentences = [each.sentence for each in evidence]
    more = f" and {len(sentences) - NAMED} more" if len(sentences) > NAMED else ""
    return ", ".join(sentences[:NAMED]) + more


def _join_options(lacking: Iterable[Evidence]) -> str:
    """Return what the command has to say, each flag once with all its values."""
    flags: dict[str, list[str]] = {}
    for each in lacking:
        words = each.option.split()
        for flag, value in zip(words[::2], words[1::2], strict=True):
            flags.setdefault(flag, []).append(value)
    return " ".join(" ".join((flag, *dict.fromkeys(values))) for flag, values in flags.items())


def _tabulate_verdicts(results: StudyResults, found: Sequence[Finding]) -> Table:
    frame = pd.DataFrame(
        [
            {
                "study": each.study,
                "claim": each.claim.number,
                "topic": each.claim.topic,
                "verdict": each.verdict,
                **{arm: each.arms.get(arm) for arm in ("tuned", "published")},
                "text": each.claim.text,
                "source": each.claim.source,
                "comparison": each.claim.comparison,
                "rule": each.claim.rule,
                "reason": each.reason,
                "missing": "; ".join(each.missing) or None,
                "command": each.command or None,
            }
            for each in found
        ]
    )
    return Table(
        "findings",
        "Findings",
        "What the paper claims and what these rows say. Supported: every comparison of the claim holds, i.e. its 95 % "
        "interval over seeds lies on the claim's side, at every code size. Contradicted: one lies on the other side "
        "(paired t test, Holm-adjusted over claim and arm, 5 %). Not decided: an interval includes no difference, "
        "there is none for want of runs, or the arms differ. Not testable: rows are missing, or it is a definition. "
        "Every claim by itself; the rules were written before the rows were read.",
        frame,
        (
            Column("claim", "#", "count"),
            Column("topic", "Claim"),
            Column("verdict", "Verdict"),
            Column("tuned", "Tuned arm"),
            Column("published", "Published arm"),
            Column("text", "The paper says", main=False),
            Column("source", "Source", main=False),
            Column("comparison", "Comparison", main=False),
            Column("rule", "Rule", main=False),
            Column("reason", "Figures", main=False),
        ),
        sections=list_study_sections(results),
        footnotes=(
            *_list_commands(found),
            "Figures behind each verdict: table of the comparisons. Sources: [abstract] the publisher's abstract or "
            "highlights, [notes] a reader's public notes on the paper.",
        ),
    )


def _list_commands(found: Iterable[Finding]) -> list[str]:
    """Return a sentence for each command that makes missing rows, with the claims that need it."""
    claims: dict[tuple[str, str], list[int]] = {}
    for each in found:
        if each.command:
            claims.setdefault((each.study, each.command), []).append(each.claim.number)
    return [
        f"Rows for claim {', '.join(map(str, numbers))} are missing. To get them: {run}"
        for (_, run), numbers in claims.items()
    ]


def _tabulate_comparisons(results: StudyResults, found: Sequence[Finding]) -> Table:
    rows = [
        {"study": each.study, "claim": each.claim.number, **dataclasses.asdict(evidence)}
        for each in found
        for evidence in each.evidence
    ]
    frame = pd.DataFrame(rows).astype({"code_size": "Int64"})
    frame["role"] = frame["decides"].map({True: "decides", False: "shown"})
    frame = frame.rename(columns={"n": "difference_n", "half_width": "difference_half_width"})
    return Table(
        "finding_comparisons",
        "Comparisons behind the findings",
        "Subject minus reference on the test images, paired by seed (a control has one value): mean ± half of the 95 % "
        "t interval (pairs), and whether it holds. p: of the paired t test as it stands, and Holm-adjusted over the "
        "deciding comparisons of claim and arm. Claim 7: interval and p are adjusted for the choice of the best. "
        "Claim 8: spread minus its limit, without a test.",
        frame,
        (
            Column("code_size", "Code", "count"),
            Column("subject", "Subject"),
            Column("reference", "Reference"),
            Column("measure", "Figure"),
            Column("difference", "Difference", "difference", 3),
            Column("side", "Claimed", main=False),
            Column("p_value", "p", "general", main=False),
            Column("p_holm", "p (Holm)", "general"),
            Column("role", "Role", main=False),
            Column("outcome", "Outcome"),
            Column("note", "Note", main=False),
            Column("missing", "Missing", main=False),
        ),
        sections=(*list_study_sections(results), Column("claim", "claim", "count"), Column("arm", "arm")),
        detail=True,
    )
