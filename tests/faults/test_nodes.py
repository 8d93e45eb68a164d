"""Nodes that die: their trials run again on others, and a node that is added later takes its share."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from study.plan.trials import plan_trials
from tests.faults.invariants import Damage, damage
from tests.faults.launches import NAME, Launch, children, small_study, table
from tests.faults.tally import Tally

pytestmark = [pytest.mark.slow, pytest.mark.fault, pytest.mark.timeout(1800)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster of three nodes with a core each, on this machine."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield made
    finally:
        made.shutdown()


def runs_a_trial(node: Any) -> bool:
    """Whether a worker of the node is training now."""
    raylet = node.all_processes["raylet"][0].process.pid
    return any("Train" in command for command in children(raylet).values())


def wait_until_it_runs_a_trial(node: Any, launch: Launch) -> None:
    """Return when the node trains; the study must still be running."""
    deadline = time.monotonic() + 300
    while not runs_a_trial(node):
        assert launch.process.poll() is None, launch.said
        assert time.monotonic() < deadline, launch.said
        time.sleep(0.05)


def test_nodes_that_die_and_nodes_that_are_added_change_no_row(
    cluster: Cluster, tmp_path: Path, tally: Tally, every_fault: bool
) -> None:
    """A node is removed while it trains, and another takes its place."""
    if not every_fault:
        pytest.skip("make test-faults does it")
    flags, config = small_study(seeds=6, epochs=100)
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    launch = Launch(tmp_path / "results", *flags, "--concurrency", "3", "--address", cluster.address)
    try:
        removed = 0
        for rows in (1, 4, 7):
            launch.wait_for_rows(rows)
            wait_until_it_runs_a_trial(nodes[0], launch)
            cluster.remove_node(nodes.pop(0), allow_graceful=False)
            removed += 1
            nodes.append(cluster.add_node(num_cpus=1))
        wait_until_it_runs_a_trial(nodes[-1], launch)
        said = launch.finish()
    finally:
        launch.kill()
    found = damage(tmp_path / "results" / NAME, config)
    tally.add("node: killed with a trial on it, another added", found, removed)
    assert found == Damage()
    trials = table(tmp_path / "results", "trials")
    assert set(trials.status) <= {"complete", "pruned"}
    assert "starts again: " in said


def test_after_sigusr1_no_trial_starts_that_waits_for_a_node(
    cluster: Cluster, tmp_path: Path, tally: Tally, every_fault: bool
) -> None:
    """Six are handed out to a node that holds one; of those that wait none begins, and all are said to be pending."""
    if not every_fault:
        pytest.skip("make test-faults does it; test_tuner.py has what waits, test_interruptions.py a whole launch")
    flags, config = small_study(seeds=6, epochs=100)
    launch = Launch(tmp_path / "results", *flags, "--concurrency", "6", "--address", cluster.address)
    try:
        launch.wait_for_rows(1)
        launch.process.send_signal(signal.SIGUSR1)
        rows = launch.rows()
        said = launch.finish()
    finally:
        launch.kill()
    done = len(table(tmp_path / "results", "trials"))
    assert rows <= done <= rows + 2
    planned = len(list(plan_trials(config)))
    assert f"{planned - done} of {planned} trials are still pending; the same command goes on with them" in said
    found = damage(tmp_path / "results" / NAME, config, complete=False)
    tally.add("launcher: SIGUSR1 with trials that wait for a node", found)
    assert found == Damage()
