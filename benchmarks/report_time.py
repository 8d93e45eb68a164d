"""Time the report of a large study, step by step, in a process of its own.

::

    python benchmarks/report_time.py
    python benchmarks/report_time.py --study FOLDER    # made where it is missing, and kept

Everything but t-SNE, whose points are worked out once and kept. Seconds of the processor are those of the process
without those that draw files beside it; memory is that of all. The exit status says whether the aim was met.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
AIM_SECONDS, AIM_MEBIBYTES = 20.0, 2048.0
"""Of a study of 100,000 trials and 1,000,000 epochs, on two cores."""


@dataclass(slots=True)
class Step:
    """A call that was measured: its depth among the calls, what it took, and the peak memory until its end."""

    name: str
    depth: int
    seconds: float = 0.0
    processor_seconds: float = 0.0
    peak_mebibytes: float = 0.0


class Stopwatch:
    """Measures calls, each below the one that it was made by."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._depth = 0

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        step = Step(name, self._depth)
        self.steps.append(step)
        self._depth += 1
        seconds, processor_seconds = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._depth -= 1
            step.seconds = time.perf_counter() - seconds
            step.processor_seconds = time.process_time() - processor_seconds
            step.peak_mebibytes = _peak_mebibytes()

    def watch(self, module: ModuleType, name: str) -> None:
        """Measure every call by way of ``module`` of its function ``name``, with the name of what it is given."""
        function = getattr(module, name)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            given = getattr(args[0], "name", "") if args else ""
            with self.step(f"{name} {given}".rstrip()):
                return function(*args, **kwargs)

        setattr(module, name, watched)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the steps and the slowest of them; return 0 where the aim was met, else 1."""
    parser = argparse.ArgumentParser(description="Time the report of a large study, step by step.")
    parser.add_argument(
        "--study", metavar="FOLDER", type=Path, help="folder of a study; one is written where it is none"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="cae-study-") as scratch:
        folder = arguments.study or Path(scratch) / "study"
        if not (folder / "study.json").exists():
            print("writing a study", flush=True)
            subprocess.run([sys.executable, "-m", "tests.synthetic", folder.resolve()], cwd=ROOT, check=True)
        # A process of its own: nothing is imported, and no memory was used.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            steps = pool.submit(measure, str(folder), str(Path(scratch) / "report")).result()
    print(f"{'step':<44} {'seconds':>8} {'processor':>10} {'peak MiB':>9}")
    for step in steps:
        name = f"{'  ' * step.depth}{step.name}"
        print(f"{name:<44} {step.seconds:8.2f} {step.processor_seconds:10.2f} {step.peak_mebibytes:9.0f}")
    whole = steps[0]
    slowest = max(_innermost(steps), key=lambda step: step.processor_seconds)
    met = whole.seconds < AIM_SECONDS and whole.peak_mebibytes < AIM_MEBIBYTES
    print(f"slowest: {slowest.name}, {slowest.processor_seconds:.2f} s of the processor")
    print(f"aim of {AIM_SECONDS:g} s and {AIM_MEBIBYTES:g} MiB on two cores: {'met' if met else 'missed'}", end="")
    print(f" on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    return 0 if met else 1


def measure(folder: str, output: str) -> list[Step]:
    """Write the report of the study in ``folder`` to ``output`` and return the steps, the whole first."""
    stopwatch = Stopwatch()
    with stopwatch.step("whole"):
        with stopwatch.step("imports"):
            from analysis import drawing as figures
            from analysis import report
            from analysis.figures.style import Drawing
            from analysis.tables.table import Table
        for name in ("load_studies", "comparison_tables", "print_report", "write_report", "write_page"):
            stopwatch.watch(report, name)
        for module, made in ((report, Table), (figures, Drawing)):
            for name, value in list(vars(module).items()):
                returned = getattr(value, "__annotations__", {}).get("return", "")  # as it is written
                if made.__name__ in returned.split(" | "):
                    stopwatch.watch(module, name)
        stopwatch.watch(report, "tabulate_findings")
        stopwatch.watch(figures, "write_figures")
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            status = report.main([folder, "--output", output, "--no-tsne"])
    if status:
        raise RuntimeError(f"the report of {folder} ended with status {status}")
    return stopwatch.steps


def _peak_mebibytes() -> float:
    """Return the highest memory that this process has had and those that it has begun, as if all at one time."""
    peaks: dict[int, float] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError, KeyError):  # it ended in between; the kernel's own have no memory
            facts = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if os.getpid() in (int(facts["Pid"]), int(facts["PPid"])):
                peaks[int(facts["Pid"])] = float(facts["VmHWM"].split()[0]) / 1024
    return sum(peaks.values())


def _innermost(steps: Sequence[Step]) -> list[Step]:
    """Return the steps that hold no other."""
    return [step for step, after in zip(steps, [*steps[1:], steps[0]], strict=True) if after.depth <= step.depth]


if __name__ == "__main__":
    sys.exit(main())
