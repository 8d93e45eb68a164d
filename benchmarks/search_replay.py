"""Judge the search by random trainings: what short ones tell of long ones, what rounds choose, which sampler is best.

::

    python benchmarks/search_replay.py record --architecture model_4 --code-size 10 --epochs 12 --file model_4.jsonl
    python benchmarks/search_replay.py replay model_4.jsonl

``record`` trains random configurations of one cell for all epochs, and for the epochs of each round with a whole
schedule of their own, and appends a line each; the same command goes on where it stopped. ``replay`` trains nothing: a
sampler's suggestion is worth what its nearest neighbours among those configurations reached.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau

from study.config.presets import study_config
from study.config.search_space import BUDGET_SHARE_RANGE, FILTERS_RATIO_RANGE, LEAST_SAMPLED_TRIALS, SAMPLERS, Cell
from study.config.study_config import StudyConfig
from study.plan.planned_trial import make_trial_config
from study.plan.rounds import list_rounds
from study.plan.search import CellSearch, Result, Suggestion
from trainables.data.datasets import load_dataset
from trainables.training.training import Training

TRAININGS = 60
SEEDS = 50
LENGTHS = (8, 15, 30)
"""Trials of a search that is replayed; all by the sampler, whatever a study of so few would do."""

NEIGHBOURS = 3


def make_config(architecture: str, code_size: int, epochs: int, trials: int, **changes: Any) -> StudyConfig:
    """Return the study of which one cell is trained or replayed."""
    cell = {"architectures": (architecture,), "code_sizes": (code_size,), "epochs": epochs, "trials": trials}
    return study_config("paper", **(cell | changes))


@dataclass(frozen=True, slots=True)
class Configuration:
    """A random configuration: its coordinates, and validation cross-entropies by epochs trained, epoch by epoch."""

    learning_rate: float
    budget_share: float
    filters_ratio: float
    curves: dict[int, list[float]]

    @property
    def final(self) -> float:
        """What the longest training reached; infinite where it diverged."""
        return self.reach(max(self.curves))

    def reach(self, epochs: int) -> float:
        """Return what a training of so many epochs, with its own schedule, reached."""
        curve = self.curves[epochs]
        return curve[-1] if len(curve) == epochs and math.isfinite(curve[-1]) else math.inf


def record(config: StudyConfig, trainings: int, file: Path) -> None:
    """Train the configurations that the file lacks, and append a line for each training."""
    cell = Cell(config.architectures[0], config.code_sizes[0])
    dataset = load_dataset(config.dataset)
    pixels, held_out = (torch.from_numpy(part.pixels.copy()) for part in (dataset.search_train, dataset.validation))
    done = {(line["number"], line["epochs"]) for line in read_lines(file)}
    suggestions = CellSearch(config, cell).suggest(range(1, trainings + 1), [])
    row = config.architecture(cell.architecture)
    torch.set_num_threads(1)
    for number, suggestion in suggestions.items():
        for epochs in sorted({each.epochs for each in list_rounds(config)}):
            if (number, epochs) in done:
                continue
            rate, filters = suggestion.learning_rate, suggestion.filters
            trial_config = make_trial_config(config, cell, config.recipe, rate, filters, epochs)
            training = Training(trial_config, config.search_seed(number), pixels, held_out, row)
            curve: list[float] = []
            while not training.done and (metrics := training.train_epoch()).finite:
                assert metrics.validation_cross_entropy is not None
                curve.append(metrics.validation_cross_entropy)
            line = {"architecture": cell.architecture, "code_size": cell.code_size, "dataset": config.dataset}
            line |= {"recipe": config.recipe, "number": number, "epochs": epochs, "filters": filters, "curve": curve}
            coordinates = ("learning_rate", "budget_share", "filters_ratio")
            line |= {name: getattr(suggestion, name) for name in coordinates}
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Return the trainings of a file; none where there is no file yet."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def group_lines(lines: Sequence[dict[str, Any]]) -> list[Configuration]:
    """Return the configurations whose trainings are all there, in the order of their numbers."""
    lengths = {line["epochs"] for line in lines}
    found: dict[int, dict[int, dict[str, Any]]] = {}
    for line in lines:
        found.setdefault(line["number"], {})[line["epochs"]] = line
    return [
        Configuration(
            trained[max(lengths)]["learning_rate"],
            trained[max(lengths)]["budget_share"],
            trained[max(lengths)]["filters_ratio"],
            {epochs: line["curve"] for epochs, line in trained.items()},
        )
        for _, trained in sorted(found.items())
        if trained.keys() == lengths
    ]


def correlate(configurations: Sequence[Configuration]) -> Iterator[tuple[int, float, float]]:
    """Yield for each shorter length Kendall's tau with the end: of a long training then, and of a whole short one."""
    longest = max(configurations[0].curves)
    kept = [each for each in configurations if all(math.isfinite(each.reach(epochs)) for epochs in each.curves)]
    for epochs in sorted(configurations[0].curves)[:-1]:
        final = [each.final for each in kept]
        looked_at = [each.curves[longest][epochs - 1] for each in kept]
        short = [each.reach(epochs) for each in kept]
        yield epochs, float(kendalltau(looked_at, final)[0]), float(kendalltau(short, final)[0])


def choose_by_rounds(configurations: Sequence[Configuration], finalists: int = 3) -> tuple[int, int]:
    """Return the place that rounds choose, and the epochs that they train: a third goes on each time."""
    places, spent = list(range(len(configurations))), 0
    for epochs in sorted(configurations[0].curves):
        spent += epochs * len(places)
        places.sort(key=lambda place, epochs=epochs: (configurations[place].reach(epochs), place))  # type: ignore[misc]
        places = places[: max(finalists, math.ceil(len(places) / 3))]
        if epochs == sorted(configurations[0].curves)[-2]:
            places = places[:finalists]
    return places[0], spent


def choose_by_halving(configurations: Sequence[Configuration], epochs_allowed: int) -> tuple[int, int]:
    """Return the place that asynchronous halving chooses of those that come first, until so many epochs are trained.

    A trial goes on at a rung where it is no worse than the best third of those that reached it before, and the first
    always does: the rungs of Tune's ASHA with a grace period of a fifth.
    """
    longest = max(configurations[0].curves)
    rungs, rung = [], max(1, longest // 5)
    while rung < longest:
        rungs.append(rung)
        rung *= 3
    seen: dict[int, list[float]] = {rung: [] for rung in rungs}
    best, spent = (math.inf, 0), 0
    for place, each in enumerate(configurations):
        curve = each.curves[longest]
        epochs = len(curve)
        for rung in rungs:
            if rung > len(curve):
                break
            cutoff = np.percentile(seen[rung], 100 / 3) if seen[rung] else math.inf
            seen[rung].append(curve[rung - 1])
            if curve[rung - 1] > cutoff:
                epochs = rung
                break
        if spent + epochs > epochs_allowed and place:
            break
        spent += epochs
        if epochs == longest:
            best = min(best, (each.final, place))
    return best[1], spent


def make_surrogate(configurations: Sequence[Configuration], search: CellSearch) -> Callable[[Suggestion, int], float]:
    """Return what a suggestion would reach in so many epochs: the mean of its nearest neighbours, by their distance."""
    points = np.array([_place(each, search) for each in configurations])

    def reach(suggestion: Suggestion, epochs: int) -> float:
        distances = np.linalg.norm(points - _place(suggestion, search), axis=1)
        nearest = np.argsort(distances)[:NEIGHBOURS]
        values = np.array([configurations[place].reach(epochs) for place in nearest])
        weights = 1 / (distances[nearest] + 1e-6)
        known = np.isfinite(values)
        return float((values[known] * weights[known]).sum() / weights[known].sum()) if known.any() else math.inf

    return reach


def _place(each: Configuration | Suggestion, search: CellSearch) -> NDArray[np.float64]:
    """Return the coordinates in the unit cube of the ranges."""
    places = []
    ranges = {"learning_rate": search.config.tuned_recipe.learning_rate_range}
    ranges |= {"budget_share": BUDGET_SHARE_RANGE, "filters_ratio": FILTERS_RATIO_RANGE}
    for name, limits in ranges.items():
        log = name != "budget_share"
        low, high, value = (math.log(part) if log else part for part in (*limits, getattr(each, name)))
        places.append((value - low) / (high - low))
    return np.array(places)


def replay(
    configurations: Sequence[Configuration], architecture: str, code_size: int, sampler: str, trials: int, seed: int
) -> float:
    """Return the regret of one search: what its best trial of round 1 reaches in the end, minus the best there is."""
    epochs = sorted(configurations[0].curves)
    # A study of so few trials would be a grid: the sampler is asked as in one of more.
    longer = max(trials, LEAST_SAMPLED_TRIALS)
    config = make_config(architecture, code_size, epochs[-1], longer, sampler=sampler, seed=seed)
    search = CellSearch(config, Cell(architecture, code_size))
    reach = make_surrogate(configurations, search)
    tried: list[Suggestion] = []
    results: list[Result] = []
    while len(tried) < trials:
        numbers = range(len(tried) + 1, min(trials, len(tried) + config.generation_size) + 1)
        new = list(search.suggest(numbers, results).values())
        results += [(dataclasses.asdict(each), reach(each, epochs[0])) for each in new]
        tried += new
    best = min(range(trials), key=lambda place: (results[place][1], place))
    return reach(tried[best], epochs[-1]) - min(each.final for each in configurations)


def main(argv: Sequence[str] | None = None) -> int:
    """Record, or replay and print the tables."""
    parser = argparse.ArgumentParser(description="Judge the search by random trainings.")
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("--architecture", default="model_4")
    recording.add_argument("--code-size", type=int, default=10)
    recording.add_argument("--dataset", default="mnist")
    recording.add_argument("--recipe", default="modern")
    recording.add_argument("--epochs", type=int, default=12)
    recording.add_argument("--trainings", type=int, default=TRAININGS)
    recording.add_argument("--file", type=Path, required=True)
    replaying = commands.add_parser("replay")
    replaying.add_argument("files", type=Path, nargs="+")
    replaying.add_argument("--seeds", type=int, default=SEEDS)
    replaying.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    replaying.add_argument("--samplers", nargs="+", default=SAMPLERS, choices=SAMPLERS)
    arguments = parser.parse_args(argv)
    if arguments.command == "record":
        shared = {"dataset": arguments.dataset, "recipe": arguments.recipe, "sampler": "random"}
        config = make_config(arguments.architecture, arguments.code_size, arguments.epochs, TRAININGS, **shared)
        record(config, arguments.trainings, arguments.file)
        return 0
    for file in arguments.files:
        lines = read_lines(file)
        print_tables(lines, arguments.samplers, arguments.lengths, arguments.seeds)
    return 0


def print_tables(lines: Sequence[dict[str, Any]], samplers: Sequence[str], lengths: Sequence[int], seeds: int) -> None:
    """Print what the trainings of one cell say."""
    configurations = group_lines(lines)
    architecture, code_size = lines[0]["architecture"], lines[0]["code_size"]
    ranks = np.argsort(np.argsort([each.final for each in configurations])) + 1
    print(f"{architecture}, code size {code_size}: {len(configurations)} configurations, recipe {lines[0]['recipe']}")
    print("\n| epochs | tau of a long training then | tau of a whole short training |\n|--:|--:|--:|")
    for epochs, looked_at, short in correlate(configurations):
        print(f"| {epochs} | {looked_at:.2f} | {short:.2f} |")
    place, spent = choose_by_rounds(configurations)
    halved, halved_spent = choose_by_halving(configurations, spent)
    print("\n| chosen by | epochs | cross-entropy | place |\n|---|--:|--:|--:|")
    print(f"| rounds | {spent} | {configurations[place].final:.2f} | {ranks[place]} |")
    print(f"| asynchronous halving | {halved_spent} | {configurations[halved].final:.2f} | {ranks[halved]} |")
    print(f"\n| regret over {seeds} seeds | {' | '.join(f'{trials} trials' for trials in lengths)} |")
    print(f"|---|{'--:|' * len(lengths)}")
    for sampler in samplers:
        regrets = [
            [replay(configurations, architecture, code_size, sampler, trials, seed) for seed in range(seeds)]
            for trials in lengths
        ]
        print(f"| {sampler} | {' | '.join(f'{np.mean(each):.2f}' for each in regrets)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
