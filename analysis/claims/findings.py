"""The verdict on every claim of the paper from the rows of a study, with the numbers behind it.

The verdict on a claim is that of the arm that it is about, the published one; ours stands beside it, and so does every
other code size. A published arm that has had less than the authors' training says nothing of the paper: it is *not
testable*.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.claims.claims import CLAIMS, DEFINED, PRIMARY_CODE_SIZE, Claim
from analysis.claims.evidence import (
    NO_LABELS,
    NO_PUBLISHED_ABLATIONS,
    Evidence,
    Rows,
    collect_rows,
)
from analysis.claims.rules import describe_age
from analysis.claims.verdicts import decide_verdict, judge
from analysis.provenance import format_command
from analysis.results import Study, StudyResults
from analysis.tables.headline import join_words
from analysis.tables.scores import compare_recipes
from analysis.tables.table import Absent, Column, Table, list_study_sections

FINDINGS, MATRIX, COMPARISONS = "findings", "finding_matrix", "finding_comparisons"
"""Names of the tables."""

NAMED = 2
"""Comparisons that a sentence names."""


RECIPES = {"published": "the authors' recipe", "tuned": "our recipe"}
"""The arms in the order of verdicts, and what they are called within a sentence."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of a study on a claim, that of each arm, and a sentence why.

    Attributes:
        sentence: what was found, in plain words.
        apart: the verdict of each arm without the model that the claim is looked at without, where it is another.
        reasons: the numbers of each arm.
        evidence: every comparison, those that do not decide included.
        missing: what the rows lack.
        command: what makes it; empty where nothing is missing.
    """

    study: str
    claim: Claim
    verdict: str
    arms: Mapping[str, str]
    sentence: str
    apart: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    command: str = ""

    @property
    def reason(self) -> str:
        """The numbers, arm by arm."""
        return " ".join(f"{RECIPES[arm].capitalize()}: {numbers}." for arm, numbers in self.reasons.items())

    @property
    def holding(self) -> str:
        """How many of the deciding comparisons hold, over all code sizes, arm by arm."""
        counts = []
        for arm in RECIPES if self.arms else ():
            deciding = [each for each in self.evidence if each.arm == arm and each.decides]
            held = f"{sum(each.outcome == 'holds' for each in deciding)} of {len(deciding)}"
            counts.append("—" if all(each.outcome == "missing" for each in deciding) else held)
        return "; ".join(counts)


def findings(results: StudyResults) -> list[Finding]:
    """Return the finding on every claim, study by study; of a study without any of the paper's models there is none."""
    found = []
    for study in results.studies:
        trials = results.trials.loc[results.trials["study"] == study.name, "architecture"]
        if {*trials.unique(), *study.architectures} & {*DEFINED}:
            rows = collect_rows(results, study)
            unequal = {results.get_label(name): how for name, how in compare_recipes(results, study.name).items()}
            found += [_judge_claim(study, claim, rows, unequal) for claim in CLAIMS]
    return found


def tabulate_findings(results: StudyResults) -> tuple[Table | Absent, Table | Absent, Table | Absent]:
    """Return the table of verdicts, how many comparisons hold by model and code size, and the comparisons."""
    found = findings(results)
    if not found:
        # Nothing is missing: the paper claims nothing of other models.
        return Absent(FINDINGS, "Findings", ""), Absent(MATRIX, "", ""), Absent(COMPARISONS, "", "")
    return _tabulate_verdicts(results, found), _tabulate_matrix(results, found), _tabulate_comparisons(results, found)


def _judge_claim(study: Study, claim: Claim, rows: Rows, unequal: Mapping[str, str]) -> Finding:
    """Return the finding; ``unequal`` says of controls by which recipe they were trained where it is another one."""
    if claim.evidence is None:
        return Finding(study.name, claim, "not testable", {}, claim.rule)
    found = list(claim.evidence(rows))
    if not found:
        run = format_command(study, claim.phase)
        sentence = f"Whether {claim.statement} cannot be tested: no run that it compares is confirmed."
        return Finding(study.name, claim, "not testable", {}, sentence, missing=("confirmed runs",), command=run)
    evidence: list[Evidence] = []
    arms: dict[str, str] = {}
    apart: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for arm in RECIPES:
        own = [each for each in found if each.arm == arm]
        if not own and arm != claim.arm:
            continue
        judged = [each for size in dict.fromkeys(each.code_size for each in own) for each in judge(own, size)]
        # At its code size; of a claim without one, and of what is missing altogether, at any.
        primary = [each for each in judged if claim.code_size in (None, each.code_size)]
        if not any(each.decides for each in primary):
            primary = [_describe_absent(claim, arm, rows)]
            judged += primary
        elif arm == "published" and rows.published_share < 1:
            arms[arm] = f"not testable: {100 * rows.published_share:.2g} % of the authors' training"
        arms.setdefault(arm, decide_verdict(each for each in primary if each.decides))
        apart[arm] = _leave_out(claim, arms[arm], primary, rows)
        reasons[arm] = _give_reason(primary)
        # What does not decide is not missed.
        evidence += [each for each in judged if each.decides or not each.missing]
    lacking = [each for each in evidence if each.missing]
    return Finding(
        study.name,
        claim,
        arms[claim.arm],
        arms,
        " ".join(
            (
                _say_plainly(claim, arms, apart, evidence, rows),
                *(
                    f"{label} {how}."
                    for label, how in unequal.items()
                    if any(label in each.reference for each in found)
                ),
            )
        ),
        apart,
        reasons,
        tuple(evidence),
        tuple(dict.fromkeys(each.missing for each in lacking)),
        format_command(study, claim.phase, _join_options(lacking))
        if any(each.missing not in (NO_LABELS, NO_PUBLISHED_ABLATIONS) for each in lacking)
        else "",
    )


def _describe_absent(claim: Claim, arm: str, rows: Rows) -> Evidence:
    """Return what lacks where nothing is confirmed at the code size and in the arm of a verdict."""
    missing = f"confirmed runs at code size {claim.code_size} ({arm})"
    there = any(arm == of_rows for _, of_rows in rows.groups)
    return Evidence(
        arm,
        claim.code_size,
        "every model",
        "lower",
        "",
        "",
        missing=missing,
        option=f"--code-sizes {claim.code_size}" if there else "--arms tuned --arms published",
        outcome="missing",
    )


def _leave_out(claim: Claim, verdict: str, primary: Sequence[Evidence], rows: Rows) -> str:
    """Return the verdict without the model that the claim is looked at without, where it is another one."""
    label = rows.models[claim.without].label if claim.without else ""
    others = [each for each in primary if each.decides and each.subject != label]
    if not label or not others or (other := decide_verdict(others)) == verdict:
        return ""
    return f" (without {label}: {other})"


def _say_plainly(
    claim: Claim, arms: Mapping[str, str], apart: Mapping[str, str], evidence: Sequence[Evidence], rows: Rows
) -> str:
    """Return what was found as a person would say it: in the recipe that the claim is about, and in the other."""
    size = "" if claim.code_size is None else f" at code size {claim.code_size}"
    where, verdict = f"In {RECIPES[claim.arm]}{size}", arms[claim.arm]
    primary = [each for each in evidence if claim.code_size in (None, each.code_size) and each.decides]
    deciding = [each for each in primary if each.arm == claim.arm]
    named = {
        outcome: _join_some([each.remark for each in deciding if each.outcome == outcome])
        for outcome in ("fails", "open", "missing")
    }
    said = {
        "supported": f"{where}, {claim.statement}",
        "contradicted": f"{where} it is not so that {claim.statement}: {named['fails']}",
        "not decided": f"{where} these rows do not decide whether {claim.statement}: {named['open']}",
        "not testable": f"Whether {claim.statement} cannot be tested for want of {named['missing']}",
    }
    if verdict in said:
        sentences = [f"{said[verdict]}{apart[claim.arm] if verdict != 'not testable' else ''}."]
    else:
        short = f"{RECIPES[claim.arm]} has had {100 * rows.published_share:.2g} % of the authors' training"
        sentences = [f"Whether {claim.statement} cannot be tested: {short}."]
    sentences += [f"In {RECIPES[arm]}: {found}{apart[arm]}." for arm, found in arms.items() if arm != claim.arm]
    return " ".join(sentences)


def _give_reason(judged: Sequence[Evidence]) -> str:
    deciding = [each for each in judged if each.decides]
    holding = [each for each in deciding if each.outcome == "holds"]
    made = any(each.outcome != "missing" for each in deciding)
    parts = [f"{len(holding)} of {len(deciding)} comparisons hold" if made else "no comparison was made"]
    if len(holding) == len(deciding) and (tests := [each for each in holding if math.isfinite(each.p_value)]):
        parts.append(f"least certain: {max(tests, key=lambda each: each.p_value).sentence}")
    for outcome in ("fails", "open", "missing"):
        if named := sorted((each for each in deciding if each.outcome == outcome), key=_lies_with_the_claim):
            parts.append(f"{outcome}: {_name_some(named)}")
    if beside := [each for each in judged if not each.decides and each.outcome == "fails"]:
        parts.append(f"also fails, outside the claim: {_name_some(beside)}")
    return "; ".join(parts)


def _lies_with_the_claim(each: Evidence) -> bool:
    """Whether a difference is on the claim's side, as far as it goes; what speaks against it is named first."""
    return (each.difference < 0) == (each.side == "lower")


def _name_some(evidence: Sequence[Evidence]) -> str:
    return _join_some([each.sentence for each in evidence])


def _join_some(texts: Sequence[str]) -> str:
    different = list(dict.fromkeys(texts))
    more = f" and {len(different) - NAMED} more" if len(different) > NAMED else ""
    return ", ".join(different[:NAMED]) + more


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
                "text": f"{each.claim.text} {each.claim.source}",
                "verdict": each.verdict,
                **{arm: each.arms.get(arm) for arm in RECIPES},
                "holding": each.holding or None,
                "sentence": each.sentence,
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
        FINDINGS,
        "Findings",
        f"What the paper claims and what these rows say at code size {PRIMARY_CODE_SIZE} in the authors' recipe (arm "
        "published; that of a file that appears to be theirs), which the paper is about; claim 7 in ours, since the "
        "classic auto-encoder is not the authors'. "
        "Supported: every comparison of the claim holds, i.e. its 95 % interval lies on the claim's side. "
        "Contradicted: one lies on the other side (Holm-adjusted over claim, arm and code size, 5 %). Not decided: an "
        "interval includes zero, or there is none for want of runs. Not testable: rows are missing, or it is "
        "a definition. Hold (authors'; ours): comparisons that hold over all code sizes, in the authors' recipe and in "
        "ours. Every claim by itself.",
        frame,
        (
            Column("claim", "#", "count"),
            Column("topic", "Topic", main=False),
            Column("text", "Claim (source)"),
            Column("verdict", "Verdict"),
            Column("tuned", "Our recipe"),
            Column("holding", "Hold (authors'; ours)"),
            Column("sentence", "In words", main=False),
            Column("comparison", "Comparison", main=False),
            Column("rule", "Rule", main=False),
            Column("reason", "Figures", main=False),
        ),
        sections=list_study_sections(results),
        footnotes=(
            *(
                describe_age(study, several=len(results.studies) > 1)
                for study in results.studies
                if study.name in {each.study for each in found}
            ),
            *_list_commands(found),
            "Figures behind each verdict: table of the comparisons. Sources: [abstract] the publisher's abstract or "
            "highlights, [notes] a reader's public notes on the paper.",
        ),
    )


def _tabulate_matrix(results: StudyResults, found: Sequence[Finding]) -> Table:
    """Return how many comparisons of a model hold at each code size, and whether one fails."""
    sizes = sorted({each.code_size for finding in found for each in finding.evidence if each.code_size is not None})
    rows = []
    for finding in found:
        groups: dict[tuple[str, str, bool], dict[int, list[Evidence]]] = {}
        for each in finding.evidence:
            if each.code_size is not None:
                at = groups.setdefault((each.arm, each.subject, each.decides), {})
                at.setdefault(each.code_size, []).append(each)
        for (arm, subject, decides), by_size in groups.items():
            labels = {"study": finding.study, "claim": finding.claim.number, "arm": arm, "subject": subject}
            cells = {f"code_{size}": _count_holding(by_size.get(size, ())) for size in sizes}
            rows.append(labels | {"role": "decides" if decides else "shown"} | cells)
    columns = ["study", "claim", "arm", "subject", "role", *(f"code_{size}" for size in sizes)]
    return Table(
        MATRIX,
        "Findings by model and code size",
        "Comparisons of a claim that hold, of those made, model by model and code size by code size; verdicts are "
        f"given at code size {PRIMARY_CODE_SIZE}. Models that no public source defines, and reconstruction with "
        "switches, are shown and do not decide.",
        pd.DataFrame(rows, columns=columns),
        (
            Column("subject", "Model"),
            Column("role", "Role"),
            *(Column(f"code_{size}", f"Code size {size}") for size in sizes),
        ),
        sections=(*list_study_sections(results), Column("claim", "claim", "count"), Column("arm", "arm")),
        detail=True,
    )


def _count_holding(evidence: Sequence[Evidence]) -> str | None:
    if not evidence:
        return None
    outcomes = [each.outcome for each in evidence]
    text = f"{outcomes.count('holds')} of {len(outcomes)} hold"
    return f"{text}, {outcomes.count('fails')} fail" if "fails" in outcomes else text


def _list_commands(found: Iterable[Finding]) -> list[str]:
    """Return a sentence for each command that makes missing rows, with the claims that need it."""
    claims: dict[tuple[str, str], list[int]] = {}
    for each in found:
        if each.command:
            claims.setdefault((each.study, each.command), []).append(each.claim.number)
    return [
        f"Rows for claim{'s' if len(numbers) > 1 else ''} {join_words(map(str, numbers))} are missing. "
        f"To get them: {run}"
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
        COMPARISONS,
        "Comparisons behind the findings",
        "Subject minus reference on the test images: mean ± half of the 95 % interval (seeds of the side that has "
        "fewer), and whether it holds. Models are compared by Welch's test, ablations in pairs by seed, PCA and pixels "
        "as one value where no seed changes it. p: as it stands, and Holm-adjusted over the deciding comparisons of "
        "claim, arm and code size. Claim 7: interval and p are adjusted for the choice of the best. Claim 8: spread "
        "minus its limit, by chi-square.",
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
