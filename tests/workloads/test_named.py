"""Named messages: when each is due, and which times are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cluster.protocols import Address
from harness.errors import ScenarioError
from harness.placement import plan_workers
from harness.scenario.dump import dump_yaml
from harness.scenario.load import Loaded, loads
from harness.scenario.model import Phases
from harness.vocabulary import VOCABULARY
from harness.workloads.named import Named

PHASES = Phases.model_validate({"warmup": "1s", "steady": "2s"})
SCENARIO = """\
name: x
workloads:
  - {{name: hello, kind: core, rate: 10/s}}
  - name: guide
    kind: named
    messages: [{messages}]
phases: {phases}
faults: {faults}
thresholds: {thresholds}
"""
STOP = "[{name: f, action: stop, at: 1s, duration: 2s}]"


def anywhere(role: str, index: int) -> tuple[str, ...]:
    return (f"nats://{role}:{index}",)


def named(*messages: tuple[str, str, str], **more: Any) -> Named:
    listed = [{"text": text, "phase": phase, "at": at} for text, phase, at in messages]
    return Named.model_validate({"name": "guide", "kind": "named", "messages": listed, **more})


def read(
    messages: str,
    *,
    phases: str = "{}",
    faults: str = STOP,
    thresholds: str = "{lost: ['count == 0']}",
) -> Loaded:
    text = SCENARIO.format(messages=messages, phases=phases, faults=faults, thresholds=thresholds)
    return loads(text, "s.yaml", VOCABULARY)


def refused(messages: str, **more: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        read(messages, **more)
    (line,) = str(caught.value).splitlines()
    return line


def test_one_publisher_sends_all_and_every_subscriber_hears_it() -> None:
    clients = named(("first", "steady", "0s"), subscribers=2).clients(5, anywhere, PHASES)
    assert [(one.id, one.name) for one in clients] == [
        (5, "guide-publisher-1"), (6, "guide-subscriber-1"), (7, "guide-subscriber-2"),
    ]  # fmt: skip
    assert {one.senders for one in clients[1:]} == {(5,)}
    assert clients[0].rate is None
    assert {one.subject for one in clients} == {"guide"}


def test_times_count_from_the_planned_start_of_their_phase() -> None:
    publisher = named(
        ("again", "fault", "100ms"),
        ("first", "warmup", "300ms"),
        ("again", "fault", "0s"),
        ("second", "steady", "1s"),
    ).clients(0, anywhere, PHASES)[0]
    assert publisher.due_s == (0.3, 2.0, 3.0, 3.1)
    assert publisher.texts == ("first", "second", "again", "again")


def test_of_two_messages_at_one_time_the_first_in_the_list_goes_first() -> None:
    listed = named(("b", "steady", "0s"), ("a", "steady", "0s"))
    assert listed.clients(0, anywhere, PHASES)[0].texts == ("b", "a")


def test_a_scenario_with_named_messages_comes_back_from_its_yaml(tmp_path: Path) -> None:
    scenario = read("{text: first, phase: steady, at: 500ms}, {text: '2', phase: fault}").scenario
    again = loads(dump_yaml(scenario), "s.yaml", VOCABULARY).scenario
    assert again == scenario
    addresses = dict.fromkeys(scenario.cluster.nodes, Address("127.0.0.1", 4222))
    plans = plan_workers(scenario, addresses, tmp_path, run=1, seed="")
    (publisher,) = (one for plan in plans for one in plan.clients if one.due_s)
    assert publisher.due_s == (1.5, 4.0)  # after a second of warm-up and three of steady


@pytest.mark.parametrize("phase", ["recovery", "drain"])
def test_a_phase_that_nobody_can_plan_is_refused_with_the_reason(phase: str) -> None:
    line = refused(f"{{text: a, phase: {phase}}}")
    assert f"nobody knows beforehand when {phase} begins" in line
    assert "workloads[1].messages[0].phase" in line


@pytest.mark.parametrize(
    ("message", "phases", "said"),
    [
        ("{text: a, phase: steady, at: 3s}", "{}", "phases.steady ends at 3s, and this is due"),
        ("{text: a, phase: warmup, at: 2s}", "{}", "phases.warmup ends at 1s, and this is due"),
        ("{text: a, phase: warmup}", "{warmup: 0s}", "phases.warmup has no length here"),
        ("{text: a, phase: fault, at: 5s}", "{fault: 5s}", "phases.fault ends at 5s, and"),
        ("{text: a, phase: fault, at: 3s}", "{}", "going for 3s for certain, and this message is"),
        ("{text: 1, phase: steady}", "{}", "expected text, found 1 (quote it)"),
        ("{text: '', phase: steady}", "{}", "expected text with a length of at least 1"),
        ("{text: a, phase: stedy}", "{}", "did you mean 'steady'?"),
        ("{text: a, phase: steady, when: 1s}", "{}", "unknown key"),
        ("{text: a}", "{}", "this key is missing"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(message: str, phases: str, said: str) -> None:
    line = refused(message, phases=phases)
    assert said in line
    assert "workloads[1].messages[0]" in line


@pytest.mark.parametrize(
    ("message", "phases"),
    [
        ("{text: a, phase: steady, at: 2999ms}", "{}"),
        ("{text: a, phase: fault, at: 2999ms}", "{}"),
        ("{text: a, phase: fault, at: 4s}", "{fault: 5s}"),
        ("{text: a b é, phase: fault}, {text: a b é, phase: fault}", "{}"),
    ],
)
def test_what_fits_is_accepted(message: str, phases: str) -> None:
    assert read(message, phases=phases).scenario.workload("guide").kind == "named"


@pytest.mark.parametrize("faults", ["[]", "[{name: f, action: reset}]"])
def test_without_a_fault_that_lasts_there_is_no_fault_phase(faults: str) -> None:
    line = refused("{text: a, phase: fault}", faults=faults)
    assert "there is no fault phase: the scenario has no faults that last" in line


@pytest.mark.parametrize("metric", ["outage_window", "recovery_time", "time_to_first_delivery"])
def test_what_needs_a_rate_cannot_be_asked_of_named_messages(metric: str) -> None:
    steady = "{text: a, phase: steady}"
    line = refused(steady, thresholds=f"{{'{metric}{{workload:guide}}': ['max < 1s']}}")
    assert f"{metric} needs a workload with a rate, and workload 'guide' is not one" in line
    read(steady, thresholds=f"{{{metric}: ['max < 1s']}}")  # of `hello`


def test_a_threshold_on_a_phase_without_messages_is_refused() -> None:
    threshold = "{'lost{phase:recovery,workload:guide}': ['count == 0']}"
    line = refused("{text: a, phase: steady}", thresholds=threshold)
    assert "no message is due in phase 'recovery' here, so this would always hold" in line


def test_named_messages_alone_are_doubted() -> None:
    text = SCENARIO.format(
        messages="{text: a, phase: fault}", phases="{}", faults=STOP, thresholds="{}"
    ).replace("  - {name: hello, kind: core, rate: 10/s}\n", "")
    told = " ".join(loads(text, "s.yaml", VOCABULARY).warnings)
    assert "no message is due in steady, so the run will be inconclusive" in told
    assert "no message is due in recovery, where none can be named" in told


def test_no_messages_at_all_are_refused() -> None:
    assert "workloads[1].messages: there is no message in it" in refused("")
