"""Tables of scores in which models are ranked: which metrics they show, and the tests behind their marks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from analysis.results import StudyResults, select_confirmed
from analysis.stats.aggregate import (
    CELL,
    GROUP,
    add_labels,
    count_runs,
    join_frames,
    name_estimate,
    select_confirmed_scores,
    summarise_groups,
)
from analysis.stats.crossed import cross_confirmed
from analysis.stats.headline import get_levels
from analysis.stats.metrics import (
    CONTINUITY,
    CROSS_ENTROPY,
    DEAD_UNITS,
    EFFECTIVE_DIMENSION,
    HOYER_SPARSITY,
    K_MEANS_ACCURACY,
    K_MEANS_ARI,
    K_MEANS_NMI,
    LINEAR_ERROR,
    MLP_ERROR,
    N2D_ACCURACY,
    NEAREST_NEIGHBOUR_ERROR,
    NEIGHBOUR_OVERLAP,
    SQUARED_ERROR,
    TRUSTWORTHINESS,
    Metric,
    is_past_code,
    list_metrics,
    select_metric,
    settle_metrics,
)
from analysis.stats.ranking import METRIC, compare_all, select_ranked
from analysis.tables.headline import join_words, list_declared_looks, list_looks
from analysis.tables.table import (
    ESTIMATE_CAPTION,
    FAILURES,
    FAILURES_CAPTION,
    IMAGES_CAPTION,
    SEEDS_ALONE_CAPTION,
    SWITCHES_FOOTNOTE,
    Absent,
    Column,
    Table,
    describe_letters,
    has_letters,
    letter_models,
    list_group_sections,
    make_absent,
    make_incomparable,
)
from trainables.models.architectures import CONTROLS, IMAGE_SIZE

CONTROLS_FOOTNOTE = (
    "Controls are never ranked: the classic auto-encoder is outside the parameter budget; what PCA "
    "and raw pixels compute without a seed has no interval over seeds."
)


def compare_recipes(results: StudyResults, study: str) -> dict[str, str]:
    """Say of models that are not ranked, by name, by which recipe each was trained where the ranked ones had others.

    Of the confirmed runs of ``study``: an ablation may try any recipe.
    """
    trials = select_confirmed(results.trials)
    tuned = trials[(trials["study"] == study) & (trials["arm"] == "tuned") & trials["recipe"].notna()]
    recipes = tuned.astype({"architecture": "str"}).groupby("architecture")["recipe"].agg(set)
    known = {str(name): set(found) for name, found in recipes.items() if name in results.models}
    usual = {recipe for name, found in known.items() if results.models[name].ranked for recipe in found}
    others = {name: found - usual for name, found in known.items() if usual and not results.models[name].ranked}
    return {
        name: f"was trained by recipe {join_words(sorted(found))}, the ranked models by {join_words(sorted(usual))}"
        for name, found in others.items()
        if found
    }


def describe_controls(results: StudyResults) -> tuple[str, ...]:
    """Return the footnotes of a table with controls: what they are, and by which recipe, where it is another one."""
    several = len(results.studies) > 1
    told = (
        f"{results.get_label(name)}{f' of {study.name}' if several else ''} {how}."
        for study in results.studies
        for name, how in compare_recipes(results, study.name).items()
    )
    supervised = [name for name, row in CONTROLS.items() if row.supervised]
    seen = [name for name in supervised if (results.trials["architecture"] == name).any()]
    labels = (
        f"{results.get_label(name)} is trained with the labels of the training images: no rival." for name in seen
    )
    return (CONTROLS_FOOTNOTE, *labels, *told)


NO_LABELS = "Without labels of the data there are no classifiers, and no agreement of clusters with classes."


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """A table that shows every metric of some evaluators.

    Attributes:
        caption: what the metrics are, with units.
        of_classes: what of it, in front of the rest, is said only where data have labels.
        evaluators: whose scores are shown.
        main: the metrics that are ranked and shown where space is short.
        by_image: those that are means over the test images, kept image by image.
    """

    name: str
    title: str
    caption: str
    evaluators: tuple[str, ...]
    main: tuple[Metric, ...]
    by_image: tuple[Metric, ...] = ()
    of_classes: str = ""


RECONSTRUCTION = ScoreTable(
    "reconstruction",
    "Reconstruction of the test images",
    "Cross-entropy in nats per image; squared error summed over the 784 pixels per image, and per pixel. PCA's images "
    "leave [0, 1], where those of a network lie: clipped to it they are what models are compared with.",
    ("reconstruction",),
    (CROSS_ENTROPY, SQUARED_ERROR),
    (SQUARED_ERROR,),
)
CLASSIFICATION = ScoreTable(
    "classification",
    "Classification from the code",
    "Error on the test images in percent of a linear classifier, of multi-layer perceptrons (mean of three) and of the "
    "10 nearest neighbours, fitted on the whitened training codes (pixels standardised, in neighbours as they are; in "
    "rows without neighbours all codes standardised, and one perceptron); precision, recall and F-score are averaged "
    "over classes.",
    ("linear_classifier", "mlp_classifier", "nearest_neighbours"),
    (LINEAR_ERROR, MLP_ERROR, NEAREST_NEIGHBOUR_ERROR),
    (LINEAR_ERROR, MLP_ERROR, NEAREST_NEIGHBOUR_ERROR),
)
CLUSTERING = ScoreTable(
    "clustering",
    "Clustering of the codes",
    "Clusters are of whitened codes, by k-means and, where a study asks for it, by UMAP and a Gaussian mixture (N2D), "
    "of the decoder's first layer, and of raw codes. An invertible map of the code, which changes no reconstruction, "
    "changes the last: they are ranked where rows have no others.",
    ("k_means_whitened", "k_means_decoder_layer", "k_means", "umap_gmm"),
    (K_MEANS_ACCURACY, K_MEANS_NMI, K_MEANS_ARI, N2D_ACCURACY),
    of_classes="Agreement of clusters of the codes with the classes, which the clustering has not seen: accuracy by "
    "optimal assignment, normalised mutual information (NMI), adjusted Rand index (ARI); silhouette needs no classes. ",
)
CODE = ScoreTable(
    "code",
    "Sparsity and use of the code",
    "Hoyer sparsity and Gini index from 0 (dense) to 1 (sparse), effective dimension (participation ratio) in units, "
    "and units of the code that hardly vary. An invertible map of the code, which changes no reconstruction, changes "
    "them all: they say how a code is written, not what it holds.",
    ("code", "objective"),
    (HOYER_SPARSITY, EFFECTIVE_DIMENSION, DEAD_UNITS),
)
OBJECTIVE_FOOTNOTE = (
    "What some objectives have alone: divergence from the prior and bound on the likelihood in nats per image, units "
    "that are active, or not 0, and how far mean and covariance of the codes are from those of N(0, I)."
)
NEIGHBOURHOOD = ScoreTable(
    "neighbourhood",
    "Neighbours that the code keeps",
    "Of at most 2,000 test images, evenly spaced: by how far the 10 nearest by whitened code are beyond the 10 nearest "
    "by pixels (trustworthiness), the other way round (continuity), both 1 where none is and about 0.5 by chance, and "
    "the share that both have in common.",
    ("neighbourhood",),
    (TRUSTWORTHINESS, CONTINUITY, NEIGHBOUR_OVERLAP),
)
SCORE_TABLES = (RECONSTRUCTION, NEIGHBOURHOOD, CLASSIFICATION, CLUSTERING, CODE)


def reconstruction(results: StudyResults) -> Table | Absent:
    """Return cross-entropy and squared error of the test images."""
    table = score_table(results, RECONSTRUCTION)
    if isinstance(table, Absent):
        return table
    name, per_pixel = SQUARED_ERROR.name, f"{SQUARED_ERROR.name}_per_pixel"
    scaled = {f"{per_pixel}{part}": table.frame[f"{name}{part}"] / IMAGE_SIZE**2 for part in ("", "_half_width")}
    columns = (*table.columns[:-1], Column(per_pixel, "Per pixel", "fixed", 4), table.columns[-1])
    return dataclasses.replace(table, frame=table.frame.assign(**scaled), columns=columns)


def score_table(results: StudyResults, spec: ScoreTable) -> Table | Absent:
    """Return all metrics of the evaluators of ``spec``, the main ones ranked."""
    scores = select_confirmed_scores(results)
    if spec is RECONSTRUCTION:
        # A row of zeros says nothing.
        lossless = [name for name, row in results.models.items() if row.lossless]
        scores = scores[~scores["architecture"].isin(lossless)]
    ranked = settle_metrics(scores, spec.main)
    metrics = list_metrics(scores, spec.evaluators, ranked)
    if not metrics:
        if spec is CLASSIFICATION and not any(study.labelled for study in results.studies):
            return Absent(spec.name, spec.title, NO_LABELS)
        what = f"no confirmed run has scores of {' or '.join(spec.evaluators)}"
        return make_absent(results, spec.name, spec.title, what)
    # Where none of those is there, as of clusters without classes, a terminal and a page show what there is.
    main = {metric.key for metric in ranked} & {metric.key for metric in metrics} or {metric.key for metric in metrics}
    frame = tabulate_scores(results, scores, metrics, ranked)
    crossed = cross_confirmed(results)
    by_image = {metric.key for metric in spec.by_image if len(select_metric(crossed, metric))}
    for metric in spec.by_image:
        if metric.key in by_image:
            frame = frame.merge(name_interval(crossed, metric), on=CELL, how="left")
    marks = frame.filter(regex="_mark$")
    several = len({metric.evaluator for metric in metrics}) > 1
    columns = [Column("label", "Model")]
    for metric in metrics:
        header = metric.header if several else metric.short_header
        columns.append(Column(metric.name, header, "estimate", metric.digits, metric.key in main))
        if metric.key in by_image:
            columns.append(Column(f"{metric.name}_images", "Seeds and images", "interval", metric.digits))
    over = ((IMAGES_CAPTION if by_image else SEEDS_ALONE_CAPTION),) if spec.by_image else ()
    ranking = (describe_letters(frame),) if marks.notna().any(axis=None) else ()
    footnotes: tuple[str, ...] = (SWITCHES_FOOTNOTE,) if (marks == "unranked").any(axis=None) else ()
    labelled = [study.labelled for study in results.studies]
    caption = (spec.of_classes if any(labelled) else "") + spec.caption
    if spec is CLUSTERING and not all(labelled):
        footnotes += (NO_LABELS,)
    if any(metric.evaluator == "objective" for metric in metrics):
        footnotes += (OBJECTIVE_FOOTNOTE,)
    if has_letters(frame):
        footnotes += list_declared_looks(results)
    return Table(
        spec.name,
        spec.title,
        " ".join((caption, ESTIMATE_CAPTION, *over, *ranking, FAILURES_CAPTION)),
        frame,
        (*columns, FAILURES),
        sections=list_group_sections(results),
        footnotes=(*footnotes, *describe_controls(results)),
    )


def name_interval(crossed: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return `cross_confirmed`'s interval of ``metric`` by cell, as columns of a table."""
    names = {f"images_{end}": f"{metric.name}_images_{end}" for end in ("low", "high")}
    return select_metric(crossed, metric)[[*CELL, *names]].rename(columns=names)


def tabulate_scores(
    results: StudyResults, scores: pd.DataFrame, metrics: Sequence[Metric], ranked: tuple[Metric, ...]
) -> pd.DataFrame:
    """Return one row a model, code size and arm: runs counted, ``metrics`` of ``scores``, and marks of those ranked."""
    evaluators = {metric.evaluator for metric in metrics}
    groups = summarise_groups(scores[scores["evaluator"].isin(evaluators)], [*CELL, *METRIC])
    rows = _select_ranked_scores(results, ranked)
    unranked = rows.loc[is_past_code(rows), [*METRIC, *CELL]].drop_duplicates()
    letters = letter_models(compare_ranked(results, ranked), [*METRIC, *GROUP])
    marks = pd.concat([letters, unranked.assign(mark="unranked")])
    frames = [count_runs(results)]
    for metric in metrics:
        frames.append(name_estimate(select_metric(groups, metric), metric.name))
        if metric.direction != "none" and metric.key in [each.key for each in ranked]:
            found = select_metric(marks, metric)[[*CELL, "mark"]]
            frames.append(found.rename(columns={"mark": f"{metric.name}_mark"}))
    return add_labels(results, join_frames(frames))


def differences(results: StudyResults) -> Table | Absent:
    """Return the tests behind the marks: every pair of ranked models of a code size and arm."""
    scores = select_confirmed_scores(results)
    compared = [settle_metrics(scores, spec.main) for spec in SCORE_TABLES]
    frame = pd.concat([compare_ranked(results, metrics) for metrics in compared], ignore_index=True)
    title = "Differences between models"
    if frame.empty:
        return make_incomparable(results, "differences", title, "no two confirmed models can be compared")
    frame = frame.sort_values(GROUP, kind="stable", ignore_index=True)
    frame = add_labels(results, frame).assign(other_label=frame["other"].astype("str").map(results.get_label))
    frame = frame.rename(columns={part: f"difference_{part}" for part in ("half_width", "low", "high", "n")})
    frame["difference_mark"] = frame["worse"].map({True: "significant", False: ""})
    headers = {metric.key: metric.header for metrics in compared for metric in metrics}
    keys = zip(frame["evaluator"].astype("str"), frame["metric"].astype("str"), strict=True)
    frame["measure"] = [headers[key] for key in keys]
    return Table(
        "differences",
        title,
        "Model minus the other, which has the better mean, of the same code size and arm: mean ± half of Welch's 95 % "
        "interval (seeds of the one that has fewer); p of Welch's test, Holm-adjusted over the pairs of the metric at "
        "this code size and arm. * worse at 5 %. No test under 3 seeds, or where no seed changes the scores of either.",
        frame,
        (
            Column("measure", "Measure"),
            Column("metric", "Metric", main=False),
            Column("evaluator", "Evaluator", main=False),
            Column("label", "Model"),
            Column("other_label", "Other"),
            Column("difference", "Difference", "difference", 3),
            Column("p_value", "p", "general", main=False),
            Column("p_holm", "p (Holm)", "general"),
        ),
        sections=list_group_sections(results),
        footnotes=list_looks(results),
        detail=True,
    )


@lru_cache(maxsize=2 * len(SCORE_TABLES))
def compare_ranked(results: StudyResults, metrics: tuple[Metric, ...]) -> pd.DataFrame:
    """Return `compare_all` of ``metrics``: what marks rest on."""
    return compare_all(select_ranked(results, _select_ranked_scores(results, metrics)), get_levels(results))


def _select_ranked_scores(results: StudyResults, metrics: tuple[Metric, ...]) -> pd.DataFrame:
    scores = select_confirmed_scores(results)
    keys = pd.MultiIndex.from_frame(scores[METRIC])
    return scores[keys.isin([metric.key for metric in metrics]) & (scores["direction"] != "none")]
