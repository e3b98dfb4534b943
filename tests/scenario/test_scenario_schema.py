from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from harness.scenario.metrics import METRICS
from harness.scenario.reading import read_tree
from harness.scenario.schema import scenario_schema
from harness.scenario.tree import to_plain
from harness.scenario.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def schema(vocabulary):
    return scenario_schema(vocabulary)


@pytest.fixture(scope="module")
def fits(schema):
    validator = Draft202012Validator(schema)

    def fits(text):
        root = read_tree(text).root
        assert root is not None
        return validator.is_valid(to_plain(root))

    return fits


def test_the_schema_is_itself_valid_and_json(schema):
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema


def test_a_good_scenario_fits(fits, good):
    assert fits(good)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("jetstream: false", "jetstream: {sync_interval: always}"),
        ("jetstream: false", "jetstream: {sync_interval: 2m}"),
        ("version: bundled", "version: {n1: 2.12.1, default: ./x}"),
        ("version: bundled", "version: 2.12.1"),
        ("target: seed", "target: [n1, n2], count: one"),
        ("at: 0s", "at: 1.5ms"),
        ("recovery: 5s", "recovery: 5s, fault: 10s"),
        ("p99 < 3s", " p99  <=  3.5ms "),
        ("ratio < 1%", "ratio < 0.01"),
        ("lost{phase:steady}", "lost{ phase : steady , workload:hello }"),
        ("action: stop", "action: pause"),
    ],
)
def test_what_the_loader_accepts_the_schema_accepts(fits, refusals, edited, old, new):
    text = edited((old, new))
    assert refusals(text) == []
    assert fits(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("duration: 4s", "duration: 4"),
        ("duration: 4s", "duratoin: 4s"),
        ("action: stop", "action: stopp"),
        ("action: stop, ", ""),
        ("kind: core", "kind: cores"),
        ("rate: 500/s", "rate: 500"),
        (" rate: 500/s,", ""),
        ("payload: 256B", "payload: 256"),
        ("publishers: 2", "publishers: 0"),
        ("publishers: 2", "publishers: 10001"),
        ("repeat: 1", "repeat: 10001"),
        ("seed: 42", "seed: 9223372036854775808"),
        ("max_outstanding_pings: 2", "max_outstanding_pings: 1000000001"),
        ("servers: 3", "servers: 99"),
        ("version: bundled", "version: latest"),
        ("version: bundled", "version: 2.10"),
        ("jetstream: false", "jetstream: {sync: always}"),
        ("servers: [n1]", "servers: []"),
        ("name: seed-failover", "name: Seed Failover"),
        ("seed: 42", "sed: 42"),
        ("ping_interval: 1s", "ping_intervall: 1s"),
        ("ping_interval: 1s", "ping_interval: 1"),
        ("max_outstanding_pings: 2", "max_outstanding_pings: 0"),
        ("p99 < 3s", "p98 < 3s"),
        ("p99 < 3s", "p99 < 3"),
        ("censored == 0", "censored == 0s"),
        ("ratio < 1%", "count < 1%"),
        ("ratio < 1%", "count != 1"),
        ('["ratio < 1%"]', "[]"),
        ("lost:", "lst:"),
        ("lost{phase:steady}", "lost{fase:steady}"),
        ("lost{phase:steady}", "lost{phase:stedy}"),
    ],
)
def test_what_the_schema_refuses_the_loader_refuses(fits, refusals, edited, old, new):
    text = edited((old, new))
    assert refusals(text) != []
    assert not fits(text)


def test_defaults_are_written_as_a_user_would(schema):
    phases = schema["$defs"]["Phases"]["properties"]
    assert phases["steady"]["default"] == "3s"
    assert schema["$defs"]["action:stop"]["properties"]["duration"]["default"] == "4s"
    workload = schema["$defs"]["kind:core"]["properties"]
    assert workload["payload"]["default"] == "128B"


def test_docstrings_are_the_hints(schema):
    assert schema["$defs"]["action:stop"]["description"] == "Stop servers."
    assert schema["$defs"]["kind:core"]["description"] == "Publishers and subscribers."
    assert "title" not in schema["$defs"]["Phases"]


def test_every_metric_may_be_a_threshold(schema):
    assert len(schema["properties"]["thresholds"]["patternProperties"]) == len(METRICS)


def test_an_empty_vocabulary_allows_no_step():
    schema = scenario_schema(Vocabulary(faults={}, workloads={}))
    assert schema["properties"]["faults"]["items"] is False
