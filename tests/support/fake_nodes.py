"""Nodes without servers: they do what they are told, or fail as planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.clock import now_ns
from harness.cluster.protocols import Address, Endpoints, Exit
from harness.errors import FaultError

ANYWHERE = Address("127.0.0.1", 1)


@dataclass
class FakeNode:
    name: str
    diary: list[str]
    running: bool = True
    answers_when_paused: bool = False
    accepts_when_lame: bool = False
    never_healthy: bool = False
    will_not_stop: bool = False
    crashes: bool = False
    frozen: bool = False
    lame: bool = False
    version: str = "2.15.1"
    stop_signal: str = "SIGTERM"
    store: Path | None = None
    refuses: str | None = None
    refused: str | None = None
    endpoints: Endpoints = field(default=Endpoints(ANYWHERE, ANYWHERE, ANYWHERE))

    def note(self, what: str) -> None:
        self.diary.append(f"{self.name} {what}")

    async def start(self) -> None:
        self.note("start")
        self.running, self.lame = True, False

    async def wait_healthy(self, limit_s: float) -> None:
        if self.never_healthy:
            raise FaultError(f"{self.name} is not healthy after {limit_s:g} s")
        self.note("healthy")

    async def try_start(self, limit_s: float, *, may_refuse: bool = False) -> str | None:
        if self.refuses is not None:
            self.note("refuse")
            self.refused = self.refuses if may_refuse else None
            return self.refuses
        await self.start()
        await self.wait_healthy(limit_s)
        return None

    async def change_release(self, version: str) -> str:
        self.note(f"become {version}")
        self.version = version
        return version

    async def stop(self, limit_s: float) -> Exit:
        if self.will_not_stop:
            raise FaultError(f"{self.name} has not ended after {limit_s:g} s")
        self.note("stop")
        self.running = False
        return Exit(1, 0)

    async def kill(self, limit_s: float) -> Exit:
        self.note("kill")
        self.running = False
        return Exit(1, -9)

    async def pause(self, limit_s: float) -> None:
        self.note("pause")
        self.frozen = True

    async def resume(self, limit_s: float) -> None:
        self.note("resume")
        self.frozen = False

    async def disconnect(self, limit_s: float) -> str:
        self.note("disconnect")
        self.frozen = True
        return "on no network"

    async def connected(self, limit_s: float) -> bool:
        return not self.frozen

    async def connect(self, limit_s: float) -> str:
        self.note("connect")
        self.frozen = False
        return "on its network"

    async def lame_duck(self) -> None:
        self.note("lame duck")
        self.lame = True

    async def wait_exit(self, limit_s: float) -> Exit:
        self.note("exit")
        self.running = False
        if self.crashes:
            raise FaultError(f"{self.name} was ended by SIGSEGV, as no server does on SIGUSR2")
        return Exit(1, 0)

    async def responds(self, limit_s: float) -> bool:
        return not self.frozen or self.answers_when_paused

    async def accepts_clients(self, limit_s: float) -> bool:
        return not self.lame or self.accepts_when_lame

    def expect_exit(self) -> None:
        self.note("expects exit")


@dataclass
class Events:
    kinds: list[str] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    at_ns: list[int] = field(default_factory=list)

    def __call__(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        self.kinds.append(kind)
        self.at_ns.append(now_ns() if at_ns is None else at_ns)
        self.facts.append(facts)

    def proofs(self, edge: str) -> list[str]:
        return [
            f"{fact['node']}: {fact['what']}"
            for fact in self.facts
            if fact.get("edge") == edge and "what" in fact
        ]
