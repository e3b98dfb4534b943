"""Tell people what is happening, as it happens: one plain line for what matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.clock import seconds
from harness.scenario.model import Scenario
from harness.units import human_duration

Line = Callable[[Mapping[str, Any]], str]


def _nodes(facts: Mapping[str, Any]) -> str:
    return ", ".join(facts["targets"])


LINES: Mapping[str, Line] = MappingProxyType(
    {
        "cluster.formed": lambda facts: f"cluster formed in {human_duration(facts['took_s'])}",
        "fault.inject_started": lambda facts: (
            f"{facts['fault']}: {facts['action']} {_nodes(facts)}"
        ),
        "fault.injected": lambda facts: f"{facts['fault']}: effect observed",
        "fault.heal_started": lambda facts: f"{facts['fault']}: healing",
        "fault.healed": lambda facts: f"{facts['fault']}: healed",
        "fault.failed": lambda facts: f"{facts['fault']} FAILED: {facts['message']}",
        "client.sign": lambda facts: f"{facts['client']} noticed: {facts['sign']}",
        "client.reconnected": lambda facts: f"{facts['client']} is back on {facts['server']}",
        "client.closed": lambda facts: f"{facts['client']} gave up",
        "worker.lost": lambda facts: f"worker {facts['worker']} ended early",
        "run.failed": lambda facts: f"the run broke off: {facts['message']}",
        "run.interrupted": lambda facts: f"interrupted by {facts['by']}; stopping and reporting",
    }
)
LOUD = frozenset({"fault.failed", "worker.lost", "run.failed", "run.interrupted", "client.closed"})


@dataclass
class Narrator:
    """Print the events of a run that a person waits for, each with its time in the run.

    A phase's line says how long it will last, so that a wait is never a riddle.
    """

    scenario: Scenario
    console: Console
    quiet: bool = False
    _zero_ns: int | None = field(default=None, init=False)

    def __call__(self, kind: str, at_ns: int, facts: Mapping[str, Any]) -> None:
        """Print the event's line, if it has one."""
        if kind == "run.started":
            self._zero_ns = at_ns
        if self.quiet and kind not in LOUD:
            return
        if kind == "phase.started":
            text = self._phase_line(facts["phase"])
        elif kind in LINES:
            text = LINES[kind](facts)
        else:
            return
        elapsed = seconds(at_ns - (self._zero_ns or at_ns))
        line = Text(f"{elapsed:7.2f}s  ", style="dim")
        style = "bold red" if kind in LOUD else ("bold" if kind.startswith("phase.") else "")
        self.console.print(line.append(text, style=style), soft_wrap=True)

    def _phase_line(self, phase: str) -> str:
        phases = self.scenario.phases
        if phase == "fault":
            names = ", ".join(fault.name for fault in self.scenario.faults)
            return f"fault phase: {names or 'none'}"
        if phase in ("warmup", "steady", "recovery"):
            return f"{phase} for {human_duration(getattr(phases, phase))}"
        if phase == "drain":
            return f"drain, up to {human_duration(phases.drain)}"
        return {"setup": "starting servers and clients", "collect": "collecting"}.get(phase, phase)
