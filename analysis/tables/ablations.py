"""What single settings do: one at a time of a confirmed configuration, and pooling crossed with unpooling."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pandas as pd

from analysis.results import StudyResults, join_scores, select_confirmed
from analysis.stats.aggregate import CELL, add_labels, count_runs
from analysis.stats.contrasts import MINIMUM_SEEDS, SIGNIFICANCE, compare_means
from analysis.stats.factorial import collect_cells, estimate_effects, explain_no_factorial, find_factorials
from analysis.stats.headline import get_levels
from analysis.stats.intervals import compare_pairs
from analysis.stats.metrics import (
    CROSS_ENTROPY,
    K_MEANS_ACCURACY,
    LINEAR_ERROR,
    MLP_ERROR,
    SQUARED_ERROR,
    SUMMARY,
    Metric,
    select_metric,
    settle_metrics,
)
from analysis.stats.ranking import adjust_p_values, find_constant
from analysis.tables.headline import join_words, list_declared_looks
from analysis.tables.table import (
    FAILURES,
    FAILURES_CAPTION,
    SWITCHES_FOOTNOTE,
    Absent,
    Column,
    Table,
    list_study_sections,
    make_absent,
)

METRICS = (SQUARED_ERROR, LINEAR_ERROR, CROSS_ENTROPY, MLP_ERROR, K_MEANS_ACCURACY)
_MAIN = 2
_LEVEL = [*CELL, "factor", "level"]
_DRAWN = ["own_code_size", "filters_1", "filters_2", "parameters", "starting_weights", "batch_size"]
"""What decides which starting weights and which order of images a seed stands for. The number of parameters tells of
layers that no other column does: an objective may give each unit of the code two outputs."""


@lru_cache(maxsize=2)  # a table and a figure show it
def ablations(results: StudyResults) -> Table | Absent:
    """Return one row a level of a factor: its scores minus those of the confirmed configuration."""
    title = "Ablations"
    # Rates are tried before a level is trained.
    if not ((results.trials["phase"] == "ablate") & results.trials["round"].isna()).any():
        return make_absent(results, "ablations", title, "no ablation was run", "ablate")
    # A trial belongs to the code size of its configuration: its own but where that is the factor.
    base_sizes = results.trials["base_code_size"].fillna(results.trials["code_size"]).astype("int64")
    trials = results.trials.assign(code_size=base_sizes, own_code_size=results.trials["code_size"])
    based = dataclasses.replace(results, trials=trials)
    scores = join_scores(based)
    scores = scores[scores["split"] == "test"]
    base = select_confirmed(scores)
    changed = scores[(scores["phase"] == "ablate") & scores["full_budget"]]
    frame = count_runs(based, "ablate", _LEVEL).merge(_describe_levels(trials), on=_LEVEL, how="left")
    paired, columns = frame.loc[frame["paired"], _LEVEL], []
    for place, metric in enumerate(settle_metrics(scores, METRICS)):
        rows = select_metric(changed, metric)
        if rows.empty:
            continue
        others, pair = select_metric(base, metric), [*CELL, "seed"]
        alike = rows.merge(paired, on=_LEVEL)
        apart = rows[~rows["trial_id"].isin(alike["trial_id"])]
        compared = compare_pairs(alike, others, pair, _LEVEL), compare_means(apart, others, CELL, _LEVEL)
        parts = [part for part in compared if len(part)]
        if not parts:  # Their base did not end, or is of a version that did not measure it.
            continue
        tests = pd.concat(parts, ignore_index=True)
        # Only pairs have one.
        effects = tests["effect_size"] if "effect_size" in tests else pd.Series(float("nan"), tests.index)
        unequal = _changes_switches(results, tests) if metric.past_code else pd.Series(False, tests.index)
        constant = find_constant(tests["half_width"], tests["difference"].abs() + rows["value"].abs().median())
        untested = unequal | constant | (tests["n"] < MINIMUM_SEEDS)
        tests = tests.assign(effect_size=effects.mask(constant), p_value=tests["p_value"].mask(untested))
        tests = tests.assign(p_holm=adjust_p_values(tests, ["study"]), mark="")
        tests.loc[tests["p_holm"] < _get_levels(results, tests), "mark"] = "significant"
        tests.loc[unequal, "mark"] = "unranked"
        name = f"{metric.name}_difference"
        renamed = {part: f"{name}_{part}" for part in tests.columns if part not in (*_LEVEL, "difference")}
        frame = frame.merge(tests.rename(columns={"difference": name} | renamed), on=_LEVEL, how="left")
        columns.append(Column(name, metric.header, "difference", metric.digits, place < _MAIN))
        if place < _MAIN:
            columns.append(Column(f"{name}_p_holm", "p (Holm)", "general", 2, main=False))
            columns.append(Column(f"{name}_effect_size", "d", "general", 2, main=False))
    if not columns:
        return make_absent(
            results, "ablations", title, "no confirmed run is there to compare ablations with", "confirm"
        )
    # Levels such as 0.1, 16 or x0.3 in the order of their numbers, strengths in their own.
    numbers = pd.to_numeric(frame["level"].str.lstrip("x"), errors="coerce")
    frame = frame.assign(_number=numbers.fillna(frame["level"].map({"weak": 0, "middle": 1, "strong": 2})))
    frame = frame.sort_values([*CELL, "factor", "_number", "level"], ignore_index=True).drop(columns="_number")
    return Table(
        "ablations",
        title,
        "One factor changed: scores on the test images minus those of the confirmed configuration (squared error per "
        "image, cross-entropy in nats per image): mean ± half of the 95 % interval (seeds). Paired by seed where a "
        "seed stands for the same starting weights and order of images in both (t test), else by Welch's test; * "
        f"differs at {describe_levels(results)} (Holm-adjusted over the column), not tested under {MINIMUM_SEEDS} "
        "seeds or where no seed changes the difference; d is Cohen's d_z with Hedges's factor. A level that changes "
        f"what a learning rate means has its own, the best on validation images of those tried. {FAILURES_CAPTION}",
        add_labels(results, frame),
        (
            Column("factor", "Factor"),
            Column("level", "Level"),
            Column("instead_of", "Instead of"),
            Column("learning_rate", "Rate", "general"),
            Column("rates_tried", "Rates tried", main=False),
            Column("test", "Test", main=False),
            *columns,
            FAILURES,
        ),
        sections=(
            *list_study_sections(results),
            Column("label", "model"),
            Column("code_size", "code size", "count"),
            Column("arm", "arm"),
        ),
        footnotes=(
            *((SWITCHES_FOOTNOTE,) if _changes_switches(results, frame).any() else ()),
            *list_declared_looks(results),
            *(note for study in results.studies for note in _describe_left_out(study.manifest)),
        ),
    )


def _changes_switches(results: StudyResults, levels: pd.DataFrame) -> pd.Series[bool]:
    """Return of which levels either they or what they are compared with has switches, and the other has not."""
    # A model that no row describes is taken to have none, as `select_ranked` does.
    switched = [name for name, row in results.models.items() if not row.through_code]
    past_code = levels["architecture"].isin(switched)
    return (levels["factor"] == "unpooling") & ((levels["level"] == "switches") != past_code)


@lru_cache(maxsize=2)  # a table and a figure show it
def factorial(results: StudyResults) -> Table | Absent:
    """Return one row an effect of models that cross pooling and unpooling: main effects, interactions, switches."""
    title = "Pooling and unpooling crossed"
    frames: list[pd.DataFrame] = []
    columns: dict[Metric, Column] = {}
    for found in find_factorials(results):
        parts = {metric: estimate_effects(collect_cells(results, found, metric), found) for metric in SUMMARY}
        parts = {metric: part for metric, part in parts.items() if len(part)}
        if SQUARED_ERROR not in parts:
            continue
        frame = parts[SQUARED_ERROR][["factor", "effect"]].assign(study=found.study, code_size=found.code_size)
        frame["first"] = results.get_label(found.first)
        for metric, part in parts.items():
            name = f"{metric.name}_difference"
            renamed = {column: f"{name}_{column}" for column in part.columns if column not in ("factor", "effect")}
            tests = part.rename(columns=renamed | {"difference": name})
            frame = frame.merge(tests, on=["factor", "effect"], how="left")
            columns[metric] = Column(name, metric.header, "difference", metric.digits)
        frames.append(frame)
    if not frames:
        return Absent("factorial", title, explain_no_factorial(results))
    frame = pd.concat(frames, ignore_index=True)
    levels = _get_levels(results, frame)
    for metric, column in columns.items():
        name, untested = column.name, (frame["factor"] == "switches") & metric.past_code
        frame[f"{name}_p_value"] = frame[f"{name}_p_value"].mask(untested)
        frame[f"{name}_p_holm"] = adjust_p_values(frame, ["study"], f"{name}_p_value")
        marks = (frame[f"{name}_p_holm"] < levels).map({True: "significant", False: ""})
        frame[f"{name}_mark"] = marks.mask(untested, "unranked")
    crossings = frame.drop_duplicates(["study", "code_size", "first"])
    several = bool(crossings.duplicated(["study", "code_size"]).any())
    return Table(
        "factorial",
        title,
        "Models that share all but pooling and unpooling, each trained with a learning rate of its own: differences on "
        "the test images (squared error per image), averaged over the other factor; interactions are how much a "
        "difference of poolings changes with the unpooling; mean ± half of the 95 % t interval over the seeds that all "
        f"cells of an effect have (seeds). * differs from 0 at {describe_levels(results)} (t test, Holm-adjusted over "
        f"the column), not tested under {MINIMUM_SEEDS} seeds or where no seed changes the effect. Switches go with "
        "maxima alone, so they stand beside the crossing.",
        frame,
        (Column("factor", "Factor"), Column("effect", "Effect"), *columns.values()),
        sections=(
            *list_study_sections(results),
            Column("code_size", "code size", "count"),
            *((Column("first", "models as"),) if several else ()),
        ),
        footnotes=(
            *((SWITCHES_FOOTNOTE,) if (frame["factor"] == "switches").any() else ()),
            *list_declared_looks(results),
        ),
    )


def describe_levels(results: StudyResults) -> str:
    """Say at which level ablations and effects, which are of the tuned arm, are judged: 5 % where no study looks."""
    levels = get_levels(results)
    told = {study.name: f"{100 * levels.get((study.name, 'tuned'), SIGNIFICANCE):.2g} %" for study in results.studies}
    if len({*told.values()}) == 1:
        return next(iter(told.values()))
    return join_words(f"{level} in {study}" for study, level in told.items())


def _get_levels(results: StudyResults, tests: pd.DataFrame) -> pd.Series[float]:
    levels = get_levels(results)
    return tests["study"].map(lambda study: levels.get((study, "tuned"), SIGNIFICANCE)).astype("float64")


def _describe_levels(trials: pd.DataFrame) -> pd.DataFrame:
    """Return one row a level: its learning_rate, rates_tried as a text, whether it is ``paired`` with its base."""
    ablated = trials[trials["phase"] == "ablate"]
    tried: dict[tuple[Any, ...], list[str]] = {}
    for row in ablated[ablated["round"].notna()].sort_values("learning_rate").to_dict("records"):
        tried.setdefault(tuple(row[name] for name in _LEVEL), []).append(f"{row['learning_rate']:g}")
    levels = ablated[ablated["round"].isna()].drop_duplicates(_LEVEL)[[*_LEVEL, "learning_rate", *_DRAWN]]
    confirmed = select_confirmed(trials).drop_duplicates(CELL)
    levels = levels.merge(confirmed[[*CELL, *_DRAWN]], on=CELL, how="left", suffixes=("", "_base"))
    bases = {tuple(row[name] for name in CELL): row for row in confirmed.to_dict("records")}
    same = [levels[name].eq(levels[f"{name}_base"]).fillna(False) for name in _DRAWN]
    without = [levels[name].isna() & levels[f"{name}_base"].isna() for name in _DRAWN]
    paired = pd.concat(same, axis=1).to_numpy(bool) | pd.concat(without, axis=1).to_numpy(bool)
    return levels[[*_LEVEL, "learning_rate"]].assign(
        paired=paired.all(axis=1),
        instead_of=pd.Series(
            [_name_base(bases, key) for key in levels[_LEVEL].itertuples(index=False, name=None)], levels.index, object
        ),
        test=["paired" if each else "Welch" for each in paired.all(axis=1)],
        rates_tried=[", ".join(tried.get(key, [])) for key in levels[_LEVEL].itertuples(index=False, name=None)],
    )


def _name_base(bases: Mapping[tuple[Any, ...], Mapping[Any, Any]], level: tuple[Any, ...]) -> str | None:
    """Return the confirmed configuration's value of a level's factor; None where no single column has it."""
    *cell, factor, _ = level
    value = bases.get(tuple(cell), {}).get("own_code_size" if factor == "code_size" else factor)
    return None if value is None or pd.isna(value) else f"{value:g}" if isinstance(value, float | int) else str(value)


def _describe_left_out(manifest: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each reason to leave levels out, with the levels and the cells that it concerns."""
    notes: dict[tuple[str, str, str], list[str]] = {}
    for skipped in manifest.get("skipped_levels", ()):
        key = (str(skipped.get("factor")), str(skipped.get("level")), str(skipped.get("reason")))
        notes.setdefault(key, []).append(f"{skipped.get('architecture')} ({skipped.get('code_size')})")
    return [
        f"Left out: {factor} {level} of {', '.join(cells)}: {reason}."
        for (factor, level, reason), cells in notes.items()
    ]
