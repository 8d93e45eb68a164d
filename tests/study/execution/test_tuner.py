"""Why a trial failed: one line from Tune's text file of errors, whatever ended the worker."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from study.execution.tuner import DEAD_STARTS, NODE_DEATHS, RowWriter, find_reason, node_died
from study.signals import Drain
from trainables.errors import InputError
from trainables.run_trial import Trial

RAISED = """Failure # 1 (occurred at 2026-01-01_00-00-00)
\x1b[36mray::Trial.train()\x1b[39m (pid=1, ip=127.0.0.1)
  File "trainable.py", line 326, in train
trainables.trial.TrialError: RuntimeError: CUDA error: an illegal memory access (training.py:100)
"""
DIED = """Failure # 2 (occurred at 2026-01-01_00-00-01)
The actor died unexpectedly before finishing this task.
\tclass_name: Trial
\tpid: 2
The actor is dead because its worker process has died. Worker exit detail: End of file. Some common causes include: (1)
"""


def test_the_last_attempt_gives_the_reason() -> None:
    """What the worker raised, or what Ray says of its death."""
    assert find_reason(RAISED, 0, 60) == "RuntimeError: CUDA error: an illegal memory access (training.py:100)"
    died = "The actor is dead because its worker process has died. Worker exit detail: End of file."
    assert find_reason(RAISED + DIED, 0, 60) == died
    assert find_reason(DIED + RAISED, 90, 60) == find_reason(RAISED, 0, 60)


def test_a_worker_that_was_silent_for_too_long_is_said_to_have_been() -> None:
    """It ended itself, which Ray cannot know."""
    assert find_reason(DIED, 61, 60) == "no report for 61 s; an epoch may take 60 s"


def test_an_error_without_words_still_has_a_reason() -> None:
    """Never an exception in place of a row."""
    assert find_reason("Failure # 1 (occurred at 1)\n\n", 0, 60)
    assert find_reason("", 0, 60)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("The actor 5cde is unavailable: RpcError: RPC error: Socket closed", True),
        ("The actor died because its node has died. Node Id: 1", True),
        ("The actor is dead because its worker process has died.", False),
        ("RuntimeError: CUDA error (training.py:100)", False),
    ],
)
def test_the_death_of_a_node_is_told_from_that_of_a_worker(words: str, expected: bool) -> None:
    """Only the second is a failure of the trial."""
    assert node_died(words) is expected


class Recorder:
    """What the callback asks of a recorder: holds every trial and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.progress = self

    def holds(self, trial_id: str) -> bool:
        """Whether the trial runs."""
        return True

    def attempt_failed(self, trial_id: str, reason: str) -> None:
        """Keep the reason."""
        self.told.append((trial_id, reason))

    def tick(self) -> None:
        """Let time go by."""


def make_trial(folder: Path) -> SimpleNamespace:
    """Return a trial of Tune's that holds none of ours, with its errors in ``folder``."""
    return SimpleNamespace(
        trial_id="tune-1",
        error_file=str(folder / "error.txt"),
        run_metadata=SimpleNamespace(num_failures=0),
        config={"batch": SimpleNamespace(trials=())},
    )


@pytest.mark.parametrize(
    ("words", "failures"), [("The node has died: the node was terminated unexpectedly.", 0), ("RuntimeError: bad", 1)]
)
def test_the_death_of_a_node_does_not_count_against_a_trial_and_its_own_failure_does(
    words: str, failures: int, tmp_path: Path
) -> None:
    """Tune has counted one failure when it says that an attempt ended; every seed of the trial is told."""
    (tmp_path / "error.txt").write_text(f"Failure # 1 (occurred at 2026-01-01)\n{words}\n")
    recorder = Recorder()
    writer = RowWriter(recorder, 60.0, Drain())  # type: ignore[arg-type]
    trial = SimpleNamespace(
        trial_id="tune-1",
        error_file=str(tmp_path / "error.txt"),
        run_metadata=SimpleNamespace(num_failures=1),
        config={"batch": SimpleNamespace(trials=(Trial("a", 1), Trial("b", 2)))},
    )
    writer.on_trial_start(0, [], trial)
    writer.on_trial_recover(0, [], trial)
    assert trial.run_metadata.num_failures == failures
    assert [trial_id for trial_id, _ in recorder.told] == ["a", "b"]


def test_node_deaths_count_once_there_were_many(tmp_path: Path) -> None:
    """A trial whose node dies again and again ends at last."""
    (tmp_path / "error.txt").write_text("Failure # 1 (occurred at 2026-01-01)\nThe node has died.\n")
    writer = RowWriter(Recorder(), 60.0, Drain())  # type: ignore[arg-type]
    trial = make_trial(tmp_path)
    writer.on_trial_start(0, [], trial)
    for _ in range(NODE_DEATHS + 2):
        trial.run_metadata.num_failures += 1
        writer.on_trial_recover(0, [], trial)
    assert trial.run_metadata.num_failures == 2


def test_a_worker_that_never_began_is_no_failure_and_many_in_a_row_end_the_launch(tmp_path: Path) -> None:
    """One that begins in between shows that workers can."""
    (tmp_path / "error.txt").write_text("Failure # 1 (occurred at 2026-01-01)\nThe actor died.\nKilled.\n")
    writer = RowWriter(Recorder(), 60.0, Drain())  # type: ignore[arg-type]
    trial = make_trial(tmp_path)
    for _ in range(2):
        for _ in range(DEAD_STARTS - 1):
            trial.run_metadata.num_failures += 1
            writer.on_trial_recover(0, [], trial)
        writer.on_step_end(0, [])
        assert trial.run_metadata.num_failures == 0
        writer.on_trial_start(0, [], trial)
        writer._heard.clear()
    for _ in range(DEAD_STARTS):
        writer.on_trial_recover(0, [], trial)
    with pytest.raises(InputError, match=f"{DEAD_STARTS} workers of Ray in a row ended while they started.*Killed"):
        writer.on_step_end(0, [])
