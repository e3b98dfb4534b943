from __future__ import annotations

from random import Random
from typing import Any

import pytest

from harness.cluster.targets import choose, resolve
from harness.errors import FaultError
from harness.scenario.model import FaultStep

NODES = ("n1", "n2", "n3", "n4", "n5")


def nobody(workload: str, role: str | None) -> frozenset[str]:
    return frozenset()


def aim(attachments: Any = nobody, **fields: Any) -> tuple[str, ...]:
    step = FaultStep(name="f", action="kill", **fields)
    return resolve(step, NODES, attachments, Random("dice"))


def test_a_target_is_a_node_a_list_or_the_seed() -> None:
    assert aim(target="n3") == ("n3",)
    assert aim(target=("n4", "n2")) == ("n4", "n2")
    assert aim(target="seed") == ("n1",)


@pytest.mark.parametrize(
    ("count", "size"), [("one", 1), ("minority", 2), ("majority", 3), ("all", 5)]
)
def test_a_count_draws_so_many_nodes_and_the_same_for_the_same_dice(count: str, size: int) -> None:
    drawn = aim(target=count)
    assert len(drawn) == size
    assert drawn == aim(target=count)
    assert list(drawn) == sorted(drawn)


@pytest.mark.parametrize("size", range(1, 10))
def test_minority_and_majority_split_every_cluster(size: int) -> None:
    names = [f"n{index}" for index in range(size)]
    minority = len(choose(names, "minority", Random(1)))
    majority = len(choose(names, "majority", Random(1)))
    assert 2 * minority < size < 2 * majority
    assert minority + majority in (size, size - 1 + (size % 2), size)


def test_attached_is_where_the_clients_are_now() -> None:
    def attachments(workload: str, role: str | None) -> frozenset[str]:
        assert (workload, role) == ("hello", "publishers")
        return frozenset({"n5", "n2"})

    assert aim(attachments, target="attached:hello/publishers") == ("n2", "n5")
    assert len(aim(attachments, target="attached:hello/publishers", count="one")) == 1


def test_a_target_that_matches_no_node_is_an_error() -> None:
    with pytest.raises(FaultError, match="'attached:hello' matches no node"):
        aim(target="attached:hello")
    with pytest.raises(FaultError, match="matches no node"):
        aim(target="n1", count="minority")
