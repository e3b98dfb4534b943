"""What every fault is: frozen data and one context manager.

`active` yields once the effect has been observed and leaves once the undo has been
observed. The undo is registered before anything is done, so that whatever happened
half-way is undone as well.
"""

from __future__ import annotations

import math
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
from harness.scenario.sites import Sites
from harness.scopes import bounded_cleanup

EFFECT_LIMIT_S = 10.0
UNDO_LIMIT_S = 30.0
KNOCK_LIMIT_S = 2.0
LOOK_SLACK_S = 0.02  # a look starts this much earlier than it needs to, so that the heal is due
HANDSHAKE = 4  # trips that a knock may take, and more where the kernel tries again
CHANGE_LOOK_S = 0.01
AGAIN_S = 0.03  # from one sending of a probe that did not arrive to the next
UNLUCKY = 1e-5  # how seldom chance alone may be taken for a cut link
MOST_LOSS = 0.99
KNOCKS = 6  # over links that lose packets, of which the kernel sends one again only after 1 s
TRIES = 8  # of a look at links that others change meanwhile


@dataclass(frozen=True)
class Look:
    """A look at whether the effect of a fault still holds, and how long it takes at most.

    `take` tells `Strike.held` of each node where it does, and raises FaultError where not.
    """

    take: Callable[[], Awaitable[None]]
    takes_s: float


@dataclass(frozen=True)
class Strike:
    """One use of a fault: the nodes it struck and the proof it gathers.

    Proof goes into the run's events as it is found; nothing of it is kept here.

    Attributes:
        silent: whether clients notice only by missing answers.
        due_ns: when the fault is to strike, monotonic; one with a lead waits for it.
        random: the fault's own dice.
        seed: what dice thrown while the fault holds start from.
        looks: what is to be looked at once more right before the heal; see `still`.
    """

    fault: str
    action: str
    nodes: tuple[Node, ...]
    record: EventSink
    silent: bool = False
    due_ns: int = 0
    random: Random = field(default_factory=lambda: Random(0))
    seed: int = 0
    looks: list[Look] = field(default_factory=list)

    def hit(
        self,
        node: Node,
        how: str,
        *,
        at_ns: int | None = None,
        groups: Collection[str] | None = None,
        burdens: bool = False,
        peers: Collection[str] | None = None,
    ) -> None:
        """Record the instant just before the node is struck: clients' times count from it.

        Args:
            node: the node.
            how: what is done to it.
            at_ns: that instant, where recording it has to wait until after the deed.
            groups: the client groups whose connections to the node are struck; all if None.
            burdens: connections to the node live on, but one that is lost is explained by it.
            peers: the nodes whose routes with it are struck; None where the node itself is.
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
            burdens=burdens,
            peers=None if peers is None else sorted(peers),
        )

    def effect(self, node: Node, what: str) -> None:
        """Record that the effect was seen on the node."""
        self._observed(node, what, "effect")

    def still(self, take: Callable[[], Awaitable[None]], takes_s: float = 0.0) -> None:
        """Have the effect looked at once more, right before it is undone.

        A fault whose effect lasts says this before it yields. The harness calls `take` so
        early that the heal comes at its due time; a hold that is shorter than `takes_s`
        lasts as long as the look. Without `held` for each node that was hit, or with a
        FaultError, the fault is not proven: it may have ended half-way.
        """
        self.looks.append(Look(take, takes_s))

    @property
    def look_s(self) -> float:
        """Return how long before the heal the looks have to begin."""
        return sum(look.takes_s + LOOK_SLACK_S for look in self.looks)

    def held(self, node: Node, what: str) -> None:
        """Record that the effect was still seen on the node, right before the heal."""
        self._observed(node, what, "held")

    def undo(self, node: Node, what: str) -> None:
        """Record that the effect was seen to be gone."""
        self._observed(node, what, "undo")

    def _observed(self, node: Node, what: str, edge: str) -> None:
        self.record("fault.observed", fault=self.fault, node=node.name, what=what, edge=edge)


class Fault(FaultStep):
    """Be the base of all faults.

    Class attributes:
        needs: what a backend must be able to do for it, whatever its keys say.
        claims_nodes: it needs its nodes for itself: while it holds, no other such fault
            may act on them, since neither could be proven. True unless it says otherwise.
    """

    needs: ClassVar[frozenset[Capability]] = frozenset()

    @property
    def needed(self) -> frozenset[Capability]:
        """Return what a backend must be able to do for it with the keys that it has."""
        return self.needs

    def needed_among(self, sites: Sites) -> frozenset[Capability]:
        """Return the same where names of clusters are known, which stand for nodes."""
        del sites
        return self.needed

    @abstractmethod
    def active(self, cluster: Cluster, strike: Strike) -> AbstractAsyncContextManager[None]:
        """Inject on entry, hold in the body, heal on exit; raise FaultError when either fails."""

    async def hold(self, strike: Strike, hold_s: float) -> None:
        """Keep the effect for `hold_s` seconds; a self-timed fault may wait for something else."""
        del strike
        await anyio.sleep(hold_s)


def patience_s(cluster: Cluster, links: Collection[Link], at_once: int = 1) -> float:
    """Return how much longer than usual probes may take, for how the links are shaped now.

    Args:
        cluster: whose links.
        links: what is probed.
        at_once: how many of the probes sent together it takes to come through.
    """
    if cluster.shaper is None:
        return 0.0
    shapes = [cluster.shaper.effective(link) for link in links]
    late_s = max((shape.latest_s for shape in shapes), default=0.0)
    loss = min(MOST_LOSS, max((shape.loss for shape in shapes), default=0.0))
    rounds = math.log(UNLUCKY) / (at_once * math.log(loss)) if loss else 0.0
    return late_s + math.ceil(rounds) * AGAIN_S


def require_links(cluster: Cluster) -> Links:
    """Return the cluster's links; raise FaultError when nothing can be done to them here."""
    if cluster.links is None:
        raise FaultError("nothing can be done to the links of this cluster")
    return cluster.links


async def knock(cluster: Cluster, ways: Collection[Link]) -> Mapping[Link, Answer]:
    """Try a new connection over each way that no cut closes, in either direction.

    When links are cut or healed meanwhile, all is tried again. Where links are shaped, the
    answers get more time; where they lose packets, silence is tried again.

    Raises:
        FaultError: every way is cut, so nothing can be seen, or the links do not rest.
    """
    links = require_links(cluster)
    for _ in range(TRIES):
        changes, severed = links.changes, links.severed
        passable = [way for way in ways if not {way, Link(way.target, way.source)} & severed]
        if not passable:
            raise FaultError("every way to knock is cut by another fault")
        both_ways = {*passable, *(Link(way.target, way.source) for way in passable)}
        limit_s = KNOCK_LIMIT_S + HANDSHAKE * patience_s(cluster, both_ways)
        knocks = KNOCKS if _loses(cluster, both_ways) else 1
        answers = await _knock_until_answered(links, passable, limit_s, knocks)
        if answers is not None and links.changes == changes:
            return answers
    raise FaultError(f"the links changed during each of {TRIES} looks at them")


def _loses(cluster: Cluster, links: Collection[Link]) -> bool:
    shaper = cluster.shaper
    return shaper is not None and any(shaper.effective(link).loss > 0 for link in links)


async def _knock_until_answered(
    links: Links, ways: Collection[Link], limit_s: float, knocks: int
) -> Mapping[Link, Answer] | None:
    """Return the answers, after so many knocks at the most where there is none; else as below."""
    answers = dict.fromkeys(ways, Answer.SILENCE)
    for _ in range(knocks):
        silent = [way for way, answer in answers.items() if answer is Answer.SILENCE]
        if not silent:
            break
        found = await _knock_at_rest(links, silent, limit_s)
        if found is None:
            return None
        answers |= found
    return answers


async def _knock_at_rest(
    links: Links, ways: Collection[Link], limit_s: float
) -> Mapping[Link, Answer] | None:
    """Return the answers; None as soon as a link is cut or healed, for then they say nothing."""
    changes = links.changes
    found: list[Mapping[Link, Answer]] = []
    errors: list[FaultError] = []

    async def try_all() -> None:
        try:
            found.append(await links.knock(ways, limit_s))
        except FaultError as error:
            errors.append(error)
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(try_all)
        while links.changes == changes:
            await anyio.sleep(CHANGE_LOOK_S)
        group.cancel_scope.cancel()
    if errors:
        raise errors[0]
    return found[0] if found else None


def told_via(links: Links) -> str:
    """Return what to add to proof where something stands in for the network."""
    return "" if links.via is None else f", via {links.via}"


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
async def undone(
    undo: Callable[[], Awaitable[None]], what: str, limit_s: float = UNDO_LIMIT_S
) -> AsyncIterator[None]:
    """Run `undo` after the body, whatever happened in it, shielded and bounded."""
    try:
        yield
    finally:
        with bounded_cleanup(limit_s, what, FaultError):
            await undo()


@asynccontextmanager
async def down(
    strike: Strike, signal: str | None, end: Callable[[Node], Awaitable[Exit]]
) -> AsyncIterator[None]:
    """Keep the struck nodes down in the body: ended by `end`, started again afterwards.

    `signal` is what ends them; None for what asks each of them to stop.
    """
    require_running(strike.nodes)

    async def bring_down(node: Node) -> None:
        strike.hit(node, node.stop_signal if signal is None else signal)
        strike.effect(node, describe_exit(await end(node)))

    async def look() -> None:
        for node in strike.nodes:
            if node.running:
                raise FaultError(f"{node.name} runs again, though nobody started it")
            strike.held(node, "still down")

    async with undone(lambda: start_again(strike), f"{strike.fault}: starting again"):
        await on_each(strike.nodes, bring_down)
        strike.still(look)
        yield


async def start_again(strike: Strike, limit_s: float = EFFECT_LIMIT_S) -> None:
    """Start the struck nodes that are down and return once each is healthy in the cluster."""

    async def start(node: Node) -> None:
        if not node.running:  # one that would not end is still there
            await node.start()
        await require_healthy(node, limit_s)
        strike.undo(node, "started again, healthy and routed to every running peer")

    await on_each(strike.nodes, start)


async def require_healthy(node: Node, limit_s: float = EFFECT_LIMIT_S) -> None:
    """Return once the node is healthy in the cluster; FaultError when it does not come to that."""
    try:
        await node.wait_healthy(limit_s)
    except ServerError as error:
        raise FaultError(str(error)) from error
