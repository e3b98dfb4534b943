"""What every kind of traffic is: frozen data that lays out its clients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from harness.load.payload import HEADER_BYTES
from harness.load.plan import ClientPlan
from harness.scenario.model import Phases, WorkloadSpec
from harness.scenario.quantities import Rate, Size
from harness.scenario.streams import StreamSpec
from harness.units import BYTES, format_size

Bootstrap = Callable[[str, int], tuple[str, ...]]

MAX_PAYLOAD_BYTES = 64 * BYTES["MiB"]  # what servers allow at most (NATS docs, max_payload)
MAX_WEIGHT = 1_000_000


def _check_payload(size: int) -> int:
    if size > MAX_PAYLOAD_BYTES:
        raise ValueError(
            f"expected at most {format_size(MAX_PAYLOAD_BYTES)}, found {format_size(size)}"
        )
    return size


Traffic = Annotated[Rate, Field(gt=0)]
Payload = Annotated[Size, Field(ge=HEADER_BYTES), AfterValidator(_check_payload)]
Subject = Annotated[str, Field(pattern=r"^[^\s.*>]+(\.[^\s.*>]+)*$", max_length=255)]
Bucket = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$", max_length=63)]
Weight = Annotated[float, Field(ge=0, le=MAX_WEIGHT, allow_inf_nan=False)]
Queue = Annotated[str, Field(pattern=r"^[^\s]+$", max_length=255)]


class Workload(WorkloadSpec):
    """Be the base of all kinds of traffic.

    A role's clients live in one worker, named ``<workload>-<role>`` such as
    ``hello-publishers``; the clients are named ``hello-publisher-1`` and on.
    """

    @abstractmethod
    def clients(
        self, first_id: int, bootstrap: Bootstrap, phases: Phases
    ) -> tuple[ClientPlan, ...]:
        """Return all clients, worker by worker, with ids from `first_id` on.

        Args:
            first_id: the id of the first client; ids are unique in a run.
            bootstrap: gives a client's first servers by role (``publishers``) and index from 0.
            phases: how long each phase is to last.
        """

    def resolved(self, streams: Sequence[StreamSpec]) -> Self:
        """Return it with the defaults filled in that depend on the streams of the scenario."""
        del streams
        return self

    def client(
        self, client_id: int, roles: str, index: int, bootstrap: Bootstrap, subject: str
    ) -> ClientPlan:
        """Return what every client has: client number `index` (from 0) of `roles`."""
        role = roles.removesuffix("s")
        return ClientPlan(
            id=client_id,
            name=f"{self.name}-{role}-{index + 1}",
            role=role,
            workload=self.name,
            worker=f"{self.name}-{roles}",
            servers=bootstrap(roles, index),
            subject=subject,
        )

    def paced_senders(
        self,
        first_id: int,
        roles: str,
        count: int,
        bootstrap: Bootstrap,
        subject: str,
        *,
        rate: float,
        payload_bytes: int,
        **facts: Any,
    ) -> tuple[ClientPlan, ...]:
        """Return the senders of `roles`, with ids from `first_id` on and `facts` in common.

        They have equal shares of `rate`, interleaved.
        """
        return tuple(
            replace(
                self.client(first_id + index, roles, index, bootstrap, subject),
                rate=rate / count,
                offset_s=index / rate,
                payload_bytes=payload_bytes,
                **facts,
            )
            for index in range(count)
        )
