"""Nodes without processes whose clocks and CPU time do as told, or fail as planned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fake_nodes import FakeNode

from harness.cluster.clocks import Reading
from harness.cluster.cpus import CpuLook
from harness.errors import FaultError


@dataclass
class FakeClock:
    """A clock that is `ahead_s` ahead and told exactly to `vague_s`."""

    asked_s: float = 0.0
    ahead_s: float = 0.0
    vague_s: float = 0.001
    silent: bool = False
    does_nothing: bool = False
    never_returns: bool = False
    replaced: bool = False
    on_skew: Callable[[], None] = lambda: None

    async def read(self, limit_s: float) -> Reading:
        if self.silent:
            raise FaultError("the node does not tell its time")
        return Reading(self.ahead_s - self.vague_s / 2, self.ahead_s + self.vague_s / 2)

    async def skew(self, skew_s: float, limit_s: float) -> float:
        self.asked_s = skew_s
        if not self.does_nothing:
            self.ahead_s = skew_s
        self.on_skew()
        return 0.003

    async def restore(self, limit_s: float) -> float | None:
        if self.replaced:
            return None
        self.asked_s = 0.0
        if not self.never_returns:
            self.ahead_s = 0.0
        return 0.002


@dataclass
class FakeCpu:
    """CPU time by `mechanism`; what a look shows is as it should be, but for what is planned."""

    mechanism: str = "stop-and-go"
    cpus: float | None = None
    stopped_share: float | None = None
    quota: float | None = None
    in_group: bool = True
    used: float = 0.0
    throttled_when_looked_at: int | None = 2  # from this look on; the first is before the limit
    unlimited_when_looked_at: int | None = None  # from this look on
    never_lifts: bool = False
    looks: int = 0

    async def limit(self, cpus: float, limit_s: float) -> str:
        self.cpus = cpus
        return self.mechanism

    async def look(self, window_s: float) -> CpuLook:
        self.looks += 1
        gone = self.unlimited_when_looked_at
        if self.cpus is None or (gone is not None and self.looks >= gone):
            return CpuLook(None, window_s, self.used * window_s, 100, 0)
        if self.mechanism == "stop-and-go":
            share = 1 - self.cpus if self.stopped_share is None else self.stopped_share
            return CpuLook(self.mechanism, window_s, self.used * window_s, 100, round(100 * share))
        quota = (self.quota or self.cpus) if self.in_group else None
        since = self.throttled_when_looked_at
        throttled = 2 if since is not None and self.looks >= since else 0
        return CpuLook(self.mechanism, window_s, self.used * window_s, 100, 0, quota, 6, throttled)

    async def lift(self, limit_s: float) -> None:
        if not self.never_lifts:
            self.cpus = None


@dataclass
class FakeProcessNode(FakeNode):
    clock: FakeClock = field(default_factory=FakeClock)
    cpu: FakeCpu = field(default_factory=FakeCpu)
