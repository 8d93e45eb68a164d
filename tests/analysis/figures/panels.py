"""A study of which every figure can be drawn, and what its panels show."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from analysis.figures.style import Drawing, ModelStyle, choose_styles
from analysis.results import StudyResults
from analysis.tables.table import Absent
from study.storage.schema import table_of
from tests.synthetic import (
    RECONSTRUCTED_IMAGES,
    write_synthetic_study,
)
from trainables.models.architectures import BUILT_IN, CONTROLS, ModuleAutoencoder

MODELS = ("model_1", "model_3", "model_4", "classic_autoencoder")

CONVOLUTIONAL = MODELS[:3]

SIZES = (2, 10)

SEEDS = 3


def choose(*names: str) -> dict[str, ModelStyle]:
    """Return the styles of models that no study added."""
    none = pd.DataFrame()
    results = StudyResults((), {**BUILT_IN, **CONTROLS}, none, none, none, none, none, none)
    return choose_styles(results, pd.DataFrame({"architecture": pd.Categorical(names, names, ordered=True)}))


def full_study(folder: Path, name: str = "synthetic") -> Path:
    """Write a study with codes, originals and pictures to ``folder`` and return it."""
    write_synthetic_study(
        folder,
        name=name,
        architectures=MODELS,
        code_sizes=SIZES,
        seeds=SEEDS,
        ablations=True,
        codes=True,
        pictures=True,
        mishaps={},
    )
    originals = [
        {"trial_id": "confirm-raw_pixels-784-control-1", "image": image, "label": image % 10}
        | {"code": [0.0] * 784, "reconstruction": [image / 10] * 784}
        for image in range(RECONSTRUCTED_IMAGES)
    ]
    pq.write_table(table_of("codes", originals), folder / "codes" / "originals.parquet")
    faded = [
        {"trial_id": "confirm-raw_pixels-784-control-1", "kind": "walk", "index": step}
        | {"height": 28, "width": 28, "values": [step / 9] * 784}
        for step in range(10)
    ]
    pq.write_table(table_of("pictures", faded), folder / "pictures" / "originals.parquet")
    return folder


def make_modules(results: StudyResults, *names: str) -> StudyResults:
    """Return the study with modules of a user's own, of whose layers nothing is known, in the place of these models."""
    modules = {name: ModuleAutoencoder(name, name.capitalize(), "(module)", None) for name in names}
    unknown = results.pictures["kind"].isin(["filter", "map", "switch"]) & results.pictures["trial_id"].str.contains(
        "|".join(f"-{name}-" for name in names)
    )
    return dataclasses.replace(results, models={**results.models, **modules}, pictures=results.pictures[~unknown])


def drawn(plot: Drawing | Absent) -> Drawing:
    """Return the figure, which must be there."""
    assert isinstance(plot, Drawing), plot
    return plot


def titled(figure: Figure) -> dict[str, Axes]:
    """Return the panels by their title."""
    return {axes.get_title() or axes.get_title(loc="left"): axes for axes in figure.axes}


def series(axes: Axes, colour: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y and half width of the intervals of the one series in ``colour``."""
    (found,) = [
        container
        for container in axes.containers
        if isinstance(container, ErrorbarContainer) and container.lines[0].get_color() == colour
    ]
    x, y = found.lines[0].get_data()
    segments = found.lines[2][-1].get_segments()
    return (
        np.asarray(x, dtype=float),
        np.asarray(y, dtype=float),
        np.asarray([(top - bottom) / 2 for (_, bottom), (_, top) in segments]),
    )


def mean_and_half_width(values: list[float]) -> tuple[float, float]:
    """Return the mean and half of the 95 % t interval, as scipy gives it."""
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))
    return float(np.mean(values)), (high - low) / 2
