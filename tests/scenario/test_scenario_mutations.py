"""Thousands of damaged scenarios: each is loaded or refused, and nothing else happens."""

from __future__ import annotations

import re
from random import Random

import pytest
from damage import mutate
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.scenario.dump import dump_yaml
from harness.scenario.load import load, loads
from harness.shipped import shipped_scenarios
from harness.vocabulary import VOCABULARY

pytestmark = pytest.mark.no_cover  # thousands of times the same lines

SEED = 20240607
MUTANTS = 5_000
SHIPPED_MUTANTS = 1_500
PLACED = re.compile(r"s\.yaml:[1-9][0-9]*:[1-9][0-9]*: \S")
JARGON = re.compile(
    r"Input should|pydantic|\btype=|NoneType|<class|Value error|Traceback", re.IGNORECASE
)


def check_refusal(error: ScenarioError, text: str) -> None:
    lines = str(error).split("\n")
    assert all(PLACED.match(line) for line in lines), (lines, text)
    assert all(line.isprintable() for line in lines), (lines, text)
    assert not JARGON.search(str(error)), (lines, text)
    last = text.count("\n") + text.count("\r") + 2
    assert all(int(line.split(":")[1]) <= last for line in lines), (lines, text)


STORM = """\
  - {name: flap, action: stop, target: n2, at: 1s, duration: 1s, repeat_every: 3s, times: 4}
  - name: storm
    action: random
    at: 500ms
    actions: [stop, pause, lame-duck, {action: delay, by: 5ms, duration: 2s, count: one}]
    targets: [n1, n2, n3]
    pace: [1s, 3s]
    duration: 500ms
    keep: one
    times: 20
"""


@pytest.fixture(scope="module")
def originals(good, read):
    block = dump_yaml(read(good).scenario)
    anchors = good.replace("phases: {", "phases: &p {").replace("config: {", "config: {<<: *c, ")
    anchors = "name: a\ndescription: &c {}\n" + anchors.split("\n", 1)[1]
    storm = good.replace("  - {name: stop-seed", STORM + "  - {name: stop-seed")
    storm = storm.replace("phases: {", "phases: {fault: 20s, ")
    stormy = dump_yaml(read(storm).scenario)
    return [good, good, block, anchors, storm, stormy]


@pytest.mark.timeout(900)  # thousands of scenarios, and other tests beside them
def test_damaged_scenarios_are_loaded_or_refused_with_a_place(vocabulary, originals):
    random = Random(SEED)
    loaded = refused = 0
    for _ in range(MUTANTS):
        text = mutate(random.choice(originals), random)
        try:
            loads(text, "s.yaml", vocabulary)
            loaded += 1
        except ScenarioError as error:
            check_refusal(error, text)
            refused += 1
    assert loaded > MUTANTS // 50
    assert refused > MUTANTS // 2


@pytest.mark.timeout(900)  # thousands of scenarios, and other tests beside them
def test_damaged_scenarios_that_ship_are_loaded_or_refused_with_a_place():
    random = Random(SEED)
    shipped = [path.read_text(encoding="utf-8") for path in shipped_scenarios().values()]
    outcomes = set()
    for _ in range(SHIPPED_MUTANTS):
        text = mutate(random.choice(shipped), random)
        try:
            loaded = loads(text, "s.yaml", VOCABULARY)
            assert loads(dump_yaml(loaded.scenario), "dump", VOCABULARY).scenario == loaded.scenario
            outcomes.add("loaded")
        except ScenarioError as error:
            check_refusal(error, text)
            outcomes.add("refused")
    assert outcomes == {"loaded", "refused"}


@pytest.mark.timeout(900)  # thousands of scenarios, and other tests beside them
def test_damaged_bytes_are_loaded_or_refused(vocabulary, good, tmp_path, monkeypatch):
    random = Random(SEED)
    monkeypatch.chdir(tmp_path)
    path = tmp_path.joinpath("s.yaml").relative_to(tmp_path)
    raw = good.encode()
    for _ in range(500):
        damaged = bytearray(raw)
        for _ in range(random.randint(1, 4)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        path.write_bytes(damaged[: random.choice([len(damaged), random.randrange(len(damaged))])])
        try:
            load(path, vocabulary)
        except ScenarioError as error:
            check_refusal(error, damaged.decode("utf-8", "replace"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["3s", "500/s", "256B", "n1", "seed", "core", "stop", "p99 < 3s", "2.12.1",
                       "random", "pause", "one"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(
        st.text(max_size=5)
        | st.sampled_from(["name", "kind", "action", "rate", "target", "servers", "version",
                           "attach", "options", "lost", "at", "duration", "actions", "pace",
                           "targets", "repeat_every", "times", "keep"]), below, max_size=4),
    max_leaves=10,
)  # fmt: skip
KEYS = ["name", "description", "seed", "repeat", "cluster", "client", "workloads", "phases",
        "faults", "thresholds", "first_iteration"]  # fmt: skip


def flow(value) -> str:
    """Write plain data as YAML in flow style, faithfully enough for any of it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        escaped = "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08X}" for c in value)
        return f'"{escaped}"'
    return {None: "null", True: "true", False: "false"}.get(value, str(value))


@settings(max_examples=400, deadline=None)
@given(data=st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_shape_of_data_is_loaded_or_refused(vocabulary, data):
    text = flow({"name": "x", "workloads": [{"name": "w", "kind": "core", "rate": "1/s"}], **data})
    try:
        loads(text, "s.yaml", vocabulary)
    except ScenarioError as error:
        check_refusal(error, text)
