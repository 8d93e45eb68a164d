"""The baseline: the search of a cell as a competent user writes it from the tutorials of Ray Tune and PyTorch.

::

    python benchmarks/stock.py --architecture model_4 --trials 8 --epochs 2

A function trainable, a `DataLoader` over a tensor data set, stock layers in eager mode, `OptunaSearch`, ASHA, Tune's
default loggers, a fresh worker for every trial. Model, batch, recipe, epochs, precision and threads are ours.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from stock_model import StockTraining

from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset
from trainables.models.architectures import BUILT_IN, ConvolutionalAutoencoder
from trainables.training.training import scale_pixels
from trainables.trial_config import RECIPES

FILTERS_RANGE = (2, 65)
"""Filter counts of either convolution, the last one excluded, which the baseline searches by themselves."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched, and what stays the same in all trials; ``batch_size`` None is the recipe's."""

    architecture: str
    trials: int
    epochs: int
    code_size: int = 10
    recipe: str = "modern"
    batch_size: int | None = None
    concurrency: int = 2
    early_stopping: bool = True
    published_filters_only: bool = False


def train(config: dict[str, Any], search: Search, images: torch.Tensor, validation: torch.Tensor) -> None:
    """Train one configuration and report after every epoch."""
    started = time.time()
    torch.set_num_threads(1)
    trial_config = RECIPES[search.recipe].trial_config(
        BUILT_IN[search.architecture],
        search.code_size,
        search.epochs,
        batch_size=search.batch_size,
        learning_rate=config["learning_rate"],
        filters=(config["filters_1"], config["filters_2"]) if "filters_1" in config else None,
    )
    training = StockTraining(trial_config, images, validation)
    for _ in range(search.epochs):
        loss = training.train_epoch()
        value = training.validate()
        figures = {"train_cross_entropy": loss, "validation_cross_entropy": value}
        tune.report(figures | {"started": started, "ended": time.time()})


def run_search(search: Search, dataset: Dataset, storage: Path) -> list[dict[str, Any]]:
    """Run the search on the Ray that this process is connected to; return the last report of every trial."""
    recipe = RECIPES[search.recipe]
    space: dict[str, Any] = {"learning_rate": tune.loguniform(*recipe.learning_rate_range)}
    row = BUILT_IN[search.architecture]
    if isinstance(row, ConvolutionalAutoencoder) and not search.published_filters_only:
        space |= {name: tune.lograndint(*FILTERS_RANGE) for name in ("filters_1", "filters_2")}
    pixels, held_out = torch.from_numpy(dataset.search_train.pixels), torch.from_numpy(dataset.validation.pixels)
    stopping = ASHAScheduler(max_t=search.epochs, grace_period=max(1, search.epochs // 5), reduction_factor=3)
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(train, search=search, images=scale_pixels(pixels), validation=scale_pixels(held_out)),
            {"cpu": 1},
        ),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="validation_cross_entropy",
            mode="min",
            search_alg=OptunaSearch(),
            scheduler=stopping if search.early_stopping else None,
            num_samples=search.trials,
            max_concurrent_trials=search.concurrency,
        ),
        run_config=tune.RunConfig(storage_path=str(storage), verbose=0),
    )
    return [result.metrics or {} for result in tuner.fit()]  # type: ignore[attr-defined] # iterated by index


def connect(concurrency: int) -> None:
    """Start a local Ray whose workers find these scripts."""
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    ray.init(
        address="local",
        num_cpus=concurrency,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).resolve().parent)}},
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a search and print what it found and how long it took."""
    parser = argparse.ArgumentParser(description="Search one cell with Ray Tune and PyTorch as in their tutorials.")
    parser.add_argument("--architecture", default="model_4", choices=list(BUILT_IN))
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--concurrency", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args(argv)
    search = Search(
        arguments.architecture,
        arguments.trials,
        arguments.epochs,
        batch_size=arguments.batch_size,
        concurrency=arguments.concurrency,
    )
    dataset = load_dataset(arguments.dataset, arguments.data_dir)
    connect(search.concurrency)
    try:
        with tempfile.TemporaryDirectory(prefix="cae-study-stock-") as storage:
            started = time.perf_counter()
            results = run_search(search, dataset, Path(storage))
            seconds = time.perf_counter() - started
    finally:
        ray.shutdown()
    best = min(result["validation_cross_entropy"] for result in results)
    print(
        f"{len(results)} trials of {search.architecture} in {seconds:.0f} s, best validation cross-entropy {best:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
