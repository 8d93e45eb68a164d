"""Run a study: ``python study/launch.py --preset quick``.

Trials are scheduled by Ray Tune, searched by Optuna, and written as rows to RESULTS_DIR/NAME; the same command goes on
where a stopped one left off. See README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if importlib.util.find_spec("study") is None:
    print(
        f"error: cae-study is not installed for {sys.executable}\n"
        "  accepted: the Python of an environment that it is installed in\n"
        "  to do:    `make study` makes one: .venv/bin/python study/launch.py",
        file=sys.stderr,
    )
    sys.exit(2)

from study.config.ablations import FACTORS
from study.config.options import ACCEPTED, RunOptions
from study.config.presets import PRESETS
from study.config.study_config import LOOKS, StudyConfig
from study.config.study_file import read_config, read_models
from study.signals import STATUS, NotStarted, interruptible, leave, reader_may_leave, say_how_to_go_on
from study.storage.schema import PHASES
from trainables.data.datasets import DATASETS
from trainables.errors import InputError
from trainables.trial_config import RECIPES

HERE = "the study of the flags"
"""What `--status` and `--missing` are about where they name no folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 no result or not the same one, 2 bad input, 130 stopped by the user."""
    arguments = make_parser().parse_args(argv)
    try:
        with interruptible():
            return _run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except NotStarted:
        print("not started; --yes starts without asking", file=sys.stderr)
        return STATUS
    except KeyboardInterrupt:
        say_how_to_go_on()
        return STATUS


def make_config(arguments: argparse.Namespace) -> StudyConfig:
    """Return the configuration that parsed arguments ask for.

    Raises:
        InputError: a value is not accepted.
    """
    fields: dict[str, Any] = {
        field.name: getattr(arguments, field.name, None) for field in dataclasses.fields(StudyConfig)
    }
    if arguments.models is not None:
        own = read_models(arguments.models)
        fields |= {"models": own.models or None, "own_objectives": own.objectives or None}
    config = read_config(**fields)
    if arguments.factors is not None and "ablate" not in config.phases:
        raise InputError(
            f"--factors {' '.join(arguments.factors)} with phase {' '.join(config.phases)}",
            "--factors with phase ablate, which changes them",
            "add ablate to --phase, or leave --factors out",
        )
    return config


def _check_named_folder(folder: str, arguments: argparse.Namespace) -> None:
    """Refuse flags of a study beside the folder of one, which says itself what is studied.

    Raises:
        InputError: with the first of them.
    """
    default = make_parser().get_default
    for name in [field.name for field in dataclasses.fields(StudyConfig) if field.name != "name"]:
        if (value := getattr(arguments, name, None)) != default(name):
            given = " ".join(map(str, value)) if isinstance(value, list) else value
            raise InputError(
                f"{name} {given} beside {folder}, whose study is that of its last launch",
                "flags of what is studied, or the folder of a study",
                "leave one of them out",
            )


def _run(arguments: argparse.Namespace) -> int:
    if arguments.reproduce:
        from study.reproduce import reproduce

        trial_id, results = arguments.reproduce
        models, objectives = read_models(arguments.models) if arguments.models else ((), ())
        return reproduce(trial_id, results, arguments.dataset, arguments.data_dir, objectives, models)
    if arguments.json and arguments.status is None:
        raise InputError("--json without --status", "--status --json", "add --status, or leave --json out")
    asked = arguments.missing if arguments.status is None else arguments.status
    if asked == "":  # As of a variable of the shell that is not set: a question must not start a study.
        raise InputError("a folder without a name", "the folder of a study", "name it, or give the study's flags")
    if asked is not None:
        from study.display import status
        from study.storage.location import parse_location

        if asked == HERE:
            config = make_config(arguments)
            folder = parse_location(arguments.results_dir) / config.name
        else:
            _check_named_folder(asked, arguments)
            config, folder = status.read_config_of(asked)
        with reader_may_leave():
            if arguments.missing is not None:
                status.print_missing(config, folder, arguments.retry_failed)
            elif arguments.json:
                status.print_status_as_json(config, folder, arguments.retry_failed)
            else:
                typed = sys.argv if asked != HERE else ()
                status.print_status(config, folder, arguments.retry_failed, typed)
        return 0
    config = make_config(arguments)
    if not arguments.dry_run and arguments.verbosity != "quiet":
        print(f"study {config.name}: loading libraries and data ...", flush=True)  # seconds in which nothing is said
    # Ray reads it when it is imported: a SIGTERM while it starts would wait for work that there is not yet.
    os.environ.setdefault("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "0")
    # Ray, PyTorch and SciPy take seconds to import, which a mistake in the flags need not wait for.
    from study import run as execution

    names = [field.name for field in dataclasses.fields(RunOptions) if field.name not in ("ask", "command")]
    ask = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty() and not arguments.yes
    options = RunOptions(**{name: getattr(arguments, name) for name in names}, ask=ask, command=(*sys.argv,))
    if arguments.dry_run:
        with reader_may_leave():
            execution.describe(config, options)
        return 0
    return execution.run(config, options).status


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    flags = argparse.ArgumentParser(
        prog="launch.py",
        usage="%(prog)s [--preset PRESET] [flag ...]",
        description="Search and compare convolutional auto-encoders; the same command resumes.",
    )
    what = flags.add_argument_group("what is studied (default: as the preset says)")
    what.add_argument(
        "--preset",
        default="paper",
        help=f"one of: {', '.join(PRESETS)}, or a study file, *.toml (default: %(default)s)",
    )
    what.add_argument("--phase", dest="phases", nargs="+", metavar="PHASE", help=f"any of: {' '.join(PHASES)}")
    what.add_argument("--dataset", help=f"one of: {', '.join(DATASETS)}, or a file of yours: *.npz, *.parquet")
    what.add_argument(
        "--architectures", nargs="+", metavar="NAME", help="models and controls, as docs/studies.md lists"
    )
    what.add_argument(
        "--models",
        type=_parse_path,
        metavar="FILE",
        help="Python file with models or objectives of your own",
    )
    what.add_argument("--objectives", nargs="+", metavar="NAME", help="what is minimised, as docs/models.md lists")
    what.add_argument("--code-sizes", nargs="+", type=_parse_whole, metavar="UNITS", help="sizes of the code layer")
    what.add_argument("--arms", nargs="+", metavar="ARM", help="ways to train: tuned (by a search), published")
    what.add_argument("--recipe", help=f"training of the tuned arm, one of: {', '.join(RECIPES)}")
    what.add_argument("--trials", type=_parse_whole, help="configurations to search per model and code size")
    what.add_argument("--seeds", type=_parse_whole, help="trainings of each confirmed configuration")
    what.add_argument(
        "--until-decided",
        action="store_true",
        default=None,
        help=f"more seeds ({', '.join(map(str, LOOKS[1:]))}) where models are undecided",
    )
    what.add_argument("--epochs", type=_parse_whole, help="full budget of a trial, in epochs")
    what.add_argument(
        "--published-epochs",
        type=_parse_whole,
        metavar="N",
        help="epochs of the published arm (default: the paper's 33)",
    )
    what.add_argument("--seed", type=_parse_whole, help="base of all seeds (default: 0)")
    what.add_argument("--factors", nargs="+", metavar="NAME", help=f"of phase ablate, any of: {' '.join(FACTORS)}")
    where = flags.add_argument_group("where it runs and writes")
    where.add_argument("--name", help="folder in RESULTS_DIR (default: PRESET-DATASET)")
    where.add_argument(
        "--results-dir",
        type=_parse_results,
        default="results",
        metavar="FOLDER",
        help="or s3:// or gs://BUCKET/FOLDER (default: results)",
    )
    where.add_argument(
        "--data-dir",
        type=_parse_path,
        metavar="FOLDER",
        help="folder of mnist/ (default: CAE_STUDY_DATA or download)",
    )
    where.add_argument("--address", help="of a Ray that runs, or 'auto' (default: RAY_ADDRESS)")
    where.add_argument(
        "--concurrency",
        type=_parse_number("concurrency", _parse_whole),
        metavar="TRIALS",
        help="trials at once (default: what GPUs or cores hold)",
    )
    where.add_argument(
        "--gpus-per-trial",
        type=_parse_number("gpus_per_trial"),
        metavar="GPUS",
        help="whole or fraction (default: 1 where there is a GPU, else 0)",
    )
    where.add_argument(
        "--time-budget", type=_parse_number("time_budget"), metavar="HOURS", help="stop after this long; resume later"
    )
    where.add_argument(
        "--epoch-limit",
        type=_parse_number("epoch_limit"),
        metavar="MINUTES",
        help="restart a trial whose epoch takes longer (default: 30 plus 20 times the estimate)",
    )
    where.add_argument("--yes", action="store_true", help="start a long study on a terminal without being asked")
    where.add_argument("--retry-failed", action="store_true", help="retry trials that failed in earlier launches")
    where.add_argument(
        "--optuna-storage",
        metavar="URL",
        help="for optuna-dashboard: sqlite:///study.db or study.log",
    )
    where.add_argument(
        "--no-report", dest="report", action="store_false", help="end with the rows; analysis/report.py makes tables"
    )
    shown = flags.add_argument_group("output")
    lines = shown.add_mutually_exclusive_group()
    shown.set_defaults(verbosity="normal")
    for word, says in (
        ("quiet", "only warnings, errors and the end"),
        ("verbose", "lines of every trial and epoch, and what Ray says"),
    ):
        lines.add_argument(f"--{word}", dest="verbosity", action="store_const", const=word, help=says)
    asking = flags.add_argument_group("instead of running, writing nothing")
    asking.add_argument("--json", action="store_true", help="with --status: one JSON object")
    instead = asking.add_mutually_exclusive_group()
    instead.add_argument("--dry-run", action="store_true", help="plan, first configurations, hours and disk")
    instead.add_argument(
        "--status",
        nargs="?",
        const=HERE,
        metavar="DIR",
        help="what is done and missing of the study in DIR, or of the flags, and who runs it",
    )
    instead.add_argument("--missing", nargs="?", const=HERE, metavar="DIR", help="IDs of missing trials, one per line")
    instead.add_argument(
        "--reproduce",
        nargs=2,
        metavar=("ID", "DIR"),
        help="train a trial of a study's folder again, and compare",
    )
    return flags


def _parse_whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: accepted is a whole number")
    return int(text)


def _parse_number(option: str, kind: Callable[[str], float] = float) -> Callable[[str], float]:
    accepted, accepts = ACCEPTED[option]

    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            if accepts(value := kind(text)):
                return value
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: accepted is {accepted}")

    return parse


def _parse_path(text: str) -> Path:
    try:
        path = Path(text).resolve()
        path.exists()  # refuses a name that no file system takes
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no path of this machine: {error}"[:200]) from None
    return path


def _parse_results(text: str) -> str:
    return text if "://" in text else str(_parse_path(text))


if __name__ == "__main__":
    leave(main())
