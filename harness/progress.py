"""Tell people what is happening, as it happens: one plain line for what matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.clock import now_ns, seconds
from harness.scenario.model import Scenario
from harness.scenario.schedule import family
from harness.units import human_duration

Line = Callable[[Mapping[str, Any]], str]


def _step_line(step: Mapping[str, Any]) -> str:
    """Return a plain step for people, such as ``storm.1: kill n2 at 1.5s for 800ms``."""
    target = step.get("target", ())
    nodes = target if isinstance(target, str) else ", ".join(target)
    held = f" for {step['duration']}" if "duration" in step else ""
    keys = {key: one for key, one in step.items() if key not in SAID}
    rest = "".join(f", {key} {_value(one)}" for key, one in keys.items())
    return f"{step['name']}: {step['action']} {nodes} at {step['at']}{held}{rest}"


def _value(value: Any) -> str:
    return f"[{', '.join(map(_value, value))}]" if isinstance(value, list | tuple) else str(value)


def _count(names: Sequence[str]) -> Iterator[str]:
    """Yield the names of faults, those of one step together with how many there are."""
    groups = Counter(family(name) or name for name in names)
    for name, count in groups.items():
        yield name if name in names else f"{name} ({count})"


def _nodes(facts: Mapping[str, Any]) -> str:
    return ", ".join(facts["targets"])


def _late(facts: Mapping[str, Any]) -> str:
    if not facts.get("waited_for"):
        return ""
    late = human_duration(facts["late_s"])
    return f", {late} late: {', '.join(facts['waited_for'])} had to be healed first"


LINES: Mapping[str, Line] = MappingProxyType(
    {
        "cluster.formed": lambda facts: f"cluster formed in {human_duration(facts['took_s'])}",
        "proxies.started": lambda facts: (
            f"clients reach {', '.join(facts['nodes'])} through proxies, which adds latency"
        ),
        "fault.inject_started": lambda facts: (
            f"{facts['fault']}: {facts['action']} {_nodes(facts)}{_late(facts)}"
        ),
        "fault.injected": lambda facts: f"{facts['fault']}: effect observed",
        "fault.heal_started": lambda facts: f"{facts['fault']}: healing",
        "fault.healed": lambda facts: f"{facts['fault']}: healed",
        "fault.failed": lambda facts: f"{facts['fault']} FAILED: {facts['message']}",
        "server.replaced": lambda facts: f"{facts['node']} was restarted",
        "server.unreachable": lambda facts: f"{facts['node']} does not answer: {facts['why']}",
        "server.reachable": lambda facts: f"{facts['node']} answers again",
        "client.sign": lambda facts: f"{facts['client']} noticed: {facts['sign']}",
        "client.reconnected": lambda facts: f"{facts['client']} is back on {facts['server']}",
        "client.closed": lambda facts: f"{facts['client']} gave up",
        "worker.lost": lambda facts: f"worker {facts['worker']} ended early",
        "run.left_behind": lambda facts: f"left behind: {facts['message']}",
        "run.failed": lambda facts: f"the run broke off: {facts['message']}",
        "run.interrupted": lambda facts: f"interrupted by {facts['by']}; stopping and reporting",
    }
)
SAID = ("name", "action", "target", "at", "duration")
LOUD = frozenset(
    {
        "fault.failed",
        "worker.lost",
        "run.failed",
        "run.interrupted",
        "run.left_behind",
        "client.closed",
    }
)


@dataclass
class Narrator:
    """Print the events of a run that a person waits for, each with its time, in order of time.

    A phase's line says how long it will last, so that a wait is never a riddle.
    """

    scenario: Scenario
    console: Console
    quiet: bool = False
    _zero_ns: int | None = field(default=None, init=False)
    _ahead: list[tuple[int, Text]] = field(default_factory=list, init=False)
    _scheduled: tuple[str, ...] = field(default=(), init=False)

    def __call__(self, kind: str, at_ns: int, facts: Mapping[str, Any]) -> None:
        """Print the event's line, if it has one."""
        for line in self.lines(kind, at_ns, facts):
            self.console.print(line, soft_wrap=True)

    def lines(self, kind: str, at_ns: int, facts: Mapping[str, Any]) -> Iterator[Text]:
        """Yield the lines of an event, mostly one or none; tell it every event, in order.

        What is told before its time, such as a fault that is aimed early, is held until then.
        """
        while self._ahead and self._ahead[0][0] <= at_ns:
            yield self._ahead.pop(0)[1]
        if kind == "run.started":
            self._zero_ns = at_ns
        if self.quiet and kind not in LOUD:
            return
        elapsed = seconds(at_ns - (self._zero_ns or at_ns))
        style = "bold red" if kind in LOUD else ("bold" if kind.startswith("phase.") else "")
        for text in self._texts(kind, facts):
            line = Text(f"{elapsed:7.2f}s  ", style="dim").append(text, style=style)
            if at_ns <= now_ns():
                yield line
            else:
                self._ahead.append((at_ns, line))
                self._ahead.sort(key=itemgetter(0))

    def _texts(self, kind: str, facts: Mapping[str, Any]) -> Iterator[str]:
        if kind == "phase.started":
            yield self._phase_line(facts["phase"])
        elif kind == "faults.scheduled":
            self._scheduled = tuple(step["name"] for step in facts["steps"])
            if facts["drawn"]:
                yield f"drawn from the seed, {len(facts['steps'])} faults:"
                yield from (f"  {_step_line(step)}" for step in facts["steps"])
        elif kind in LINES:
            yield LINES[kind](facts)

    def _phase_line(self, phase: str) -> str:
        phases = self.scenario.phases
        if phase == "fault":
            return f"fault phase: {', '.join(_count(self._scheduled)) or 'none'}"
        if phase in ("warmup", "steady", "recovery"):
            return f"{phase} for {human_duration(getattr(phases, phase))}"
        if phase == "drain":
            return f"drain, up to {human_duration(phases.drain)}"
        return {"setup": "starting servers and clients", "collect": "collecting"}.get(phase, phase)
