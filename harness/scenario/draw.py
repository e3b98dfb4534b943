"""Draw a random step: which faults, on which servers, when and for how long."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from harness.scenario.model import MAX_FAULTS, FaultStep, Scenario
from harness.scenario.random_step import Keep, RandomStep
from harness.scenario.sites import Sites
from harness.scenario.targets import Attached, Led, Nodes, TargetError, parse_target, quota

MS_PER_S = 1000
LEAST_PACE_S = 0.1
_KEPT: Mapping[Keep, str] = MappingProxyType(
    {"majority": "a majority of the servers", "one": "one server", "none": "no server"}
)


@dataclass(frozen=True)
class Busy:
    """A step, the nodes it may touch, and from when to when in ms they are taken by it."""

    step: FaultStep
    nodes: frozenset[str]
    from_ms: float
    to_ms: float

    def overlaps(self, other: Busy) -> bool:
        """Tell whether there is a time at which both are going on."""
        return self.from_ms < other.to_ms and other.from_ms < self.to_ms

    def disturbs(self, other: Busy) -> bool:
        """Tell whether one of two steps that overlap could not be proven beside the other.

        They share a node; or one keeps servers apart while the other has to see that all is
        well; or a reset would have to go over a link that loses or delays packets.
        """
        one, two = self.step, other.step
        if self.nodes & other.nodes or one.parts or two.parts:
            return True
        linked = not (one.claims_nodes or two.claims_nodes)
        return linked and _momentary(one) != _momentary(two)


def draw(
    step: RandomStep, others: Sequence[FaultStep], scenario: Scenario, dice: str
) -> tuple[FaultStep, ...]:
    """Return what a random step becomes: plain steps with nodes, times and durations.

    A step starts where the pace says, or as soon afterwards as it can be proven beside
    what is going on and enough servers are left alone. Times are whole milliseconds.

    Args:
        step: the random step.
        others: the steps that are certain already.
        scenario: where it stands; its seed plays no part.
        dice: what the dice start from.
    """
    nodes = scenario.cluster.nodes
    sites = scenario.cluster.sites
    table = _Table(step, Random(dice), sites, [busy(one, nodes) for one in others])
    end_ms = int((scenario.phases.fault or 0.0) * MS_PER_S)
    most = min(step.times or MAX_FAULTS, MAX_FAULTS - len(others))
    drawn: list[FaultStep] = []
    at_ms = _ms(step.at)
    while len(drawn) < most and at_ms < end_ms:
        found = table.next_after(at_ms, end_ms, f"{step.name}.{len(drawn) + 1}")
        if found is None:
            break
        drawn.append(found)
        pace_ms = max(_ms(LEAST_PACE_S), table.between(*step.pace))
        at_ms = _ms(found.at) + pace_ms
    return tuple(drawn)


def pool(step: RandomStep, sites: Sites) -> tuple[str, ...]:
    """Return the nodes to draw from; TargetError when the user named none that exist."""
    target = parse_target(step.targets, "all", sites.nodes, sites.names)
    if isinstance(target, Attached):
        raise TargetError("where clients are is known only in the run, after the draw")
    if isinstance(target, Led):
        raise TargetError("who leads is known only in the run, after the draw")
    if target.count != "all":
        raise TargetError(f"{step.targets!r} is a draw itself; expected the nodes to draw from")
    return target.names


def misfit(step: RandomStep, action: FaultStep, scenario: Scenario) -> str | None:
    """Say why an action can never be drawn, whatever the dice say; None when it can."""
    nodes, sites = scenario.cluster.nodes, scenario.cluster.sites
    shortest_s = _span(step, action)[0]
    room_s = (scenario.phases.fault or 0.0) - step.at
    if shortest_s > room_s or room_s <= 0:
        return f"{action.action} lasts {shortest_s:g}s or more, and {max(0.0, room_s):g}s are left"
    if action.claims_nodes and action.timeless:
        return f"{action.action} ends nobody knows when, so nothing could be drawn after it"
    struck = quota(action.count, len(pool(step, sites)))
    if not action.takes_target:
        struck = len(_touched(action, nodes))
    if struck < 1:
        return f"{action.count} of {len(pool(step, sites))} is no node at all"
    if len(nodes) - struck < _floor(step.keep, len(nodes)):
        return (
            f"{action.action} strikes {struck} of {len(nodes)} servers, and "
            f"`keep: {step.keep}` leaves {_KEPT[step.keep]} alone at any time"
        )
    return None


def busy(step: FaultStep, nodes: Sequence[str]) -> Busy:
    """Return when and where a step is going on, with what its proofs need."""
    endless_s = 0.0 if _momentary(step) else math.inf
    held_s = endless_s if step.duration is None else step.duration
    until_s = step.at + held_s + step.settle_s
    return Busy(step, _touched(step, nodes), (step.at - step.lead_s) * MS_PER_S, until_s * MS_PER_S)


class _Table:
    """The dice, and what is going on or will be: what is over is forgotten."""

    def __init__(self, step: RandomStep, dice: Random, sites: Sites, taken: list[Busy]) -> None:
        self._step = step
        self._dice = dice
        self._nodes = sites.nodes
        self._taken = taken
        try:
            self._pool = pool(step, sites)
        except TargetError:
            self._pool = ()  # a problem of its own; nothing can be drawn

    def between(self, low_s: float, high_s: float) -> int:
        """Return a whole number of ms from one duration to another."""
        low, high = _ms(low_s), int(high_s * MS_PER_S)
        return low if high <= low else self._dice.randint(low, high)

    def next_after(self, at_ms: int, end_ms: int, name: str) -> FaultStep | None:
        """Return a step at `at_ms`, or as soon afterwards as it fits; None when nothing does.

        What is to happen is drawn first, and then waits for its time: else what fits easily
        would be drawn most.
        """
        leads_ms = [action.lead_s * MS_PER_S for action in self._step.actions]
        self._taken = [one for one in self._taken if one.to_ms > at_ms - max(leads_ms)]
        for action in self._dice.sample(self._step.actions, len(self._step.actions)):
            for start_ms in (at_ms, *self._openings(at_ms, end_ms)):
                for found in self._try(action, start_ms, end_ms, name):
                    self._taken.append(busy(found, self._nodes))
                    return found
        return None

    def _openings(self, after_ms: int, before_ms: int) -> list[int]:
        """Return the times at which something may begin to fit: others end, or will not begin."""
        leads_ms = {action.lead_s * MS_PER_S for action in self._step.actions}
        times = {one.to_ms + lead for one in self._taken for lead in leads_ms}
        return sorted({math.ceil(time) for time in times if after_ms < time < before_ms})

    def _try(self, action: FaultStep, start_ms: int, end_ms: int, name: str) -> Iterator[FaultStep]:
        shortest_s, longest_s = _span(self._step, action)
        if _ms(shortest_s) > end_ms - start_ms:
            return
        longest_s = min(longest_s, (end_ms - start_ms) / MS_PER_S)
        drawn_ms = self.between(shortest_s, longest_s)
        for held_ms in dict.fromkeys((drawn_ms, _ms(shortest_s))):
            timed = action.model_copy(
                update={
                    "name": name,
                    "at": start_ms / MS_PER_S,
                    "duration": held_ms / MS_PER_S if not action.timeless else None,
                }
            )
            aimed = self._aim(timed)
            if aimed is not None:
                yield aimed

    def _aim(self, step: FaultStep) -> FaultStep | None:
        """Return the step with nodes drawn for it; None when too few are free."""
        going_on = [one for one in self._taken if one.overlaps(busy(step, self._nodes))]
        if not step.takes_target:
            return step if self._allows(busy(step, self._nodes), going_on) else None
        aimed = {
            node: step.model_copy(update={"target": (node,), "count": "all"}) for node in self._pool
        }
        free = [
            node
            for node, one in aimed.items()
            if not any(busy(one, self._nodes).disturbs(other) for other in going_on)
        ]
        wanted = quota(step.count, len(self._pool))
        if not 0 < wanted <= len(free):
            return None
        chosen = set(self._dice.sample(free, wanted))
        names = tuple(node for node in self._pool if node in chosen)
        target = names[0] if len(names) == 1 else names
        found = step.model_copy(update={"target": target, "count": "all"})
        return found if self._allows(busy(found, self._nodes), going_on) else None

    def _allows(self, one: Busy, going_on: Sequence[Busy]) -> bool:
        touched = one.nodes.union(*(other.nodes for other in going_on))
        spared = len(self._nodes) - len(touched)
        kept = spared >= _floor(self._step.keep, len(self._nodes))
        return kept and not any(one.disturbs(other) for other in going_on)


def _span(step: RandomStep, action: FaultStep) -> tuple[float, float]:
    """Return the shortest and the longest time in seconds that an action may be held."""
    if action.timeless:
        return 0.0, 0.0
    return step.duration if action.duration is None else (action.duration, action.duration)


def _momentary(step: FaultStep) -> bool:
    """Tell whether it is over as soon as it has struck."""
    return step.timeless and not step.claims_nodes


def _touched(step: FaultStep, nodes: Sequence[str]) -> frozenset[str]:
    """Return every node that a step may strike."""
    try:
        target = parse_target(step.target, step.count, nodes)
    except TargetError:
        return frozenset(nodes)
    return frozenset(target.names if isinstance(target, Nodes) else nodes)


def _floor(keep: Keep, servers: int) -> int:
    return {"majority": servers // 2 + 1, "one": 1, "none": 0}[keep]


def _ms(seconds: float) -> int:
    """Return a time in whole milliseconds, not before it."""
    return math.ceil(round(seconds * MS_PER_S, 6))
