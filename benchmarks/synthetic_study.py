"""Write a large study of plausible figures, to measure what reads it; nothing is trained.

::

    python benchmarks/synthetic_study.py FOLDER
    python benchmarks/synthetic_study.py FOLDER --trials 10000 --epochs 100000

Its files are as a study leaves them when it ends: one of each table, joined. Rows are made column by column, so that a
million take seconds, and follow from the seed. Confirmed trials have the scores, codes and first filters of real ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from synthetic_figures import MEAN_IMAGE_CROSS_ENTROPY, codes, cross_entropy, curves, scores, write_filters, write_table
from synthetic_trials import confirmed_trials, searched_trials, shortfall

from study.config.study_config import StudyConfig, digest_of
from study.storage.schema import SCHEMA_VERSION, TABLES
from trainables.models.architectures import BUILT_IN, CONTROLS
from trainables.models.layers import count_parameters

TRIALS, EPOCHS = 100_000, 1_000_000
"""Rows of ``trials`` and ``epochs``: what the report is to take under 20 s and 2 GiB for."""

CODE_SIZES = (2, 4, 6, 8, 10, 16, 24, 30, 48, 64)
SQUARED_ERROR = dict(zip([*BUILT_IN, *CONTROLS], (14.6, 14.5, 6.3, 13.6, 13.0, 16.4, 11.0, 26.7, 0.0), strict=True))
"""Squared error per image at code size 10, tuned."""

DATASET_SHA256 = "d" * 64
VERSIONS = {"python": "3.11.7", "ray": "2.60.0", "torch": "2.13.0"}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the study and say how large it is; return the exit status."""
    parser = argparse.ArgumentParser(description="Write a large study of plausible figures.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="made where it is missing; must hold no study")
    parser.add_argument("--trials", type=int, default=TRIALS, help="rows of trials (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="rows of epochs (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=40, help="confirmed trials of a configuration (default: 40)")
    parser.add_argument("--code-sizes", type=int, nargs="+", default=CODE_SIZES, help="with the models, the cells")
    parser.add_argument("--seed", type=int, default=0, help="of all figures (default: 0)")
    arguments = parser.parse_args(argv)
    try:
        write_study(**vars(arguments))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path in sorted(arguments.folder.glob("*/*.parquet")):
        rows, size = pq.read_metadata(path).num_rows, path.stat().st_size
        print(f"{path.parent.name:>6} {rows:>9,} rows {size / 2**20:6.1f} MiB")
    return 0


def write_study(
    folder: Path,
    *,
    trials: int = TRIALS,
    epochs: int = EPOCHS,
    seeds: int = 40,
    code_sizes: Sequence[int] = CODE_SIZES,
    seed: int = 0,
) -> None:
    """Write a study of exactly so many rows of ``trials`` and of ``epochs`` to ``folder``.

    What confirm, ablate and the controls leave of them is searched.

    Args:
        folder: made where it is missing.
        trials: rows of ``trials``.
        epochs: rows of ``epochs``.
        seeds: confirmed trials of a configuration.
        code_sizes: with all models, the cells.
        seed: of all figures.

    Raises:
        ValueError: the folder holds a study, or no search gives so many rows.
    """
    if (folder / "study.json").exists():
        raise ValueError(f"{folder} holds a study already: choose another folder")
    generator = np.random.default_rng(seed)
    config = StudyConfig(
        name="benchmark",
        preset="paper",
        dataset="mnist",
        architectures=tuple(BUILT_IN),
        code_sizes=tuple(code_sizes),
        phases=("search", "confirm", "ablate"),
        trials=1,  # what is left is known below
        seeds=seeds,
        epochs=20,
    )
    cells = len(config.architectures) * len(config.code_sizes)
    others = confirmed_trials(config, generator)
    if (left := trials - len(others)) < cells:
        raise ValueError(f"{trials} trials: confirm, ablate and one search trial a cell make {len(others) + cells}")
    config = dataclasses.replace(config, trials=left // cells)
    searched = searched_trials(config, left, epochs - int(others["epochs"].sum()), generator)
    frame = _with_figures(pd.concat([searched, others], ignore_index=True), generator)
    frame = _with_provenance(_with_best(frame), config, generator)
    frame = frame.sort_values("trial_id", ignore_index=True)  # as files are joined
    kept = frame[(frame["phase"] == "confirm") & (frame["number"] == 1) & (frame["status"] == "complete")]
    for name in (*TABLES, "weights"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_table(folder, "trials", {name: frame[name] for name in TABLES["trials"].names if name in frame})
    write_table(folder, "epochs", curves(frame))
    write_table(folder, "scores", scores(frame, generator))
    write_table(folder, "codes", codes(kept, generator))
    write_filters(folder, kept, generator)
    (folder / "study.json").write_text(json.dumps(_manifest(config), indent=2) + "\n")


def _with_figures(frame: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Add each trial's squared error at its full budget as ``error``, and the figures of its last epoch."""
    run = generator.normal(size=1_000)[frame["number"] % 1_000]
    base = frame["architecture"].map(SQUARED_ERROR) * (10 / frame["code_size"]) ** 0.55
    base *= np.where(frame["arm"] == "published", 1.6, 1.0) * (1 + shortfall(frame))
    noise = generator.normal(size=len(frame))
    error = base * np.exp(0.02 * run + 0.02 * noise)
    # A few confirmed runs end no better than the mean image.
    collapsed = (frame["phase"] == "confirm") & (frame["arm"] != "control") & (generator.random(len(frame)) < 0.005)
    frame = frame.assign(error=error.mask(collapsed, 52.0))
    trained = (frame["epochs"] > 0) & frame["status"].isin(["complete", "pruned"])
    train = cross_entropy(frame["error"], frame["epochs"]).where(trained)
    validated = trained & (frame["phase"] == "search")
    return frame.assign(
        train_cross_entropy=train,
        train_squared_error=train / 4,
        validation_cross_entropy=(train + 1).where(validated),
        validation_squared_error=(train / 4 + 0.2).where(validated),
        mean_image_cross_entropy=np.where(frame["arm"] == "control", np.nan, MEAN_IMAGE_CROSS_ENTROPY),
    )


def _with_best(frame: pd.DataFrame) -> pd.DataFrame:
    """Give tuned confirmed trials the configuration of their cell's best search trial, and all their parameters."""
    complete = frame[(frame["phase"] == "search") & (frame["status"] == "complete")]
    cell = ["architecture", "code_size"]
    best = complete.sort_values(["validation_cross_entropy", "number"]).drop_duplicates(cell).set_index(cell)
    tuned = ((frame["phase"] == "confirm") & (frame["arm"] == "tuned")).to_numpy()
    chosen = best.loc[pd.MultiIndex.from_frame(frame.loc[tuned, cell])]
    for name in ("learning_rate", "filters_1", "filters_2"):
        frame.loc[tuned, name] = chosen[name].to_numpy()
    return frame.assign(parameters=_parameters(frame))


def _parameters(frame: pd.DataFrame) -> pd.Series[float]:
    """Return each trial's weights and biases; every unit of the code adds as many to a model."""
    models = frame[["architecture", "filters_1", "filters_2"]].drop_duplicates()
    models = models[models["architecture"].isin(BUILT_IN)]
    models["parameters"] = [
        count_parameters(BUILT_IN[name], 1, None if pd.isna(first) else (int(first), int(second)))
        for name, first, second in models.itertuples(index=False)
    ]
    units = {name: count_parameters(row, 2) - count_parameters(row, 1) for name, row in BUILT_IN.items()}
    of_one_unit = frame[["architecture", "filters_1", "filters_2"]].merge(models, how="left")["parameters"]
    return of_one_unit + frame["architecture"].map(units) * (frame["code_size"] - 1)


def _with_provenance(frame: pd.DataFrame, config: StudyConfig, generator: np.random.Generator) -> pd.DataFrame:
    seconds = 2.0 * frame["epochs"] * generator.uniform(0.9, 1.1, len(frame))
    started = 1_767_225_600_000 + 8_000 * np.arange(len(frame))  # milliseconds, from the first of 2026
    reasons = {
        "pruned": "behind the other trials of its cell",
        "diverged": "a loss is not finite",
        "failed": "its worker died three times",
    }
    return frame.assign(
        study=config.name,
        dataset=config.dataset,
        reason=frame["status"].map(reasons),
        train_images=np.where(frame["phase"] == "search", 50_000, 60_000),
        seconds=seconds,
        device_seconds=seconds,
        device="Synthetic accelerator",
        host="synthetic",
        started_at=pd.to_datetime(started, unit="ms", utc=True),
        finished_at=pd.to_datetime(started + (1_000 * seconds).round(), unit="ms", utc=True),
        dataset_sha256=DATASET_SHA256,
        study_sha256=digest_of(config.identity(DATASET_SHA256)),
        git_commit="c" * 40,
        git_dirty=False,
        versions=json.dumps(VERSIONS),
    )


def _manifest(config: StudyConfig) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "study_sha256": digest_of(config.identity(DATASET_SHA256)),
        "identity": config.identity(DATASET_SHA256),
        "config": config.as_dict(),
        "dataset": {
            "name": config.dataset,
            "sha256": DATASET_SHA256,
            "train_images": 50_000,
            "validation_images": 10_000,
            "test_images": 10_000,
        },
        "skipped_levels": [],
        "launches": [
            {
                "started_at": "2026-01-01T00:00:00+00:00",
                "command": "python study/launch.py --name benchmark",
                "git_commit": "c" * 40,
                "git_dirty": False,
                "versions": VERSIONS,
                "host": "synthetic",
            }
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
