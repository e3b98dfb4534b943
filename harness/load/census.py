"""Count over all workers: who has not been heard, and whether everything has arrived."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.load.member import Member
from harness.load.plan import CONSUMER, SUBSCRIBER, USER, WATCHER, ClientPlan


@dataclass(frozen=True)
class _Group:
    """Receivers that share the senders' messages: one subscriber, or a queue group.

    A consumer's client stands alone too, though others may share its consumer: each tells for
    itself when it has drained.
    """

    name: str
    workload: str
    receivers: tuple[ClientPlan, ...]
    fenced: bool  # every one of its receivers tells when it has drained

    @property
    def senders(self) -> frozenset[int]:
        return frozenset(sender for receiver in self.receivers for sender in receiver.senders)


def missing_probes(members: Sequence[Member]) -> list[str]:
    """Return, a line each, the receivers that have not heard some of their senders."""
    names = {client.id: client.name for member in members for client in member.plan.clients}
    confirmed = {client: heard for member in members for client, heard in member.confirmed.items()}
    missing = []
    for group in _groups(members):
        if group.receivers[0].role == WATCHER:
            continue  # it watches once it is set up
        heard: frozenset[int] = frozenset().union(
            *(confirmed.get(receiver.id, ()) for receiver in group.receivers)
        )
        if unheard := sorted(group.senders - heard):
            missing.append(
                f"{group.name} heard nothing of {', '.join(names[id_] for id_ in unheard)}"
            )
    return missing


def traffic_accounted(members: Sequence[Member], *, since_ns: int) -> bool:
    """Tell whether everything sent has arrived, by end markers or by counting.

    Counts are believed only from stats lines later than `since_ns`, when no more is sent.
    """
    drained = {client: heard for member in members for client, heard in member.drained.items()}
    clients = (client for member in members for client in member.plan.clients)
    if any(client.role == USER and client.id not in drained for client in clients):
        return False  # it has not seen all that it looks at in the end
    for group in _groups(members):
        if group.fenced:
            if not group.senders <= drained.get(group.receivers[0].id, frozenset()):
                return False
        elif not _count_holds(members, group, since_ns):
            return False
    return True


def _count_holds(members: Sequence[Member], group: _Group, since_ns: int) -> bool:
    receivers = {receiver.id for receiver in group.receivers}
    sending = [member for member in members if group.senders & member.clients.keys()]
    receiving = [member for member in members if receivers & member.clients.keys()]
    counted = {client for member in (*sending, *receiving) for client in member.clients}
    if counted != group.senders | receivers:
        return False  # the workers' figures also count others' messages
    if any(member.stats.at_ns < since_ns for member in (*sending, *receiving)):
        return False
    sent = sum(member.stats.attempted - member.stats.refused for member in sending)
    return sum(member.stats.delivered for member in receiving) >= sent


def _groups(members: Sequence[Member]) -> Iterator[_Group]:
    queues: dict[tuple[str, str], list[ClientPlan]] = {}
    for member in members:
        for client in member.plan.clients:
            if client.sends:
                continue
            if client.queue is None:
                fenced = client.role in (SUBSCRIBER, CONSUMER, WATCHER)
                yield _Group(client.name, client.workload, (client,), fenced)
            else:
                queues.setdefault((client.workload, client.queue), []).append(client)
    for (workload, queue), receivers in queues.items():
        name = f"queue group {queue!r} of {workload}"
        yield _Group(name, workload, tuple(receivers), fenced=False)
