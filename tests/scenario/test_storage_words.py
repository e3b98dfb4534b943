"""Faults of the store as a user writes them, and what is refused at which place."""

from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.faults import FAULTS
from harness.scenario.dump import dump_yaml
from harness.scenario.load import Loaded, loads
from harness.scenario.schedule import nodes_on_devices, schedule, watched_nodes
from harness.vocabulary import VOCABULARY

TEXT = """\
name: disks
cluster: {servers: 5, CLUSTER}
client: {options: {ping_interval: 1s}}
workloads:
  - {name: hello, kind: core, rate: 10/s}
faults:
  - {name: f, target: n2, duration: 2s, KEYS}
thresholds: {lost: ["count == 0"]}
"""
LINE = 7
ON = "jetstream: true"


def read(keys: str, cluster: str = ON) -> Loaded:
    return loads(TEXT.replace("KEYS", keys).replace("CLUSTER", cluster), "s.yaml", VOCABULARY)


@pytest.mark.parametrize(
    "cluster", [ON, "jetstream: {sync_interval: 10s}", "config: {jetstream: {}}"]
)
@pytest.mark.parametrize(
    "keys",
    [
        "action: power-loss",
        "action: power-loss, count: all",
        "action: power-loss, method: device",
        "action: rollback, back: 2s",
        "action: rollback, back: 3.9s, at: 1s",
        "action: disk-full",
        "action: slow-disk, delay: 50ms",
        "action: slow-disk, delay: 5s, calls: writes",
    ],
)
def test_what_is_read_is_written_back(keys: str, cluster: str) -> None:
    loaded = read(keys, cluster)
    assert loads(dump_yaml(loaded.scenario), "d.yaml", VOCABULARY).scenario == loaded.scenario


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("action: power-loss, method: loop", "faults[0].method: "),
        ("action: rollback", "faults[0].back: "),
        ("action: rollback, back: 2", "faults[0].back: expected a duration with its unit"),
        ("action: rollback, back: 50ms", "faults[0].back: expected at least 100ms, found '50ms'"),
        ("action: rollback, back: 3s", "faults[0].back: 3s before that, phases.steady has not"),
        ("action: rollback, bak: 2s", "unknown key (did you mean 'back'?)"),
        ("action: slow-disk", "faults[0].delay: "),
        ("action: slow-disk, delay: 0.5ms", "faults[0].delay: expected 1ms to 5s, found '0.5ms'"),
        ("action: slow-disk, delay: 6s", "faults[0].delay: expected 1ms to 5s, found '6s'"),
        ("action: slow-disk, delay: 1s, calls: reads", "faults[0].calls: "),
        ("action: disk-full, room: 1MiB", "faults[0].room: unknown key"),
        ("action: powerloss", "(did you mean 'power-loss'?)"),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(keys: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(keys)
    assert said in str(caught.value)
    assert f"s.yaml:{LINE}:" in str(caught.value)


STORAGE = {"power-loss": "", "rollback": ", back: 1s", "disk-full": "", "slow-disk": ", delay: 1ms"}
OFF = [
    "config: {}",
    "jetstream: false",
    "config: {jetstream: disabled}",
    "config: {JetStream: false}",
]


@pytest.mark.parametrize("cluster", OFF)
@pytest.mark.parametrize("action", STORAGE)
def test_without_jetstream_there_is_no_store_to_strike(action: str, cluster: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(f"action: {action}{STORAGE[action]}", cluster)
    assert f"s.yaml:{LINE}:" in str(caught.value)
    assert "faults[0].action: needs JetStream" in str(caught.value)


ALWAYS = [
    "jetstream: {sync_interval: always}",
    "jetstream: true, config: {jetstream: {sync_interval: always}}",
    "jetstream: {sync_interval: 1s}, config: {JETSTREAM: {Sync_Interval: ALWAYS}}",
]


@pytest.mark.parametrize("cluster", ALWAYS)
def test_a_disk_that_syncs_always_is_not_rolled_back(cluster: str) -> None:
    with pytest.raises(ScenarioError, match="an honest disk does not forget what was synced"):
        read("action: rollback, back: 1s", cluster)


def test_a_power_loss_of_a_disk_that_syncs_always_is_not_refused() -> None:
    for cluster in ALWAYS:
        read("action: power-loss", cluster)


def test_drawn_faults_are_held_to_the_same() -> None:
    text = TEXT.replace("CLUSTER", "jetstream: {sync_interval: always}")
    step = "  - {name: f, target: n2, duration: 2s, KEYS}"
    drawn = (
        "  - {name: f, action: random, targets: [n2, n3], pace: 5s, actions: [ACTION]}\n"
        "phases: {fault: 60s}"
    )
    with pytest.raises(ScenarioError, match="an honest disk"):
        loads(
            text.replace(
                step, drawn.replace("ACTION", "{action: rollback, back: 1s, duration: 1s}")
            ),
            "s.yaml",
            VOCABULARY,
        )


def test_a_node_is_nobody_elses_from_the_copy_on() -> None:
    pause = "action: pause, target: n2, duration: 500ms"
    late = "action: rollback, back: 2s, at: 3s}\n  - {name: g, " + pause
    with pytest.raises(ScenarioError, match="both act on n2"):
        read(f"{late}, at: 2s")
    read(f"{late}, at: 0s")


@pytest.mark.parametrize(
    ("keys", "watched"),
    [
        ("action: power-loss", {"n2"}),
        ("action: disk-full", {"n2"}),
        ("action: slow-disk, delay: 1ms", {"n2"}),
        ("action: rollback, back: 1s", set()),
        ("action: kill", set()),
    ],
)
def test_only_nodes_that_may_be_struck_are_watched(keys: str, watched: set[str]) -> None:
    scenario = read(keys).scenario
    assert watched_nodes(schedule(scenario, 0), scenario.cluster) == watched


def test_where_clients_decide_whom_it_strikes_all_nodes_are_watched() -> None:
    loaded = loads(
        TEXT.replace("CLUSTER", ON).replace("KEYS", "action: disk-full").replace("n2", "one"),
        "s.yaml",
        VOCABULARY,
    )
    nodes = set(loaded.scenario.cluster.nodes)
    assert watched_nodes(schedule(loaded.scenario, 0), loaded.scenario.cluster) == nodes
    text = TEXT.replace("CLUSTER", ON).replace("KEYS", "action: disk-full")
    loaded = loads(text.replace("n2", '"attached:hello"'), "s.yaml", VOCABULARY)
    assert watched_nodes(schedule(loaded.scenario, 0), loaded.scenario.cluster) == nodes


def test_all_of_them_are_listed() -> None:
    assert FAULTS.keys() >= STORAGE.keys()


@pytest.mark.parametrize(("method", "on_devices"), [("auto", set()), ("device", {"n2"})])
def test_a_store_is_on_a_device_or_its_server_watched_by_the_method(
    method: str, on_devices: set[str]
) -> None:
    loaded = read(f"action: power-loss, method: {method}")
    steps, cluster = schedule(loaded.scenario, 0), loaded.scenario.cluster
    assert nodes_on_devices(steps, cluster) == on_devices
    assert watched_nodes(steps, cluster) == {"n2"} - on_devices
