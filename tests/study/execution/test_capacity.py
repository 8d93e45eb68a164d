"""How many trials nodes hold: worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from study.execution.capacity import (
    choose_gpus,
    count_possible_slots,
    count_slots,
    count_slots_now,
    count_unseen_machines,
    find_most_gpus,
)
from study.execution.nodes import check_gpus, check_versions
from trainables.errors import InputError
from trainables.node_info import NodeInfo, read_node_info


@pytest.mark.parametrize(
    ("node", "gpus_per_trial", "expected"),
    [
        ({"CPU": 8.0}, 0, 8),
        ({"CPU": 0.0}, 0, 0),
        ({}, 0, 0),
        ({"CPU": 8.0, "GPU": 4.0}, 1, 4),
        ({"CPU": 2.0, "GPU": 4.0}, 1, 2),  # every trial has a core as well
        ({"CPU": 8.0, "GPU": 4.0}, 2, 2),
        ({"CPU": 8.0, "GPU": 3.0}, 2, 1),
        ({"CPU": 8.0}, 1, 0),
        ({"CPU": 16.0, "GPU": 2.0}, 0.25, 8),
        ({"CPU": 16.0, "GPU": 2.0}, 0.3, 6),  # a share never spans two GPUs
        ({"CPU": 16.0, "GPU": 2.0}, 0.6, 2),
        ({"CPU": 16.0, "GPU": 1.0}, 1 / 3, 3),
    ],
)
def test_a_node_holds_what_its_cores_and_gpus_allow(
    node: dict[str, float], gpus_per_trial: float, expected: int
) -> None:
    """Each trial has one core and its share."""
    assert count_slots(node, gpus_per_trial) == expected


def test_mixed_nodes_add_up() -> None:
    """A node without GPU holds no trial that wants one."""
    nodes = [{"CPU": 0.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 32.0, "GPU": 8.0}, {"CPU": 64.0}]
    assert count_slots_now(nodes, 1) == 9
    assert count_slots_now(nodes, 0.5) == 2 + 16
    assert count_slots_now(nodes, 2) == 4
    assert count_slots_now(nodes, 0) == 8 + 32 + 64


CLOUD: dict[str, Any] = {
    "max_workers": 5,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0, "memory": 1}, "min_workers": 0, "max_workers": 0},
        "small": {"resources": {"CPU": 4, "GPU": 1}, "min_workers": 0, "max_workers": 4},
        "large": {"resources": {"CPU": 48, "GPU": 4}, "min_workers": 1, "max_workers": 2},
    },
}
OWN: dict[str, Any] = {
    "max_workers": 2,
    "head_node_type": "local.cluster.node",
    "available_node_types": {
        "local.cluster.node": {"resources": {}, "node_config": {}, "min_workers": 2, "max_workers": 2}
    },
}


def test_a_cloud_may_become_as_large_as_its_file_allows() -> None:
    """Five workers in all: the two large ones and three of the small."""
    assert count_possible_slots(CLOUD, [{"CPU": 0.0}], 1) == 2 * 4 + 3 * 1
    assert count_possible_slots(CLOUD, [{"CPU": 0.0}], 0) == 2 * 48 + 3 * 4
    assert find_most_gpus(CLOUD, [{"CPU": 0.0}]) == 4
    assert count_unseen_machines(CLOUD, 1) == 0


def test_machines_of_ones_own_that_are_not_there_are_taken_to_be_like_the_best_that_is() -> None:
    """Their file does not say what they hold; a launch waits for them."""
    assert count_possible_slots(OWN, [{"CPU": 8.0, "GPU": 2.0}], 1) == 6
    assert find_most_gpus(OWN, [{"CPU": 4.0}]) == 0
    assert [count_unseen_machines(OWN, count) for count in (1, 2, 3, 4)] == [2, 1, 0, 0]


def test_machines_of_ones_own_that_are_there_hold_what_they_hold() -> None:
    """However unlike: of three, one without a GPU, none is counted as another."""
    nodes = [{"CPU": 4.0}, {"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}]
    assert count_possible_slots(OWN, nodes[:2], 1) == 0 + 2 + 2
    assert count_possible_slots(OWN, nodes, 1) == count_slots_now(nodes, 1) == 3
    assert count_possible_slots(OWN, [*nodes, {"CPU": 2.0}], 0) == 22, "one more joined by hand"


def test_a_trial_holds_a_gpu_where_there_are_any() -> None:
    """More than any node has is refused, with what there is."""
    assert choose_gpus(None, 0) == 0
    assert choose_gpus(None, 8) == 1
    assert choose_gpus(0.25, 1) == 0.25
    with pytest.raises(InputError, match="no node has more than 4"):
        choose_gpus(8, 4)
    with pytest.raises(InputError, match="there is no GPU"):
        choose_gpus(0.5, 0)


def test_nodes_with_other_versions_are_refused_by_name() -> None:
    """Each node, library and version; builds for processors and GPUs of one version are the same."""
    here = read_node_info()
    check_versions([here, here])
    assert all("+" not in (version or "") for version in here.versions.values())
    other = NodeInfo("node-2", here.versions | {"torch": "1.0.0"}, ())
    bare = NodeInfo("node-3", here.versions | {"scikit-learn": None}, ())
    with pytest.raises(InputError, match=r"node-2 has torch 1.0.0, not .*; node-3 has scikit-learn missing"):
        check_versions([here, other, bare])


def test_gpus_that_pytorch_cannot_use_are_refused() -> None:
    """Unless trials run on processors."""
    nodes = [{"Resources": {"CPU": 4.0, "GPU": 2.0}, "NodeManagerHostname": "node-2", "NodeManagerAddress": "10.0.0.2"}]
    found = [NodeInfo("node-2", {}, ("NVIDIA L4",))]
    check_gpus(nodes, found, 0)
    with pytest.raises(InputError, match=r"2 GPUs on node-2 \(10.0.0.2\) and PyTorch finds 1"):
        check_gpus(nodes, found, 1)
