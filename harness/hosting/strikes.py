"""Faults that last as long as somebody wants: struck, held and healed when asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

import anyio

from harness.clock import now_ns, to_ns
from harness.cluster.protocols import Cluster
from harness.errors import FaultError, HarnessError, leading_error
from harness.faults.base import Fault
from harness.injection import Claim, Injection

_PROOF = ("fault.hit", "fault.observed", "fault.failed")


class Answer(Protocol):
    """Answer a request, once."""

    async def __call__(
        self, number: int, result: Any = None, error: HarnessError | None = None
    ) -> None:
        """Send the result, or the error."""


@dataclass
class Strikes:
    """The faults of a cluster, each by the number of the request that asked for it."""

    cluster: Cluster
    seed: int
    answer: Answer
    _held: dict[int, _Held] = field(default_factory=dict, init=False)
    _claims: dict[str, Claim] = field(default_factory=dict, init=False)
    _proof: dict[str, list[dict[str, Any]]] = field(default_factory=dict, init=False)

    def note(self, kind: str, facts: dict[str, Any]) -> None:
        """Keep an event if it is proof of a fault that lasts."""
        if kind in _PROOF and (kept := self._proof.get(str(facts["fault"]))) is not None:
            kept.append({"kind": kind.removeprefix("fault."), **facts})

    async def strike(self, number: int, fault: Fault) -> None:
        """Inject the fault, answer, wait until it is to be healed, heal it and answer again."""
        held = self._held[number] = _Held(number)
        proof: list[dict[str, Any]] = []
        self._proof[fault.name] = proof
        error: HarnessError | None = None
        try:
            with held.scope:
                await self._hold(held, fault, proof)
        except (HarnessError, BaseExceptionGroup) as raised:
            leading = leading_error(raised)
            if not isinstance(leading, HarnessError):
                raise
            error = leading
        if error is None and held.scope.cancelled_caught and not held.effective:
            error = FaultError("healed before it had taken effect")
        held.over, held.error = True, error
        if held.asked:
            del self._held[number]
        for asked in held.asked:
            await self.answer(asked, {"proof": list(proof)}, error)

    async def heal(self, number: int, asked: int) -> None:
        """Have a fault healed; the answer to the request `asked` comes when it is."""
        held = self._held.get(number)
        if held is None:
            await self.answer(asked, {"proof": []})
        elif held.over:
            del self._held[number]
            await self.answer(asked, {"proof": []}, held.error)
        else:
            held.asked.append(asked)
            if held.effective:
                held.healed.set()
            else:
                held.scope.cancel()

    async def _hold(self, held: _Held, fault: Fault, proof: list[dict[str, Any]]) -> None:
        injection = Injection(
            fault,
            self.cluster,
            _nobody_knows,
            Random(f"{self.seed}/{fault.name}"),
            zero_ns=now_ns(),
            phase_s=None,
            claims=self._claims,
        )
        async with injection.injected(now_ns() + to_ns(fault.lead_s)) as strike:
            held.effective = True
            targets = [node.name for node in strike.nodes]
            held.asked.remove(held.number)  # a heal that came at this very moment waits on
            await self.answer(held.number, {"targets": targets, "proof": list(proof)})
            await held.healed.wait()
            if fault.self_timed:
                await fault.hold(strike, 0.0)
            missed = await injection.look_again(strike)
        if missed is not None:
            raise missed


@dataclass
class _Held:
    """A fault that lasts; `asked` are the requests that wait for what becomes of it."""

    number: int
    asked: list[int] = field(init=False)
    effective: bool = False
    over: bool = False
    error: HarnessError | None = None
    healed: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def __post_init__(self) -> None:
        self.asked = [self.number]


def _nobody_knows(workload: str, role: str | None) -> frozenset[str]:
    del role
    raise FaultError(f"attached:{workload}: nobody knows here where those clients are connected")
