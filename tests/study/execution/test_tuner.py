"""Why a trial failed: one line from Tune's text file of errors, whatever ended the worker."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError

from study.execution.tuner import (
    DEAD_STARTS,
    NODE_DEATHS,
    RETRIES,
    InOrder,
    RowWriter,
    _losses_are_of_actors,
    find_reason,
    node_died,
)
from study.signals import Drain
from trainables.errors import InputError
from trainables.evaluation.scores import Score
from trainables.models.architectures import BUILT_IN
from trainables.run_trial import Outcome, Report, Trial, TrialBatch

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
        ("trainables.trial.TrialError: OSError: the disk is unavailable (files.py:1)", False),
    ],
)
def test_the_death_of_a_node_is_told_from_that_of_a_worker(words: str, expected: bool) -> None:
    """By Ray's words, not by those of what a worker raised, and before it is called silent."""
    errors = f"Failure # 1 (occurred at 2026-01-01)\n{words}\n"
    assert node_died(errors) is expected
    assert (words[:20] in find_reason(errors, 61, 60)) is expected


class Recorder:
    """What the callback asks of a recorder: holds every trial but those that ended, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.ended: list[str] = []
        self.given_back: list[list[str]] = []
        self.progress = self

    def holds(self, trial_id: str) -> bool:
        """Whether the trial runs."""
        return trial_id not in self.ended

    def attempt_failed(self, trial_id: str, reason: str) -> None:
        """Keep the reason."""
        self.told.append((trial_id, reason))

    def commit(self, trial_id: str, outcome: Outcome) -> None:
        """Keep what ended."""
        assert outcome.status == "failed"
        self.ended.append(trial_id)

    def give_back(self, batch: TrialBatch) -> None:
        """Keep what is to be handed out anew."""
        self.given_back.append([trial.trial_id for trial in batch.trials])

    def tick(self) -> None:
        """Let time go by."""


NODE = "The actor died because its node has died."
WORKER = "The actor is dead because its worker process has died."
RAISES = "trainables.trial.TrialError: OSError: no space left (trainable.py:674)"


class Tune:
    """What Tune does to its trials when their attempts end, as its controller of this version does it."""

    def __init__(self, folder: Path, *trial_ids: str) -> None:
        self.recorder, self.folder = Recorder(), folder
        self.writer = RowWriter(self.recorder, 60.0, Drain())  # type: ignore[arg-type]
        self.step = 0
        self.hand_out(trial_ids)

    def hand_out(self, trial_ids: Sequence[str]) -> None:
        """Make a new trial of Tune's of some of ours."""
        batch = TrialBatch("confirm", BUILT_IN["model_1"], 2, None, tuple(Trial(each, 1) for each in trial_ids))
        self.trial = SimpleNamespace(
            trial_id=f"tune-{self.step}",
            error_file=str(self.folder / "error.txt"),
            run_metadata=SimpleNamespace(num_failures=0, metric_analysis={}, metric_n_steps={}),
            config={"batch": batch},
        )

    def begin(self) -> None:
        """Let a worker begin an attempt."""
        self.writer.on_trial_start(self.step, [], self.trial)

    def fail(self, words: str, begun: bool = True, twice: bool = False) -> None:
        """Let an attempt end; what had not begun is only set to start again where the event is told of its actor."""
        self.step += 1
        Path(self.trial.error_file).write_text(f"Failure # 1 (occurred at 2026-01-01)\n{words}\n")
        self.trial.run_metadata.num_failures += 1
        recovers = (begun or twice) and self.trial.run_metadata.num_failures <= RETRIES
        if recovers:
            self.writer.on_trial_recover(self.step, [], self.trial)
        if not recovers or twice:
            self.writer.on_trial_error(self.step, [], self.trial)
        if self.recorder.given_back:
            self.hand_out(self.recorder.given_back.pop(0))


def test_what_waits_to_be_written_does_not_lie_in_rays_store(tmp_path: Path) -> None:
    """Ray's core ends the process that lets go of something there after its raylet has ended."""
    tune, received = Tune(tmp_path, "a"), list[Report]()
    vars(tune.recorder)["receive"] = received.append
    score = Score("test", "code", "mean", 0.5, "", "none", per_image=np.full(4, 0.5, np.float16))
    buffers: list[pickle.PickleBuffer] = []
    sent = pickle.dumps(Report("a", {}, None, Outcome("complete", scores=[score])), 5, buffer_callback=buffers.append)
    shared = bytearray(b"".join(bytes(buffer) for buffer in buffers))
    tune.writer.on_trial_result(1, [], tune.trial, {"report": pickle.loads(sent, buffers=[shared])})
    shared[:] = bytes(len(shared))
    assert received[0].outcome is not None
    assert received[0].outcome.scores[0].per_image == pytest.approx([0.5] * 4)


def test_a_trial_has_two_attempts_more_and_its_node_may_die_between_them(tmp_path: Path) -> None:
    """Whichever of its attempts it is that a node ends, or a worker that has not begun."""
    tune = Tune(tmp_path, "a")
    for _ in range(RETRIES):
        tune.begin()
        tune.fail(WORKER)
        tune.begin()
        tune.fail(NODE)
    tune.fail(WORKER, begun=False, twice=True)
    tune.fail(RAISES, begun=False)
    assert tune.recorder.ended == []
    tune.begin()
    tune.fail(WORKER)
    assert tune.recorder.ended == ["a"]
    assert [reason for _, reason in tune.recorder.told][-3:] == [NODE, WORKER, RAISES.partition(": ")[2]]


def test_node_deaths_count_once_there_were_many(tmp_path: Path) -> None:
    """A trial whose node dies again and again ends at last."""
    tune = Tune(tmp_path, "a")
    for _ in range(NODE_DEATHS + RETRIES):
        tune.begin()
        tune.fail(NODE)
    assert tune.recorder.ended == []
    tune.begin()
    tune.fail(NODE)
    assert tune.recorder.ended == ["a"]


def test_of_several_seeds_the_one_that_fails_fails_alone(tmp_path: Path) -> None:
    """All have their attempts together, without what has ended, and then each by itself."""
    tune = Tune(tmp_path, "a", "b", "c")
    tune.begin()
    tune.recorder.ended.append("a")
    for _ in range(RETRIES):
        tune.fail(WORKER)
        assert [trial.trial_id for trial in tune.trial.config["batch"].trials] == ["b", "c"]
        tune.begin()
    tune.fail(WORKER)
    assert [trial.trial_id for trial in tune.trial.config["batch"].trials] == ["b"]
    assert tune.recorder.given_back.pop() == ["c"]
    for _ in range(RETRIES + 1):
        assert tune.recorder.ended == ["a"]
        tune.begin()
        tune.fail(WORKER)
    assert tune.recorder.ended == ["a", "b"]


def test_what_has_ended_is_not_handed_out_anew(tmp_path: Path) -> None:
    """Where a worker dies after its last report: it repeats what is ignored, or nothing is given back."""
    tune = Tune(tmp_path, "a")
    tune.begin()
    tune.recorder.ended.append("a")
    tune.fail(WORKER)
    assert len(tune.trial.config["batch"].trials) == 1
    tune.fail(WORKER, begun=False)
    assert tune.recorder.given_back == []
    assert tune.recorder.told == []


def test_a_worker_that_never_began_is_no_failure_and_many_in_a_row_end_the_launch(tmp_path: Path) -> None:
    """One that begins in between shows that workers can."""
    tune = Tune(tmp_path, "a")
    for _ in range(2):
        for _ in range(DEAD_STARTS - 1):
            tune.fail(WORKER, begun=False, twice=True)
        assert len(tune.recorder.told) == DEAD_STARTS - 1
        tune.recorder.told.clear()
        tune.writer.on_step_end(0, [])
        tune.begin()
        tune.writer._heard.clear()
    for _ in range(DEAD_STARTS):
        tune.fail(RAISES, begun=False)
    with pytest.raises(InputError, match=f"{DEAD_STARTS} workers of Ray in a row ended while they started.*no space"):
        tune.writer.on_step_end(0, [])
    assert tune.recorder.ended == []


@pytest.mark.parametrize("asked", [False, True])
def test_once_trials_are_to_end_none_that_waits_for_a_worker_begins(asked: bool) -> None:
    """Those that run go on."""
    drain, stopped = Drain(), list[str]()
    drain.asked = asked
    trials = [SimpleNamespace(status=status) for status in ("RUNNING", "PENDING", "PENDING")]
    controller = SimpleNamespace(get_live_trials=lambda: trials, stop_trial=lambda trial: stopped.append(trial.status))
    InOrder(drain).choose_trial_to_run(controller)
    assert stopped == ["PENDING", "PENDING"] * asked


def test_what_ray_ends_for_want_of_memory_is_an_error_of_its_actor_to_tune() -> None:
    """Tune ends as a whole at an error that is neither an actor's nor a task's."""
    heard: list[Exception] = []
    actor: Any = SimpleNamespace(actor_id=1, _on_error=lambda _, error: heard.append(error))
    manager: Any = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    task: Any = SimpleNamespace(_tracked_actor=actor, _on_error=None)
    with suppress(RuntimeError), _losses_are_of_actors():
        RayActorManager._actor_task_failed(
            manager, tracked_actor_task=task, exception=OutOfMemoryError("low on memory")
        )
    assert [(type(error), str(error)) for error in heard] == [(RayActorError, "low on memory")]
    with pytest.raises(RuntimeError, match="unexpected"):
        RayActorManager._actor_task_failed(manager, tracked_actor_task=task, exception=OutOfMemoryError("the same"))
