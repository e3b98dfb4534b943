"""Skewed clocks and limited CPU time as a user writes them, and what is refused at which place."""

from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.scenario.dump import dump_yaml
from harness.scenario.load import Loaded, loads
from harness.vocabulary import VOCABULARY

TEXT = """\
name: clocks
client: {options: {ping_interval: 1s}}
workloads:
  - {name: hello, kind: core, rate: 10/s}
faults:
  - {name: f, target: n2, duration: 2s, KEYS}
  - {name: freeze, action: pause, target: OTHER, at: 1s, duration: 4s}
thresholds: {lost: ["count == 0"]}
"""
LINE = 6


def read(keys: str, other: str = "n3") -> Loaded:
    return loads(TEXT.replace("KEYS", keys).replace("OTHER", other), "s.yaml", VOCABULARY)


@pytest.mark.parametrize(
    "keys",
    [
        "action: clock-skew, skew: 30s",
        "action: clock-skew, skew: -2h",
        "action: clock-skew, skew: +8760h",
        "action: clock-skew, skew: 100ms",
        "action: cpu-limit, cpus: 10%",
        "action: cpu-limit, cpus: 80%",
        "action: cpu-limit, cpus: 0.1",
    ],
)
def test_what_is_read_is_written_back(keys: str) -> None:
    loaded = read(keys)
    assert loaded.warnings == ()
    assert loads(dump_yaml(loaded.scenario), "d.yaml", VOCABULARY).scenario == loaded.scenario


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("action: clock-skew", "faults[0].skew: "),
        ("action: clock-skew, skew: 30", "faults[0].skew: expected a duration with its unit"),
        ("action: clock-skew, skew: 20ms", "expected at least 100ms ahead or behind"),
        ("action: clock-skew, skev: 1h", "faults[0].skev: unknown key (did you mean 'skew'?)"),
        ("action: clock-sked, skew: 1h", "(did you mean 'clock-skew'?)"),
        ("action: cpu-limit", "faults[0].cpus: "),
        ("action: cpu-limit, cpus: 0.01", "faults[0].cpus: expected 5% to 80% of one CPU"),
        ("action: cpu-limit, cpus: 2", "faults[0].cpus: expected a share of one CPU"),
        ("action: cpu-limit, cpus: '0.1'", "faults[0].cpus: expected a share"),
        ("action: cpu-limit, cpus: 90%", "expected 5% to 80% of one CPU"),
        ("action: cpu-limit, cpu: 10%", "faults[0].cpu: unknown key (did you mean 'cpus'?)"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(keys: str, said: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        read(keys)
    assert said in str(raised.value)
    assert str(raised.value).startswith(f"s.yaml:{LINE}:")


@pytest.mark.parametrize("keys", ["clock-skew, skew: 1h", "cpu-limit, cpus: 10%"])
def test_what_holds_a_process_is_not_mixed_with_other_faults_of_it(keys: str) -> None:
    with pytest.raises(ScenarioError, match="'f' and 'freeze' both act on n2: 'f' ends at 2s"):
        read(f"action: {keys}", other="n2")
