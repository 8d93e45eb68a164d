"""Ray Tune's actors on a simulated clock, so that a driver can be measured with more slots than a machine has.

`installed` puts `SimulatedActors` in the place of Tune's own actor manager; everything else of Tune, its controller,
searcher, scheduler and callbacks, is the real thing. Trials train nothing: `reports` says what they report.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from ray.air.execution._internal import TrackedActor
from ray.tune.execution import tune_controller

from trainables.run_trial import Report, TrialBatch

START_SECONDS, RESET_SECONDS = 5.0, 0.02
"""Simulated time in which an actor starts and in which it turns to its next trial."""

Reports = Callable[[TrialBatch], Iterator[tuple[float, Report]]]
"""Gives the reports of a trial, each with the simulated seconds that it takes."""


class SimulatedActors:
    """Does what `RayActorManager` does for the controller, without processes; events come in order of time."""

    def __init__(self, slots: int, reports: Reports) -> None:
        self.now = 0.0
        self.results = 0
        self._slots, self._reports = slots, reports
        self._events: list[tuple[float, int, TrackedActor, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._going: dict[TrackedActor, Iterator[tuple[float, Report]]] = {}
        self._specs: dict[TrackedActor, TrialBatch] = {}
        self._waiting: list[TrackedActor] = []
        self._pending: set[TrackedActor] = set()
        self._live_actors_to_ray_actors_resources: dict[TrackedActor, tuple[Any, Any]] = {}

    def next(self, timeout: float | None = None) -> bool:
        """Let the next event happen."""
        while self._events:
            self.now, _, actor, event = heapq.heappop(self._events)
            if actor in self._live_actors_to_ray_actors_resources or actor in self._pending:
                event()
                return True
        return False

    def add_actor(
        self, cls: Any, resource_request: Any, kwargs: dict[str, Any], on_start: Any, on_stop: Any, on_error: Any
    ) -> TrackedActor:
        """Start an actor when a slot is free."""
        actor = TrackedActor(next(self._numbers), on_start=on_start, on_stop=on_stop, on_error=on_error)
        self._specs[actor] = kwargs["config"]["batch"]
        self._waiting.append(actor)
        self._start_waiting()
        return actor

    def remove_actor(self, tracked_actor: TrackedActor, kill: bool = False, stop_future: Any = None) -> bool:
        """End an actor; its slot is free at once."""
        live = self._live_actors_to_ray_actors_resources.pop(tracked_actor, None) is not None
        self._pending.discard(tracked_actor)
        if tracked_actor in self._waiting:
            self._waiting.remove(tracked_actor)
        self._going.pop(tracked_actor, None)
        self._specs.pop(tracked_actor, None)
        if live and tracked_actor._on_stop:
            tracked_actor._on_stop(tracked_actor)
        self._start_waiting()
        return live

    def schedule_actor_task(
        self,
        tracked_actor: TrackedActor,
        method_name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        on_result: Any = None,
        on_error: Any = None,
        _return_future: bool = False,
    ) -> None:
        """Do what the actor's method would, later on the simulated clock."""
        if method_name == "reset":
            self._specs[tracked_actor] = args[0]["batch"]
            self._going.pop(tracked_actor, None)
            self._later(RESET_SECONDS, tracked_actor, lambda: on_result(tracked_actor, True))
        elif method_name == "train":
            batch = self._specs[tracked_actor]
            seconds, report = next(self._going.setdefault(tracked_actor, self._reports(batch)))
            self.results += 1
            self._later(seconds, tracked_actor, lambda: on_result(tracked_actor, _result(report)))

    def clear_actor_task_futures(self, tracked_actor: TrackedActor) -> None:
        """Forget what the actor was asked; nothing is asked before the answer to the task before has come."""

    def is_actor_started(self, tracked_actor: TrackedActor) -> bool:
        """Whether it runs."""
        return tracked_actor in self._live_actors_to_ray_actors_resources

    def is_actor_failed(self, tracked_actor: TrackedActor) -> bool:
        """Never: only drivers are measured."""
        return False

    def get_live_actors_resources(self) -> dict[str, float]:
        """Return a core for each."""
        return {"CPU": float(self.num_live_actors)}

    def cleanup(self) -> None:
        """End all."""
        self._events.clear()
        self._live_actors_to_ray_actors_resources.clear()

    @property
    def num_live_actors(self) -> int:
        """Actors that run."""
        return len(self._live_actors_to_ray_actors_resources)

    @property
    def num_pending_actors(self) -> int:
        """Actors that wait for a slot or start."""
        return len(self._waiting) + len(self._pending)

    @property
    def num_total_actors(self) -> int:
        """Both."""
        return self.num_live_actors + self.num_pending_actors

    @property
    def num_actor_tasks(self) -> int:
        """Tasks under way."""
        return len(self._events)

    def _start_waiting(self) -> None:
        while self._waiting and self.num_live_actors + len(self._pending) < self._slots:
            actor = self._waiting.pop(0)
            self._pending.add(actor)
            self._later(START_SECONDS, actor, lambda actor=actor: self._started(actor))  # type: ignore[misc]

    def _started(self, actor: TrackedActor) -> None:
        self._pending.discard(actor)
        self._live_actors_to_ray_actors_resources[actor] = (None, None)
        assert actor._on_start is not None  # Tune sets it with the request
        actor._on_start(actor)

    def _later(self, seconds: float, actor: TrackedActor, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), actor, event))


def _result(report: Report) -> dict[str, Any]:
    """Return what `trainables.trial.BatchTrainable` and Tune make of a report of a trial with one seed."""
    result: dict[str, Any] = {"report": report, "training_iteration": report.epoch.epoch if report.epoch else 1}
    if report.epoch is not None:
        result["epoch"] = report.epoch.epoch
        result["validation_cross_entropy"] = report.epoch.validation_cross_entropy
    result["done"] = report.outcome is not None
    result["time_total_s"] = result["time_this_iter_s"] = 1.0
    return result


@contextlib.contextmanager
def installed(slots: int, reports: Reports) -> Iterator[SimulatedActors]:
    """Give Tune simulated actors while inside."""
    actors = SimulatedActors(slots, reports)
    with mock.patch.object(tune_controller, "RayActorManager", lambda resource_manager: actors):
        yield actors
