"""How many trials nodes hold at once: those that are there, and those that a cluster's file lets it become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trainables.errors import InputError

_ROUNDING = 1e-9
"""Ray counts shares of a GPU in ten thousandths; three thirds are one."""


def count_trials_on_gpu(share: float) -> int:
    """Return the trials that a GPU holds at once, each with a ``share`` of at most 1, which never spans two GPUs."""
    return int(1 / share + _ROUNDING)


def count_slots(resources: Mapping[str, float], gpus_per_trial: float) -> int:
    """Return the trials that a node holds at once, each with one core."""
    cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if not gpus_per_trial:
        return cores
    if gpus_per_trial < 1:
        return min(cores, gpus * count_trials_on_gpu(gpus_per_trial))
    return min(cores, gpus // int(gpus_per_trial))


def count_slots_now(nodes: Iterable[Mapping[str, float]], gpus_per_trial: float) -> int:
    """Return the trials that ``nodes`` hold at once."""
    return sum(count_slots(node, gpus_per_trial) for node in nodes)


def count_possible_slots(
    cluster_file: Mapping[str, Any], nodes: Iterable[Mapping[str, float]], gpus_per_trial: float
) -> int:
    """Return the trials that a cluster holds when it is as large as its file allows.

    Of machines of one's own the file names no resources: those that are there count as what they hold, and those that
    are not as the best of these, since what waits for a machine is what has Ray prepare it. One that turns out smaller
    counts as what it holds once it is there.

    Args:
        cluster_file: the file that ``ray up`` left on the head, with the resources of each type of node.
        nodes: resources of the nodes that are there.
        gpus_per_trial: what a trial holds beside its core.
    """
    there = [count_slots(node, gpus_per_trial) for node in nodes]
    best = max(there, default=0)
    types = cluster_file["available_node_types"]
    most: int = cluster_file["max_workers"]

    def of(name: str) -> int:
        resources = types[name].get("resources")
        return count_slots(resources, gpus_per_trial) if resources else best

    workers = [of(name) for name, kind in types.items() for _ in range(min(kind.get("max_workers", 0), most))]
    if not any(kind.get("resources") for kind in types.values()):
        return sum(there) + best * max(0, 1 + min(len(workers), most) - len(there))
    return of(cluster_file["head_node_type"]) + sum(sorted(workers, reverse=True)[:most])


def find_most_gpus(cluster_file: Mapping[str, Any] | None, nodes: Iterable[Mapping[str, float]]) -> int:
    """Return the GPUs of the node that has most, of those that are there and those that may come."""
    kinds = cluster_file["available_node_types"].values() if cluster_file else ()
    resources = [*nodes, *(kind.get("resources") or {} for kind in kinds)]
    return max((int(node.get("GPU", 0)) for node in resources), default=0)


def choose_gpus(asked: float | None, most: int) -> float:
    """Return the GPUs that a trial holds, by default one where a node has any; ``most`` is what a node has at most.

    Raises:
        InputError: no node has as many.
    """
    if asked is None:
        return 1 if most else 0
    if asked > most:
        raise InputError(
            f"--gpus-per-trial {asked:g} where {'there is no GPU' if not most else f'no node has more than {most}'}",
            f"from 0 to {most}",
            "leave --gpus-per-trial out, or run where there are GPUs",
        )
    return asked


def count_unseen_machines(cluster_file: Mapping[str, Any], node_count: int) -> int:
    """Return how many machines of one's own the file names that are not there yet."""
    kinds = cluster_file["available_node_types"].values()
    expected = sum(kind.get("min_workers", 0) for kind in kinds if not kind.get("resources"))
    return max(0, expected + 1 - node_count) if expected else 0
