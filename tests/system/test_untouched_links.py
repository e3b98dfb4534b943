"""Faults of the network leave the traffic on all other links as it was."""

from __future__ import annotations

from typing import Any

import pytest
from command_line import Harness

pytestmark = pytest.mark.lab

# `calm` needs the links of n4 with its clients only, `across` the route from n4 to n5 as well.
SCENARIO = """
name: untouched
seed: 3
cluster: {servers: 5}
client:
  servers: [n1]
  options: {ping_interval: 20s, reconnect_time_wait: 100ms, max_reconnect_attempts: -1}
workloads:
  - {name: calm, kind: core, publishers: 1, subscribers: 1, rate: 100/s, payload: 128B,
     attach: {publishers: n4, subscribers: n4}}
  - {name: across, kind: core, publishers: 1, subscribers: 1, rate: 100/s, payload: 128B,
     attach: {publishers: n4, subscribers: n5}}
  - {name: struck, kind: core, publishers: 1, subscribers: 1, rate: 20/s, payload: 128B,
     attach: {publishers: n1, subscribers: n2}}
phases: {warmup: 200ms, steady: 1s, recovery: 500ms, drain: 2s}
faults:
"""
THRESHOLDS = """
thresholds:
  "e2e_latency{{workload:{0},phase:steady}}": ["n >= 50"]
  "e2e_latency{{workload:{0},phase:fault}}": ["n >= 50"]
  "lost{{workload:{0}}}": ["count == 0"]
  "duplicates{{workload:{0}}}": ["count == 0"]
  "out_of_order{{workload:{0}}}": ["count == 0"]
"""
ISOLATING = """
  - {name: both, action: partition, target: n1, duration: 400ms}
  - {name: to, action: partition, target: n2, direction: to, at: 800ms, duration: 400ms}
  - {name: from, action: partition, target: n2, direction: from, between: servers, at: 1600ms,
     duration: 400ms}
  - {name: custom, action: partition, topology: custom, drop: [[n1, n4], [struck, n1]], at: 2400ms,
     duration: 400ms}
  - {name: clients, action: partition, target: [n1, n2], between: clients, at: 3200ms,
     duration: 400ms}
"""
PARTING = """
  - {name: halves, action: partition, topology: halves, between: servers, duration: 400ms}
  - {name: bridge, action: partition, topology: bridge, between: servers, at: 800ms,
     duration: 400ms}
  - {name: ring, action: partition, topology: ring, between: servers, at: 1600ms, duration: 400ms}
"""
SHAPING = """
  - {name: far, action: delay, target: n1, delay: 50ms, duration: 1s}
  - {name: bad, action: loss, target: n2, loss: 20%, duration: 1s}
  - {name: narrow, action: bandwidth, target: n3, rate: 2Mbit, duration: 1s}
  - {name: shut, action: refuse, target: n2, duration: 1s}
  - {name: loud, action: reset, target: n3, at: 500ms, between: servers}
  - {name: loud-too, action: reset, target: n1, at: 700ms, between: clients}
"""
SLOWER = 10  # times the median in peace, which is well below what is put on the struck links


def labelled(name: str, workload: str, phase: str) -> str:
    return f"{name}{{workload:{workload},phase:{phase}}}"


@pytest.mark.parametrize(
    ("faults", "untouched"),
    [
        pytest.param(ISOLATING, ("calm", "across"), id="isolating"),
        pytest.param(PARTING, ("calm",), id="parting"),
        # It measures all links before anything is done to them.
        pytest.param(
            SHAPING, ("calm", "across"), id="shaping-and-resetting", marks=pytest.mark.alone
        ),
    ],
)
def test_traffic_on_other_links_is_untouched(
    faults: str, untouched: tuple[str, ...], harness: Harness
) -> None:
    thresholds = "".join(THRESHOLDS.format(name) for name in untouched)
    first, *more = thresholds.split("thresholds:\n")[1:]
    text = SCENARIO + faults + "thresholds:\n" + first + "".join(more)
    result = harness.run("run", harness.scenario(text, "untouched"), "--backend", "lab")
    assert result.returncode == 0, result.stdout + result.stderr
    report = harness.report()
    (told,) = report["iterations"]
    assert len(told["faults"]) == faults.count("name:")
    for workload in untouched:
        steady, fault = (
            report["metrics"][labelled("e2e_latency", workload, phase)]
            for phase in ("steady", "fault")
        )
        assert fault["p50"] < SLOWER * steady["p50"]
        assert fault["censored"] == steady["censored"] == 0
    quiet = [one for one in told["clients"] if one["workload"] in untouched]
    assert len(quiet) == 2 * len(untouched)
    assert [one["disconnects"] for one in quiet] == [[]] * len(quiet)
    _require_passing(told["faults"])


def _require_passing(faults: list[dict[str, Any]]) -> None:
    """Look at what the probes beside each cut say."""
    for fault in faults:
        looks = [one["links"] for one in fault["proof"] if one["kind"] == "probes"]
        assert len(looks) == (4 if fault["action"] == "partition" else 0)
        for links in looks:
            others = [one for one in links if not one["cut"]]
            assert others
            assert all(one["received"] == one["sent"] for one in others)
            assert all(one["received"] == 0 for one in links if one["cut"])
