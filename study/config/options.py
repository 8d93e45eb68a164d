"""Where and how a study runs, which changes nothing of what is studied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from trainables.errors import InputError

Verbosity = Literal["quiet", "normal", "verbose"]
"""quiet: only what went wrong; verbose: every epoch as well, and what Ray has to say."""


def _is_share(gpus: float) -> bool:
    return 0 <= gpus < 1 or (gpus.is_integer() and 1 <= gpus <= 1024)


def _is_positive(number: Any) -> bool:
    return isinstance(number, Real) and 0 < float(number) <= 1_000_000


ACCEPTED: Mapping[str, tuple[str, Callable[[Any], bool]]] = MappingProxyType(
    {
        "concurrency": (
            "a whole number of at least 1 and at most 10,000",
            lambda count: isinstance(count, Integral) and 1 <= int(count) <= 10_000,
        ),
        "gpus_per_trial": (
            "0, a fraction below 1, or a whole number",
            lambda gpus: isinstance(gpus, Real) and _is_share(float(gpus)),
        ),
        "time_budget": ("a number above 0 and at most 1,000,000", _is_positive),
        "epoch_limit": ("a number above 0 and at most 1,000,000", _is_positive),
    }
)
"""What numbers are accepted, in words and as a test; None is each one's default."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where a study runs and writes; none of it changes what is studied.

    ``time_budget`` is in hours; ``epoch_limit`` in minutes, after which an epoch is taken for one that hangs.
    With ``retry_failed`` trials that failed in earlier launches are tried anew.
    ``optuna_storage`` is a database or journal file that shows the searches to optuna-dashboard. Without ``report`` a
    launch ends with its rows, for which analysis/report.py writes one at any time. With ``ask`` a local launch that
    takes long shows its plan and asks whether to start. ``command`` is what was typed for it, if anything was.

    Raises:
        InputError: a number is not accepted.
    """

    results_dir: str = "results"
    data_dir: Path | None = None
    address: str | None = None
    concurrency: int | None = None
    gpus_per_trial: float | None = None
    time_budget: float | None = None
    epoch_limit: float | None = None
    retry_failed: bool = False
    optuna_storage: str | None = None
    report: bool = True
    ask: bool = False
    command: tuple[str, ...] = ()
    verbosity: Verbosity = "normal"

    def __post_init__(self) -> None:
        for name, (accepted, accepts) in ACCEPTED.items():
            value = getattr(self, name)
            if value is not None and not accepts(value):
                raise InputError(f"{name} {value!r:.40}", f"{accepted}, or None", f"give another {name}")
        if self.verbosity not in get_args(Verbosity):
            raise InputError(f"verbosity {self.verbosity!r:.40}", ", ".join(get_args(Verbosity)), "choose one")
