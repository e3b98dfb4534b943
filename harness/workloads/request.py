"""Request and reply: requesters, and responders that share the requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.load.plan import ClientPlan
from harness.scenario.model import Phases
from harness.scenario.quantities import Clients, Duration, InFlight
from harness.workloads.base import Bootstrap, Payload, Subject, Traffic, Workload

QUEUE = "responders"


class Request(Workload):
    """Request-reply (NATS docs, Request-Reply); responders form one queue group.

    `rate` is the workload's total, shared evenly by its requesters. `timeout` is how
    long a requester waits for its reply; above `max_in_flight` waiting requests a
    requester is late, which shows as lateness, never as loss.
    """

    roles: ClassVar[tuple[str, ...]] = ("requesters", "responders")

    kind: Literal["request"] = "request"
    requesters: Clients = 1
    responders: Clients = 1
    rate: Traffic = 100.0
    payload: Payload = 128
    timeout: Annotated[Duration, Field(gt=0)] = 1.0
    max_in_flight: InFlight = 1000
    subject: Subject | None = None

    @property
    def settle_s(self) -> float:
        """Return the time-out of a request."""
        return self.timeout

    def clients(
        self, first_id: int, bootstrap: Bootstrap, phases: Phases
    ) -> tuple[ClientPlan, ...]:
        """Return the requesters, then the responders."""
        del phases
        subject = self.subject or self.name
        requesters = self.paced_senders(
            first_id,
            "requesters",
            self.requesters,
            bootstrap,
            subject,
            rate=self.rate,
            payload_bytes=self.payload,
            timeout_s=self.timeout,
            max_in_flight=self.max_in_flight,
        )
        senders = tuple(one.id for one in requesters)
        clients = [*requesters]
        for index in range(self.responders):
            client_id = first_id + self.requesters + index
            client = self.client(client_id, "responders", index, bootstrap, subject)
            clients.append(replace(client, queue=QUEUE, senders=senders))
        return tuple(clients)
