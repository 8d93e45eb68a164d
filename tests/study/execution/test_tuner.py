"""Why a trial failed: one line from Tune's text file of errors, whatever ended the worker."""

from __future__ import annotations

import pytest

from study.execution.tuner import find_reason, node_died

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
