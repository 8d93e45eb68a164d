"""A study by several objectives with known numbers: what a test of objectives reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from study.storage.schema import table_of
from tests.synthetic import true_score, write_synthetic_study
from trainables.training.objectives import OBJECTIVES

BY_MODEL: Mapping[str, Sequence[str]] = {
    "model_4": ("denoising", "variational", "k_sparse"),
    "model_3": ("what_where",),
}
"""Objectives beside plain reconstruction."""
SEEDS = 3
CODE_SIZES = (2, 10)
VARIED_SIZE = 10
"""At which the strengths are there, as an ablation."""

EFFECTS: Mapping[str, tuple[float, float]] = {
    "reconstruction": (0.0, 0.0),
    "denoising": (0.5, -0.5),
    "variational": (3.0, -1.0),
    "k_sparse": (6.0, 2.0),
    "what_where": (0.2, -6.0),
}
"""What the middle strength adds to squared error and linear error; the weak one half, the strong one twice as much."""
FACTORS = {"weak": 0.5, "middle": 1.0, "strong": 2.0}
OWN_SCORES: Mapping[str, Mapping[str, tuple[float, str, str]]] = {
    "variational": {
        "kl_divergence": (12.0, "nats/image", "none"),
        "active_units": (7.0, "units", "none"),
        "bound": (95.0, "nats/image", "lower"),
    },
    "k_sparse": {"nonzero_units": (5.0, "units", "none")},
}
"""Value at the middle strength, unit and direction; each strength more adds 1, each seed 0.1 times its number."""


def shift(objective: str, place: str, evaluator: str, metric: str) -> float:
    """Return what an objective adds to a score of its model, by the place of its strength."""
    squared, linear = EFFECTS[objective]
    added = {("reconstruction", "squared_error"): squared, ("linear_classifier", "error"): linear}
    return FACTORS.get(place, 0.0) * added.get((evaluator, metric), 0.0)


def own_score(objective: str, place: str, metric: str, number: int) -> float:
    """Return a score that an objective has alone."""
    return OWN_SCORES[objective][metric][0] + list(FACTORS).index(place) - 1 + 0.1 * number


def expected(
    objective: str, place: str, evaluator: str, metric: str, model: str = "model_4", code_size: int = 10
) -> list[float]:
    """Return what the study holds for the seeds of a run."""
    plain = [true_score(evaluator, metric, model, code_size, "tuned", number) for number in range(1, SEEDS + 1)]
    return [value + shift(objective, place, evaluator, metric) for value in plain]


def write_study(folder: Path, by_model: Mapping[str, Sequence[str]] = BY_MODEL, **arguments: Any) -> Path:
    """Write a study with a cell for each objective, and its strengths at `VARIED_SIZE`, and return its folder.

    Args:
        folder: of the study.
        by_model: objectives of each model beside plain reconstruction, which each has.
        arguments: of `write_synthetic_study`.
    """
    defaults: dict[str, Any] = {"architectures": tuple(by_model), "code_sizes": CODE_SIZES, "search_trials": 1}
    defaults |= {"mishaps": {}, "codes": True, "seeds": SEEDS}
    write_synthetic_study(folder, **(defaults | arguments))
    rows = {path.name: pq.read_table(path).to_pylist() for path in folder.iterdir() if path.is_dir()}
    of_trials = {name: _group_by_trial(rows[name]) for name in ("scores", "codes")}
    for plain in [row for row in rows["trials"] if row["phase"] == "confirm" and row["arm"] == "tuned"]:
        for objective in by_model.get(plain["architecture"], ()):
            for place in FACTORS if plain["code_size"] == VARIED_SIZE else ("middle",):
                trial = _make_trial(plain, objective, place)
                rows["trials"].append(trial)
                rows["scores"] += _make_scores(of_trials["scores"][plain["trial_id"]], trial, objective, place)
                if place == "middle":
                    kept = of_trials["codes"].get(plain["trial_id"], [])
                    rows["codes"] += [row | {"trial_id": trial["trial_id"]} for row in kept]
        plain["objective"] = "reconstruction"
    for name, some in rows.items():
        pq.write_table(table_of(name, some), folder / name / "compacted.parquet", write_page_checksum=True)
    return folder


def name_trial(model: str, objective: str, place: str, number: int, code_size: int = VARIED_SIZE) -> str:
    """Return the id of a run of the study."""
    plain = f"confirm-{model}-{code_size}-tuned-{number}"
    return plain if objective == "reconstruction" else f"{plain}-{objective}-{place}"


def _group_by_trial(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["trial_id"], []).append(row)
    return grouped


def _make_trial(plain: Mapping[str, Any], objective: str, place: str) -> dict[str, Any]:
    size = plain["code_size"]
    strength = OBJECTIVES[objective].list_strengths(size)[list(FACTORS).index(place)]
    trial = {**plain, "objective": objective, "objective_strength": strength}
    trial["trial_id"] = name_trial(plain["architecture"], objective, place, plain["number"], size)
    if place != "middle":
        trial |= {"phase": "ablate", "factor": "objective_strength", "level": place, "base_code_size": size}
    return trial


def _make_scores(
    plain: Iterable[Mapping[str, Any]], trial: Mapping[str, Any], objective: str, place: str
) -> Iterator[dict[str, Any]]:
    """Yield those of the plain run with what the objective adds, and those that it has alone."""
    for row in plain:
        if row["split"] == "test":
            value = row["value"] + shift(objective, place, row["evaluator"], row["metric"])
            yield {**row, "trial_id": trial["trial_id"], "value": value}
    for metric, (_, unit, direction) in OWN_SCORES.get(objective, {}).items():
        score = {"trial_id": trial["trial_id"], "split": "test", "evaluator": "objective", "metric": metric}
        value = own_score(objective, place, metric, trial["number"])
        yield score | {"value": value, "unit": unit, "direction": direction}
