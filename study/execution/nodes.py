"""The nodes of the cluster that this process has joined: what they hold, what runs there, and whether it fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.execution.capacity import count_slots, count_slots_now
from trainables.errors import InputError
from trainables.node_info import NodeInfo, read_node_info

_ANSWER_SECONDS = 180.0


def list_alive_nodes() -> list[dict[str, Any]]:
    """Return the nodes that are up, as Ray describes them."""
    return sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: str(node["NodeManagerAddress"]))


def ask_nodes(nodes: list[dict[str, Any]]) -> list[NodeInfo]:
    """Return what each of ``nodes`` says of itself.

    Raises:
        InputError: one of them cannot run a task.
    """
    task = ray.remote(num_cpus=0)(read_node_info)
    asked = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote()
        for node in nodes
    ]
    found = []
    for node, answer in zip(nodes, asked, strict=True):
        try:
            found.append(ray.get(answer, timeout=_ANSWER_SECONDS))
        except RayError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            told = lines[-1].strip()[:300] if lines else type(error).__name__
            raise InputError(
                f"node {_name_node(node)} cannot run a task ({told})",
                "nodes that start a worker with this project's code within three minutes",
                "install the project on it, or stop Ray there, and launch again; see docs/cluster.md",
            ) from error
    return found


def check_versions(found: list[NodeInfo]) -> None:
    """Refuse nodes with other versions than this process has.

    Raises:
        InputError: a library that decides the numbers is missing or another one.
    """
    here = read_node_info().versions
    other = [
        f"{node.host} has {name} {node.versions[name] or 'missing'}, not {wanted}"
        for node in found
        for name, wanted in here.items()
        if node.versions[name] != wanted
    ]
    if other:
        raise InputError(
            "; ".join(other[:8]) + (f"; and {len(other) - 8} more" if other[8:] else ""),
            "the same versions on every node and here: rows say one version for all of them",
            "install with -c constraints.txt, with one Python, on every node; see docs/cluster.md",
        )


def check_gpus(nodes: list[dict[str, Any]], found: list[NodeInfo], gpus_per_trial: float) -> None:
    """Refuse nodes whose GPUs trials could not use.

    Raises:
        InputError: PyTorch finds fewer GPUs on a node than Ray would give away.
    """
    for node, said in zip(nodes, found, strict=True):
        counted = int(node["Resources"].get("GPU", 0))
        if gpus_per_trial and counted > len(said.gpus):
            raise InputError(
                f"Ray counts {counted} GPUs on {_name_node(node)} and PyTorch finds {len(said.gpus)}",
                "nodes whose PyTorch is built for their GPUs' driver",
                "install a CUDA build of PyTorch there, or run on processors with --gpus-per-trial 0",
            )


def print_nodes(nodes: list[dict[str, Any]], found: list[NodeInfo], gpus_per_trial: float, holds: int) -> None:
    """Say which nodes there are, what they hold, and to how many trials the cluster may grow."""
    print(f"cluster of {len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}:")
    for node, said in zip(nodes, found, strict=True):
        held = count_slots(node["Resources"], gpus_per_trial)
        cores, gpus = int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0))
        models = f" ({', '.join(sorted(set(said.gpus)))})" if gpus and said.gpus else ""
        print(
            f"  {_name_node(node):<32} {cores:4} cores {gpus:3} GPUs{models}  "
            + (f"{held} trials at once" if held else "no trials")
        )
    if holds > count_slots_now([node["Resources"] for node in nodes], gpus_per_trial):
        print(f"  it grows to {holds} trials at once as its file allows")


def _name_node(node: Mapping[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
