"""Run every benchmark in short form and print one table with the machine and the versions: ``make bench``.

Ratios compare both sides in one run: of training alternately, as medians of the turns' ratios; of seeds at once as
ratios of medians; of trials on Ray one side after the other. What a GPU adds is measured where there is one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from earlier import COMMIT, start_earlier
from seeds_at_once import measure_epochs, pixels_of
from training_speed import IMAGES, average_ratios, measure_speed

from study.storage import provenance
from trainables.models.architectures import BUILT_IN, STUDIED, ConvolutionalAutoencoder
from trainables.run_trial import describe_device
from trainables.training.devices import SEEDS_AT_ONCE, name_engine, prepare

HERE = Path(__file__).resolve().parent
Row = tuple[str, str, str, str, str]
"""What, stock, ours, ratio, remark."""


def training() -> Iterator[Row]:
    """Trained images per second of one core, by architecture."""
    cpu = torch.device("cpu")
    prepare(cpu)
    speeds = []
    engine = name_engine(cpu)
    with start_earlier("modern", IMAGES) as earlier:
        for name, row in ((name, BUILT_IN[name]) for name in STUDIED):
            speed = measure_speed(name, "modern", pixels_of(IMAGES, cpu), repetitions=5, earlier=earlier)
            if isinstance(row, ConvolutionalAutoencoder):
                speeds.append(speed)
            before = f"{speed.earlier_ratio:.2f} times {COMMIT}; " if speed.earlier_ratio else ""
            remark = f"{engine}; {before}{speed.share(speed.ours):.0%} of peak, stock {speed.share(speed.stock):.0%}"
            yield f"{name}, images/s", f"{speed.stock:,.0f}", f"{speed.ours:,.0f}", f"{speed.ratio:.2f}", remark
    means = [average_ratios([getattr(speed, kind) for speed in speeds]) for kind in ("ratio", "earlier_ratio")]
    aims = "6 and 3" if engine == "avx512" else "5.5 and 2"
    yield "six architectures, geometric mean", "", "", means[0], f"{engine}; {means[1]} times {COMMIT}; aims: {aims}"


def seeds(device: torch.device, images: int) -> Iterator[Row]:
    """Seeds trained at once against seeds in turn; on a GPU single trials against stock and the replayed step too."""
    prepare(device)
    count = SEEDS_AT_ONCE["cuda"]
    for name in STUDIED if device.type == "cuda" else ("model_1", "model_4"):
        seen = measure_epochs(name, count, pixels_of(images, device), repetitions=3)
        if seen.stock is not None and seen.replayed is not None:
            rates = f"{1 / seen.stock:.2f}", f"{1 / seen.one:.2f}", f"{seen.stock / seen.one:.1f}"
            yield f"{name}, epochs/s", *rates, f"{seen.replayed / seen.one:.0%} of replaying alone; aims: 20, 70 %"
        yield (
            f"{name}, {count} seeds at once",
            f"in turn {seen.in_turn:.3f} s",
            f"{seen.at_once:.3f} s",
            f"{seen.in_turn / seen.at_once:.2f}",
            f"{seen.at_once / seen.one:.2f} times one seed; {device.type}",
        )


def images_between(many: tuple[int, float], few: tuple[int, float], seconds: float) -> int:
    """Return the images of trials of ``seconds``, on the line through two (images, seconds); at least two steps."""
    slope = (many[1] - few[1]) / (many[0] - few[0])
    return max(200, round(few[0] + (seconds - few[1]) / slope)) if slope > 0 else few[0]


def orchestration() -> Iterator[Row]:
    """Waits between trials and trials per minute, on Ray, each side in processes of its own."""
    # Beside each other and in fresh workers trials take longer than in the process that sizes them, by a part that does
    # not shrink with the images: two runs show by how much, and both sides get the images of stock trials of 2 s.
    many = _json("orchestration.py", "stock", "--seconds", 2, "--trials", 4)
    few = _json("orchestration.py", "stock", "--images", many["images"] // 2, "--trials", 4)
    images = images_between((many["images"], many["trial_seconds"]), (few["images"], few["trial_seconds"]), 2.0)
    stock = _json("orchestration.py", "stock", "--images", images, "--trials", 8)
    ours = _json("orchestration.py", "ours", "--images", images, "--trials", 40)
    rates = stock["trials_a_minute"], ours["trials_a_minute"]
    waits = stock["between_seconds"], ours["between_seconds"]
    remark = f"trials of {stock['trial_seconds']:.2f} and {ours['trial_seconds']:.2f} s; aim: 5"
    yield "trials a minute", f"{rates[0]:.1f}", f"{rates[1]:.1f}", f"{rates[1] / rates[0]:.1f}", remark
    yield (
        "between two trials, s",
        f"{waits[0]:.2f}",
        f"{waits[1]:.3f}",
        f"{waits[0] / waits[1]:.0f}",
        f"at most {ours['between_most_seconds']:.2f}; aim: 0.3",
    )
    long = _json("orchestration.py", "ours", "--seconds", 20, "--of", "ours", "--trials", 6)
    yield (
        "driver, search, writing, waiting",
        "",
        f"{long['busy_share'] + long['waiting_share']:.1%}",
        "",
        f"of wall time, trials of {long['trial_seconds']:.0f} s; aim: 5 %",
    )


def scale() -> Iterator[Row]:
    """The driver with simulated workers."""
    seen = _json("simulated_scale.py", "--slots", 200, "--trials", 2_000)
    yield (
        "simulated, ms of the driver a result",
        "",
        f"{seen['milliseconds_a_result']:.2f}",
        "",
        f"{seen['trials']:,} trials, 200 slots; processor's {seen['processor_milliseconds_a_result']:.2f}; aim: 5",
    )
    first, *_, last = seen["mebibytes"]
    yield (
        "simulated, memory at a quarter and the end, MiB",
        "",
        f"{first:.0f}, {last:.0f}",
        "",
        f"{seen['files']} files",
    )


def analysis() -> Iterator[Row]:
    """The report of a large study."""
    done = subprocess.run([sys.executable, HERE / "report_time.py"], capture_output=True, text=True, check=False)
    whole = re.search(r"^whole +([\d.]+) +([\d.]+) +(\d+)", done.stdout, flags=re.M)
    if whole is None:
        raise RuntimeError(f"report_time.py ended with {done.returncode}: {done.stderr}")
    seconds, processor, mebibytes = whole.groups()
    remark = f"100,000 trials; {processor} s of the processor, {mebibytes} MiB; aim: 20 s"
    yield "report, s", "", seconds, "", remark


def _json(script: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, str(HERE / script), *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> int:
    """Print the table row by row."""
    started = time.perf_counter()
    versions = provenance.versions()
    print(
        f"{describe_device(torch.device('cpu'))}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; ",
        end="",
    )
    print(", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "ray", "optuna", "pyarrow")))
    cuda = torch.cuda.is_available()
    print(torch.cuda.get_device_name() if cuda else "no CUDA GPU: its rows are left out")
    print("\n| | stock | ours | ratio | |\n|---|--:|--:|--:|---|", flush=True)
    parts = [training(), seeds(torch.device("cpu"), 400), orchestration(), scale(), analysis()]
    if cuda:
        parts.append(seeds(torch.device("cuda"), 50_000))
    for part in parts:
        for row in part:
            print(f"| {' | '.join(row)} |", flush=True)
    minutes = (time.perf_counter() - started) / 60
    print(f"\n{minutes:.1f} minutes, load {os.getloadavg()[0]:.1f} at the end", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
