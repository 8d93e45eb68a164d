"""What docs/findings.md says in numbers: every part of it that depends on the rows of the published study."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from analysis.claims.claims import PRIMARY_CODE_SIZE
from analysis.claims.evidence import PUBLISHED_IMAGES, compute_published_share
from analysis.claims.findings import RECIPES, findings
from analysis.provenance import describe_looking, has_rounds
from analysis.rendering.text import format_markdown
from analysis.results import ResultsError, StudyResults, select_confirmed
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.contrasts import MINIMUM_SEEDS, SIGNIFICANCE
from analysis.stats.headline import MARGIN
from analysis.stats.metrics import (
    CROSS_ENTROPY,
    K_MEANS_ACCURACY,
    LINEAR_ERROR,
    MLP_ERROR,
    RAW_K_MEANS_ACCURACY,
    SQUARED_ERROR,
    Metric,
    select_metric,
    settle_metrics,
)
from analysis.tables.ablations import ablations
from analysis.tables.costs import search
from analysis.tables.diagnostics import reliance, stability
from analysis.tables.headline import describe_nearest, headline, join_words, select_headline
from analysis.tables.models import architectures
from analysis.tables.scores import CLUSTERING, RECONSTRUCTION, compare_recipes, score_table
from analysis.tables.summary import CLASSIC, answers, summary
from analysis.tables.table import Absent, Column, Table

VERDICTS = ("supported", "contradicted", "not decided", "not testable")
AGAINST_CLASSIC = 7
"""Number of the claim that compares with the classic auto-encoder."""
CLUSTERED = (
    K_MEANS_ACCURACY,
    RAW_K_MEANS_ACCURACY,
    Metric("k_means_decoder_layer", "accuracy", direction="higher"),
)


def make_findings_parts(results: StudyResults) -> dict[str, str]:
    """Return the parts of docs/findings.md by name; Markdown.

    Raises:
        ResultsError: the study has no search, or no confirmed runs of the tuned arm.
    """
    tuned: dict[str, Sequence[object]] = {"arm": ["tuned"]}
    at_primary: dict[str, Sequence[object]] = {"code_size": [PRIMARY_CODE_SIZE]}
    return {
        "in short": answers(results)[0],
        "models": format_part(_drop_footnotes(architectures(results)), {}, keep=("label", "notation", "layers")),
        "protocol": describe_protocol(results),
        "reconstruction": format_part(headline(results), tuned, drop=("arm", "code_sizes")),
        "answers": "\n".join(f"- {sentence}" for sentence in answers(results)[1:]),
        "losses": format_part(
            _drop_footnotes(score_table(results, RECONSTRUCTION)),
            tuned | at_primary,
            keep=("label", CROSS_ENTROPY.name, SQUARED_ERROR.name),
        ),
        "codes": format_part(summary(results), at_primary, drop=("code_size",)),
        "pixels": describe_pixels(results),
        "clusters": format_part(
            _drop_footnotes(score_table(results, CLUSTERING)),
            {"arm": ["tuned", "control"]},
            keep=("label", *(metric.name for metric in CLUSTERED)),
            drop=("code_size",),
        ),
        "whitening": describe_whitening(results),
        "published": describe_published(results),
        "reliance": format_part(
            reliance(results),
            tuned | at_primary,
            keep=("label", "own_code_squared_error", "mean_code_squared_error", "other_switches_squared_error"),
        ),
        "rates": describe_rates(results),
        "ablations": format_part(
            ablations(results),
            tuned,
            keep=(
                *("factor", "level", "learning_rate"),
                *(f"{metric.name}_difference" for metric in (SQUARED_ERROR, LINEAR_ERROR)),
            ),
        ),
        "search": describe_search(results),
        "chosen": tabulate_chosen(results),
        "stability": describe_stability(results),
        "verdicts": "\n".join(list_verdicts(results)),
        "limits": "\n".join(f"- {sentence}" for sentence in list_limits(results)),
    }


def format_part(
    table: Table | Absent,
    rows: Mapping[str, Sequence[object]],
    *,
    keep: tuple[str, ...] = (),
    drop: tuple[str, ...] = (),
) -> str:
    """Return some rows of a table as Markdown without its caption; of one that is not there, why.

    Args:
        table: of the report.
        rows: values by column that a row must have.
        keep: names of the columns shown; none for its main ones.
        drop: names of the sections left out.
    """
    if isinstance(table, Absent):
        return f"Not there yet: {table.reason}."
    frame = table.frame
    for name, values in rows.items():
        frame = frame[frame[name].isin(values)]
    columns = tuple(column for column in table.columns if (column.name in keep if keep else column.main))
    sections = tuple(column for column in table.sections if column.name not in {*drop, *rows})
    return format_markdown(
        dataclasses.replace(table, caption="", frame=frame, columns=columns, sections=sections)
    ).strip()


def describe_protocol(results: StudyResults) -> str:
    """Return a table of what was trained: cells, budget of the search, epochs and seeds by arm and code size."""
    trials = results.trials.astype({"arm": "str", "architecture": "str"})
    search_trials = trials[trials["phase"] == "search"]
    confirmed = trials[(trials["phase"] == "confirm") & (trials["arm"] != "control")]
    labels = [results.get_label(name) for name in results.models if name in {*confirmed["architecture"]}]
    dataset = results.studies[0].manifest["dataset"]
    searched = search_trials.groupby(["architecture", "code_size"])
    rows = [
        ("Data", f"{dataset['name']}: {dataset['train_images']:,} training and {dataset['test_images']:,} test images"),
        ("Models", f"{join_words(labels)}, at {_name_sizes(confirmed)}"),
        (
            "Search",
            f"{_count_range(searched['number'].nunique(), 'configurations')} and "
            f"{_count_range(searched.size(), 'trainings per cell')}",
        ),
    ]
    for arm in RECIPES:
        own = confirmed[confirmed["arm"] == arm]
        if len(own):
            seeds = own.groupby(["architecture", "code_size"]).size()
            epochs = join_words(_list(own["epochs_planned"]))
            told = f"{_count_range(seeds, 'seeds per cell')}, {epochs} epochs, {_name_recipes(results, own)}"
            rows.append((f"Arm `{arm}`", told))
    hours = trials["device_seconds"].sum() / 3600
    rows.append(("In all", f"{len(trials):,} trials, {trials['epochs'].sum():,} epochs, {hours:,.1f} core-hours"))
    machines = trials["device"].value_counts()
    rows.append(("Machines", "; ".join(f"{name} ({count} trials)" for name, count in machines.items())))
    lines = ["| | |", "|---|---|", *(f"| {name} | {told} |" for name, told in rows)]
    return "\n".join(lines)


def _name_recipes(results: StudyResults, confirmed: pd.DataFrame) -> str:
    """Return the recipe of the ranked models, and behind it each other one with the models that had it."""
    models: dict[str, list[str]] = {}
    for (name, recipe), _ in confirmed.groupby(["architecture", "recipe"], observed=True):
        models.setdefault(str(recipe), []).append(str(name))
    usual = max(models, key=lambda recipe: sum(results.models[name].ranked for name in models[recipe]))
    others = "".join(
        f"; {join_words(map(results.get_label, names))}: `{recipe}`"
        for recipe, names in models.items()
        if recipe != usual
    )
    return f"recipe `{usual}`{others}"


def _name_sizes(trials: pd.DataFrame) -> str:
    sizes = sorted(trials["code_size"].unique())
    return f"code size{'s' if len(sizes) > 1 else ''} {join_words([str(size) for size in sizes])}"


def describe_budget(results: StudyResults) -> str:
    """Return in a sentence what the answer rests on: data, epochs, seeds and search of the tuned arm."""
    tuned = select_confirmed(results.trials)
    tuned = tuned[tuned["arm"] == "tuned"]
    searched = results.trials[results.trials["phase"] == "search"]
    cell = ["architecture", "code_size"]
    name = results.studies[0].manifest["dataset"]["name"].replace("mnist", "MNIST")
    epochs, sizes = (join_words(_list(tuned[column])) for column in ("epochs_planned", "code_size"))
    seeds = _count_range(tuned.groupby(cell, observed=True).size(), "seeds")
    tried = _count_range(searched.groupby(cell, observed=True)["number"].nunique(), "configurations searched")
    return f"{name}, code size {sizes}, {epochs} epochs; per cell (one model at one code size) {seeds} and {tried}."


def describe_published(results: StudyResults) -> str:
    """Return the summary's table of the authors' recipe at the primary code size; a sentence where none was run."""
    table = summary(results, "published")
    if isinstance(table, Absent):
        return "No model was trained so."
    text = format_part(_drop_footnotes(table), {"code_size": [PRIMARY_CODE_SIZE]}, drop=("code_size",))
    confirmed = select_confirmed(results.trials)
    shown = confirmed[(confirmed["arm"] == "published") & (confirmed["code_size"] == PRIMARY_CODE_SIZE)]
    seeds = shown.groupby("architecture", observed=True).size()
    planned = int(results.studies[0].manifest["config"]["seeds"])
    return (
        text if seeds.min() >= planned else f"{text}\n\nSo far {_count_range(seeds, 'seeds')} of {planned} have ended."
    )


def describe_pixels(results: StudyResults) -> str:
    """Return what the classifiers and k-means reach on the pixels themselves."""
    scores = select_confirmed_scores(results)
    pixels = scores[scores["architecture"] == "raw_pixels"]
    metrics = [
        metric for metric in (LINEAR_ERROR, MLP_ERROR, RAW_K_MEANS_ACCURACY) if len(select_metric(pixels, metric))
    ]
    told = [f"{metric.label} {select_metric(pixels, metric)['value'].mean():.{metric.digits}f}" for metric in metrics]
    return f"Raw pixels: {join_words(told)} (means over seeds)." if told else "Raw pixels were not evaluated."


def describe_whitening(results: StudyResults) -> str:
    """Return which verdicts would be others if k-means had the codes as they are: of rows without the others."""
    kept = results.scores[results.scores["evaluator"] != K_MEANS_ACCURACY.evaluator]
    raw = dataclasses.replace(results, scores=kept)
    told = [
        f"claim {ours.claim.number} in {RECIPES[arm]} {theirs.arms[arm]} ({ours.arms[arm]} with whitened ones)"
        for ours, theirs in zip(findings(results), findings(raw), strict=True)
        for arm in ours.arms
        if theirs.arms[arm] != ours.arms[arm]
    ]
    if not told:
        return "With codes as they are every verdict below would be the same."
    return f"With codes as they are, not whitened, these verdicts would be others: {'; '.join(told)}."


def tabulate_chosen(results: StudyResults) -> str:
    """Return what the search of each cell chose and by how much it is better than trial 0, with its parameters."""
    table, confirmed = _require(search(results)), select_confirmed(results.trials)
    cell = ["study", "architecture", "code_size"]
    tuned = confirmed[confirmed["arm"] == "tuned"].drop_duplicates(cell)[[*cell, "parameters"]]
    frame = table.frame.merge(tuned.astype({"study": "str", "architecture": "str"}), on=cell, how="left")
    table = dataclasses.replace(
        table, frame=frame, columns=(*table.columns, Column("parameters", "Parameters", "count"))
    )
    shown = ("label", "best_number", "winner_gain", "best_learning_rate", "best_weight_decay")
    return format_part(table, {}, keep=(*shown, "best_filters_1/best_filters_2", "parameters"), drop=("code_size",))


def describe_search(results: StudyResults) -> str:
    """Return in how many cells the search found a better configuration than the published point, and by how much."""
    frame = _require(search(results)).frame
    gains = frame.loc[frame["winner_gain"] > 0, "winner_gain"]
    found = f"In {len(gains)} of {len(frame)} cells the search found a better configuration than trial 0"
    return (
        f"{found}, by {gains.min():.2f} to {gains.max():.2f} nats per validation image." if len(gains) else f"{found}."
    )


def describe_stability(results: StudyResults) -> str:
    """Return how many runs of each arm diverged, failed or collapsed."""
    frame, runs = _require(stability(results)).frame, select_confirmed(results.trials)
    runs = runs[(runs["status"] == "complete") & (runs["train_cross_entropy"] >= runs["mean_image_cross_entropy"])]
    told = []
    for arm in RECIPES:
        own, bad = frame[frame["arm"] == arm], runs[runs["arm"] == arm]
        ends = ", ".join(f"{own[name].sum()} {name}" for name in ("diverged", "failed", "collapsed"))
        still = f"; {len(bad)} ended no better than the mean image does" if len(bad) else ""
        told += [f"- Arm `{arm}`: of {own['runs'].sum()} trainings {ends}{still}."] if len(own) else []
    return "\n".join([*told, "", "Collapsed: no better than the mean image, with a loss that has stopped falling."])


def describe_rates(results: StudyResults) -> str:
    """Return whether the levels of ablations had learning rates of their own."""
    table = ablations(results)
    if isinstance(table, Absent):
        return "None was run in this study."
    if table.frame["rates_tried"].astype(bool).any():
        return "A level that changes what a learning rate means has the best of three."
    return "In these rows every level has the learning rate of the confirmed configuration, which need not suit it."


def list_verdicts(results: StudyResults) -> Iterator[str]:
    """Yield the verdicts on the claims in either recipe, supported ones first, with the comparisons behind them."""
    found, trained = findings(results), {*select_confirmed(results.trials)["arm"]}
    unequal = ", by unequal recipes" if CLASSIC in compare_recipes(results) else ""
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
    seeds = _count_range(tuned.groupby(cell, observed=True).size(), "seeds per cell")
    searched = results.trials[results.trials["phase"] == "search"]
    tried = _count_range(searched.groupby(cell, observed=True)["number"].nunique(), "configurations per cell")
    limits = []
    published = PUBLISHED_IMAGES // int(tuned["train_images"].max())
    if epochs < published:
        limits.append(
            f"**Training.** Arm `tuned` has {epochs} epochs where the authors have {published}; the order of "
            "the models may change with more."
        )
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
    for name, how in compare_recipes(results).items():
        label = results.get_label(name)
        limits.append(f"**Recipes.** {label} {how}: its distance from them may be the recipe's in part.")
    if looked := describe_looking(results, study):
        first = results.trials["phase"].ne("confirm") | results.trials["number"].le(MINIMUM_SEEDS)
        nearest = describe_nearest(dataclasses.replace(results, trials=results.trials[first]), study.name)
        then = f" By the first {MINIMUM_SEEDS} seeds of every model, {nearest}." if nearest else ""
        limits.append(f"**Looking.** {looked}{then}")
    devices, commits = confirmed["device"].nunique(), confirmed["git_commit"].nunique()
    kinds = [(devices, "kinds of processor or GPU"), (commits, "states of the code")]
    if several := [f"{count} {what}" for count, what in kinds if count > 1]:
        limits.append(
            f"**Machines and versions.** Confirmed runs are of {join_words(several)}, which may change rounding, and "
            "with it a training as another seed would."
        )
    return limits


def _drop_footnotes(table: Table | Absent) -> Table | Absent:
    """Return a table without what the page says elsewhere."""
    return table if isinstance(table, Absent) else dataclasses.replace(table, footnotes=())


def _require(table: Table | Absent) -> Table:
    if isinstance(table, Absent):
        raise ResultsError(f"no table {table.name}: {table.reason}", "a study with its rows", "finish the study first")
    return table


def _list(values: pd.Series) -> list[str]:
    return [str(value) for value in sorted(values.dropna().unique())]


def _count_range(counts: pd.Series, what: str) -> str:
    low, high = counts.min(), counts.max()
    return f"{low} {what}" if low == high else f"{low} to {high} {what}"
