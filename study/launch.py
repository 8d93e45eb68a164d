"""Run a study: ``python study/launch.py --preset quick``.

Trials are scheduled by Ray Tune, searched by Optuna, and written as rows to RESULTS_DIR/NAME; the same command goes on
where a stopped one left off. See README.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from study.ablations import FACTORS
from study.config import PRESETS, StudyConfig, study_config
from study.rows import PHASES
from trainables.architectures import ARCHITECTURES
from trainables.datasets import DATASETS
from trainables.errors import InputError
from trainables.settings import RECIPES


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 cells without a result, 2 bad input, 130 stopped by the user."""
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; trials that had ended are kept, and the same command goes on with the rest", file=sys.stderr)
        return 130


def config_of(arguments: argparse.Namespace) -> StudyConfig:
    """Return the configuration that parsed arguments ask for.

    Raises:
        InputError: a value is not accepted.
    """
    return study_config(
        arguments.preset,
        name=arguments.name,
        dataset=arguments.dataset,
        recipe=arguments.recipe,
        phases=_tuple(arguments.phase),
        architectures=_tuple(arguments.architectures),
        code_sizes=_tuple(arguments.code_sizes),
        trials=arguments.trials,
        seeds=arguments.seeds,
        epochs=arguments.epochs,
        seed=arguments.seed,
        factors=_tuple(arguments.factors),
    )


def _run(arguments: argparse.Namespace) -> int:
    config = config_of(arguments)
    # Ray, PyTorch and SciPy take seconds to import, which a mistake in the flags need not wait for.
    from study import execution

    options = execution.Options(
        results_dir=arguments.results_dir.resolve(),
        data_dir=arguments.data_dir.resolve() if arguments.data_dir else None,
        address=arguments.address,
        concurrency=arguments.concurrency,
        gpus_per_trial=arguments.gpus_per_trial,
        time_budget=arguments.time_budget,
    )
    if arguments.dry_run:
        execution.describe(config, options)
        return 0
    return execution.run(config, options)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    flags = argparse.ArgumentParser(
        prog="launch.py",
        description="Search, confirm and compare convolutional auto-encoders; the same command resumes.",
    )
    what = flags.add_argument_group("what is studied (default: as the preset says)")
    what.add_argument("--preset", default="paper", help=f"one of: {', '.join(PRESETS)} (default: %(default)s)")
    what.add_argument("--phase", nargs="+", metavar="PHASE", help=f"any of: {' '.join(PHASES)}")
    what.add_argument("--dataset", help=f"one of: {', '.join(DATASETS)}")
    what.add_argument("--architectures", nargs="+", metavar="NAME", help=f"any of: {' '.join(ARCHITECTURES)}")
    what.add_argument("--code-sizes", nargs="+", type=int, metavar="UNITS", help="sizes of the code layer")
    what.add_argument("--recipe", help=f"training of the tuned arm, one of: {', '.join(RECIPES)}")
    what.add_argument("--trials", type=int, help="search trials of each architecture and code size")
    what.add_argument("--seeds", type=int, help="trainings of each confirmed configuration")
    what.add_argument("--epochs", type=int, help="full budget of a trial, in epochs")
    what.add_argument("--seed", type=int, help="base of all seeds (default: 0)")
    what.add_argument("--factors", nargs="+", metavar="NAME", help=f"of phase ablate, any of: {' '.join(FACTORS)}")
    where = flags.add_argument_group("where it runs and writes")
    where.add_argument("--name", help="folder of the study in RESULTS_DIR (default: PRESET-DATASET)")
    where.add_argument("--results-dir", type=Path, default=Path("results"), help="(default: %(default)s)")
    where.add_argument(
        "--data-dir", type=Path, help="folder that holds mnist/ (default: CAE_STUDY_DATA, or downloaded)"
    )
    where.add_argument("--address", help="Ray cluster to join, or 'auto' (default: RAY_ADDRESS, or start Ray here)")
    where.add_argument("--concurrency", type=_positive_int, help="trials at once (default: one a GPU, else one a core)")
    where.add_argument(
        "--gpus-per-trial", type=_share, help="whole or fraction (default: 1 where there is a GPU, else 0)"
    )
    where.add_argument("--time-budget", type=_positive_float, metavar="HOURS", help="stop after so long; resume later")
    where.add_argument("--dry-run", action="store_true", help="print the plan and an estimate; run and write nothing")
    return flags


def _tuple(values: Sequence[str] | Sequence[int] | None) -> tuple[str | int, ...] | None:
    return None if values is None else tuple(values)


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: accepted is a whole number of at least 1")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: accepted is a number above 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not (0 <= value < 1 or (value.is_integer() and value <= 1024)):
        raise argparse.ArgumentTypeError(f"{text}: accepted is 0, a fraction below 1, or a whole number")
    return value


if __name__ == "__main__":
    sys.exit(main())
