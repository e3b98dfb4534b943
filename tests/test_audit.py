"""What an audit makes of servers that change their minds while a replica is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_jetstream import FakeJetStream, views

from harness.audit import Audit
from harness.cluster.protocols import Address
from harness.quiet import Calm
from harness.scenario.load import load
from harness.vocabulary import VOCABULARY

pytestmark = pytest.mark.anyio
WHOLE = {"rows": 5, "first_seq": 1, "last_seq": 5, "absent": [], "absent_count": 0}
FOUND = {**WHOLE, "refused": None, "halts": []}
SCENARIO = """
name: audited
cluster: {servers: 3, jetstream: true}
streams: [{name: S, subjects: [s], replicas: 3}]
workloads: [{name: hello, kind: core, rate: 1/s}]
"""


@dataclass
class Reader(FakeJetStream):
    """`during` changes what it says while a replica is read: it takes which turn that is."""

    during: Any = lambda _, __: None
    found: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)

    def door(self, node: str) -> Address:
        return Address(node, 4222)

    async def read(self, order: dict[str, Any], limit_s: float) -> dict[str, Any]:
        self.orders.append(order)
        self.during(self, len(self.orders))
        return self.found.pop(0) if self.found else FOUND


def lead(jetstream: FakeJetStream, node: str) -> None:
    jetstream.now = views(node)


async def audited(tmp_path: Path, reader: Reader) -> list[dict[str, Any]]:
    """Read the replica on n1; return what was recorded."""
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)
    scenario = load(path, VOCABULARY).scenario
    told: list[dict[str, Any]] = []
    node = SimpleNamespace(name="n1", running=True, version="2.15.1")
    cluster: Any = SimpleNamespace(
        nodes={"n1": node}, record=lambda kind, **facts: told.append({"kind": kind, **facts})
    )
    observer: Any = reader
    audit = Audit(scenario, cluster, observer, tmp_path, 7)
    why = await audit._try(scenario.streams[0], "n1", 1, 5, 3, patient=True)
    return [*told, {"kind": "end", "why": why}]


async def test_a_replica_whose_node_lost_the_lead_is_read_again_into_a_file_of_its_own(
    tmp_path: Path,
) -> None:
    def during(reader: Reader, turn: int) -> None:
        if turn == 1:
            lead(reader, "n2")

    reader = Reader(during=during, react=lambda one, _: lead(one, "n1"))
    read, end = await audited(tmp_path, reader)
    assert (read["kind"], read["led"], end["why"]) == ("audit.read", True, "")
    files = [one["columns"] for one in reader.orders]
    assert len(set(files)) == 2
    assert files[1] == str(tmp_path / read["file"])


async def test_what_a_node_would_not_give_is_not_taken_for_absent(tmp_path: Path) -> None:
    busy = {**FOUND, "rows": 4, "absent_count": 1, "absent": [3], "refused": "busy (10008)"}
    read, end = await audited(tmp_path, Reader(found=[busy]))
    assert (read["rows"], read["absent_count"], end["why"]) == (5, 0, "")
    (end,) = await audited(tmp_path, Reader(found=[busy, busy, busy]))
    assert end["why"] == "n1 would not give messages of S: busy (10008)"


async def test_what_came_after_all_were_asked_is_read_as_well(tmp_path: Path) -> None:
    reader = Reader()
    now = views("n1")
    streams = {"S": replace(now.nodes["n1"].streams["S"], last_seq=9)}
    reader.now = replace(now, nodes={**now.nodes, "n1": replace(now.nodes["n1"], streams=streams)})
    read, _ = await audited(tmp_path, reader)
    assert (reader.orders[0]["last"], read["sought"]) == (9, [1, 9])


async def test_a_node_that_does_not_call_itself_leader_is_none_whatever_others_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def during(reader: Reader, turn: int) -> None:
        if turn == 1:
            unsure = replace(reader.now.nodes["n1"].streams["S"], leader=None)
            own = replace(reader.now.nodes["n1"], streams={"S": unsure})
            reader.now = replace(reader.now, nodes={**reader.now.nodes, "n1": own})

    monkeypatch.setattr("harness.audit.ELECTION_S", 0.05)
    reader = Reader(during=during, react=lambda one, _: lead(one, "n1"))
    read, end = await audited(tmp_path, reader)
    assert end["why"] == ""
    assert read["file"].endswith(".1.columns")
    assert [subject for subject, _, _ in reader.asked] == ["$JS.API.STREAM.LEADER.STEPDOWN.S"]


async def test_a_stream_of_which_replicas_are_missing_is_not_audited_as_a_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)
    scenario = load(path, VOCABULARY).scenario
    told: list[dict[str, Any]] = []
    cluster: Any = SimpleNamespace(nodes={}, record=lambda _, **facts: told.append(facts))
    observer: Any = Reader()
    audit = Audit(scenario, cluster, observer, tmp_path, 7)
    calm = Calm(views("n1", replicas=("n1", "n2")), {})
    await audit._audit_stream(scenario.streams[0], calm)
    assert told[0] == {"stream": "S", "node": None, "why": "2 of 3 replicas are to be found"}
