"""Several nodes of Ray on this machine: where trials go, shares of GPUs, and nodes that come in the middle."""

from __future__ import annotations

import collections
import itertools
import logging
import multiprocessing
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import ray
from ray import tune
from ray._raylet import Config  # type: ignore[attr-defined] # compiled
from ray.cluster_utils import Cluster

from study.execution.capacity import count_slots_now
from study.execution.nodes import list_alive_nodes
from study.execution.recorder import TrialRecorder
from study.execution.tuner import PlanSearcher
from study.signals import Drain
from tests.faults.launches import assert_ended_in_words
from trainables.models.architectures import CONTROLS
from trainables.run_trial import Trial, TrialBatch

ROOT = Path(__file__).resolve().parents[3]
WAIT_SECONDS = 120.0
STUDY = ("--preset", "quick", "--architectures", "unpool_only", "model_4", "--trials", "3", "--seeds", "2")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def open_cluster() -> Iterator[None]:
    """A cluster asks for no token; what this process starts later may ask for one, which Ray's core reads but once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_AUTH_MODE", "disabled")
        patched.setenv("RAY_DEDUP_LOGS", "0")
        yield
    Config.initialize("")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head on which no trial runs, joined by this process."""
    with join_cluster() as nodes:
        yield nodes


@contextmanager
def join_cluster() -> Iterator[Cluster]:
    """Start a head on which no trial runs, and join it."""
    nodes = Cluster()
    try:
        nodes.add_node(num_cpus=0, object_store_memory=100_000_000, include_dashboard=False)
        nodes.connect()
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def worker(nodes: Cluster, **resources: Any) -> str:
    """Add a node and return its id."""
    return str(nodes.add_node(object_store_memory=100_000_000, **resources).node_id)


def launch(nodes: Cluster, results: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a study on the cluster, from a process of its own."""
    return subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "study" / "launch.py"), *STUDY, *arguments),
            *("--address", nodes.address, "--results-dir", str(results), "--no-report"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=results.parent,
    )


def nodes_of_trials() -> set[str]:
    """Return the nodes on which a worker runs trials now."""
    actors = ray._private.state.actors().values()
    return {actor["Address"]["NodeID"] for actor in actors if actor["State"] == "ALIVE"}


@pytest.mark.fault("cluster: a dry run, and a node that comes in the middle")
def test_a_study_uses_every_node_also_one_that_comes_in_the_middle_and_never_the_head(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The real quick study on two nodes, then three; each has one core. A dry run asks the cluster."""
    first = [worker(cluster, num_cpus=1), worker(cluster, num_cpus=1)]
    results = tmp_path / "results"
    planned, _ = launch(cluster, results, "--dry-run").communicate()
    assert "at once:   2 trials, one core each" in planned
    assert f"The plan is for the cluster at {cluster.address}, at the speed of this machine." in planned
    assert not results.exists()
    process = launch(cluster, results, "--epochs", "4")
    trials = results / "quick-digits" / "trials"
    deadline = time.monotonic() + 240
    while len(list(trials.glob("*.parquet")) if trials.exists() else ()) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    late = worker(cluster, num_cpus=1)
    used: set[str] = set()
    while process.poll() is None:
        used |= nodes_of_trials()
        time.sleep(0.2)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    assert "cluster of 3 nodes" in out
    assert "at once:   2 trials, one core each" in out
    rows = pd.read_parquet(trials)
    assert rows.trial_id.is_unique
    assert set(rows.status) <= {"complete", "pruned"}
    assert used == {*first, late}


class Book:
    """Keeps when trials began and ended, where, and which GPU they were given."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, tuple[str, ...], float]] = []

    def write(self, what: str, node: str, gpus: tuple[str, ...]) -> None:
        """Append a line."""
        self.lines.append((what, node, gpus, time.monotonic()))

    def read(self) -> list[tuple[str, str, tuple[str, ...], float]]:
        """Return all lines."""
        return self.lines

    def count_most(self) -> int:
        """Return how many trials have gone on at once at most."""
        return max(itertools.accumulate(1 if what == "begins" else -1 for what, *_ in self.lines), default=0)


class FewTrials(TrialRecorder):
    """Plans so many trials of nothing."""

    def __init__(self, planned: int) -> None:
        self.planned = planned
        self.plan: Any = SimpleNamespace(exhausted=False)

    def take(self, at_once: int = 1) -> TrialBatch | None:
        """Hand out the next."""
        if not self.planned:
            self.plan.exhausted = True
            return None
        self.planned -= 1
        return TrialBatch("confirm", CONTROLS["pca"], 1, None, (Trial(str(self.planned), None),))


def occupied(share: float, planned: int, at_once: Any, most: int, folder: Path) -> list[Any]:
    """Run trials that hold ``share`` of a GPU until ``most`` have gone on at once; return the book's lines.

    Then each stays a second more, in which one too many would begin. However slow the machine is, they wait.
    """
    # Detached, since Ray has dropped one whose only handle was here before it ran; it ends with the cluster.
    book: Any = ray.remote(num_cpus=0)(Book).options(lifetime="detached", name=uuid.uuid4().hex).remote()
    assert ray.get(book.read.remote()) == []

    def hold(config: dict[str, Any]) -> None:
        context = ray.get_runtime_context()
        where = (context.get_node_id(), tuple(context.get_accelerator_ids()["GPU"]))
        ray.get(book.write.remote("begins", *where))
        deadline = time.monotonic() + WAIT_SECONDS
        while ray.get(book.count_most.remote()) < most and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        ray.get(book.write.remote("ends", *where))
        tune.report({"done": 1})

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000"
    logging.getLogger("ray.tune").setLevel(logging.WARNING)  # A study in this process may have silenced it.
    ended = tune.Tuner(
        tune.with_resources(hold, {"cpu": 1, "gpu": share}),
        tune_config=tune.TuneConfig(search_alg=PlanSearcher(FewTrials(planned), 1, at_once, Drain()), num_samples=-1),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    ).fit()
    assert [str(error) for error in ended.errors] == []
    assert len(ended) == planned
    return list(ray.get(book.read.remote()))


def share_gpus(folder: Path) -> tuple[set[str], list[Any]]:
    """Run six trials of half a GPU on two nodes with a GPU and one without; return those two and the book's lines.

    Their workers are sent what is of this file, and import nothing of it.
    """
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with join_cluster() as cluster:
        with_gpu = {worker(cluster, num_cpus=4, num_gpus=1), worker(cluster, num_cpus=4, num_gpus=1)}
        worker(cluster, num_cpus=4)
        cluster.wait_for_nodes()
        follow = lambda: count_slots_now([node["Resources"] for node in list_alive_nodes()], 0.5)  # noqa: E731
        assert follow() == 4
        return with_gpu, occupied(0.5, 6, follow, 4, folder)


def test_shares_of_gpus_are_respected_on_mixed_nodes(tmp_path: Path) -> None:
    """Halves make four at once, two on each GPU, none elsewhere.

    In a process of its own: in one that has had another Ray, Ray's head may fail to reach it and then ends its actors.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        with_gpu, lines = process.submit(share_gpus, tmp_path).result()
    held: collections.Counter[tuple[str, tuple[str, ...]]] = collections.Counter()
    most = 0
    for what, node, gpus, _ in sorted(lines, key=lambda line: line[3]):
        held[node, gpus] += 1 if what == "begins" else -1
        assert len(gpus) == 1
        assert held[node, gpus] <= 2
        most = max(most, held.total())
    assert {node for _, node, _, _ in lines} == with_gpu
    assert sum(what == "ends" for what, *_ in lines) == 6
    assert most == 4


def refused(nodes: Cluster, results: Path, *arguments: str) -> str:
    """Launch, which must refuse with one screen, and return it."""
    process = launch(nodes, results, *arguments)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 2, out
    assert_ended_in_words(out)
    assert len(out.splitlines()) <= 12
    assert not results.exists()
    return out


@pytest.mark.fault("cluster: GPUs that only Ray sees")
def test_a_cluster_without_what_a_trial_needs_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """The head alone holds no trial, and no GPU is there, or one that only Ray sees: every trial on it would fail."""
    assert "without a node for a trial" in refused(cluster, tmp_path / "results")
    worker(cluster, num_cpus=1)
    assert "there is no GPU" in refused(cluster, tmp_path / "results", "--gpus-per-trial", "1")
    worker(cluster, num_cpus=2, num_gpus=1)
    cluster.wait_for_nodes()
    with ThreadPoolExecutor() as threads:
        one = threads.submit(refused, cluster, tmp_path / "one")
        two = threads.submit(refused, cluster, tmp_path / "two", "--gpus-per-trial", "2")
    assert "PyTorch finds 0" in one.result()
    assert "no node has more than 1" in two.result()
