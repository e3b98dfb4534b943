"""Command: whatever the user's own commands do, to servers that run already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import ClassVar, Literal

import anyio
from pydantic import field_validator

from harness.cluster.protocols import Capability, Cluster, Node
from harness.cluster.user_commands import CANNOT_RUN, UserCommand, describe_end
from harness.errors import FaultError, ServerError
from harness.faults.base import EFFECT_LIMIT_S, Fault, Strike, on_each, undone
from harness.scenario.argv import Argv
from harness.scenario.quantities import Duration

POLL_S = 0.1
LEAST_TIMEOUT_S = 0.1
UNDO_SLACK_S = 10.0
LOOKS_AS_LONG = 2.0  # as the longest so far: a machine that is busy must not delay the heal


class Command(Fault):
    """Run commands of the user's own: `inject`, `observe` (code 0: it is so) and `heal`.

    The effect is what `observe` says it is: not there before `inject`, there after it, still
    there right before `heal`, and gone again after it. Without `heal` it must go away by
    itself. Each command is run for every target, at once, and its environment names it.
    """

    action: Literal["command"]
    inject: Argv
    observe: Argv
    heal: Argv | None = None
    timeout: Duration = 10.0
    connections: Literal["closed", "silent", "kept"] = "closed"
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.COMMAND})

    @field_validator("timeout")
    @classmethod
    def _require_some_time(cls, timeout: float) -> float:
        if timeout < LEAST_TIMEOUT_S:
            raise ValueError(f"expected at least {LEAST_TIMEOUT_S:g}s")
        return timeout

    @property
    def strikes_clients(self) -> bool:
        """Tell whether clients are said to lose their connections."""
        return self.connections != "kept"

    @property
    def commands(self) -> dict[str, tuple[str, ...]]:
        """Return the commands that there are, by their keys."""
        given = {"inject": self.inject, "observe": self.observe, "heal": self.heal}
        return {key: argv for key, argv in given.items() if argv is not None}

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold what `inject` does; proven by `observe` before, during and after it."""
        del cluster
        use = _Use(self, replace(strike, silent=self.connections == "silent"))
        limit_s = 2 * self.timeout + max(self.timeout, EFFECT_LIMIT_S) + UNDO_SLACK_S
        async with undone(
            lambda: on_each(strike.nodes, use.heal), f"{self.name}: healing", limit_s
        ):
            await on_each(strike.nodes, use.inject)
            strike.still(lambda: on_each(strike.nodes, use.look), use.look_takes_s)
            yield


@dataclass
class _Use:
    """One use of the fault; `struck` are the nodes that have something to heal."""

    fault: Command
    strike: Strike
    struck: set[str] = field(default_factory=set)
    longest_s: float = 0.0

    @property
    def look_takes_s(self) -> float:
        return min(self.fault.timeout, LOOKS_AS_LONG * self.longest_s)

    async def inject(self, node: Node) -> None:
        shown, told = await self._observe(node)
        if shown:
            raise FaultError(
                f"{node.name}: observe {told} before anything was done, so it tells nothing"
            )
        self.struck.add(node.name)
        node.expect_exit()
        kept = self.fault.connections == "kept"
        command = self._command("inject", self.fault.inject)
        self.strike.hit(node, f"inject: {command.shown}", groups=() if kept else None, burdens=kept)
        done = await node.run_command(command)
        if done.returncode != 0:
            raise FaultError(f"{node.name}: inject {describe_end(done.returncode, done.output)}")
        told = await self._wait_until(node, shown=True, lack="no effect was seen after inject")
        self.strike.effect(node, f"inject ended with code 0; observe {told}")

    async def look(self, node: Node) -> None:
        shown, told = await self._observe(node)
        if not shown:
            raise FaultError(f"{node.name}: the effect ended before its time: observe {told}")
        self.strike.held(node, f"observe still {told}")

    async def heal(self, node: Node) -> None:
        if node.name not in self.struck:
            return
        how = "went away by itself"
        if self.fault.heal is not None:
            done = await node.run_command(self._command("heal", self.fault.heal))
            if done.returncode != 0:
                raise FaultError(f"{node.name}: heal {describe_end(done.returncode, done.output)}")
            how = "heal ended with code 0"
        after = "by itself" if self.fault.heal is None else "after heal"
        told = await self._wait_until(node, shown=False, lack=f"the effect did not go {after}")
        try:
            await node.wait_healthy(max(self.fault.timeout, EFFECT_LIMIT_S))
        except ServerError as error:
            raise FaultError(str(error)) from error
        self.strike.undo(node, f"{how}; observe {told}; healthy and routed to every listed peer")

    async def _wait_until(self, node: Node, *, shown: bool, lack: str) -> str:
        """Return how `observe` ended once it shows the effect, or no longer does."""
        told = "did not end"
        with anyio.move_on_after(self.fault.timeout):
            while True:
                seen, told = await self._observe(node)
                if seen is shown:
                    return told
                await anyio.sleep(POLL_S)
        raise FaultError(f"{node.name}: {lack} within {self.fault.timeout:g} s: observe {told}")

    async def _observe(self, node: Node) -> tuple[bool, str]:
        """Return whether `observe` says that the effect is there, and how it ended.

        Raises:
            FaultError: it was ended by a signal, or never ran: that is no answer.
        """
        began_s = monotonic()
        done = await node.run_command(self._command("observe", self.fault.observe))
        self.longest_s = max(self.longest_s, monotonic() - began_s)
        told = describe_end(done.returncode, done.output)
        if done.returncode < 0 or done.returncode in CANNOT_RUN:
            raise FaultError(f"{node.name}: observe {told}, which is no answer")
        return done.returncode == 0, told

    def _command(self, step: str, argv: tuple[str, ...]) -> UserCommand:
        return UserCommand(self.fault.name, step, argv, self.fault.timeout)
