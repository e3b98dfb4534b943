"""Partitions as a user writes them: what is read, and what is refused at which place."""

from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.scenario.dump import dump_yaml
from harness.scenario.load import Loaded, loads
from harness.vocabulary import VOCABULARY

TEXT = """\
name: cut
cluster: {servers: SERVERS}
client: {options: {ping_interval: 1s}}
workloads:
  - {name: hello, kind: core, rate: 10/s}
faults:
  - {name: f, action: partition, duration: 4s, KEYS}
thresholds: {lost: ["count == 0"]}
"""
LINE = 7


def read(keys: str, servers: int = 3) -> Loaded:
    text = TEXT.replace("KEYS", keys).replace("SERVERS", str(servers))
    return loads(text, "s.yaml", VOCABULARY)


@pytest.mark.parametrize(
    ("keys", "servers"),
    [
        ("target: seed", 3),
        ("topology: isolate, target: minority, direction: to, between: servers", 3),
        ("target: n1, between: clients", 1),
        ("topology: halves", 2),
        ("topology: halves, between: clients", 2),
        ("topology: bridge", 3),
        ("topology: ring", 4),
        ("topology: custom, drop: [[n1, n2]]", 3),
        ("topology: custom, drop: [[hello, n1], [n2, hello-publishers]]", 3),
    ],
)
def test_what_can_be_done_is_read_and_survives_a_dump(keys: str, servers: int) -> None:
    scenario = read(keys, servers).scenario
    again = loads(dump_yaml(scenario), "dump", VOCABULARY).scenario
    assert again == scenario


@pytest.mark.parametrize(
    ("keys", "servers", "said"),
    [
        ("topology: star", 3, "expected 'isolate', 'halves', 'bridge', 'ring' or 'custom'"),
        ("direction: up", 3, "expected 'both', 'to' or 'from'"),
        ("between: routers", 3, "expected 'servers', 'clients', 'gateways', 'leafnodes' or 'all'"),
        ("topology: halves, direction: to", 3, "'to' is relative to a target, and halves"),
        ("topology: ring, target: n1", 4, "ring decides by itself and takes no target"),
        ("topology: bridge, count: one", 3, "bridge decides by itself and takes no count"),
        ("topology: halves", 1, "halves needs at least 2 servers, found 1"),
        ("topology: bridge", 2, "bridge needs at least 3 servers, found 2"),
        ("topology: ring", 3, "ring needs at least 4 servers, found 3"),
        ("target: n1, between: servers", 1, "one server has no links to others"),
        ("drop: [[n1, n2]]", 3, "only a custom partition takes `drop`"),
        ("topology: custom", 3, "needs at least one pair"),
        ("topology: custom, drop: []", 3, "needs at least one pair"),
        ("topology: custom, drop: [[n1]]", 3, "missing"),
        ("topology: custom, between: servers, drop: [[n1, n2]]", 3, "takes no 'servers'"),
        ("topology: custom, drop: [[n1, n1]]", 3, "'n1' has no link to itself"),
        ("topology: custom, drop: [[n1, n4]]", 3, "workload 'n4'"),
        ("topology: custom, drop: [[n1, helo]]", 3, "did you mean 'hello'?"),
        ("topology: custom, drop: [[hello-publishers, hello-subscribers]]", 3, "no links between"),
        ("topology: custom, target: n3, drop: [[n1, n2]]", 3, "takes no target"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_place(keys: str, servers: int, said: str) -> None:
    with pytest.raises(ScenarioError, match=rf"s\.yaml:{LINE}:\d+") as refused:
        read(keys, servers)
    assert said in str(refused.value)


def test_a_cut_of_clients_too_short_to_notice_is_warned_about_and_one_of_servers_is_not() -> None:
    short = "at: 0s, duration: 1s"
    text = TEXT.replace("duration: 4s", short).replace("SERVERS", "3")
    for keys, warned in (("between: all", 1), ("between: servers", 0)):
        assert len(loads(text.replace("KEYS", keys), "s", VOCABULARY).warnings) == warned
    for pair, warned in (("[n1, n2]", 0), ("[n1, hello]", 1)):
        keys = f"topology: custom, drop: [{pair}]"
        assert len(loads(text.replace("KEYS", keys), "s", VOCABULARY).warnings) == warned
