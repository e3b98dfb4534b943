"""What is known of a run at a moment, gathered from its events; nothing here is ever judged."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.clock import NS_PER_S
from harness.scenario.model import Scenario
from harness.scenario.schedule import FAULT_EDGE_S
from harness.scenario.stream_rules import needs_observer
from harness.units import parse_duration

WINDOW_NS = NS_PER_S  # rates are over the last second
_BACK = frozenset({"client.connected", "client.reconnected"})
_AWAY = frozenset({"client.sign", "client.disconnected", "client.closed"})
_STATES = {
    "fault.inject_started": "injecting",
    "fault.injected": "holding",
    "fault.heal_started": "healing",
    "fault.healed": "healed",
}
_SERVERS = {
    "server.started": "up",
    "server.sampled": "up",
    "server.reachable": "up",
    "server.replaced": "up",
    "server.unanswered": "silent",
    "server.unreachable": "silent",
    "server.exited": "down",
}


@dataclass
class FaultPicture:
    """A fault: as it was planned (seconds after the faults' zero), and how far it is.

    `hold_s` is None where the fault itself or the phase decides. `state` is scheduled,
    injecting, holding, healing, healed or failed; `since_ns` is when that began.
    """

    name: str
    action: str
    targets: str
    at_s: float
    hold_s: float | None
    state: str = "scheduled"
    since_ns: int = 0
    trouble: str = ""


@dataclass
class Counts:
    """What one worker counted, lately: (when, its figures), the oldest first."""

    samples: deque[tuple[int, Mapping[str, Any]]] = field(default_factory=deque)

    def take(self, at_ns: int, figures: Mapping[str, Any]) -> None:
        """Add what it counted up to a moment."""
        self.samples.append((at_ns, figures))
        while len(self.samples) > 2 and self.samples[1][0] <= at_ns - WINDOW_NS:  # noqa: PLR2004 - a rate needs two
            self.samples.popleft()

    def total(self, name: str) -> int:
        """Return how many there were."""
        return int(self.samples[-1][1][name]) if self.samples else 0

    def rate(self, name: str) -> float:
        """Return how many a second there were lately."""
        (from_ns, before), (to_ns, now) = self.samples[0], self.samples[-1]
        took_ns = to_ns - from_ns
        return (now[name] - before[name]) * NS_PER_S / took_ns if took_ns > 0 else 0.0


@dataclass
class Picture:
    """The state of a run; `take` changes it, one event after the other."""

    scenario: Scenario
    zero_ns: int | None = None
    iteration: int = 0
    phase: str = ""
    phase_ns: int = 0
    interrupted: str = ""
    faults: dict[str, FaultPicture] = field(default_factory=dict)
    clients: tuple[str, ...] = ()
    connected: set[str] = field(default_factory=set)
    away: dict[str, int] = field(default_factory=dict)
    gave_up: set[str] = field(default_factory=set)
    servers: dict[str, str] = field(default_factory=dict)
    leaders: dict[str, dict[str, str | None]] = field(default_factory=dict)
    workers: dict[str, Counts] = field(default_factory=dict)

    def take(self, kind: str, at_ns: int, facts: Mapping[str, Any]) -> None:
        """Take one event in; those that show nothing here change nothing."""
        if kind in _SERVERS:
            self._take_server(facts["node"], _SERVERS[kind])
        elif kind in _BACK or kind in _AWAY:
            self._take_client(kind, at_ns, facts["client"])
        elif kind == "fault.failed" or kind in _STATES:
            self._take_fault(kind, at_ns, facts)
        elif kind == "worker.stats":
            self.workers.setdefault(facts["worker"], Counts()).take(at_ns, facts)
        elif kind == "jetstream.leader":
            self._take_leader(facts)
        else:
            self._take_stage(kind, at_ns, facts)

    def _take_stage(self, kind: str, at_ns: int, facts: Mapping[str, Any]) -> None:
        if kind == "run.started":
            self.zero_ns = at_ns
        elif kind == "faults.scheduled":
            self._begin(facts["steps"])
        elif kind == "phase.started":
            self.phase, self.phase_ns = facts["phase"], at_ns
        elif kind == "run.interrupted":
            self.interrupted = str(facts["by"])
        elif kind == "load.planned":
            self.clients = tuple(one["name"] for one in facts["clients"])

    @property
    def phases(self) -> tuple[str, ...]:
        """Return the phases of an iteration, in their order."""
        audit = ("audit",) if needs_observer(self.scenario) else ()
        return ("setup", "warmup", "steady", "fault", "recovery", "drain", *audit, "collect")

    def fault_zero_ns(self) -> int | None:
        """Return from when on the times of faults count, as far as that is known by now."""
        phases = self.scenario.phases
        ahead = {"warmup": phases.warmup + phases.steady, "steady": phases.steady, "fault": 0.0}
        if self.phase not in ahead:
            return None
        edge_s = FAULT_EDGE_S if self.faults else 0.0
        return self.phase_ns + round((ahead[self.phase] + edge_s) * NS_PER_S)

    def phase_length_s(self) -> float | None:
        """Return how long this phase is to last, at most for a drain; None: by event."""
        phases = self.scenario.phases
        if self.phase == "fault":
            if phases.fault is not None:
                return phases.fault + (FAULT_EDGE_S if self.faults else 0.0)
            ends = [one.at_s + (one.hold_s or 0.0) for one in self.faults.values()]
            return FAULT_EDGE_S + max(ends) if ends else 0.0
        if self.phase in ("warmup", "steady", "recovery", "drain"):
            return float(getattr(phases, self.phase))
        return None

    def heal_ns(self, fault: FaultPicture) -> int | None:
        """Return when a fault that is held is to be healed; None: not known."""
        if fault.state != "holding" or fault.hold_s is None:
            return None
        return fault.since_ns + round(fault.hold_s * NS_PER_S)

    def total(self, name: str) -> int:
        """Return a count over all workers."""
        return sum(one.total(name) for one in self.workers.values())

    def rate(self, name: str) -> float:
        """Return how much a second a count grew lately, over all workers."""
        return sum(one.rate(name) for one in self.workers.values())

    def unknown(self) -> int:
        """Return how many messages have ended, and nobody knows how."""
        ended = self.total("attempted") - self.total("in_flight")
        return max(0, ended - self.total("accepted") - self.total("refused"))

    def _begin(self, steps: list[Mapping[str, Any]]) -> None:
        """Begin an iteration: a fresh cluster, fresh clients."""
        self.iteration += 1
        self.phase = ""
        self.connected, self.away, self.gave_up = set(), {}, set()
        self.servers, self.leaders, self.workers = {}, {}, {}
        self.faults = {step["name"]: _plan(step) for step in steps}

    def _take_server(self, node: str, state: str) -> None:
        self.servers[node] = state
        if state != "up":  # it says who leads again once it answers
            for said in self.leaders.values():
                said.pop(node, None)

    def _take_client(self, kind: str, at_ns: int, name: str) -> None:
        if kind in _BACK:
            self.connected.add(name)
            self.away.pop(name, None)
        elif self.phase not in ("drain", "audit", "collect"):
            self.connected.discard(name)
            self.away.setdefault(name, at_ns)
            if kind == "client.closed":
                self.gave_up.add(name)

    def _take_fault(self, kind: str, at_ns: int, facts: Mapping[str, Any]) -> None:
        fault = self.faults.get(facts["fault"])
        if fault is None:
            return
        if kind == "fault.failed":
            fault.trouble = str(facts["message"])
            if facts.get("edge") == "held":
                return  # it is healed at its time all the same
            fault.state = "failed"
        else:
            fault.state = _STATES[kind]
            fault.targets = ", ".join(facts["targets"])
        fault.since_ns = at_ns

    def _take_leader(self, facts: Mapping[str, Any]) -> None:
        said = self.leaders.setdefault(facts["group"], {})
        if facts.get("gone"):
            said.pop(facts["node"], None)
        else:
            said[facts["node"]] = facts["leader"]


def _plan(step: Mapping[str, Any]) -> FaultPicture:
    target = step.get("target", "")
    targets = target if isinstance(target, str) else ", ".join(map(str, target))
    hold_s = parse_duration(step["duration"]) if "duration" in step else None
    return FaultPicture(step["name"], step["action"], targets, parse_duration(step["at"]), hold_s)
