"""Measure what trials wait for: time between two trials on a slot, trials per minute, share of driver and search.

::

    python benchmarks/orchestration.py ours --seconds 2 --trials 30
    python benchmarks/orchestration.py stock --seconds 2 --trials 10

A trial trains one model in `EPOCHS` epochs on repeated images: as many as ``--seconds`` of stock training hold in this
process, or ``--images``. Both sides train all epochs: no trial is stopped early, and so few have one round. The
baseline trains the published filters, ours those that the search draws: 1.2 times the multiply-adds on average.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import ray
import stock
import torch
from stock_model import StockTraining

from study.config.presets import study_config
from study.config.study_config import StudyConfig
from study.display.progress import Progress
from study.execution import cluster
from study.execution.recorder import TrialRecorder, make_provenance_columns
from study.execution.tuner import run_plan
from study.plan.plan import Plan
from study.signals import Drain
from study.storage import provenance
from study.storage.schema import SCHEMA_VERSION
from study.storage.store import Store
from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset, LabelledImages
from trainables.models.architectures import BUILT_IN
from trainables.training.training import Training, scale_pixels
from trainables.trial_config import RECIPES

ARCHITECTURE = "unpool_only"
EPOCHS = 2
BATCHES = 20
"""Steps that are timed to find how many images a trial needs."""


@dataclass(frozen=True, slots=True)
class Waits:
    """What was seen of trials on their slots; ``busy`` is the processor's time of all that is no trial."""

    side: str
    slots: int
    images: int
    trials: int
    seconds: float
    trial_seconds: float
    between_seconds: float
    between_most_seconds: float
    waiting_share: float
    busy_share: float

    @property
    def trials_a_minute(self) -> float:
        """Trials that ended in a minute, the start of Ray left out."""
        return 60 * self.trials / self.seconds


def images_for(seconds: float, side: str) -> int:
    """Return the images on which a trial of ``side``'s training takes about ``seconds`` in a process of its own."""
    torch.set_num_threads(1)
    digits = load_dataset("digits")
    trial_config = RECIPES["modern"].trial_config(BUILT_IN[ARCHITECTURE], 10, 100)
    pixels = torch.from_numpy(digits.training.pixels[:1000].copy())
    training = (
        StockTraining(trial_config, scale_pixels(pixels)) if side == "stock" else Training(trial_config, 0, pixels)
    )
    training.train_epoch()
    started = time.perf_counter()
    training.train_epoch()
    training.train_epoch()
    return max(200, int(seconds / EPOCHS / ((time.perf_counter() - started) / 2000)))


def dataset_of(images: int) -> Dataset:
    """Return digits repeated to ``images`` for training and 100 for validation."""
    digits = load_dataset("digits")
    rows = np.resize(np.arange(len(digits.training)), images + 100)
    assert digits.training.labels is not None
    repeated = LabelledImages(np.ascontiguousarray(digits.training.pixels[rows]), digits.training.labels[rows])
    return Dataset("digits", repeated, 100, digits.test, "0" * 64)


def make_config(trials: int) -> StudyConfig:
    """Return the study of one cell of which so many search trials are run."""
    return study_config(
        "quick",
        architectures=(ARCHITECTURE,),
        trials=trials,
        generation_size=trials,
        validation_seeds=1,
        epochs=EPOCHS,
        phases=("search",),
        batch_size=100,
    )


def run_ours(trials: int, dataset: Dataset, slots: int) -> Waits:
    """Run search trials of one cell by the study's own Tuner; return what was seen."""
    config = make_config(trials)
    with tempfile.TemporaryDirectory(prefix="cae-study-bench-") as folder:
        store = Store(Path(folder) / "study")
        store.open({"schema_version": SCHEMA_VERSION, "name": config.name})
        plan = Plan(config, ())
        columns = make_provenance_columns(config.name, "0" * 64, dataset, provenance.versions(), (None, None))
        with cluster.connect("local", 0, slots) as resources:
            started, busy = time.perf_counter(), _busy_seconds()
            with store.writing():
                recorder = TrialRecorder(plan, store, Progress(plan, slots, io.StringIO()), columns)
                run_plan(recorder, dataset, resources, 3600, None, Drain())
            seconds, busy = time.perf_counter() - started, _busy_seconds() - busy
        spans = [
            (row["started_at"].timestamp(), row["started_at"].timestamp() + row["seconds"])
            for row in store.read_trials()
        ]
    return waits("ours", spans, slots, len(dataset.search_train), seconds, busy)


def run_stock(trials: int, dataset: Dataset, slots: int) -> Waits:
    """Run as many trials of the same architecture by the baseline; return what was seen."""
    search = stock.Search(
        ARCHITECTURE, trials, EPOCHS, concurrency=slots, early_stopping=False, published_filters_only=True
    )
    stock.connect(slots)
    try:
        with tempfile.TemporaryDirectory(prefix="cae-study-stock-") as storage:
            started, busy = time.perf_counter(), _busy_seconds()
            results = stock.run_search(search, dataset, Path(storage))
            seconds, busy = time.perf_counter() - started, _busy_seconds() - busy
    finally:
        ray.shutdown()
    spans = [(result["started"], result["ended"]) for result in results]
    return waits("stock", spans, slots, len(dataset.search_train), seconds, busy)


def waits(
    side: str, spans: Sequence[tuple[float, float]], slots: int, images: int, seconds: float, busy: float
) -> Waits:
    """Return the waits of trials that ran from and to the times ``spans`` on ``slots`` slots.

    A trial took the slot that had been free for longest when it began; the first trial of a slot waits for Ray.
    """
    free: list[float] = []
    between = []
    for begin, end in sorted(spans):
        earlier = [moment for moment in free if moment <= begin]
        if earlier and len(free) >= slots:
            free.remove(min(earlier))
            between.append(begin - min(earlier))
        free.append(end)
    trained = [end - begin for begin, end in spans]
    first, last = min(begin for begin, _ in spans), max(end for _, end in spans)
    return Waits(
        side,
        slots,
        images,
        len(spans),
        seconds,
        statistics.median(trained),
        statistics.median(between),
        max(between),
        sum(between) / (slots * (last - first)),
        busy / (slots * seconds),
    )


def _busy_seconds() -> float:
    """Return the processor's seconds so far of this process and its descendants but for Ray's workers."""
    parents: dict[int, tuple[int, float, bool]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text()
        except OSError:
            continue  # It has ended.
        ticks = int(stat[11]) + int(stat[12])
        worker = command.startswith("ray::") or "default_worker" in command
        parents[int(folder.name)] = (int(stat[1]), ticks / os.sysconf("SC_CLK_TCK"), worker)

    def ours(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process][0]
        return process == os.getpid()

    return sum(seconds for process, (_, seconds, worker) in parents.items() if not worker and ours(process))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one side and print what was seen, as text or as JSON."""
    parser = argparse.ArgumentParser(description="Measure what trials wait for.")
    parser.add_argument("side", choices=("ours", "stock"))
    parser.add_argument("--seconds", type=float, default=2.0, help="of a trial's training (default: %(default)s)")
    parser.add_argument("--of", choices=("ours", "stock"), default="stock", help="whose training takes so long")
    parser.add_argument("--images", type=int, help="of an epoch, instead of --seconds")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--slots", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    run = run_ours if arguments.side == "ours" else run_stock
    images = arguments.images or images_for(arguments.seconds, arguments.of)
    seen = run(arguments.trials, dataset_of(images), arguments.slots)
    if arguments.json:
        print(json.dumps(asdict(seen) | {"trials_a_minute": seen.trials_a_minute}))
        return 0
    print(
        f"{seen.side}: {seen.trials} trials of {seen.images} images and {seen.trial_seconds:.2f} s "
        f"on {seen.slots} slots in {seen.seconds:.1f} s, {seen.trials_a_minute:.1f} a minute\n"
        f"  between two trials on a slot: median {seen.between_seconds:.3f} s, most {seen.between_most_seconds:.3f} s\n"
        f"  slots waited {seen.waiting_share:.1%} of the time from the first trial's start to the last one's end\n"
        f"  driver, search, writing and Ray's own processes took {seen.busy_share:.1%} of the processors"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
