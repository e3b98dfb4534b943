"""What every fault is: frozen data and one context manager.

`active` yields once the effect has been observed and leaves once the undo has been
observed. The undo is registered before anything is done, so that whatever happened
half-way is undone as well.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar

import anyio

from harness.clock import now_ns
from harness.cluster.protocols import Capability, Cluster, EventSink, Exit, Node
from harness.errors import FaultError
from harness.scenario.model import FaultStep
from harness.scopes import bounded_cleanup

EFFECT_LIMIT_S = 10.0
UNDO_LIMIT_S = 30.0


@dataclass(frozen=True)
class Strike:
    """One use of a fault: the nodes it struck and the proof it gathers.

    Proof goes into the run's events as it is found; nothing is kept here. `seed` is what
    dice thrown while the fault holds start from.
    """

    fault: str
    action: str
    nodes: tuple[Node, ...]
    record: EventSink
    seed: int = 0

    def hit(self, node: Node, how: str) -> None:
        """Record the instant just before the node is struck: clients' times count from it."""
        self.record(
            "fault.hit",
            at_ns=now_ns(),
            fault=self.fault,
            action=self.action,
            node=node.name,
            how=how,
        )

    def effect(self, node: Node, what: str) -> None:
        """Record that the effect was seen on the node."""
        self._observed(node, what, "effect")

    def undo(self, node: Node, what: str) -> None:
        """Record that the effect was seen to be gone."""
        self._observed(node, what, "undo")

    def _observed(self, node: Node, what: str, edge: str) -> None:
        self.record("fault.observed", fault=self.fault, node=node.name, what=what, edge=edge)


class Fault(FaultStep):
    """Be the base of all faults.

    Class attributes:
        needs: what a backend must be able to do for it.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset()

    @abstractmethod
    def active(self, cluster: Cluster, strike: Strike) -> AbstractAsyncContextManager[None]:
        """Inject on entry, hold in the body, heal on exit; raise FaultError when either fails."""

    async def hold(self, strike: Strike, hold_s: float) -> None:
        """Keep the effect for `hold_s` seconds; a self-timed fault may wait for something else."""
        del strike
        await anyio.sleep(hold_s)


def describe_exit(exit_: Exit) -> str:
    """Return how a process ended, for proof."""
    if exit_.returncode < 0:
        return f"exited by signal {-exit_.returncode}"
    return f"exited with code {exit_.returncode}"


async def on_each(nodes: Sequence[Node], act: Callable[[Node], Awaitable[None]]) -> None:
    """Run `act` on all nodes at once and return when all are done; the first error counts."""
    errors: list[FaultError] = []

    async def guarded(node: Node) -> None:
        try:
            await act(node)
        except FaultError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for node in nodes:
            group.start_soon(guarded, node)
    if errors:
        raise errors[0]


def require_running(nodes: Sequence[Node]) -> None:
    """Raise FaultError when a node has no process to strike."""
    for node in nodes:
        if not node.running:
            raise FaultError(f"{node.name} is not running, so there is nothing to strike")


@asynccontextmanager
async def undone(undo: Callable[[], Awaitable[None]], what: str) -> AsyncIterator[None]:
    """Run `undo` after the body, whatever happened in it, shielded and bounded."""
    try:
        yield
    finally:
        with bounded_cleanup(UNDO_LIMIT_S, what, FaultError):
            await undo()


@asynccontextmanager
async def down(
    strike: Strike, signal: str, end: Callable[[Node], Awaitable[Exit]]
) -> AsyncIterator[None]:
    """Keep the struck nodes down in the body: ended by `end`, started again afterwards."""
    require_running(strike.nodes)

    async def bring_down(node: Node) -> None:
        strike.hit(node, signal)
        strike.effect(node, describe_exit(await end(node)))

    async with undone(lambda: start_again(strike), f"{strike.fault}: starting again"):
        await on_each(strike.nodes, bring_down)
        yield


async def start_again(strike: Strike) -> None:
    """Start the struck nodes that are down and return once each is healthy in the cluster."""

    async def start(node: Node) -> None:
        if not node.running:
            await node.start()
        await node.wait_healthy(EFFECT_LIMIT_S)
        strike.undo(node, "started again, healthy and routed to every running peer")

    await on_each(strike.nodes, start)
