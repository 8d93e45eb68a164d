"""Measure a study's driver at scale: many slots and trials on a simulated clock, everything on the driver real.

::

    python benchmarks/simulated_scale.py
    python benchmarks/simulated_scale.py --slots 200 --trials 2000

The plan, Optuna's searches by rounds, Ray Tune's controller and the writing of rows are those of a study; only
the workers are simulated, and report invented figures. Times are those of the driver alone.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import io
import json
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from simulated_actors import installed

from study.config.presets import study_config
from study.config.study_config import StudyConfig
from study.display.progress import Progress
from study.execution import cluster
from study.execution.recorder import TrialRecorder, make_provenance_columns
from study.execution.tuner import Resources, run_plan
from study.plan.plan import Plan
from study.plan.search import CellSearch
from study.plan.trials import plan_trials
from study.signals import Drain
from study.storage import provenance
from study.storage.schema import SCHEMA_VERSION
from study.storage.store import Store
from trainables.data.datasets import load_dataset
from trainables.evaluation.scores import Score
from trainables.run_trial import Outcome, Report, TrialBatch
from trainables.training.training import EpochMetrics

EPOCHS = 15
EPOCH_SECONDS = 20.0
SCORES = 60
"""Scores of a confirmed trial, about as many as a real one has."""

SEEDS = 10
PARTS = 4
"""Parts of the run, equal in results, of which each is measured on its own: what grows shows between them."""


def config_of(trials: int, slots: int) -> StudyConfig:
    """Return a study of the paper's cells that plans about ``trials`` trials, in generations that fill the slots."""
    shared: dict[str, Any] = {"seeds": SEEDS, "epochs": EPOCHS, "published_epochs": EPOCHS}
    one = study_config("paper", trials=1, **shared)
    cells = len(one.architectures) * len(one.code_sizes)
    rest = sum(planned.phase != "search" for planned in plan_trials(one))
    # Of three trials of round 1 one goes on to round 2; the finalists are few.
    searched = max(1, (trials - rest) * 3 // (4 * cells))
    return study_config("paper", trials=searched, generation_size=min(1_000, 1 + slots // cells), **shared)


def reports(batch: TrialBatch) -> Iterator[tuple[float, Report]]:
    """Yield the reports of a trial, each with its simulated seconds: a curve that falls to a floor of its own."""
    for trial in batch.trials:
        random = np.random.default_rng(abs(hash(trial.trial_id)))
        columns = {"train_images": 50_000, "parameters": 300_000, "seconds": 1.0, "device": "none", "host": "simulated"}
        if batch.trial_config is None:
            yield 60.0, Report(trial.trial_id, columns, None, Outcome("complete", scores=_scores(random)))
            continue
        searching = batch.phase == "search"
        floor = 90 + 10 * abs(np.log10(batch.trial_config.learning_rate / 0.008)) + random.normal(0, 2)
        speed = EPOCH_SECONDS * random.uniform(0.5, 1.5)
        epochs = batch.trial_config.epochs_planned
        for epoch in range(1, epochs + 1):
            value = float(floor + 100 / epoch + random.normal(0, 1))
            figures = EpochMetrics(
                epoch, 0.01, value, value / 8, value if searching else None, value / 8 if searching else None, 1.0
            )
            outcome = None
            if epoch == epochs:
                outcome = Outcome("complete") if searching else Outcome("complete", scores=_scores(random))
            yield speed, Report(trial.trial_id, columns, figures, outcome)


def _scores(random: np.random.Generator) -> list[Score]:
    return [Score("test", "reconstruction", f"metric_{n}", float(random.random()), "", "none") for n in range(SCORES)]


@dataclass(slots=True)
class Part:
    """What the driver took in a part of the run."""

    results: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    mebibytes: float = 0.0
    calls: dict[str, list[float]] = field(default_factory=dict)


class Meter:
    """Divides a run into parts and times calls."""

    def __init__(self, expected_results: float) -> None:
        self.parts: list[Part] = []
        self._expected = expected_results
        self._part = Part()
        self._started, self._processor = time.perf_counter(), time.process_time()

    def time(self, owner: type, name: str) -> None:
        """Time every call of a method."""
        method = getattr(owner, name)

        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                calls = self._part.calls.setdefault(f"{owner.__name__}.{name}", [])
                calls.append(time.perf_counter() - started)

        setattr(owner, name, timed)

    def result(self) -> None:
        """Count a result."""
        self._part.results += 1
        if self._part.results >= self._expected / PARTS:
            self.close()

    def close(self) -> None:
        """End a part."""
        part = self._part
        now, processor = time.perf_counter(), time.process_time()
        part.seconds, part.processor_seconds = now - self._started, processor - self._processor
        part.mebibytes = _resident_mebibytes()
        if part.results:
            self.parts.append(part)
        self._part = Part()
        self._started, self._processor = now, processor


def _resident_mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_scale(slots: int, trials: int, folder: Path) -> tuple[Meter, int, int]:
    """Run a simulated study; return what was measured, its trials and the files that it left."""
    config = config_of(trials, slots)
    dataset = load_dataset("digits")
    store = Store(folder / "study")
    store.open({"schema_version": SCHEMA_VERSION, "name": config.name})
    meter = Meter(sum(planned.epochs or 1 for planned in plan_trials(config)))
    for owner, name in ((CellSearch, "suggest"), (Store, "append"), (TrialRecorder, "receive")):
        meter.time(owner, name)

    def counted(batch: TrialBatch) -> Iterator[tuple[float, Report]]:
        for seconds, report in reports(batch):
            meter.result()
            yield seconds, report

    with cluster.connect("local", 0, 1):
        plan = Plan(config, ())
        columns = make_provenance_columns(config.name, "0" * 64, dataset, provenance.versions(), (None, None))
        with store.writing(), installed(slots, counted):
            recorder = TrialRecorder(plan, store, Progress(plan, slots, io.StringIO()), columns)
            run_plan(recorder, dataset, Resources(0, slots), 3600, None, Drain())
        meter.close()
    assert plan.exhausted, f"{len(plan.list_pending())} trials were not run"
    return meter, plan.done, sum(path.is_file() for path in (folder / "study").rglob("*"))


def main(argv: Sequence[str] | None = None) -> int:
    """Print what the driver took, part by part."""
    parser = argparse.ArgumentParser(description="Measure a study's driver at scale on a simulated clock.")
    parser.add_argument("--slots", type=int, default=1_000)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--profile", action="store_true", help="print what takes the driver's time")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory(prefix="cae-study-scale-") as folder:
        if arguments.profile:
            profile.enable()
        meter, done, files = measure_scale(arguments.slots, arguments.trials, Path(folder))
        profile.disable()
    results = sum(part.results for part in meter.parts)
    seconds = sum(part.seconds for part in meter.parts)
    processor = sum(part.processor_seconds for part in meter.parts)
    first, last = meter.parts[0], meter.parts[-1]
    if arguments.json:
        print(
            json.dumps(
                {
                    "trials": done,
                    "results": results,
                    "milliseconds_a_result": 1000 * seconds / results,
                    "processor_milliseconds_a_result": 1000 * processor / results,
                    "first_milliseconds_a_result": 1000 * first.seconds / first.results,
                    "last_milliseconds_a_result": 1000 * last.seconds / last.results,
                    "mebibytes": [part.mebibytes for part in meter.parts],
                    "files": files,
                }
            )
        )
        return 0
    print(
        f"{done} trials, {results} results on {arguments.slots} slots: "
        f"{1000 * seconds / results:.2f} ms of the driver a result"
    )
    print(f"{'results':>8} {'ms/result':>9} {'processor':>9} {'MiB':>6}  calls, ms each")
    for part in meter.parts:
        calls = ", ".join(
            f"{name} {len(taken)} x {1000 * np.mean(taken):.2f}" for name, taken in sorted(part.calls.items())
        )
        print(
            f"{part.results:8} {1000 * part.seconds / part.results:9.2f} "
            f"{1000 * part.processor_seconds / part.results:9.2f} {part.mebibytes:6.0f}  {calls}"
        )
    print(f"{files} files")
    if arguments.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    return 0


if __name__ == "__main__":
    sys.exit(main())
