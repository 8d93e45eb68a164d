"""The first thing a reader wants to know: which model is best, by how much, and whether that is more than luck.

All of it is of the tuned arm, in which every model has had its search: the published one compares the models under
settings that were chosen for one of them.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from analysis.results import StudyResults
from analysis.stats.aggregate import select_confirmed_scores
from analysis.stats.metrics import SQUARED_ERROR, SUMMARY, select_metric
from analysis.stats.ranking import METRIC
from analysis.tables.scores import CONTROLS_FOOTNOTE, compare_ranked, tabulate_scores
from analysis.tables.table import (
    ESTIMATE_CAPTION,
    FAILURES,
    FAILURES_CAPTION,
    MARKS_CAPTION,
    SWITCHES_FOOTNOTE,
    Absent,
    Column,
    Table,
    list_study_sections,
    make_absent,
)


def summary(results: StudyResults) -> Table | Absent:
    """Return the main metric of each kind, model by model, in the tuned arm and of the controls."""
    title = "Summary"
    scores = select_confirmed_scores(results)
    metrics = [metric for metric in SUMMARY if len(select_metric(scores, metric))]
    frame = tabulate_scores(results, scores, metrics, SUMMARY)
    if not metrics or not (frame["arm"] == "tuned").any():
        return make_absent(results, "summary", title, "no run of the tuned arm is confirmed")
    # What has a code size of its own stands in no section.
    apart = [name for name, row in results.models.items() if row.fixed_code_size]
    frame = frame[frame["arm"].isin(["tuned", "control"]) & ~frame["architecture"].isin(apart)]
    frame = frame.drop(columns=["runs", "complete", "pruned", "converged"])
    return Table(
        "summary",
        title,
        "Tuned arm and controls on the test images: squared error per image, errors of a linear classifier and of a "
        f"multi-layer perceptron given the code, accuracy of k-means clusters of the codes. {ESTIMATE_CAPTION} "
        f"{MARKS_CAPTION} {FAILURES_CAPTION}",
        frame.reset_index(drop=True),
        (
            Column("label", "Model"),
            *(Column(metric.name, metric.header, "estimate", metric.digits) for metric in metrics),
            FAILURES,
        ),
        sections=(*list_study_sections(results), Column("code_size", "code size", "count")),
        footnotes=(SWITCHES_FOOTNOTE, CONTROLS_FOOTNOTE),
    )


def answers(results: StudyResults) -> list[str]:
    """Return three sentences a study: which model is best, by how much, and what may be luck.

    A comparison is one column of the summary at one code size, among the ranked models. There is nothing to say of a
    study in which no two models can be compared.
    """
    tests = compare_ranked(results, SUMMARY)
    tests = tests[(tests["arm"] == "tuned") & tests["p_holm"].notna()]
    tests = tests.astype({"architecture": "str", "best": "str"})
    sentences = []
    for study in results.studies:
        rows = tests[tests["study"] == study.name]
        if len(rows):
            prefix = f"{study.name}: " if len(results.studies) > 1 else ""
            places = _count_places(rows)
            rows = rows[rows["metric"] == SQUARED_ERROR.metric]
            how_much = _say_how_much(rows, str(places.index[0]), results.get_label)
            places = places.rename(index=results.get_label)
            sentences += [f"{prefix}{_say_which(places)}", how_much, _say_luck(places)]
    return sentences


def _count_places(tests: pd.DataFrame) -> pd.DataFrame:
    """Return how often each model was compared, had the best mean, was alone the best, and was worse; best first."""
    contests = tests.groupby([*METRIC, "code_size", "best"], observed=True)["worse"].all().reset_index()
    leaders = contests.assign(architecture=contests["best"], compared=1, leads=1, alone=contests["worse"], worse=0)
    others = tests.assign(compared=1, leads=0, alone=0)
    columns = ["compared", "leads", "alone", "worse"]
    places = pd.concat([leaders, others])[["architecture", *columns]].groupby("architecture").sum().astype(int)
    places["held"] = places["compared"] - places["worse"]
    return places.sort_values(["held", "leads"], ascending=False)


def _say_which(places: pd.DataFrame) -> str:
    first = places.iloc[0]
    return (
        f"{places.index[0]} is the best or not told apart from the best in {first['held']} of "
        f"{first['compared']} comparisons; it has the best mean in {first['leads']} and is better than every other "
        f"model in {first['alone']}."
    )


def _say_how_much(tests: pd.DataFrame, architecture: str, label_of: Callable[[str], str]) -> str:
    """Say how far the nearest other model is in squared error, code size by code size."""
    parts = []
    for size, group in tests.groupby("code_size"):
        if (group["best"] == architecture).all():
            nearest = group.sort_values("difference").iloc[0]
            name, difference = nearest["architecture"], nearest["difference"]
        else:
            own = group[group["architecture"] == architecture]
            if own.empty:
                continue
            nearest = own.iloc[0]
            name, difference = nearest["best"], -nearest["difference"]
        parts.append(f"{label_of(name)} {difference:+.2f} ± {nearest['half_width']:.2f} at code size {size}")
    if not parts:
        return f"By squared error {label_of(architecture)} is not ranked."
    return f"The nearest other model's squared error, less that of {label_of(architecture)}: {'; '.join(parts)}."


def _say_luck(places: pd.DataFrame) -> str:
    worse = places["worse"] > 0
    told = [f"{name} in {row['worse']} of {row['compared']}" for name, row in places[worse].iterrows()]
    never = places.index[~worse]
    return (
        "Worse than the best by more than luck explains (paired t test by seed, Holm-adjusted over the column, 5 %): "
        f"{', '.join(told) or 'no model'}; in none: {', '.join(never) or 'no model'}."
    )
