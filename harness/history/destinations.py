"""Where messages were to arrive: single subscriptions, and queue groups as a whole.

A requester is a destination too: of no sender's messages, but of replies that are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.history.facts import Client, Iteration

FOREVER_NS = 2**63 - 1


@dataclass(frozen=True)
class Destination:
    """A subscription, or a queue group: any of its members may take a message.

    Attributes:
        members: the receivers; one for a single subscription.
        confirmed_ns: by sender id, since when its messages are known to come round; a
            sender that is missing was never confirmed.
        closed_ns: when the last member gave up for good; `FOREVER_NS` when none did.
        trusted: the columns of all members are whole, so that absence is evidence.
    """

    members: tuple[Client, ...]
    confirmed_ns: Mapping[int, int]
    closed_ns: int
    trusted: bool

    @property
    def workload(self) -> str:
        """Return the workload it belongs to."""
        return self.members[0].workload

    @property
    def role(self) -> str:
        """Return the role of its members."""
        return self.members[0].role

    @property
    def receives(self) -> bool:
        """Tell whether messages are sent to it; a requester only gets replies."""
        return self.members[0].receives

    @property
    def grouped(self) -> bool:
        """Tell whether it is a queue group."""
        return self.members[0].queue is not None

    @property
    def name(self) -> str:
        """Return the client's name, or the queue group's with its workload."""
        first = self.members[0]
        return first.name if first.queue is None else f"{first.workload}/{first.queue}"

    @property
    def senders(self) -> frozenset[int]:
        """Return the ids of the senders that it hears."""
        return frozenset(one for member in self.members for one in member.senders)


def find_destinations(iteration: Iteration) -> tuple[Destination, ...]:
    """Return all destinations of an iteration, in the order of their first members."""
    groups: dict[tuple[str, ...], list[Client]] = {}
    for client in iteration.clients:
        if client.receives or client.role == "requester":
            alone = client.queue is None
            key = (client.name,) if alone else (client.workload, "", str(client.queue))
            groups.setdefault(key, []).append(client)
    confirmed = _confirmations(iteration)
    closed = _closings(iteration)
    return tuple(
        Destination(
            members=tuple(members),
            confirmed_ns=_earliest([confirmed.get(one.name, {}) for one in members]),
            closed_ns=max(closed.get(one.name, FOREVER_NS) for one in members),
            trusted=all(iteration.trusts(one) for one in members),
        )
        for members in groups.values()
    )


def _confirmations(iteration: Iteration) -> dict[str, dict[int, int]]:
    ids = {client.name: client.id for client in iteration.clients}
    found: dict[str, dict[int, int]] = {}
    for event in iteration.of_kind("subscription.confirmed"):
        heard = found.setdefault(event["client"], {})
        for sender in event["senders"]:
            heard.setdefault(ids.get(sender, sender), event["at_ns"])
    return found


def _closings(iteration: Iteration) -> dict[str, int]:
    closed: dict[str, int] = {}
    for event in iteration.of_kind("client.closed"):
        closed.setdefault(event["client"], event["at_ns"])
    return closed


def _earliest(maps: list[dict[int, int]]) -> dict[int, int]:
    earliest: dict[int, int] = {}
    for one in maps:
        for sender, at_ns in one.items():
            earliest[sender] = min(at_ns, earliest.get(sender, at_ns))
    return earliest
