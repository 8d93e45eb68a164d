"""What the paper claims, each claim with the comparison that tests it and the rule that decides.

Sources, in brackets: [abstract] the publisher's abstract or
highlights; [notes] a reader's public notes on the paper; [ours] a decision of this project where nothing public says.
The paper's own result tables are not at hand, so none of its numbers is here: "very good" is made "better than a code
that needs no training", which is PCA's of the same size and, for clusters, also the pixels themselves.

A verdict rests on one primary endpoint, code size 10 in the authors' recipe, since the paper is about that; our recipe
and the other code sizes are judged and shown beside it. Two kinds of models are shown beside the rule without deciding:
those that no public source defines, since what they do speaks neither for the paper nor against it; and, where
reconstruction is compared, those with switches, which carry the image past the code.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import scipy.special

from analysis.claims.evidence import (
    NO_PUBLISHED_ABLATIONS,
    Comparison,
    Evidence,
    Rows,
    compare_means,
    make_key,
)
from analysis.stats.headline import MARGIN as EQUIVALENCE_MARGIN
from analysis.stats.intervals import LEVEL
from analysis.stats.metrics import (
    INCREASE,
    K_MEANS_ACCURACY,
    LINEAR_ERROR,
    MLP_ERROR,
    OTHER_SWITCHES,
    RAW_K_MEANS_ACCURACY,
    SQUARED_ERROR,
    Direction,
    Metric,
)
from trainables.models.architectures import BUILT_IN, STUDIED

STABLE_RUNS = 3
"""Runs from different starting weights that have to converge equally well. Source: [notes]."""

PRIMARY_CODE_SIZE = 10
"""Where verdicts are given. Source: [ours], the size that every preset has and that a code of ten classes needs."""

SPREAD_LIMIT = EQUIVALENCE_MARGIN
"""Runs converge equally well when their squared error's standard deviation is at most this share of PCA's error.

Source: [ours]: what is equivalent between models is equivalent between runs. As a share of PCA's error, unlike of its
own mean, a model does not fail for being good. The deviation, unlike the range, does not grow with the runs.
"""

MARGIN = 0.1
"""A model reaches the classic auto-encoder when it gives away at most this share of what that one gains over PCA.

Source: [ours], as trials of non-inferiority keep a share of the established treatment's effect. On MNIST at code size
30 PCA has a squared error of 13.87 and the classic auto-encoder had 4.30 in a trial, so the margin is about 1.
"""

_MODELS = {name: BUILT_IN[name] for name in STUDIED if BUILT_IN[name].ranked}
DEFINED = tuple(name for name, row in _MODELS.items() if not row.source.startswith("[ours]"))
"""Models that a public source defines."""
THROUGH_CODE = tuple(name for name in DEFINED if _MODELS[name].through_code)
"""Those of them whose decoder has the code alone."""
_OTHERS = tuple(name for name in _MODELS if name not in DEFINED)
_NOT_DEFINED = f"{' and '.join(_MODELS[name].label.lower() for name in _OTHERS)} are shown beside it"

_ADVICE: tuple[tuple[str, str, Direction], ...] = (("loss", "both", "lower"), ("activation", "relu", "higher"))
"""Factor and level of an ablation, and where its squared error lies of the confirmed one's if the advice is good."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of the paper, in its sense: how it is known, what tests it, and the rule that decides.

    Attributes:
        statement: what has to hold, as the middle of a sentence.
        rule: when it is supported and what does not decide; the rest is the same for all claims (`findings`).
        evidence: makes the comparison; None where there is nothing to measure.
        phase: of the command that makes missing rows.
        arm: whose verdict is the claim's.
        code_size: at which verdicts are given; None where there is one for each factor.
        without: a model that counts, and without which the verdict is given as well.
    """

    number: int
    topic: str
    text: str
    statement: str
    source: str
    comparison: str
    rule: str
    evidence: Callable[[Rows], Iterable[Evidence]] | None
    phase: str = "search confirm"
    arm: str = "published"
    code_size: int | None = PRIMARY_CODE_SIZE
    without: str = ""


def _compare_everywhere(*comparisons: Comparison) -> Callable[[Rows], Iterable[Evidence]]:
    """Return the function that makes ``comparisons`` at every code size of every arm."""
    return lambda rows: [rows.compare(each, size, arm) for size, arm in rows.groups for each in comparisons]


def _compare_with(
    reference: str, *metrics: Metric, of_reference: Metric | None = None, from_code_size: int = 0
) -> list[Comparison]:
    """Compare every model with a control; the others are shown beside those that decide."""
    return [
        Comparison(
            name,
            metric.direction,
            reference,
            metric,
            of_reference,
            decides=name in _deciding(metric),
            from_code_size=from_code_size,
        )
        for metric in metrics
        for name in _MODELS
    ]


def _compare_model_4(*metrics: Metric) -> list[Comparison]:
    """Compare model 4 with every other model."""
    return [
        Comparison("model_4", metric.direction, name, metric, decides=name in DEFINED)
        for metric in metrics
        for name in (*_deciding(metric), *_OTHERS)
        if name != "model_4"
    ]


def _deciding(metric: Metric) -> tuple[str, ...]:
    return THROUGH_CODE if metric.past_code else DEFINED


def _compare_with_classic(rows: Rows) -> Iterator[Evidence]:
    """Compare the best model with the classic auto-encoder and `MARGIN`, at every code size of the tuned arm.

    The best is chosen by the same scores, so level and p value are adjusted for the models it was chosen from.
    """
    classic = "classic_autoencoder"
    for size, arm in rows.groups:
        if arm != "tuned":  # nothing of the classic auto-encoder is published by the paper's authors
            continue
        pairs = [(name, classic) for name in THROUGH_CODE] + [(classic, "pca")]
        found = [rows.compare(Comparison(first, "lower", second, SQUARED_ERROR), size, arm) for first, second in pairs]
        if gaps := {each.missing: each for each in found if each.missing}:
            yield from gaps.values()
            continue
        errors = {
            name: rows.scores.get((make_key(name, size, arm), SQUARED_ERROR), {})
            for name in (*THROUGH_CODE, classic, "pca")
        }
        pca = statistics.fmean(errors["pca"].values())
        bar = {seed: value + MARGIN * max(0.0, pca - value) for seed, value in errors[classic].items()}
        candidates = [
            (dataclasses.replace(each, reference=f"{each.reference} and margin"), errors[name])
            for each, name in zip(found, THROUGH_CODE, strict=False)
            if each.n
        ]
        tests = [compare_means(each, own, bar, len(candidates)) for each, own in candidates]
        yield min(tests, key=lambda test: test.difference, default=found[0])


def _judge_stability(rows: Rows) -> Iterator[Evidence]:
    """Judge every model by the definition itself: enough runs, all converged, and equally well."""
    for size, arm in rows.groups:
        for name in _MODELS:
            key = make_key(name, size, arm)
            counts = rows.runs.get(key, {"runs": 0, "failed": 0, "converged": 0})
            runs, converged = counts["runs"] - counts["failed"], counts["converged"]
            label, values = rows.models[name].label, list(rows.scores.get((key, SQUARED_ERROR), {}).values())
            pca = rows.scores.get((make_key("pca", size, arm), SQUARED_ERROR), {})
            limit = f"{100 * SPREAD_LIMIT:g} %"
            blank = Evidence(arm, size, label, "lower", limit, "spread of squared error (% of PCA's)", name in DEFINED)
            if counts["runs"] < STABLE_RUNS:
                what = f"{STABLE_RUNS} runs of {label} at code size {size} ({arm})"
                yield dataclasses.replace(blank, missing=what, option=f"--seeds {STABLE_RUNS} --architectures {name}")
            elif runs < STABLE_RUNS:
                yield dataclasses.replace(blank, note=f"{counts['failed']} runs failed, which is not training's")
            elif converged < runs:
                yield dataclasses.replace(blank, note=f"{converged} of {runs} runs converged", outcome="fails")
            elif len(values) < STABLE_RUNS:
                yield dataclasses.replace(blank, missing=f"squared error of {label} at code size {size} ({arm})")
            elif not pca:
                yield dataclasses.replace(blank, missing=f"squared error of PCA at code size {size} (control)")
            else:
                yield _test_spread(blank, [100 * value / statistics.fmean(pca.values()) for value in values])


def _test_spread(blank: Evidence, values: list[float]) -> Evidence:
    """Return ``blank`` with the chi-square test that the deviation of ``values``, in percent, is `SPREAD_LIMIT`."""
    limit, freedom = 100 * SPREAD_LIMIT, len(values) - 1
    squares = freedom * statistics.variance(values)
    low, high = (
        math.sqrt(squares / scipy.special.chdtri(freedom, tail)) for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    )
    above = float(scipy.special.chdtrc(freedom, squares / limit**2))
    return dataclasses.replace(
        blank,
        n=len(values),
        difference=statistics.stdev(values) - limit,
        p_value=2 * min(above, 1 - above),
        note=f"95 % interval of the spread {low:.2g} to {high:.2g}; all {len(values)} runs converged",
    )


def _compare_ablations(rows: Rows) -> Iterator[Evidence]:
    """Compare the ablations that the advice speaks of with the confirmed configuration, at their own code size."""
    ablated = [key for key in rows.runs if key[:2] in {advice[:2] for advice in _ADVICE}]
    for arm in ("published", "tuned"):
        for factor, level, side in _ADVICE:
            text, decided = SQUARED_ERROR.label, False
            for key in [key for key in ablated if key[:2] == (factor, level) and key[4] == arm]:
                _, _, name, size, _ = key
                label, decides = rows.models[name].label, name in THROUGH_CODE
                blank = Evidence(
                    arm, size, f"{label} with {factor} {level}", side, f"{label} as confirmed", text, decides
                )
                yield rows.test(blank, (key, SQUARED_ERROR), (make_key(name, size, arm), SQUARED_ERROR))
                decided |= decides
            if not decided:
                what = f"ablation of {factor} to {level}"
                missing = NO_PUBLISHED_ABLATIONS if arm == "published" else f"{what} ({arm})"
                option = "" if arm == "published" else f"--factors {factor}"
                yield Evidence(arm, None, what, side, "", text, missing=missing, option=option)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        1,
        "Five models",
        "Five models, which differ by presence or absence of pooling and unpooling layers in encoder and decoder.",
        "there are five such models",
        "[abstract]",
        "None: it says which models there are.",
        "Not testable by results: what the graphs are is computed, layer by layer (table of the models); the fifth is "
        "ours, since no public source defines it.",
        None,
    ),
    Claim(
        2,
        "Dimensionality reduction",
        "All give very good results in dimensionality reduction.",
        "models 1, 2 and 4 reconstruct better than PCA with as many numbers",
        "[abstract]",
        "Squared error of the test images of every model against PCA's with the same code size, of images clipped to "
        "[0, 1] where rows have them.",
        "Supported where models 1, 2 and 4 lie below PCA; model 3, whose switches carry the image past the code, and "
        f"{_NOT_DEFINED}.",
        _compare_everywhere(*_compare_with("pca", SQUARED_ERROR)),
    ),
    Claim(
        3,
        "Clustering",
        "All give very good results in unsupervised clustering.",
        "k-means finds the classes better in the codes of models 1 to 4 than in PCA's and in the pixels",
        "[abstract]",
        "k-means accuracy on the whitened code of every model, or on the code as it is where rows have no other, "
        "against that on PCA's of the same size and on the raw pixels as they are.",
        f"Supported where models 1 to 4 lie above both; a code of 2 units need not beat 784 pixels; {_NOT_DEFINED}.",
        _compare_everywhere(
            *_compare_with("pca", K_MEANS_ACCURACY),
            # No layer has mapped the pixels: they are clustered as they are.
            *_compare_with("raw_pixels", K_MEANS_ACCURACY, of_reference=RAW_K_MEANS_ACCURACY, from_code_size=3),
        ),
        without="model_3",
    ),
    Claim(
        4,
        "Classification",
        "Small classification errors when the learned code is the input of a linear classifier and of a multi-layer "
        "perceptron.",
        "both classifiers err less on the codes of models 1 to 4 than on PCA's",
        "[abstract]",
        "Test errors of both classifiers on the code of every model against those on PCA's of the same size.",
        f"Supported where models 1 to 4 lie below PCA in both; {_NOT_DEFINED}.",
        _compare_everywhere(*_compare_with("pca", LINEAR_ERROR, MLP_ERROR)),
        without="model_3",
    ),
    Claim(
        5,
        "Best model",
        "The best is the model with convolution and pooling in the encoder and deconvolution and unpooling without "
        "switch variables in the decoder.",
        "model 4 is better than models 1, 2 and 3 by squared error, linear error and k-means",
        "[abstract]",
        "Squared error, linear classifier error and k-means accuracy of model 4 against every other model's (Welch's "
        "test).",
        "Supported where model 4 is better than models 1, 2 and 3 in all three; model 3 is left out of squared error, "
        f"since its switches carry the image past the code; {_NOT_DEFINED}.",
        _compare_everywhere(*_compare_model_4(SQUARED_ERROR, LINEAR_ERROR, K_MEANS_ACCURACY)),
    ),
    Claim(
        6,
        "Switches",
        "The model with switches does comparatively badly on the code; fixing the unpooled position makes the model "
        "rely on the code.",
        "model 3 has a worse code than model 4 and relies on it less",
        "[notes]",
        "Model 3 against model 4 (Welch's test): linear classifier error, squared error with another image's switches "
        "(model 4: its own squared error), and by how much the mean code in place of its own raises squared error.",
        "Supported where model 3 is worse in the first two and the mean code harms it less.",
        _compare_everywhere(
            Comparison("model_3", "higher", "model_4", LINEAR_ERROR),
            Comparison("model_3", "higher", "model_4", OTHER_SWITCHES, SQUARED_ERROR),
            Comparison("model_3", "lower", "model_4", INCREASE),
        ),
    ),
    Claim(
        7,
        "Classic auto-encoder",
        "A convolutional auto-encoder reaches the accuracy of a classic (fully connected) one in dimensionality "
        "reduction.",
        "the best of models 1, 2 and 4 reconstructs as well as the classic auto-encoder, to a tenth of what that gains",
        "[abstract of the predecessor]",
        "Squared error of the test images of the best of models 1, 2 and 4 against the classic auto-encoder's (Welch's "
        "test), in the tuned arm: nothing of the classic auto-encoder is published by the authors.",
        f"Supported where it lies at most {100 * MARGIN:g} % of what the classic auto-encoder gains over PCA above it; "
        "level and p value are adjusted for the choice of the best (Bonferroni).",
        _compare_with_classic,
        arm="tuned",
    ),
    Claim(
        8,
        "Stability",
        "A model is called stable when at least 3 runs from different starting weights converge equally well.",
        "at least 3 runs of each of models 1 to 4 converge equally well",
        "[notes]",
        "Every model's share of confirmed runs that converge, and the standard deviation of their squared error in % "
        "of PCA's with its chi-square interval; runs that failed for other reasons than training are left out.",
        f"Supported where all runs, at least {STABLE_RUNS}, of models 1 to 4 converge and the interval of the spread "
        f"lies below {100 * SPREAD_LIMIT:g} % of PCA's error; contradicted where one does not converge or the interval "
        f"lies above; {_NOT_DEFINED}.",
        _judge_stability,
    ),
    Claim(
        9,
        "Advice",
        "Make encoder and decoder symmetric in total feature-map size and in neurons; use cross-entropy together with "
        "Euclidean loss; bound growing activations with sigmoid or tanh; look at intermediate values and filters.",
        "both losses together lower the squared error and an unbounded activation raises it",
        "[notes]",
        "Squared error of ablations against the confirmed configuration, paired by seed: both losses instead of "
        "cross-entropy, ReLU instead of a bounded activation.",
        "Supported where both losses lie below and ReLU above the confirmed configuration of every ablated model that "
        "passes the image through the code, in the authors' recipe, which the advice is about; symmetry and looking "
        "are not varied, so they are not tested.",
        _compare_ablations,
        phase="ablate",
        code_size=None,
    ),
)
"""The claims in the order of the paper's abstract, then of the notes."""
