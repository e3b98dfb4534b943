"""Core NATS: publishers, and subscribers that each get everything or share it by a queue."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from harness.load.plan import ClientPlan
from harness.scenario.model import Phases
from harness.scenario.quantities import Clients
from harness.workloads.base import Bootstrap, Payload, Queue, Subject, Traffic, Workload


class Core(Workload):
    """Publish and subscribe (NATS docs, Publish-Subscribe and Queue Groups).

    `rate` is the workload's total, shared evenly by its publishers. Without `queue`
    every subscriber gets every message; with it each message goes to one of them.
    `subject` is the workload's name unless it is given.
    """

    roles: ClassVar[tuple[str, ...]] = ("publishers", "subscribers")

    kind: Literal["core"] = "core"
    publishers: Clients = 1
    subscribers: Clients = 1
    rate: Traffic = 100.0
    payload: Payload = 128
    subject: Subject | None = None
    queue: Queue | None = None

    @property
    def deliveries(self) -> int:
        """Return how many subscriptions get each message."""
        return self.subscribers if self.queue is None else 1

    def clients(
        self, first_id: int, bootstrap: Bootstrap, phases: Phases
    ) -> tuple[ClientPlan, ...]:
        """Return the publishers, then the subscribers."""
        del phases
        subject = self.subject or self.name
        publishers = self.paced_senders(
            first_id,
            "publishers",
            self.publishers,
            bootstrap,
            subject,
            rate=self.rate,
            payload_bytes=self.payload,
        )
        senders = tuple(one.id for one in publishers)
        clients = [*publishers]
        for index in range(self.subscribers):
            client_id = first_id + self.publishers + index
            client = self.client(client_id, "subscribers", index, bootstrap, subject)
            clients.append(replace(client, queue=self.queue, senders=senders))
        return tuple(clients)
