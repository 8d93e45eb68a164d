"""The trials of `synthetic_study`: which there are, with what settings, how they ended, after how many epochs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.config.ablations import FACTORS, explain_skip
from study.config.search_space import FILTERS_RANGE, REDUCTION_FACTOR, Cell, grace_period
from study.config.study_config import PUBLISHED_RECIPE, StudyConfig
from trainables.models.architectures import BUILT_IN, ConvolutionalAutoencoder
from trainables.trial_config import RECIPES, TrialConfig

DIVERGED, FAILED = 0.02, 0.01
"""Shares of the trials that were trained."""


def confirmed_trials(config: StudyConfig, generator: np.random.Generator) -> pd.DataFrame:
    """Return the trials of confirm and ablate, and the controls, each from the settings that its recipe gives."""
    frame = pd.concat([_confirm(config), _ablate(config), _controls(config)], ignore_index=True)
    luck = generator.random(len(frame)) + (frame["arm"] == "control")
    status = np.select([luck < DIVERGED, luck < DIVERGED + FAILED], ["diverged", "failed"], "complete")
    trained = frame["epochs_planned"].fillna(0).mask(status == "diverged", 3).mask(status == "failed", 0)
    return frame.assign(status=status, epochs=trained.astype("int64"))


def searched_trials(config: StudyConfig, count: int, epochs: int, generator: np.random.Generator) -> pd.DataFrame:
    """Return ``count`` search trials, dealt to the cells in turn, that trained ``epochs`` epochs in all.

    Raises:
        ValueError: no shares of trials that are stopped and of trials that go on make so many epochs.
    """
    cells = _cells(config)
    base = _configurations("search", "tuned", map(str, cells), [_make_trial_config(config, cell) for cell in cells])
    number = np.arange(count) // len(cells)
    frame = base.iloc[np.arange(count) % len(cells)].reset_index(drop=True)
    ids = [f"search-{cell}-{each:04d}" for cell, each in zip(frame["trial_id"], number, strict=True)]
    frame = frame.assign(trial_id=ids, number=number, seed=[config.search_seed(each) for each in number.tolist()])
    # The first trial of a cell has the published filter counts.
    rates = _logarithmic(*RECIPES[config.recipe].learning_rate_range, count, generator)
    frame["learning_rate"] = frame["learning_rate"].where(number == 0, rates)
    for name in ("filters_1", "filters_2"):
        filters = _logarithmic(*FILTERS_RANGE, count, generator).round()
        frame[name] = frame[name].where((number == 0) | frame[name].isna(), filters)
    return _stopped(frame, config, epochs, generator)


def shortfall(frame: pd.DataFrame) -> pd.Series[float]:
    """Return by how large a share a trial's settings make its loss worse than the best ones; 0 for a control."""
    rate = np.log(frame["learning_rate"] / 0.008)
    capacity = np.log(frame["filters_1"] * frame["filters_2"] / 500)
    share: pd.Series[float] = (0.05 * rate**2).fillna(0.0) + (0.02 * capacity**2).fillna(0.0)
    return share


def _stopped(frame: pd.DataFrame, config: StudyConfig, epochs: int, generator: np.random.Generator) -> pd.DataFrame:
    """Add status and epochs: as many of the best complete as it takes; two of nine trials reach the second rung."""
    grace, full = grace_period(config.epochs), config.epochs
    second = grace * REDUCTION_FACTOR
    cells = len(_cells(config))
    candidates = cells + generator.permutation(len(frame) - cells)  # the first trial of a cell is never lost
    failed, diverged = np.split(candidates[: round((DIVERGED + FAILED) * len(frame))], [round(FAILED * len(frame))])
    seen = shortfall(frame) + generator.exponential(0.15, len(frame))
    places = seen.groupby([frame["architecture"], frame["code_size"]]).rank().drop([*failed, *diverged])
    order = places.sort_values(kind="stable").index
    further = len(order) * 2 // 9
    complete, rest = divmod(epochs - len(diverged) - further * second - (len(order) - further) * grace, full - grace)
    if not (len(diverged) and cells <= complete <= len(order) - further):
        raise ValueError(f"{len(frame)} search trials cannot make {epochs} epochs: about 9 a trial, 50 trials or more")
    trained = np.zeros(len(frame), dtype=np.int64)
    trained[diverged] = 1
    trained[diverged[0]] += rest
    trained[order] = np.repeat([full, second, grace], [complete, further, len(order) - complete - further])
    status = np.where(trained == full, "complete", "pruned").astype(object)
    status[failed], status[diverged] = "failed", "diverged"
    return frame.assign(status=status, epochs=trained)


def _confirm(config: StudyConfig) -> pd.DataFrame:
    parts = []
    for arm, recipe in (("tuned", config.recipe), ("published", PUBLISHED_RECIPE)):
        cells = [cell for cell in _cells(config) if arm == "tuned" or _is_convolutional(cell)]
        trial_config = [_make_trial_config(config, cell, recipe) for cell in cells]
        parts.append(_configurations("confirm", arm, [f"confirm-{cell}-{arm}" for cell in cells], trial_config))
    return _with_seeds(parts, config)


def _ablate(config: StudyConfig) -> pd.DataFrame:
    parts = []
    for cell in config.ablated_cells:
        base = _make_trial_config(config, cell)
        for factor, levels in FACTORS.items():
            if there := [
                level for level in levels if explain_skip(factor, level, base, BUILT_IN[cell.architecture]) is None
            ]:
                labels = [level.label for level in there]
                ids = [f"ablate-{cell}-{factor}-{label}".replace(".", "_") for label in labels]
                rows = _configurations("ablate", "tuned", ids, [level.apply(base) for level in there])
                parts.append(rows.assign(factor=factor, level=labels, base_code_size=cell.code_size))
    return _with_seeds(parts, config)


def _controls(config: StudyConfig) -> pd.DataFrame:
    cells = [Cell("raw_pixels", 784), *(Cell("pca", size) for size in config.code_sizes)]
    names = {"architecture": [cell.architecture for cell in cells], "code_size": [cell.code_size for cell in cells]}
    ids = [f"confirm-{cell}" for cell in cells]
    return pd.DataFrame(names).assign(trial_id=ids, phase="confirm", arm="control", number=1)


def _cells(config: StudyConfig) -> list[Cell]:
    return [Cell(name, size) for size in config.code_sizes for name in config.architectures]


def _is_convolutional(cell: Cell) -> bool:
    return isinstance(BUILT_IN[cell.architecture], ConvolutionalAutoencoder)


def _make_trial_config(config: StudyConfig, cell: Cell, recipe: str | None = None) -> TrialConfig:
    chosen = RECIPES[recipe or config.recipe]
    return chosen.trial_config(BUILT_IN[cell.architecture], cell.code_size, config.epochs)


def _configurations(phase: str, arm: str, ids: Iterable[str], trial_config: Sequence[TrialConfig]) -> pd.DataFrame:
    """Return a row a configuration, its settings as columns; counts as floats, which have NaN where there is none."""
    frame = pd.DataFrame([each.as_dict() for each in trial_config])
    counts = {name: "float64" for name in ("filters_1", "filters_2")}
    return frame.astype(counts).assign(phase=phase, arm=arm, trial_id=list(ids))


def _with_seeds(parts: Iterable[pd.DataFrame], config: StudyConfig) -> pd.DataFrame:
    configurations = pd.concat(parts, ignore_index=True)
    frame = configurations.loc[configurations.index.repeat(config.seeds)].reset_index(drop=True)
    number = np.arange(len(frame)) % config.seeds + 1
    ids = [f"{name}-{each:02d}" for name, each in zip(frame["trial_id"], number, strict=True)]
    return frame.assign(trial_id=ids, number=number, seed=[config.confirm_seed(each) for each in number.tolist()])


def _logarithmic(low: float, high: float, count: int, generator: np.random.Generator) -> Any:
    return np.exp(generator.uniform(np.log(low), np.log(high), count))
