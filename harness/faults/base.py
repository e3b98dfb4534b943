"""What every fault is: frozen data and one context manager.

`active` yields once the effect has been observed and leaves once the undo has been
observed. The undo is registered before anything is done, so that whatever happened
half-way is undone as well.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import ClassVar

import anyio

from harness.clock import now_ns
from harness.cluster.links import Answer, Link, Links
from harness.cluster.protocols import Capability, Cluster, EventSink, Exit, Node
from harness.errors import FaultError, ServerError
from harness.scenario.model import FaultStep
from harness.scopes import bounded_cleanup

EFFECT_LIMIT_S = 10.0
UNDO_LIMIT_S = 30.0
KNOCK_LIMIT_S = 2.0
TRIES = 8  # of a look at links that others change meanwhile


@dataclass(frozen=True)
class Strike:
    """One use of a fault: the nodes it struck and the proof it gathers.

    Proof goes into the run's events as it is found; nothing is kept here.

    Attributes:
        silent: whether clients notice only by missing answers.
        due_ns: when the fault is to strike, monotonic; one with a lead waits for it.
        random: the fault's own dice.
        seed: what dice thrown while the fault holds start from.
    """

    fault: str
    action: str
    nodes: tuple[Node, ...]
    record: EventSink
    silent: bool = False
    due_ns: int = 0
    random: Random = field(default_factory=lambda: Random(0))
    seed: int = 0

    def hit(
        self,
        node: Node,
        how: str,
        *,
        at_ns: int | None = None,
        groups: Collection[str] | None = None,
    ) -> None:
        """Record the instant just before the node is struck: clients' times count from it.

        Args:
            node: the node.
            how: what is done to it.
            at_ns: that instant, where recording it has to wait until after the deed.
            groups: the client groups whose connections to the node are struck; all if None.
        """
        self.record(
            "fault.hit",
            at_ns=now_ns() if at_ns is None else at_ns,
            fault=self.fault,
            action=self.action,
            node=node.name,
            how=how,
            silent=self.silent,
            groups=None if groups is None else sorted(groups),
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
        claims_nodes: it needs its nodes for itself: while it holds, no other such fault
            may act on them, since neither could be proven.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset()
    claims_nodes: ClassVar[bool] = True

    @abstractmethod
    def active(self, cluster: Cluster, strike: Strike) -> AbstractAsyncContextManager[None]:
        """Inject on entry, hold in the body, heal on exit; raise FaultError when either fails."""

    async def hold(self, strike: Strike, hold_s: float) -> None:
        """Keep the effect for `hold_s` seconds; a self-timed fault may wait for something else."""
        del strike
        await anyio.sleep(hold_s)


def require_links(cluster: Cluster) -> Links:
    """Return the cluster's links; raise FaultError when nothing can be done to them here."""
    if cluster.links is None:
        raise FaultError("nothing can be done to the links of this cluster")
    return cluster.links


async def knock(links: Links, ways: Collection[Link]) -> Mapping[Link, Answer]:
    """Try a new connection over each way that no cut closes, in either direction.

    When links are cut or healed meanwhile, all is tried again.

    Raises:
        FaultError: every way is cut, so nothing can be seen, or the links do not rest.
    """
    for _ in range(TRIES):
        changes, severed = links.changes, links.severed
        passable = [way for way in ways if not {way, Link(way.target, way.source)} & severed]
        if not passable:
            raise FaultError("every way to knock is cut by another fault")
        answers = await links.knock(passable, KNOCK_LIMIT_S)
        if links.changes == changes:
            return answers
    raise FaultError(f"the links changed during each of {TRIES} looks at them")


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
        if not node.running:  # one that would not end is still there
            await node.start()
        await require_healthy(node)
        strike.undo(node, "started again, healthy and routed to every running peer")

    await on_each(strike.nodes, start)


async def require_healthy(node: Node) -> None:
    """Return once the node is healthy in the cluster; FaultError when it does not come to that."""
    try:
        await node.wait_healthy(EFFECT_LIMIT_S)
    except ServerError as error:
        raise FaultError(str(error)) from error
