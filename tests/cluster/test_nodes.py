"""Several nodes of Ray on this machine: where trials go that hold a share of a GPU."""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune
from ray.cluster_utils import Cluster

from study.capacity import slots_now
from study.nodes import alive_nodes
from study.tuning import PlanSearcher

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head on which no trial runs, joined by this process."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_DEDUP_LOGS", "0")
    nodes = Cluster()
    try:
        nodes.add_node(num_cpus=0, object_store_memory=100_000_000, include_dashboard=False)
        nodes.connect()
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def worker(nodes: Cluster, **resources: int) -> str:
    """Add a node and return its id."""
    return str(nodes.add_node(object_store_memory=100_000_000, **resources).node_id)


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


class Ledger:
    """Owes so many trials of nothing."""

    def __init__(self, owed: int) -> None:
        self.owed = owed
        self.plan = SimpleNamespace(exhausted=False)

    def take(self, seeds_at_once: int) -> tuple[list[Any], None] | None:
        """Hand out the next."""
        if not self.owed:
            self.plan.exhausted = True
            return None
        self.owed -= 1
        cell = SimpleNamespace(architecture="pca", code_size=1)
        return [SimpleNamespace(phase="confirm", cell=cell, trial_id=str(self.owed), seed=None, keep_codes=False)], None


def occupied(share: float, owed: int, at_once: Any, seconds: float, folder: Path) -> list[Any]:
    """Run trials that hold ``share`` of a GPU and only sleep; return the book's lines."""
    book = ray.remote(num_cpus=0)(Book).remote()

    def sleep(config: dict[str, Any]) -> None:
        context = ray.get_runtime_context()
        where = (context.get_node_id(), tuple(context.get_accelerator_ids()["GPU"]))
        ray.get(book.write.remote("begins", *where))
        time.sleep(seconds)
        ray.get(book.write.remote("ends", *where))
        tune.report({"done": 1})

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1000"
    tune.Tuner(
        tune.with_resources(sleep, {"cpu": 1, "gpu": share}),
        tune_config=tune.TuneConfig(search_alg=PlanSearcher(Ledger(owed), 1, at_once), num_samples=-1),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    ).fit()
    return list(ray.get(book.read.remote()))


def test_shares_of_gpus_are_respected_on_mixed_nodes(cluster: Cluster, tmp_path: Path) -> None:
    """Two nodes with a GPU, one without: halves make four at once, two on each GPU, none elsewhere."""
    with_gpu = {worker(cluster, num_cpus=4, num_gpus=1), worker(cluster, num_cpus=4, num_gpus=1)}
    worker(cluster, num_cpus=4)
    cluster.wait_for_nodes()
    follow = lambda: slots_now([node["Resources"] for node in alive_nodes()], 0.5)  # noqa: E731
    assert follow() == 4
    lines = occupied(0.5, 10, follow, 3.0, tmp_path)
    held: collections.Counter[tuple[str, tuple[str, ...]]] = collections.Counter()
    most = 0
    for what, node, gpus, _ in sorted(lines, key=lambda line: line[3]):
        held[node, gpus] += 1 if what == "begins" else -1
        assert len(gpus) == 1
        assert held[node, gpus] <= 2
        most = max(most, held.total())
    assert {node for _, node, _, _ in lines} == with_gpu
    assert sum(what == "ends" for what, *_ in lines) == 10
    assert most == 4
