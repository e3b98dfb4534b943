"""Faults as a user puts them upon a hosted cluster: each is a block that it lasts for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol, Self

import anyio.to_thread

from harness.errors import HarnessError, UsageError
from harness.faults import FAULTS
from harness.hosting.block import Block
from harness.hosting.plan import FaultCall, Plan, require_method
from harness.hosting.remote import Remote, Reply, outcome
from harness.scopes import in_thread


class Host(Protocol):
    """A cluster that is hosted."""

    @property
    def plan(self) -> Plan:
        """Return what it was asked to be."""

    @property
    def remote(self) -> Remote:
        """Return who is told what to do."""


@dataclass(frozen=True)
class Proof:
    """One thing that was seen of a fault.

    `kind` is ``hit`` (how it struck), ``effect``, ``held`` (the effect, seen once more right
    before the undo), ``undo`` or ``failed``.
    """

    kind: str
    node: str | None
    what: str


@dataclass
class ActiveFault(Block):
    """A fault for as long as a block lasts: ``with`` it, or ``async with`` it.

    On entry its effect has been observed, on leaving its undo; FaultError when either could
    not be, or when the effect had gone before the block was left.
    """

    call: FaultCall
    _host: Host = field(repr=False)
    targets: tuple[str, ...] = ()
    proof: tuple[Proof, ...] = ()
    used: bool = False
    _number: int = field(default=0, repr=False)

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        answer = self._inject()
        try:
            self._take_in(outcome(answer))
        except HarnessError:
            raise
        except BaseException:
            self._heal().exception()
            raise
        return self

    async def __aenter__(self) -> Self:
        __tracebackhide__ = True
        answer = self._inject()
        try:
            self._take_in(await _awaited(answer))
        except HarnessError:
            raise
        except BaseException:
            await in_thread(self._heal().exception)
            raise
        return self

    def _leave(self, error: BaseException | None) -> None:
        __tracebackhide__ = True
        self._take_in(outcome(self._heal()))
        del error

    def _inject(self) -> Future[Reply]:
        if self.used:
            raise UsageError(f"{self.call.spoken}: a fault is entered once; make another one")
        self.used = True
        call = self.call
        self._number, answer = self._host.remote.ask(
            "inject", method=call.method, number=call.number, options=dict(call.options)
        )
        return answer

    def _heal(self) -> Future[Reply]:
        return self._host.remote.ask("heal", strike=self._number)[1]

    def _take_in(self, said: Reply) -> None:
        self.targets = tuple(said.get("targets", self.targets))
        self.proof = tuple(_read(one) for one in said["proof"])


class Faults:
    """The faults of scenarios, by their names in snake_case: `stop`, `lame_duck`, ...

    Each takes a target as a scenario has it, by default the fault's own, and its other keys
    by name; the block that it is entered for stands for ``at`` and ``duration``.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._numbers = count(1)
        self._unused: list[ActiveFault] = []

    def __dir__(self) -> list[str]:
        return sorted(action.replace("-", "_") for action in FAULTS)

    def __getattr__(self, name: str) -> Callable[..., ActiveFault]:
        if name.startswith("_"):
            raise AttributeError(name)
        require_method(name)

        def make(target: str | Sequence[str] | None = None, /, **options: Any) -> ActiveFault:
            __tracebackhide__ = True
            return self._make(name, target, options)

        return make

    def require_used(self) -> None:
        """Raise UsageError when a fault was made and never entered: then nothing happened."""
        __tracebackhide__ = True
        unused = [fault for fault in self._unused if not fault.used]
        self.forget_unused()
        if unused:
            spoken = unused[0].call.spoken
            raise UsageError(
                f"{spoken} was called and nothing happened: a fault lasts as long as a block, so "
                f"enter it: with {spoken}(...):"
            )

    def forget_unused(self) -> None:
        """Let go of the faults that were made until now, entered or not."""
        self._unused.clear()

    def _make(
        self, name: str, target: str | Sequence[str] | None, options: dict[str, Any]
    ) -> ActiveFault:
        __tracebackhide__ = True
        if target is not None:
            if "target" in options:
                raise UsageError(f"faults.{name}: the target is given twice")
            options = {"target": target if isinstance(target, str) else list(target), **options}
        call = FaultCall(name, next(self._numbers), options)
        self._host.plan.fault(call)
        made = ActiveFault(call, self._host)
        self._unused.append(made)
        return made


async def _awaited(answer: Future[Reply]) -> Reply:
    __tracebackhide__ = True
    await anyio.to_thread.run_sync(answer.exception, abandon_on_cancel=True)
    return outcome(answer)


def _read(facts: dict[str, Any]) -> Proof:
    kind = facts["kind"]
    if kind == "observed":
        kind = facts["edge"]
    what = facts.get("how") or facts.get("what") or facts.get("message")
    return Proof(kind, facts.get("node"), str(what))
