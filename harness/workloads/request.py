"""Request and reply: requesters, and responders that share the requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.load.plan import ClientPlan
from harness.scenario.quantities import Count, Duration
from harness.workloads.base import Bootstrap, Payload, Subject, Traffic, Workload, share

QUEUE = "responders"


class Request(Workload):
    """Request-reply (NATS docs, Request-Reply); responders form one queue group.

    `rate` is the workload's total, shared evenly by its requesters. `timeout` is how
    long a requester waits for its reply; above `max_in_flight` waiting requests a
    requester is late, which shows as lateness, never as loss.
    """

    roles: ClassVar[tuple[str, ...]] = ("requesters", "responders")

    kind: Literal["request"] = "request"
    requesters: Count = 1
    responders: Count = 1
    rate: Traffic = 100.0
    payload: Payload = 128
    timeout: Annotated[Duration, Field(gt=0)] = 1.0
    max_in_flight: Count = 1000
    subject: Subject | None = None

    def clients(self, first_id: int, bootstrap: Bootstrap) -> tuple[ClientPlan, ...]:
        """Return the requesters, then the responders."""
        subject = self.subject or self.name
        senders = tuple(range(first_id, first_id + self.requesters))
        clients = []
        for index, client_id in enumerate(senders):
            rate, offset_s = share(self.rate, self.requesters, index)
            client = self.client(client_id, "requesters", index, bootstrap, subject)
            clients.append(
                replace(
                    client,
                    rate=rate,
                    offset_s=offset_s,
                    payload_bytes=self.payload,
                    timeout_s=self.timeout,
                    max_in_flight=self.max_in_flight,
                )
            )
        for index in range(self.responders):
            client_id = first_id + self.requesters + index
            client = self.client(client_id, "responders", index, bootstrap, subject)
            clients.append(replace(client, queue=QUEUE, senders=senders))
        return tuple(clients)
