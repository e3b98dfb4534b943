"""A small vocabulary of its own, so that these tests stand without faults and workloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import pytest

from harness.errors import ScenarioError
from harness.scenario.load import Loaded, loads
from harness.scenario.model import FaultStep, WorkloadSpec
from harness.scenario.quantities import Clients, Duration, Rate, Size
from harness.scenario.vocabulary import Vocabulary

GOOD = """\
name: seed-failover
description: Stop the seed.
seed: 42
repeat: 1
cluster:
  servers: 3
  version: bundled
  jetstream: false
  config: {max_payload: 1048576}
client:
  adapter: nats-py
  servers: [n1]
  options: {ping_interval: 1s, max_outstanding_pings: 2, reconnect_time_wait: 250ms}
workloads:
  - {name: hello, kind: core, publishers: 2, subscribers: 2, rate: 500/s, payload: 256B,
     attach: {publishers: n1, subscribers: spread}}
phases: {warmup: 1s, steady: 3s, recovery: 5s, drain: 2s}
faults:
  - {name: stop-seed, action: stop, target: seed, at: 0s, duration: 4s}
thresholds:
  failover_time: ["p99 < 3s", "censored == 0"]
  lost: ["ratio < 1%"]
  "lost{phase:steady}": ["count == 0"]
"""


class Core(WorkloadSpec):
    """Publishers and subscribers."""

    roles: ClassVar[tuple[str, ...]] = ("publishers", "subscribers")

    kind: Literal["core"] = "core"
    publishers: Clients = 1
    subscribers: Clients = 1
    rate: Rate
    payload: Size = 128
    subject: str | None = None

    @property
    def deliveries(self) -> int:
        return self.subscribers


class Request(WorkloadSpec):
    """Requesters and responders."""

    roles: ClassVar[tuple[str, ...]] = ("requesters", "responders")

    kind: Literal["request"] = "request"
    rate: Rate
    timeout: Duration = 1.0


class Stop(FaultStep):
    """Stop servers."""

    action: Literal["stop"] = "stop"
    duration: Duration | None = 4.0


class Pause(FaultStep):
    """Freeze servers."""

    silent: ClassVar[bool] = True

    action: Literal["pause"] = "pause"


class LameDuck(FaultStep):
    """Ask servers to leave."""

    self_timed: ClassVar[bool] = True

    action: Literal["lame-duck"] = "lame-duck"


class RollingRestart(FaultStep):
    """Restart servers one after the other."""

    self_timed: ClassVar[bool] = True

    action: Literal["rolling-restart"] = "rolling-restart"


class Delay(FaultStep):
    """Slow the network, which leaves the processes alone."""

    action: Literal["delay"] = "delay"
    by: Duration


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary(
        faults={
            "stop": Stop,
            "pause": Pause,
            "lame-duck": LameDuck,
            "rolling-restart": RollingRestart,
            "delay": Delay,
        },
        workloads={"core": Core, "request": Request},
    )


@pytest.fixture(scope="session")
def good() -> str:
    return GOOD


@pytest.fixture(scope="session")
def read(vocabulary: Vocabulary) -> Callable[[str], Loaded]:
    return lambda text: loads(text, "s.yaml", vocabulary)


@pytest.fixture(scope="session")
def refusals(vocabulary: Vocabulary) -> Callable[[str], list[str]]:
    """Return the lines a text is refused with; none when it is not refused."""

    def refuse(text: str) -> list[str]:
        try:
            loads(text, "s.yaml", vocabulary)
        except ScenarioError as error:
            return str(error).splitlines()
        return []

    return refuse


@pytest.fixture(scope="session")
def edited(good: str) -> Callable[..., str]:
    """Return the good scenario with each (old, new) pair replaced once."""

    def edit(*pairs: tuple[str, str]) -> str:
        text = good
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new, 1)
        return text

    return edit
