"""Compare training recipes by a rule that was written down before the run, on validation images.

::

    python benchmarks/recipes.py --output recipes.csv --processes 2    # hours; goes on where it was stopped
    python benchmarks/recipes.py --output recipes.csv --report         # the tables of what is there, in Markdown

The rule is in docs/training.md, its numbers are `Rule`. Every finished training is a row that is appended at once, and
a row that is there is not trained again. One file is of one machine and one state of the code: processor times are
compared between its rows.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import itertools
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from study.storage.provenance import git_state
from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset, LabelledImages
from trainables.errors import InputError
from trainables.evaluation.evaluate import evaluate_codes
from trainables.evaluation.reconstruction import encode_pixels
from trainables.models.architectures import BUILT_IN
from trainables.run_trial import describe_device
from trainables.training.devices import prepare
from trainables.training.training import Training, mean_image_cross_entropy, measure, move_pixels
from trainables.trial_config import RECIPES

CPU = torch.device("cpu")

Cell = tuple[str, int]
"""Architecture and code size."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is trained, the most important first. The weight decay is decided at the first code size."""

    dataset: str = "mnist"
    recipes: tuple[str, str] = ("modern", "muon")
    architectures: tuple[str, ...] = ("model_4", "model_1", "model_2", "model_5", "unpool_only", "model_3")
    code_sizes: tuple[int, ...] = (10, 30, 2)
    rate_factors: tuple[float, ...] = (1.0, 0.5, 2.0)
    decays: tuple[float, ...] = (0.0, 0.03, 0.1)
    tuning_epochs: int = 4
    tuning_seed: int = 0
    epochs: int = 12
    seeds: tuple[int, ...] = (1, 2, 3)
    own_decay_gain: float = 0.01
    """If a decay of its own lowers an architecture's cross-entropy by a larger share, all get their own."""


@dataclass(frozen=True, slots=True)
class Run:
    """The settings of one training; a row has them and what was measured."""

    dataset: str
    recipe: str
    architecture: str
    code_size: int
    learning_rate: float
    weight_decay: float
    epochs: int
    seed: int


@dataclass(frozen=True, slots=True)
class Row(Run):
    """A finished training, measured on the validation images.

    Attributes:
        diverged: a loss was not finite, and training ended there.
        epoch_seconds: processor time of the training thread for an epoch, without measuring.
        cross_entropy: per image; that of the mean training image where training diverged.
        squared_error: per image; NaN where training diverged, as the next two.
        linear_error: of a linear classifier fitted on training codes, %; NaN in tuning.
        k_means_accuracy: of clusters of the codes; NaN in tuning.
        device: the processor.
        git_commit: of the code.
    """

    diverged: bool
    epoch_seconds: float
    cross_entropy: float
    squared_error: float
    linear_error: float
    k_means_accuracy: float
    device: str
    git_commit: str


COLUMNS = [field.name for field in dataclasses.fields(Row)]


@cache  # asked for after every training
def list_tuning(rule: Rule, recipe: str, cell: Cell, decays: tuple[float, ...] | None = None) -> list[Run]:
    """Return the trainings among which a cell's rate and decay are chosen."""
    name, code_size = cell
    plain = RECIPES[recipe].training(BUILT_IN[name].activation)["learning_rate"]
    return [
        Run(
            rule.dataset,
            recipe,
            name,
            code_size,
            float(f"{plain * factor:.6g}"),
            decay,
            rule.tuning_epochs,
            rule.tuning_seed,
        )
        for decay in (rule.decays if decays is None else decays)
        for factor in rule.rate_factors
    ]


class Progress:
    """What the rows say by the rule: what was chosen, and what is to be trained next."""

    def __init__(self, rule: Rule, rows: Iterable[Row] = ()) -> None:
        self.rule = rule
        self.rows = {get_run(row): row for row in rows}
        self._decays: dict[str, tuple[float, ...]] = {}

    def list_cells(self, code_size: int) -> list[Cell]:
        """Return the cells of a code size in their order."""
        return [(name, code_size) for name in self.rule.architectures]

    def find_best(self, recipe: str, cell: Cell, decays: tuple[float, ...] | None = None) -> Row | None:
        """Return the tuned row of the lowest cross-entropy; None while one of them is missing."""
        runs = list_tuning(self.rule, recipe, cell, decays)
        rows = [self.rows[run] for run in runs if run in self.rows]
        return min(rows, key=lambda row: row.cross_entropy) if len(rows) == len(runs) else None

    def choose_decays(self, recipe: str) -> tuple[float, ...] | None:
        """Return the decays among which cells choose: one for all, or each its own; None until that is decided."""
        if recipe in self._decays:
            return self._decays[recipe]
        logs: dict[float, list[float]] = {decay: [] for decay in self.rule.decays}
        for cell in self.list_cells(self.rule.code_sizes[0]):
            for decay in self.rule.decays:
                best = self.find_best(recipe, cell, (decay,))
                if best is None:
                    return None
                logs[decay].append(math.log(best.cross_entropy))
        common = min(logs, key=lambda decay: statistics.mean(logs[decay]))
        gains = [1 - math.exp(min(own) - shared) for shared, *own in zip(logs[common], *logs.values(), strict=True)]
        self._decays[recipe] = self.rule.decays if max(gains) > self.rule.own_decay_gain else (common,)
        return self._decays[recipe]

    def list_finals(self, recipe: str, cell: Cell, epochs: int) -> list[Run]:
        """Return the trainings of the chosen values, one a seed; none until they are chosen."""
        decays = self.choose_decays(recipe)
        best = self.find_best(recipe, cell, decays) if decays else None
        if best is None:
            return []
        return [dataclasses.replace(get_run(best), epochs=epochs, seed=seed) for seed in self.rule.seeds]

    def read_finals(self, recipe: str, cell: Cell, epochs: int) -> list[Row]:
        """Return the rows of a recipe's finals; none until all are there."""
        runs = self.list_finals(recipe, cell, epochs)
        return [self.rows[run] for run in runs] if all(run in self.rows for run in runs) else []

    def fit_epochs(self, cell: Cell) -> dict[str, int] | None:
        """Return the epochs of each recipe at equal time: that of the cheaper one's; None until it is known."""
        finals = {recipe: self.read_finals(recipe, cell, self.rule.epochs) for recipe in self.rule.recipes}
        if not all(finals.values()):
            return None
        seconds = {recipe: statistics.mean(row.epoch_seconds for row in rows) for recipe, rows in finals.items()}
        least = min(seconds.values())
        return {recipe: max(1, int(self.rule.epochs * least / taken)) for recipe, taken in seconds.items()}

    def list_wanted(self) -> Iterator[Run]:
        """Yield what the rule asks for as far as rows decide it, the most important first."""
        for code_size in self.rule.code_sizes:
            cells = self.list_cells(code_size)
            for cell, recipe in itertools.product(cells, self.rule.recipes):
                yield from list_tuning(self.rule, recipe, cell)
            for cell in cells:
                for recipe in self.rule.recipes:
                    yield from self.list_finals(recipe, cell, self.rule.epochs)
                for recipe, epochs in (self.fit_epochs(cell) or {}).items():
                    yield from self.list_finals(recipe, cell, epochs)

    def find_next(self, running: Iterable[Run] = ()) -> Run | None:
        """Return what to train next beside what is ``running``."""
        begun = self.rows.keys() | set(running)
        return next((run for run in self.list_wanted() if run not in begun), None)


def get_run(row: Run) -> Run:
    """Return the settings alone."""
    return Run(*(getattr(row, field.name) for field in dataclasses.fields(Run)))


def train(run: Run, evaluated: bool) -> Row:
    """Train by the settings and measure; ``evaluated``: the code too."""
    dataset = _load(run.dataset)
    row = BUILT_IN[run.architecture]
    plain = RECIPES[run.recipe].trial_config(row, run.code_size, run.epochs, learning_rate=run.learning_rate)
    trial_config = dataclasses.replace(plain, weight_decay=run.weight_decay)
    train_pixels = move_pixels(dataset.search_train.pixels, CPU)
    training = Training(trial_config, run.seed, train_pixels)
    finite, started = True, time.thread_time()
    while finite and not training.done:
        finite = training.train_epoch().finite
    epoch_seconds = (time.thread_time() - started) / training.epoch
    cross_entropy, squared_error = measure(training.model, move_pixels(dataset.validation.pixels, CPU))
    diverged = not (finite and math.isfinite(cross_entropy))
    linear_error = k_means_accuracy = math.nan
    if diverged:
        cross_entropy, squared_error = mean_image_cross_entropy(dataset.search_train.pixels), math.nan
    elif evaluated:
        codes = [encode_pixels(training.model, move_pixels(images.pixels, CPU)) for images in _split(dataset)]
        labels = [images.labels for images in _split(dataset)]
        scores = evaluate_codes(codes[0], labels[0], codes[1], labels[1], run.seed)
        values = {(score.evaluator, score.metric): score.value for score in scores}
        linear_error = values["linear_classifier", "error"]
        k_means_accuracy = values["k_means", "accuracy"]
    return Row(
        **dataclasses.asdict(run),
        diverged=diverged,
        epoch_seconds=epoch_seconds,
        cross_entropy=cross_entropy,
        squared_error=squared_error,
        linear_error=linear_error,
        k_means_accuracy=k_means_accuracy,
        device=describe_device(CPU),
        git_commit=git_state()[0] or "",
    )


@cache
def _load(name: str) -> Dataset:
    return load_dataset(name)


def _split(dataset: Dataset) -> tuple[LabelledImages, LabelledImages]:
    return dataset.search_train, dataset.validation


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file, none where there is no file; a line that was cut off is left out.

    Raises:
        InputError: it is not a file of this benchmark.
    """
    text = path.read_text() if path.exists() else ""
    lines = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    if text and lines.fieldnames != COLUMNS:
        raise InputError(f"{path} has the columns {lines.fieldnames}"[:200], "a file of this benchmark", "name another")
    kinds: dict[str, Callable[[str], Any]]
    kinds = {"int": int, "float": float, "str": str, "bool": lambda value: value == "True"}
    fields = dataclasses.fields(Row)
    return [Row(**{field.name: kinds[str(field.type)](line[field.name]) for field in fields}) for line in lines]


def append_row(path: Path, row: Row) -> None:
    """Add a row at the end of a file, which begins with the names of the columns; a line that was cut off goes."""
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        if not file.tell():
            writer.writeheader()
        writer.writerow(dataclasses.asdict(row))
        file.write(text.getvalue().encode())
        file.flush()
        os.fsync(file.fileno())


def run_all(rule: Rule, path: Path, processes: int) -> None:
    """Train what the rule asks for and the file lacks, so many at a time, each on a thread of its own."""
    progress = Progress(rule, read_rows(path))
    running: dict[Future[Row], Run] = {}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, initializer=prepare, initargs=(CPU,)) as pool:
        while True:
            while len(running) < processes and (run := progress.find_next(running.values())):
                running[pool.submit(train, run, run.seed != rule.tuning_seed)] = run
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                row = future.result()
                append_row(path, row)
                progress.rows[running.pop(future)] = row
                print(f"{len(progress.rows)}: {_describe(row)}", flush=True)


def _describe(row: Row) -> str:
    settings = f"{row.recipe} {row.architecture}-{row.code_size} rate {row.learning_rate:g} decay {row.weight_decay:g}"
    end = f"cross-entropy {row.cross_entropy:.2f}, squared error {row.squared_error:.2f}"
    end = "diverged" if row.diverged else end
    return f"{settings}, {row.epochs} epochs, seed {row.seed}: {end}, {row.epoch_seconds:.1f} s an epoch"


def format_report(progress: Progress) -> str:
    """Return the tables in Markdown: what was chosen, equal epochs, equal time, and the verdict."""
    rule = progress.rule
    places = sorted({f"{row.device}, commit {row.git_commit[:10]}" for row in progress.rows.values()})
    lines = [f"{len(progress.rows)} trainings on {'; '.join(places) or 'nothing yet'}.", "", *_format_choices(progress)]
    for title, equal_time in (("Equal epochs", False), ("Equal processor time", True)):
        lines += [
            "",
            f"{title}, mean of {len(rule.seeds)} seeds, validation images:",
            "",
            "| code size | model | recipe | epochs | s | cross-entropy | squared error | linear error (%) | k-means "
            "| diverged |",
            "|--:|---|---|--:|--:|--:|--:|--:|--:|--:|",
        ]
        ratios: dict[int, list[float]] = {}
        for code_size in rule.code_sizes:
            for cell in progress.list_cells(code_size):
                epochs = progress.fit_epochs(cell) if equal_time else dict.fromkeys(rule.recipes, rule.epochs)
                finals = {name: progress.read_finals(name, cell, count) for name, count in (epochs or {}).items()}
                if not finals or not all(finals.values()):
                    continue
                lines += [_format_line(rows) for rows in finals.values()]
                first, second = (
                    math.log(statistics.mean(row.cross_entropy for row in finals[name])) for name in rule.recipes
                )
                ratios.setdefault(code_size, []).append(second - first)
        if ratios:
            parts = [f"{statistics.mean(values):+.4f} at code size {size}" for size, values in ratios.items()]
            every = [value for values in ratios.values() for value in values]
            winner = rule.recipes[statistics.mean(every) < 0]
            lines += [
                "",
                f"Mean log ratio of cross-entropy, {rule.recipes[1]} to {rule.recipes[0]}, of {len(every)} cells: "
                f"{statistics.mean(every):+.4f} ({', '.join(parts)}): **{winner}**.",
            ]
    return "\n".join(lines)


def _format_choices(progress: Progress) -> list[str]:
    rule = progress.rule
    lines = [
        f"Chosen after {rule.tuning_epochs} epochs of one seed:",
        "",
        "| code size | model | recipe | rate | decay | cross-entropy | "
        + " | ".join(f"at decay {decay:g}" for decay in rule.decays)
        + " |",
        "|--:|---|---|--:|--:|--:|" + "--:|" * len(rule.decays),
    ]
    for code_size in rule.code_sizes:
        for cell, recipe in itertools.product(progress.list_cells(code_size), rule.recipes):
            decays = progress.choose_decays(recipe)
            best = progress.find_best(recipe, cell, decays) if decays else None
            tried = [progress.find_best(recipe, cell, (decay,)) for decay in rule.decays]
            if best is not None:
                values = " | ".join("" if row is None else f"{row.cross_entropy:.2f}" for row in tried)
                lines.append(
                    f"| {code_size} | {cell[0]} | {recipe} | {best.learning_rate:g} | {best.weight_decay:g} | "
                    f"{best.cross_entropy:.2f} | {values} |"
                )
    return lines


def _format_line(rows: Sequence[Row]) -> str:
    def mean(name: str) -> float:
        values = [getattr(row, name) for row in rows if not row.diverged]
        return statistics.mean(values) if values else math.nan

    first = rows[0]
    seconds = first.epochs * statistics.mean(row.epoch_seconds for row in rows)
    return (
        f"| {first.code_size} | {first.architecture} | {first.recipe} | {first.epochs} | {seconds:.0f} | "
        f"{statistics.mean(row.cross_entropy for row in rows):.2f} | {mean('squared_error'):.2f} | "
        f"{mean('linear_error'):.2f} | {mean('k_means_accuracy'):.3f} | {sum(row.diverged for row in rows)} |"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, or print the tables of what is there."""
    parser = argparse.ArgumentParser(description="Compare training recipes by a rule that was written down before.")
    parser.add_argument("--output", type=Path, required=True, help="CSV file, a row a training")
    parser.add_argument("--processes", type=int, default=1, help="of one thread each (default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="print the tables and train nothing")
    arguments = parser.parse_args(argv)
    try:
        if not arguments.report:
            run_all(Rule(), arguments.output, arguments.processes)
        print(format_report(Progress(Rule(), read_rows(arguments.output))))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
