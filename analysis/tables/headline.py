"""Which models reconstruct better than which, all code sizes together: the contrast that is looked at first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from analysis.provenance import describe_looking
from analysis.results import StudyResults
from analysis.stats.aggregate import add_labels, select_confirmed_scores
from analysis.stats.contrasts import MINIMUM_SEEDS, make_contrast
from analysis.stats.headline import MARGIN, SCOPE, compare_headline, get_levels, get_pca_errors
from analysis.stats.intervals import summarise
from analysis.stats.metrics import SQUARED_ERROR, select_metric
from analysis.tables.table import (
    Absent,
    Column,
    Table,
    letter_models,
    list_study_sections,
    make_incomparable,
)

TITLE = "Reconstruction against PCA"
BASELINE = "model_4"
"""The paper's best, by its abstract (claim 5)."""
WITHIN = f"{100 * MARGIN:g} %"
"""The margin of equivalence as it is written."""

_OUTCOMES = {"better": "better_than", "equivalent": "equivalent_to", "undecided": "undecided_with"}
_LETTERS = (
    "Models that share a letter are not shown to differ, models that share none differ (Welch's test with "
    "Satterthwaite's degrees of freedom, Holm-adjusted over the pairs of the section, 5 %); the best mean has an a."
)


def headline(results: StudyResults) -> Table | Absent:
    """Return one row a ranked model and arm: its share of PCA's error, and how it stands to every other model."""
    models, pairs = select_headline(results)
    if pairs.empty:
        return make_incomparable(
            results, "headline", TITLE, "no two models have 3 confirmed runs beside PCA at a code size"
        )
    sides = list_sides(pairs)
    letters = letter_models(pairs, SCOPE).rename(columns={"mark": "share_mark"})
    frame = add_labels(results, models.drop(columns="mark").merge(letters, on=[*SCOPE, "architecture"], how="left"))
    for outcome, column in _OUTCOMES.items():
        found = sides[sides["outcome"] == outcome]
        if outcome == "better":
            found = found[~found["worse"]]
        names = {
            key: join_labels(results.get_label(name) for name in group)
            for key, group in found.groupby([*SCOPE, "architecture"])["other"]
        }
        frame[column] = [names.get(tuple(row)) for row in frame[[*SCOPE, "architecture"]].itertuples(index=False)]
    frame = scale(frame, "share").rename(columns={"n": "share_n"})
    return Table(
        "headline",
        TITLE,
        f"Squared error on the test images in % of {describe_reference(results)} of the same code size, averaged over "
        "the code sizes: mean ± half of the 95 % interval over seeds (seeds of the cell with fewest). "
        f"{_LETTERS} Equivalent: the difference is within {WITHIN} of PCA's error (two one-sided tests, "
        "Holm-adjusted). Undecided: neither is shown.",
        frame,
        (
            Column("label", "Model"),
            Column("share", "% of PCA's error", "estimate", 1),
            Column("better_than", "Better than"),
            Column("equivalent_to", "Not shown to differ, and equivalent to"),
            Column("undecided_with", "Undecided with", main=False),
        ),
        sections=(*list_study_sections(results), Column("arm", "arm"), Column("code_sizes", "code sizes")),
        footnotes=(*_list_references(results), *list_looks(results)),
    )


def headline_pairs(results: StudyResults) -> Table | Absent:
    """Return the tests behind `headline`, and those of each code size by itself."""
    title = "Pairs behind the reconstruction against PCA"
    _, pairs = compare_headline(results)
    if pairs.empty:
        return Absent("headline_pairs", title, "")
    frame = add_labels(results, pairs).assign(other_label=pairs["other"].map(results.get_label))
    frame = scale(frame, "difference").assign(possible=100 * frame["possible"]).drop(columns="worse")
    return Table(
        "headline_pairs",
        title,
        f"Model minus the other in % of {describe_reference(results)}: mean ± half of Welch's 95 % interval; p of "
        f"Welch's test and of the two one-sided tests that they differ by less than {WITHIN}, each Holm-adjusted over "
        "the pairs of the section; the largest difference that the interval leaves possible; seeds of every cell that "
        "would decide with a chance of 80 % if differences and deviations are as seen here.",
        frame,
        (
            Column("label", "Model"),
            Column("other_label", "Other"),
            Column("difference", "Difference", "difference", 2),
            Column("p_holm", "p different (Holm)", "general"),
            Column("p_equivalent", "p equivalent (Holm)", "general"),
            Column("outcome", "The other is"),
            Column("possible", "Possible", "fixed"),
            Column("seeds", "Seeds to decide", "count"),
        ),
        sections=(*list_study_sections(results), Column("arm", "arm"), Column("code_sizes", "code sizes")),
        footnotes=list_looks(results),
        detail=True,
    )


def list_looks(results: StudyResults) -> tuple[str, ...]:
    """Return `describe_looking` of each study, by its name where there are several."""
    return _name_studies({study.name: describe_looking(results, study) for study in results.studies})


def list_declared_looks(results: StudyResults) -> tuple[str, ...]:
    """Return `list_looks` where a study has declared some, by whose level letters and marks then are."""
    return list_looks(results) if get_levels(results) else ()


def list_confidences(levels: Iterable[float]) -> str:
    """Return the confidence of intervals in percent: that of the look by which each was judged."""
    return join_words(f"{100 * (1 - level):.3g}" for level in sorted({*levels}))


def _name_studies(told: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is told of each study, where anything is, by its name where there are several."""
    return tuple(f"{name}: {text}" if len(told) > 1 else text for name, text in told.items() if text)


def _list_references(results: StudyResults) -> tuple[str, ...]:
    """Return what 100 % are in each study, by its name where there are several."""
    told: dict[str, str] = {}
    for study, own in get_pca_errors(results).groupby("study"):
        errors = join_words(f"{row['pca']:.2f} at code size {row['code_size']}" for _, row in own.iterrows())
        clipped = (
            "that of its images clipped to [0, 1], as every model's are" if own["clipped"].all() else "not clipped"
        )
        told[str(study)] = f"100 % is PCA's squared error per image, {clipped}: {errors}."
    return _name_studies(told)


def select_average(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows over all code sizes of a study and arm: of the scopes, which come first, the first."""
    first = frame.drop_duplicates(["study", "arm"])[SCOPE]
    return frame.merge(first, on=SCOPE)


def select_headline(results: StudyResults) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return models and pairs of a study and arm over all code sizes, or at the first at which models can be compared.

    A study that is not finished has code sizes at which no two models have enough seeds.
    """
    models, pairs = compare_headline(results)
    pairs = select_average(pairs)
    scopes = pd.concat([pairs[SCOPE], select_average(models)[SCOPE]]).drop_duplicates(["study", "arm"])
    return models.merge(scopes, on=SCOPE), pairs


def compare_with_baseline(results: StudyResults) -> pd.DataFrame:
    """Return each other model minus `BASELINE` as the pairs of the headline have it, in the tuned arm.

    Returns:
        One row a study and model, the nearest or best first: study, code_sizes, architecture, difference and
        difference_half_width in % of PCA's error.
    """
    pairs = select_headline(results)[1]
    turned = pairs.rename(columns={"architecture": "other", "other": "architecture"})
    sides = pd.concat([pairs, turned.assign(difference=-turned["difference"])])
    sides = sides[(sides["arm"] == "tuned") & (sides["other"] == BASELINE)].sort_values(["study", "difference"])
    return scale(sides, "difference")[["study", "code_sizes", "architecture", "difference", "difference_half_width"]]


def describe_nearest(results: StudyResults, study: str) -> str:
    """Say by how much the best model of a study but `BASELINE` differs from it; nothing where they are not compared."""
    differences = compare_with_baseline(results)
    differences = differences[differences["study"] == study]
    if differences.empty:
        return ""
    best = differences.iloc[0]
    baseline, other = (results.get_label(name) for name in (BASELINE, best["architecture"]))
    by = f"{best['difference']:+.1f} ± {best['difference_half_width']:.1f} points"
    return f"{other} minus {baseline} is {by} (above 0: {baseline} is better)"


def describe_sizes(code_sizes: str) -> str:
    """Say over which code sizes the headline is averaged."""
    sizes = code_sizes.split(", ")
    return f"averaged over code sizes {join_words(sizes)}" if len(sizes) > 1 else f"at code size {sizes[0]}"


def measure_share(results: StudyResults, study: str, architecture: str, code_sizes: str) -> tuple[float, float] | None:
    """Return a model's squared error in % of PCA's, ranked or not, as the headline has it, and half of its interval.

    None where the tuned arm has fewer than `MINIMUM_SEEDS` runs of it at one of the code sizes.
    """
    scores = select_metric(select_confirmed_scores(results), SQUARED_ERROR)
    own = scores[(scores["study"] == study) & (scores["arm"] == "tuned") & (scores["architecture"] == architecture)]
    shares = own.astype({"study": "str"}).merge(get_pca_errors(results), on=["study", "code_size"])
    cells = summarise(
        shares.assign(share=100 * shares["value"] / shares["pca"].astype("float64")), ["code_size"], "share"
    )
    sizes = [int(size) for size in code_sizes.split(", ")]
    cells = cells[cells["code_size"].isin(sizes) & (cells["n"] >= MINIMUM_SEEDS)]
    if len(cells) < len(sizes):
        return None
    mean = make_contrast(np.full(len(sizes), 1 / len(sizes)), cells["mean"], cells["deviation"], cells["n"])
    return float(mean.value), float(mean.half_width())


def list_sides(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return every pair twice, once from either side; ``worse`` is that of ``architecture``."""
    turned = pairs.rename(columns={"architecture": "other", "other": "architecture"})
    return pd.concat([pairs, turned.assign(worse=False)], ignore_index=True)


def describe_reference(results: StudyResults, study: str = "", code_sizes: str = "") -> str:
    """Say which PCA models are compared with, clipped or not; of a study's one code size with its squared error."""
    errors = get_pca_errors(results)
    kinds = {"": errors["clipped"].any(), "not ": not errors["clipped"].all()}
    of_cell = errors.loc[(errors["study"] == study) & (errors["code_size"].astype("str") == code_sizes), "pca"]
    value = "".join(f" {error:.2f}" for error in of_cell)
    return f"PCA's{value} ({' or '.join(f'{word}clipped to [0, 1]' for word, there in kinds.items() if there)})"


def scale(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return ``frame`` with the estimate ``name`` in percent, its parts called as those of a table's estimate."""
    parts = ("half_width", "low", "high")
    percent = {name: 100 * frame[name]} | {f"{name}_{part}": 100 * frame[part] for part in parts}
    return frame.drop(columns=[*parts]).assign(**percent)


def join_labels(labels: Iterable[str]) -> str:
    """Return ``Models 1, 2 and Unpool only`` for Model 1, Unpool only and Model 2; with a comma in one, all as is."""
    given = list(labels)
    if choose_separator(given) != ", ":
        return join_words(given)
    numbers = sorted(label.removeprefix("Model ") for label in given if label.startswith("Model "))
    names = [*numbers, *(label for label in given if not label.startswith("Model "))]
    if numbers:
        names[0] = f"Model{'s' if len(numbers) > 1 else ''} {names[0]}"
    return join_words(names)


def join_words(words: Iterable[str]) -> str:
    """Return ``a, b and c``, or with a comma in one of them ``a; b, c; and d``."""
    *others, last = words
    between = choose_separator([*others, last])
    return f"{between.join(others)}{between.rstrip(', ')} and {last}" if others else last


def choose_separator(words: Iterable[str]) -> str:
    """Return what stands between items of a list: semicolons where an item, as a model's objective, has a comma."""
    return "; " if any(", " in word for word in words) else ", "
