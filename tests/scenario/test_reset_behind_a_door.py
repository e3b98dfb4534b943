"""A reset is proven by new connections, which a door that is shut takes from nobody."""

from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.scenario.load import loads
from harness.vocabulary import VOCABULARY

TEXT = """\
name: x
cluster: {{servers: 3}}
workloads: [{{name: hello, kind: core, rate: 100/s}}]
phases: {{{phases}}}
faults:
  - {{name: shut, action: refuse, {refuse}}}
  - {{name: cut, action: reset, {reset}}}
"""


def problems(refuse: str, reset: str, phases: str = "") -> list[str]:
    try:
        loads(TEXT.format(refuse=refuse, reset=reset, phases=phases), "s.yaml", VOCABULARY)
    except ScenarioError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize(
    ("refuse", "reset", "where"),
    [
        ("between: clients, duration: 1s", "between: clients, at: 500ms", "n1"),
        ("duration: 1s", "between: servers, at: 500ms", "n1"),
        ("between: clients, duration: 1s", "at: 500ms", "n1"),
        ("target: all, duration: 1s", "target: n2, at: 1ms", "n2"),
        ("target: majority, duration: 1s", "target: majority, at: 500ms", "at least one of"),
        ("duration: 1s, repeat_every: 2s, times: 3", "at: 4500ms", "n1"),
    ],
)
def test_a_reset_of_what_is_refused_is_refused(refuse: str, reset: str, where: str) -> None:
    (line,) = problems(refuse, reset)
    assert line.startswith("s.yaml:7:")
    assert f"faults[1].at: 'cut' is proven by new connections to {where}" in line
    assert "refuses until" in line


def test_a_door_that_is_shut_to_the_end_of_the_phase_is_one_as_well() -> None:
    (line,) = problems("at: 0s", "at: 5s", "fault: 9s")
    assert line.endswith(
        "'cut' is proven by new connections to n1, which 'shut' refuses; leave a gap"
    )


def test_a_reset_that_occurs_again_and_again_is_told_of_once() -> None:
    assert len(problems("duration: 9s", "at: 500ms, repeat_every: 1s, times: 5")) == 1


@pytest.mark.parametrize(
    ("refuse", "reset"),
    [
        ("between: clients, duration: 1s", "between: servers, at: 500ms"),
        ("between: servers, duration: 1s", "between: clients, at: 500ms"),
        ("target: n1, duration: 1s", "target: n2, at: 500ms"),
        ("target: one, duration: 1s", "target: one, at: 500ms"),
        ("target: 'attached:hello', duration: 1s", "target: n1, at: 500ms"),
        ("at: 1s, duration: 1s", "at: 500ms"),
        ("duration: 1s", "at: 1s"),
        ("duration: 1s, repeat_every: 2s, times: 3", "at: 1500ms, repeat_every: 2s, times: 2"),
    ],
)
def test_a_reset_that_may_be_proven_is_accepted(refuse: str, reset: str) -> None:
    assert problems(refuse, reset) == []
