"""Core NATS: publishers, and subscribers that each get everything or share it by a queue."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from harness.load.plan import ClientPlan
from harness.scenario.quantities import Count
from harness.workloads.base import Bootstrap, Payload, Queue, Subject, Traffic, Workload, share


class Core(Workload):
    """Publish and subscribe (NATS docs, Publish-Subscribe and Queue Groups).

    `rate` is the workload's total, shared evenly by its publishers. Without `queue`
    every subscriber gets every message; with it each message goes to one of them.
    `subject` is the workload's name unless it is given.
    """

    roles: ClassVar[tuple[str, ...]] = ("publishers", "subscribers")

    kind: Literal["core"] = "core"
    publishers: Count = 1
    subscribers: Count = 1
    rate: Traffic = 100.0
    payload: Payload = 128
    subject: Subject | None = None
    queue: Queue | None = None

    def clients(self, first_id: int, bootstrap: Bootstrap) -> tuple[ClientPlan, ...]:
        """Return the publishers, then the subscribers."""
        subject = self.subject or self.name
        senders = tuple(range(first_id, first_id + self.publishers))
        clients = []
        for index, client_id in enumerate(senders):
            rate, offset_s = share(self.rate, self.publishers, index)
            client = self.client(client_id, "publishers", index, bootstrap, subject)
            clients.append(
                replace(client, rate=rate, offset_s=offset_s, payload_bytes=self.payload)
            )
        for index in range(self.subscribers):
            client_id = first_id + self.publishers + index
            client = self.client(client_id, "subscribers", index, bootstrap, subject)
            clients.append(replace(client, queue=self.queue, senders=senders))
        return tuple(clients)
