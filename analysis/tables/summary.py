"""The first thing a reader wants to know: who is better than whom by how much, what is the same, what is not known.

All of it is of the tuned arm, in which every model has had its search: the published one compares the models under
settings that were chosen for one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from analysis.provenance import describe_looking
from analysis.results import Study, StudyResults, select_confirmed
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.contrasts import MINIMUM_SEEDS, MOST_SEEDS
from analysis.stats.headline import MARGIN
from analysis.stats.metrics import CROSS_ENTROPY, SQUARED_ERROR, SUMMARY, select_metric, settle_metrics
from analysis.stats.ranking import METRIC, select_ranked
from analysis.tables.agreement import agreement
from analysis.tables.headline import (
    WITHIN,
    choose_separator,
    describe_nearest,
    describe_reference,
    describe_sizes,
    join_labels,
    join_words,
    list_confidences,
    list_declared_looks,
    measure_share,
    select_headline,
)
from analysis.tables.scores import compare_ranked, compare_recipes, describe_controls, tabulate_scores
from analysis.tables.table import (
    BRIEF_LETTERS,
    ESTIMATE_CAPTION,
    FAILURES,
    FAILURES_CAPTION,
    NO_LETTERS_CAPTION,
    SWITCHES_FOOTNOTE,
    Absent,
    Column,
    Table,
    describe_letters,
    has_letters,
    list_study_sections,
    make_absent,
)
from trainables.models.architectures import BUILT_IN
from trainables.training.objectives import RECONSTRUCTION

CLASSIC = "classic_autoencoder"
"""The control that the paper's authors compare convolutional models with."""
TRIAL_RUN = 100_000
"""Images of a training, repeated ones counted, below which an answer says nothing of the models; less than two epochs
of MNIST."""
ALIKE = 0.7
"""Orders whose tau is at least this mostly agree: 85 % of the pairs of models stand alike in both.

Of five models an unrelated order has 0.6 or more in 12 % of cases, 0.8 in 4 %.
"""

_ARMS = {
    "tuned": "Arm tuned (our recipe, each model after a search)",
    "published": "Arm published (the recipe of a file that appears to be the authors')",
}
_VARIED = {
    "code size": "code sizes",
    "metric": "metrics (each against squared error)",
    "epochs": "epochs of the search's trainings",
    "arm": "recipes",
    "study": "studies",
    "data set": "data sets",
}


def summary(results: StudyResults, arm: str = "tuned") -> Table | Absent:
    """Return the main metric of each kind, model by model, in an arm and of the controls."""
    title = "Summary"
    scores = select_confirmed_scores(results)
    ranked = settle_metrics(scores, SUMMARY)
    metrics = [metric for metric in ranked if len(select_metric(scores, metric))]
    frame = tabulate_scores(results, scores, metrics, ranked)
    if not metrics or not (frame["arm"] == arm).any():
        return make_absent(results, "summary", title, f"no run of the {arm} arm is confirmed")
    # What has a code size of its own stands in no section.
    apart = [name for name, row in results.models.items() if row.fixed_code_size]
    frame = frame[frame["arm"].isin([arm, "control"]) & ~frame["architecture"].isin(apart)]
    frame = frame.drop(columns=["runs", "complete", "pruned", "converged"])
    unranked = (frame.filter(regex="_mark$") == "unranked").any(axis=None)
    return Table(
        "summary",
        title,
        f"{_ARMS.get(arm, arm)}, and controls, on the test images: squared error per image, errors of a linear "
        "classifier and of a multi-layer perceptron given the code, accuracy of k-means clusters of codes (whitened, "
        "unless it says raw). "
        f"{ESTIMATE_CAPTION} {describe_letters(frame)} {FAILURES_CAPTION}",
        frame.reset_index(drop=True),
        (
            Column("label", "Model"),
            *(Column(metric.name, metric.header, "estimate", metric.digits) for metric in metrics),
            FAILURES,
        ),
        sections=(*list_study_sections(results), Column("code_size", "code size", "count")),
        footnotes=(
            *((SWITCHES_FOOTNOTE,) if unranked else ()),
            *(list_declared_looks(results) if has_letters(frame) else ()),
            *describe_controls(results),
        ),
        brief=f"{_ARMS.get(arm, arm)}, and controls, on the test images; squared error per image. Mean ± half of the "
        f"95 % t interval over seeds. {BRIEF_LETTERS if has_letters(frame) else NO_LETTERS_CAPTION}",
    )


def answers(results: StudyResults) -> list[str]:
    """Return a few sentences a study: who reconstructs best, who is better than whom by how much, what is not known.

    All of the tuned arm. Of a study in which no two models can be compared it says that, and which has the lowest mean.
    """
    models, pairs = select_headline(results)
    orders = agreement(results)
    sentences = []
    for study in results.studies:
        own = pairs[(pairs["study"] == study.name) & (pairs["arm"] == "tuned")]
        if own.empty:
            sentences += _say_lowest(results, study)
            continue
        of_study = models[(models["study"] == study.name) & (models["arm"] == "tuned")].set_index("architecture")
        said = [
            _say_trial_run(results, study.name),
            _say_which(results, study, of_study),
            _say_loss(results, study, of_study.index[of_study["mark"] != ""]),
            _say_classic(results, study.name, of_study),
            _say_better(results, own),
            _say_equivalent(results, own),
            _say_undecided(results, own),
            _say_left_out(results, study.name, of_study),
            _say_columns(results, study.name),
            _say_order(orders.frame[orders.frame["study"] == study.name]) if isinstance(orders, Table) else "",
            _say_training(results, study.name, int(of_study["n"].min())),
            _say_ours(results, of_study),
            describe_looking(results, study),
        ]
        said = [sentence for sentence in said if sentence]
        prefix = f"{study.name}: " if len(results.studies) > 1 else ""
        sentences += [f"{prefix}{said[0]}", *said[1:]]
    if isinstance(orders, Table):  # Those of two studies are of neither.
        between = orders.frame[~orders.frame["study"].isin([study.name for study in results.studies])]
        sentences += [_say_order(between)] if len(between) else []
    return sentences


def _say_which(results: StudyResults, study: Study, models: pd.DataFrame) -> str:
    """Say who reconstructs best, and by how much from the paper's best."""
    best = models[models["mark"] != ""].sort_values("share")
    names = [results.get_label(name) for name in best.index]
    shares = [f"{100 * row['share']:.1f} ± {100 * row['half_width']:.1f}" for _, row in best.iterrows()]
    code_sizes = str(models["code_sizes"].iloc[0])
    nearest = describe_nearest(results, study.name)
    it_is = "it is" if len(best) == 1 else "they are"
    if len(best) == 1:
        certain = best["mark"].iloc[0] == "best" and not _list_absent(results, study.name, models)
        verb = f"{'has' if certain else 'may have'} the lowest squared error"
    elif len(best) == models["share"].notna().sum():
        verb = "are not shown to differ in their squared errors"
    elif (models["share"] >= best["share"].max()).sum() == len(models) - len(best) + 1:
        verb = "have the lowest squared errors and are not shown to differ"
    else:  # One whose seeds scatter widely may be among them, while others of lower means are shown to be worse.
        verb = "are the models that no other is shown to beat in squared error"
    which = (
        f"{join_words(names)} {verb}: on {study.manifest['dataset']['test_images']:,} test images {it_is} "
        f"{join_words(shares)} % of {describe_reference(results, study.name, code_sizes)}, {describe_sizes(code_sizes)}"
    )
    beaten = "" if (best["share"] + best["half_width"] < 1).any() else "None of them is shown to be better than PCA."
    return " ".join(filter(None, (f"{'; '.join(filter(None, (which, nearest)))}.", beaten)))


def _say_classic(results: StudyResults, study: str, models: pd.DataFrame) -> str:
    """Say what the classic auto-encoder reaches, which is not ranked; nothing where it was not run.

    Lower or higher than the best models is said where the intervals are apart.
    """
    code_sizes = str(models["code_sizes"].iloc[0])
    best = 100 * models.loc[models["mark"] != "", ["share", "half_width"]].astype("float64")
    measured = measure_share(results, study, CLASSIC, code_sizes)
    if measured is None:
        return ""
    share, width = measured
    near = best.index[(best["share"] - share).abs() <= best["half_width"] + width]
    if len(near):
        those = "those" if len(near) > 1 else "that"
        error = f"an error not shown to differ from {those} of {join_labels(map(results.get_label, near))}"
    elif share < best["share"].min() or share > best["share"].max():
        error = "a lower error" if share < best["share"].min() else "a higher error"
    else:
        error = f"an error between those of {join_labels(map(results.get_label, best.index))}"
    parameters = results.trials.loc[results.trials["architecture"] == CLASSIC, "parameters"].median()
    how = compare_recipes(results, study).get(CLASSIC)
    recipe = f" It {how}, so this does not compare architectures." if how else ""
    return (
        f"The classic auto-encoder, a control (fully connected, {parameters / 1e6:.1f} million parameters), has "
        f"{error}: {share:.1f} ± {width:.1f} %.{recipe}"
    )


def _say_loss(results: StudyResults, study: Study, first: Iterable[str]) -> str:
    """Say at which code sizes another model than the ``first`` by squared error is first by cross-entropy alone."""
    ranked, metrics = (CROSS_ENTROPY,), (CROSS_ENTROPY, SQUARED_ERROR)
    frame = tabulate_scores(results, select_confirmed_scores(results), metrics, ranked).astype({"architecture": "str"})
    name = CROSS_ENTROPY.name
    frame = frame[(frame["study"] == study.name) & (frame["arm"] == "tuned") & (frame["architecture"] != CLASSIC)]
    frame = frame[frame[f"{name}_mark"].notna() & (frame[f"{name}_mark"] != "unranked")]
    frame = frame[frame[name].notna() & (frame[f"{name}_n"] >= MINIMUM_SEEDS)]
    tests = compare_ranked(results, ranked)
    tests = tests[(tests["study"] == study.name) & (tests["arm"] == "tuned")]
    tests = tests.astype({"architecture": "str", "other": "str"})
    told = []
    for size, own in frame.sort_values(name).groupby("code_size"):
        lowest, best = own.iloc[0], own[own["architecture"].isin([*first])].head(1)
        both = own.sort_values(SQUARED_ERROR.name).iloc[0]["architecture"] == lowest["architecture"]
        if both or best.empty or lowest["architecture"] == best["architecture"].iloc[0]:
            continue
        pair = tests[(tests["code_size"] == size) & (tests["architecture"] == best["architecture"].iloc[0])]
        pair = pair[pair["other"] == lowest["architecture"]]
        shown = bool(pair["worse"].any())
        by = [
            f" (difference {row['difference']:.2f} ± {row['half_width']:.2f}, Holm-adjusted p {row['p_holm']:.1g})"
            for _, row in pair[pair["p_holm"].notna()].iterrows()
        ]
        ours, other = (
            f"{results.get_label(row['architecture'])} {'has ' if row is lowest else 'with '}"
            f"{row[name]:.2f} ± {row[f'{name}_half_width']:.2f}"
            for row in (lowest, best.iloc[0])
        )
        compared = "lower than" if shown else "not shown to differ from"
        told.append(f"at code size {size} {ours}, {compared} {other} nats per test image{''.join(by)}")
    if not told:
        return ""
    return f"By cross-entropy{_explain_loss(results, study)}another model comes first: {'; '.join(told)}."


def _explain_loss(results: StudyResults, study: Study) -> str:
    """Return what cross-entropy was to the tuned arm of a study, between commas."""
    trials = select_confirmed(results.trials)
    trials = trials[(trials["study"] == study.name) & (trials["arm"] == "tuned")].astype({"objective": "object"})
    plain = (trials["objective"].fillna(RECONSTRUCTION) == RECONSTRUCTION) & (trials["loss"] == "cross_entropy")
    searched = study.search_metric == "cross_entropy"
    if plain.all():
        return f", the loss that all were trained by{' and the search minimised' if searched else ''}, "
    return ", which the search minimised, " if searched else " "


def _say_better(results: StudyResults, pairs: pd.DataFrame) -> str:
    """Say who is better than whom; models that are better than the same ones are named together.

    Those that are beaten by less than the margin of equivalence are named apart from those that are beaten by more.
    """
    found = pairs[pairs["outcome"] == "better"]
    if found.empty:
        return "No model is shown to be better than another."
    slight = found["p_equivalent"] < found["level"]
    near_all = bool((pairs["p_equivalent"] < pairs["level"]).all())
    beaten = {
        str(name): frozenset(map(str, group)) for name, group in found.groupby("other", sort=False)["architecture"]
    }
    parts = []
    for worse in dict.fromkeys(sorted(beaten.values(), key=len, reverse=True)):
        better = [name for name, others in beaten.items() if others == worse]
        own = found[found["other"].isin(better)]
        near = {str(name) for name, group in slight[own.index].groupby(own["architecture"]) if group.all()}
        near = set() if near_all else near
        told = []
        for names, but in ((worse - near, ", by "), (worse & near, f", but by less than {100 * MARGIN:g}: ")):
            if names:
                by = _format_range(own[own["architecture"].isin(names)])
                told.append(f"than {_name_all(results, names)}{but}{by}")
        verb = "are each better" if len(better) > 1 else "is better"
        parts.append(f"{_name_all(results, better)} {verb} {', and '.join(told)}")
    all_near = f"All compared models lie within {WITHIN} of PCA's error of one another. " if near_all else ""
    intervals = f"{list_confidences(pairs['level'])} % intervals"
    return f"{all_near}In percentage points of PCA's error, {'; '.join(parts)} ({intervals})."


def _say_equivalent(results: StudyResults, pairs: pd.DataFrame) -> str:
    found = pairs[pairs["outcome"] == "equivalent"]
    told = [f"{_name_pair(results, row)} ({_format_points(row)})" for _, row in found.iterrows()]
    return f"Not shown to differ, and equivalent within {WITHIN} of PCA's error: {'; '.join(told)}." if told else ""


def _say_undecided(results: StudyResults, pairs: pd.DataFrame) -> str:
    found = pairs[pairs["outcome"] == "undecided"]
    told = [
        f"{_name_pair(results, row)} (up to {100 * row['possible']:.1f} % is possible; {_say_what_decides(row)})"
        for _, row in found.iterrows()
    ]
    return f"Neither better nor equivalent is shown of {'; '.join(told)}." if told else ""


def _say_what_decides(pair: pd.Series[Any]) -> str:
    if min(pair["p_holm"], pair["p_equivalent"]) < pair["level"]:
        return "no look has judged it yet"
    seeds = f"over {MOST_SEEDS:,}" if pd.isna(pair["seeds"]) else f"about {pair['seeds']}"
    return f"{seeds} seeds per model would decide"


def _list_absent(results: StudyResults, study: str, models: pd.DataFrame) -> list[str]:
    """Return the models that are ranked and cannot be compared, those without any complete run among them."""
    trials = results.trials[(results.trials["study"] == study) & (results.trials["phase"] == "confirm")]
    begun = trials.loc[trials["arm"] == "tuned", "architecture"].astype("str").unique()
    rows = {name: results.models[name] for name in begun if name in results.models}
    lost = [name for name, row in rows.items() if row.ranked and row.through_code and name not in models.index]
    return [*models.index[models["share"].isna()], *lost]


def _say_left_out(results: StudyResults, study: str, models: pd.DataFrame) -> str:
    absent = _list_absent(results, study, models)
    return f"Not compared for want of {MINIMUM_SEEDS} seeds: {_name_all(results, absent)}." if len(absent) else ""


def _say_columns(results: StudyResults, study: str) -> str:
    """Say who is worse than another by the summary's other metrics, column by column."""
    ranked = settle_metrics(select_confirmed_scores(results), SUMMARY)
    others = tuple(metric for metric in ranked if metric != SQUARED_ERROR)
    tests = compare_ranked(results, ranked)
    tests = tests[(tests["study"] == study) & (tests["arm"] == "tuned") & tests["p_holm"].notna()]
    tests = tests[tests["evaluator"] != SQUARED_ERROR.evaluator].astype({"architecture": "str", "other": "str"})
    if tests.empty:
        return ""
    column = [*METRIC, "code_size"]
    worse = tests[tests["worse"]].drop_duplicates([*column, "architecture"])["architecture"].value_counts()
    models = [name for name in results.models if name in {*tests["architecture"], *tests["other"]}]
    models += sorted({*tests["architecture"], *tests["other"]} - {*models})
    metrics = join_words([metric.label.removesuffix(" (%)") for metric in others if len(select_metric(tests, metric))])
    count = len(tests.drop_duplicates(column))
    told = [f"{results.get_label(str(name))} in {number}" for name, number in worse.items()]
    never = [name for name in models if name not in worse.index]
    parts = []
    if never:
        verb = "is" if len(never) == 1 else "are"
        parts.append(f"{_name_all(results, never)} {verb} never shown to be worse than another")
    if told:
        parts.append(f"worse than some model: {choose_separator(told).join(told)}")
    several = ", each at every code size" if len({*tests["code_size"]}) > 1 else ""
    return f"In {count} comparisons of all models ({metrics}{several}): {'; '.join(parts)}."


def _say_order(orders: pd.DataFrame) -> str:
    """Say whether the order of the models holds, and the range of tau by what was varied."""
    parts = []
    for varied, group in orders.groupby("varied", sort=False):
        low, high = group["tau"].min(), group["tau"].max()
        answer = (
            "yes"
            if low == 1
            else "mostly"
            if low >= ALIKE
            else "partly"
            if low > 0
            else "no, rather the reverse"
            if high <= -ALIKE
            else "no"
        )
        tau = f"{low:.2f}" + (f" to {high:.2f}" if high > low else "")
        parts.append(f"over {_VARIED[str(varied)]} {answer} ({tau})")
    if not parts:
        return ""
    return (
        f"Does the order of the models hold (Kendall's tau: 1 the same, 0 unrelated, -1 reversed)? "
        f"{'; '.join(parts).capitalize()}."
    )


def _say_training(results: StudyResults, study: str, seeds: int) -> str:
    trials = select_confirmed(results.trials)
    trials = trials[(trials["study"] == study) & (trials["arm"] == "tuned")]
    epochs = sorted(trials["epochs_planned"].dropna().unique())
    images = trials["train_images"].max()
    return (
        f"Each was trained from at least {seeds} seeds, for {join_words(map(str, epochs))} epochs of {images:,} images."
    )


def _say_lowest(results: StudyResults, study: Study) -> list[str]:
    """Say that nothing is compared, and which model has the lowest mean error; nothing without a confirmed one."""
    every = select_metric(select_confirmed_scores(results), SQUARED_ERROR)
    every = every[every["study"] == study.name]
    scores = select_ranked(results, every)
    scores = scores[scores["arm"] == "tuned"]
    if scores.empty:
        return []
    size = scores["code_size"].max()
    models = scores[scores["code_size"] == size].groupby("architecture", observed=True)["value"].agg(["mean", "count"])
    best = models["mean"].idxmin()
    mean, seeds = models.loc[best]
    prefix = f"{study.name}: " if len(results.studies) > 1 else ""
    enough = (models["count"] >= MINIMUM_SEEDS).sum() > 1
    takes = "PCA's error, which is not there" if enough else f"two ranked models with {MINIMUM_SEEDS} seeds each"
    pca = every.loc[(every["architecture"] == "pca") & (every["code_size"] == size), "value"].mean()
    lowest = (
        f"Nothing is compared: that takes {takes}. The lowest mean squared error per test image is that of "
        f"{results.get_label(best)}, {mean:.2f} from {seeds:.0f} seed{'s' if seeds > 1 else ''} at code size {size}"
        f"{'' if pd.isna(pca) else f'; PCA has {pca:.2f}'}."
    )
    said = [sentence for sentence in (_say_trial_run(results, study.name), lowest) if sentence]
    return [f"{prefix}{said[0]}", *said[1:]]


def _say_trial_run(results: StudyResults, study: str) -> str:
    """Say of very short trainings that they show nothing of the models: as epochs where all took the same."""
    trials = select_confirmed(results.trials)
    trials = trials[(trials["study"] == study) & (trials["arm"] == "tuned")]
    planned = trials[["epochs_planned", "train_images"]].dropna().astype("int64")
    budgets = {*planned.itertuples(index=False, name=None)}
    most = max((epochs * images for epochs, images in budgets), default=TRIAL_RUN)
    if most >= TRIAL_RUN:
        return ""
    told = f"{most:,} images per training"
    if len(budgets) == 1:
        ((epochs, images),) = budgets
        told = f"{epochs} epoch{'s' if epochs > 1 else ''} of {images:,} images"
    return f"A trial run: {told} cannot say which model is best; what follows is of these runs."


def _say_ours(results: StudyResults, models: pd.DataFrame) -> str:
    """Say which of the built-in models are not the paper's: it has five, and no public source defines the fifth."""
    ours = [name for name in models.index if name in BUILT_IN and BUILT_IN[name].source.startswith("[ours]")]
    if not ours:
        return ""
    return f"No public source defines {_name_all(results, ours)}: {'they are' if len(ours) > 1 else 'it is'} ours."


def _name_all(results: StudyResults, names: Iterable[str]) -> str:
    places = [*results.models]
    ordered = sorted(names, key=lambda name: places.index(name) if name in places else len(places))
    return join_labels(map(results.get_label, ordered))


def _name_pair(results: StudyResults, pair: pd.Series[Any]) -> str:
    return _name_all(results, (pair["architecture"], pair["other"]))


def _format_range(pairs: pd.DataFrame) -> str:
    """Return the smallest and the largest of their differences."""
    ordered = pairs.sort_values("difference")
    ends = [_format_points(ordered.iloc[place]) for place in (0, -1)]
    return " to ".join(dict.fromkeys(ends) if len(pairs) == 1 else ends)


def _format_points(pair: pd.Series[Any]) -> str:
    return f"{100 * pair['difference']:.1f} ± {100 * pair['half_width']:.1f}"
