"""Corrupt and upgrade as a user writes them, and what is refused at which place."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.scenario.dump import dump_yaml
from harness.scenario.load import Loaded, loads
from harness.scenario.store_rules import check_stored_data
from harness.vocabulary import VOCABULARY

TEXT = """\
name: stored
cluster: {jetstream: true}
workloads:
  - {name: hello, kind: core, rate: 10/s}
faults:
  - {name: f, target: n2, KEYS}
thresholds: {lost: ["count == 0"]}
"""
LINE = 6
ON = "cluster: {jetstream: true}"


def read(keys: str, cluster: str = ON) -> Loaded:
    text = TEXT.replace("KEYS", keys).replace(ON, cluster)
    return loads(text, "s.yaml", VOCABULARY)


@pytest.mark.parametrize(
    "keys",
    [
        "action: corrupt, part: meta-snapshot",
        "action: corrupt, part: stream-block, stream: S, block: 3, flips: 20, drop_index: true",
        "action: corrupt, part: stream-block, block: middle, offset: 50%",
        "action: corrupt, part: stream-log, block: all, how: zero, offset: 0, length: 512B",
        "action: corrupt, part: stream-log, how: truncate, offset: 4KiB, duration: 2s",
        "action: corrupt, part: consumer-state, consumer: C_1, how: remove, down_by: stop",
        "action: corrupt, part: stream-index, refusal: allowed, repeat_every: 20s, times: 2",
        "action: upgrade, to: bundled",
        "action: upgrade, to: 2.10.25, interval: 2s, wait: none, by: kill",
        "action: upgrade, to: ./bin/nats-server, by: lame-duck",
    ],
)
def test_what_is_read_is_written_back(keys: str) -> None:
    loaded = read(keys, f"{ON}\nstreams: [{{name: S}}]")
    assert loaded.warnings == ()
    assert loads(dump_yaml(loaded.scenario), "d.yaml", VOCABULARY).scenario == loaded.scenario


def test_an_upgrade_comes_to_all_unless_told_otherwise() -> None:
    text = TEXT.replace("target: n2, KEYS", "action: upgrade, to: bundled")
    (fault,) = loads(text, "s.yaml", VOCABULARY).scenario.faults
    assert getattr(fault, "target", None) == "all"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("action: corrupt", "faults[0].part: "),
        ("action: corrupt, part: stream-blocks", "did you mean 'stream-block'"),
        ("action: corrupt, part: meta-log, stream: S", "faults[0].stream: meta-log is about all"),
        ("action: corrupt, part: stream-meta, block: first", "faults[0].block: stream-meta is no"),
        ("action: corrupt, part: stream-block, block: 0", "faults[0].block: "),
        ("action: corrupt, part: stream-block, block: any", "faults[0].block: "),
        ("action: corrupt, part: stream-block, consumer: C", "faults[0].consumer: stream-block"),
        ("action: corrupt, part: stream-block, stream: a/b", "faults[0].stream: "),
        ("action: corrupt, part: stream-index, drop_index: true", "faults[0].drop_index: an index"),
        ("action: corrupt, part: meta-log, how: zero, flips: 2", "faults[0].flips: how: zero"),
        ("action: corrupt, part: meta-log, offset: 3, flips: 2", "faults[0].flips: one offset"),
        ("action: corrupt, part: meta-log, flips: 1001", "faults[0].flips: "),
        ("action: corrupt, part: meta-log, length: 1B", "faults[0].length: says how much"),
        ("action: corrupt, part: meta-log, how: zero, length: 0B", "faults[0].length: no bytes"),
        ("action: corrupt, part: meta-log, how: remove, offset: 1", "faults[0].offset: a file"),
        ("action: corrupt, part: meta-log, offset: -1", "faults[0].offset: expected a number of"),
        ("action: corrupt, part: meta-log, offset: 1.5", "faults[0].offset: expected a number of"),
        ("action: corrupt, part: meta-log, offset: 101%", "faults[0].offset: "),
        ("action: corrupt, part: meta-log, refusal: yes", "faults[0].refusal: "),
        ("action: upgrade", "faults[0].to: "),
        ("action: upgrade, to: v2.12.1", "did you mean '2.12.1'"),
        ("action: upgrade, to: bundeld", "did you mean 'bundled'"),
        ("action: upgrade, to: 2.12.1, duration: 3s", "takes no duration; `interval` is"),
        ("action: upgrade, to: 2.12.1, wait: health", "did you mean 'healthy'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_at_its_place(keys: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(keys)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"s.yaml:{LINE}:")


@pytest.mark.parametrize(
    ("cluster", "on"),
    [
        ("cluster: {}", False),
        ("cluster: {jetstream: false}", False),
        ("cluster: {config: {jetstream: disabled}}", False),
        ("cluster: {config: {jetstream: false}}", False),
        ("cluster: {jetstream: {sync_interval: always}}", True),
        ("cluster: {config: {JetStream: enabled}}", True),
        ("cluster: {config: {jetstream: {max_file: 1000000}}}", True),
    ],
)
def test_files_are_damaged_only_where_jetstream_keeps_some(cluster: str, *, on: bool) -> None:
    keys = "action: corrupt, part: meta-log"
    if on:
        read(keys, cluster)
        return
    with pytest.raises(ScenarioError, match=r"faults\[0\]\.action: corrupt needs files of Jet"):
        read(keys, cluster)


def test_a_draw_needs_files_as_well() -> None:
    text = TEXT.replace(
        "{name: f, target: n2, KEYS}",
        "{name: f, action: random, pace: 1s, actions: [{action: corrupt, part: meta-log}]}",
    ).replace(ON, "phases: {fault: 20s}")
    with pytest.raises(ScenarioError, match=r"faults\[0\]\.actions\[0\]\.action: corrupt needs"):
        loads(text, "s.yaml", VOCABULARY)


def test_an_upgrade_cannot_be_drawn_since_nobody_knows_when_it_ends() -> None:
    text = TEXT.replace(
        "{name: f, target: n2, KEYS}",
        "{name: f, action: random, pace: 1s, actions: [{action: upgrade, to: 2.12.1, target: n2}]}",
    ).replace(ON, "phases: {fault: 20s}")
    with pytest.raises(ScenarioError, match=r"faults\[0\]\.actions\[0\].*"):
        loads(text, "s.yaml", VOCABULARY)


def test_a_stream_that_is_not_there_or_kept_in_memory_has_no_files() -> None:
    of_a_stream = "action: corrupt, part: stream-block, stream: S"
    scenario = read(of_a_stream, f"{ON}\nstreams: [{{name: S}}]").scenario

    def problems(*streams: Any) -> Iterator[str]:
        other: Any = SimpleNamespace(
            cluster=scenario.cluster, faults=scenario.faults, streams=streams
        )
        for one in check_stored_data(other, VOCABULARY):
            yield f"{one.path[-1]}: {one.message}"

    file, memory, other = (
        SimpleNamespace(name=name, storage=storage)
        for name, storage in (("S", "file"), ("S", "memory"), ("T", "file"))
    )
    assert list(problems(file)) == []
    assert list(problems(memory)) == ["stream: stream 'S' is kept in memory, so it has no files"]
    assert list(problems(other)) == ["stream: unknown stream 'S' (known: T)"]


@pytest.mark.parametrize(
    "action", ["corrupt, part: meta-log, duration: 3s", "upgrade, to: bundled"]
)
def test_two_faults_of_one_process_do_not_meet(action: str) -> None:
    other = "{name: g, action: kill, target: n2, at: 1s, duration: 1s}"
    text = TEXT.replace("KEYS", f"action: {action}, at: 1s").replace(
        "thresholds", f"  - {other}\nthresholds"
    )
    with pytest.raises(ScenarioError, match="'f' and 'g' both act on n2"):
        loads(text, "s.yaml", VOCABULARY)
