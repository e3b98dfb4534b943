"""What is run to learn who notices what: one scenario for each fault and kind of options."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

SEED = "n1"
FAULT = "strike"
ACTIONS = ("stop", "kill", "pause", "partition", "reset", "lame-duck")
OPTIONS = ("default", "tuned")
SILENT = frozenset({"pause", "partition"})
# Long enough for nats-py's pings (2 min, 2 outstanding: up to 6 min) and for the servers'
# (to clients the same, to each other 30 s, 2 outstanding: up to 2 min).
HOLD_S = {"default": 370.0, "tuned": 12.0}
DOWN_S = 2.0
CLIENT_TUNED = {
    "ping_interval": "1s",
    "max_outstanding_pings": 2,
    "reconnect_time_wait": "250ms",
}
SERVER_TUNED = {
    "ping_interval": "2s",
    "ping_max": 2,
    "cluster": {"ping_interval": "2s", "ping_max": 2},
}


@dataclass(frozen=True)
class Case:
    """A fault that strikes the seed, which both clients are connected to."""

    action: str
    options: str

    @property
    def name(self) -> str:
        """Return its name, which is also that of its scenario."""
        return f"notice-{self.action}-{self.options}"

    @property
    def idle(self) -> bool:
        """Tell whether a run takes long and has nothing to do for nearly all of it."""
        return self.action in SILENT

    @property
    def _spread_ms(self) -> int:
        """Return the longest ping interval in the game, or that of the looks."""
        if not self.idle:
            return 250
        return 120_000 if self.options == "default" else 2_000

    def scenario(self, run: int) -> dict[str, Any]:
        """Return the scenario of run number `run`.

        The fault comes at another time in each: who finds it by pings does so sooner when
        the next one is due soon, and servers are looked at only now and then.
        """
        tuned = self.options == "tuned"
        steady_ms = 1500 + Random(f"{self.name}/{run}").randrange(self._spread_ms)
        return {
            "name": self.name,
            "seed": run,
            "cluster": {"servers": 3, "config": SERVER_TUNED if tuned else {}},
            "client": {"options": CLIENT_TUNED if tuned else {}},
            "workloads": [
                {
                    "name": "hello",
                    "kind": "core",
                    "publishers": 1,
                    "subscribers": 1,
                    "rate": "5/s" if self.idle else "500/s",
                    "attach": {"publishers": SEED, "subscribers": SEED},
                }
            ],
            "phases": {
                "warmup": "500ms",
                "steady": f"{steady_ms}ms",
                "recovery": "1500ms",
                "drain": "2s",
            },
            "faults": [self._step()],
        }

    def _step(self) -> dict[str, Any]:
        step: dict[str, Any] = {"name": FAULT, "action": self.action, "target": SEED}
        if self.action in SILENT:
            step["duration"] = f"{HOLD_S[self.options]:g}s"
        elif self.action in ("stop", "kill"):
            step["duration"] = f"{DOWN_S:g}s"
        return step
