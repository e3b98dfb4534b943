from __future__ import annotations

import pytest

from harness.scenario.targets import Attached, Nodes, TargetError, parse_target, quota

NODES = ("n1", "n2", "n3")


@pytest.mark.parametrize(
    ("size", "one", "minority", "majority"),
    [(1, 1, 0, 1), (2, 1, 0, 2), (3, 1, 1, 2), (4, 1, 1, 3), (5, 1, 2, 3), (6, 1, 2, 4)],
)
def test_quotas_leave_a_majority_or_take_one(size, one, minority, majority):
    assert quota("one", size) == one
    assert quota("minority", size) == minority
    assert quota("majority", size) == majority
    assert quota("all", size) == size
    assert minority + majority == size


def test_targets_become_what_a_fault_can_draw_from():
    assert parse_target("seed", "all", NODES) == Nodes(("n1",), "all")
    assert parse_target("n2", "all", NODES) == Nodes(("n2",), "all")
    assert parse_target(["n3", "n1"], "one", NODES) == Nodes(("n3", "n1"), "one")
    assert parse_target("minority", "all", NODES) == Nodes(NODES, "minority")
    assert parse_target("one", "one", NODES) == Nodes(NODES, "one")
    assert parse_target("attached:a", "one", NODES) == Attached("a", None, "one")
    assert parse_target("attached:a.b/r", "all", NODES) == Attached("a.b", "r", "all")


def test_a_wrong_item_of_a_list_is_pointed_at():
    with pytest.raises(TargetError) as caught:
        parse_target(["n1", "n2", "n9"], "all", NODES)
    assert caught.value.index == 2
