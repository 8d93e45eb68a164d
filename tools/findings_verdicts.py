"""What docs/findings.md concludes, and what limits that as far as rows tell it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from findings_training import count_range, describe_generalisation, describe_last_third

from analysis.claims.evidence import PUBLISHED_IMAGES, compute_published_share
from analysis.claims.findings import RECIPES, findings
from analysis.provenance import describe_looking, has_rounds
from analysis.results import StudyResults, select_confirmed
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.contrasts import MINIMUM_SEEDS, SIGNIFICANCE
from analysis.stats.headline import MARGIN
from analysis.stats.metrics import (
    K_MEANS_ACCURACY,
    settle_metrics,
)
from analysis.tables.headline import describe_nearest, join_words, select_headline
from analysis.tables.scores import compare_recipes
from analysis.tables.summary import CLASSIC

VERDICTS = ("supported", "contradicted", "not decided", "not testable")
AGAINST_CLASSIC = 7
"""Number of the claim that compares with the classic auto-encoder."""


def describe_whitening(results: StudyResults) -> str:
    """Return which verdicts would be others if k-means had the codes as they are: of rows without the others."""
    kept = results.scores[results.scores["evaluator"] != K_MEANS_ACCURACY.evaluator]
    raw = dataclasses.replace(results, scores=kept)
    if not (told := list_changed_verdicts(results, raw, "with whitened ones")):
        return "With codes as they are every verdict below would be the same."
    return f"With codes as they are, not whitened, these verdicts would be others: {'; '.join(told)}."


def list_changed_verdicts(results: StudyResults, other: StudyResults, when: str) -> list[str]:
    """Return how verdicts on the rows of ``other`` differ from those on ``results``, which hold ``when``."""
    return [
        f"claim {ours.claim.number} in {RECIPES[arm]} {theirs.arms[arm]}{theirs.apart[arm]}, "
        f"{when} {ours.arms[arm]}{ours.apart[arm]}"
        for ours, theirs in zip(findings(results), findings(other), strict=True)
        for arm in ours.arms
        if arm in theirs.arms and (theirs.arms[arm], theirs.apart[arm]) != (ours.arms[arm], ours.apart[arm])
    ]


def list_verdicts(results: StudyResults) -> Iterator[str]:
    """Yield the verdicts on the claims in either recipe, supported ones first, with the comparisons behind them."""
    found, trained = findings(results), {*select_confirmed(results.trials)["arm"]}
    unequal = ", by unequal recipes" if CLASSIC in compare_recipes(results, results.studies[0].name) else ""
    for arm, name in RECIPES.items():
        yield f"**In {name}:**\n"
        if arm not in trained:
            yield "- *not testable*: no model was trained so; nothing here confirms or refutes the paper.\n"
            continue
        told = [(each, each.arms[arm]) for each in found if arm in each.arms]
        for verdict in VERDICTS:
            for each in (each for each, own in told if own == verdict):
                caveat = unequal if (each.claim.number, arm) == (AGAINST_CLASSIC, "tuned") else ""
                claim = f"claim {each.claim.number}{caveat}: {each.claim.statement}"
                yield f"- *{verdict}*{each.apart[arm]}, {claim}. {each.reasons[arm][0].upper()}{each.reasons[arm][1:]}."
        # Figures of too short a training would be read as if they were of the paper's.
        for short in dict.fromkeys(own for _, own in told if own not in VERDICTS):
            yield f"- *{short}*: claims {join_words(str(each.claim.number) for each, own in told if own == short)}."
        yield ""


def list_limits(results: StudyResults) -> list[str]:
    """Return what limits the conclusions as far as rows tell it: training, seeds, search, machines, code."""
    (study,) = results.studies
    confirmed = select_confirmed(results.trials)
    tuned = confirmed[confirmed["arm"] == "tuned"]
    cell = ["architecture", "code_size"]
    epochs, share = int(tuned["epochs_planned"].min()), compute_published_share(results.trials)
    seeds = count_range(tuned.groupby(cell, observed=True).size(), "seeds per cell")
    searched = results.trials[results.trials["phase"] == "search"]
    tried = count_range(searched.groupby(cell, observed=True)["number"].nunique(), "configurations per cell")
    limits = []
    published = PUBLISHED_IMAGES // int(tuned["train_images"].max())
    if epochs < published:
        limits.append(
            f"**Training.** Arm `tuned` has {epochs} epochs where the authors have {published}; the order of "
            "the models may change with more."
        )
    if fell := describe_last_third(results):
        limits.append(f"**Not at rest.** {fell}")
    if lost := describe_generalisation(results):
        limits.append(f"**Training and test images.** {lost}")
    if len(sizes := {*tuned["code_size"]}) == 1:
        limits.append(f"**Code size.** Only {sizes.pop()}: nothing is said of other sizes.")
    if share < 1:
        limits.append(
            f"**The authors' recipe** has had {100 * share:.2g} % of their training, so these results do not test it."
        )
    limits += [
        f"**Seeds.** {seeds}: a difference that is small beside the spread of so many is not found, and a model that "
        "is not found worse need not be as good.",
        f"**Search.** {tried}: the best of so many need not be the best there is, and what "
        "another search of the cell would have chosen is in no interval.",
    ]
    pairs = select_headline(results)[1]
    pairs = pairs[pairs["arm"] == "tuned"]
    if len(pairs) and (pairs["p_equivalent"] < SIGNIFICANCE).all():
        limits.append(
            f"**Margins.** No two ranked models differ by {100 * MARGIN:g} % of PCA's error, the margin of equivalence "
            "and claim 8's limit for the spread of runs: claim 8 then says that runs converge, not that runs of one "
            "model differ less than the models do."
        )
    if not has_rounds(study):
        limits.append(
            "**Early stopping.** The searches stopped trainings early by their losses so far, which favours a "
            "configuration that learns fast at first; later versions give every training its whole schedule."
        )
    if settle_metrics(select_confirmed_scores(results), [K_MEANS_ACCURACY]) != (K_MEANS_ACCURACY,):
        limits.append(
            "**Clusters** are of the codes as they are, since these rows have none of whitened codes: an "
            "invertible map of a code would change them."
        )
    for name, how in compare_recipes(results, study.name).items():
        label = results.get_label(name)
        limits.append(f"**Recipes.** {label} {how}: its distance from them may be the recipe's in part.")
    if looked := describe_looking(results, study):
        first = results.trials["phase"].ne("confirm") | results.trials["number"].le(MINIMUM_SEEDS)
        early = dataclasses.replace(results, trials=results.trials[first])
        nearest = describe_nearest(early, study.name)
        then = f" By the first {MINIMUM_SEEDS} seeds of every model, {nearest}." if nearest else ""
        if told := list_changed_verdicts(results, early, "now"):
            then += f" By them these verdicts were others: {'; '.join(told)}."
        limits.append(f"**Looking.** {looked}{then}")
    devices, commits = confirmed["device"].nunique(), confirmed["git_commit"].nunique()
    kinds = [(devices, "kinds of processor or GPU"), (commits, "states of the code")]
    if several := [f"{count} {what}" for count, what in kinds if count > 1]:
        limits.append(
            f"**Machines and versions.** Confirmed runs are of {join_words(several)}, which may change rounding, and "
            "with it a training as another seed would."
        )
    return limits
