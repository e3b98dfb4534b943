"""What every kind of traffic is: frozen data that lays out its clients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from harness.load.payload import HEADER_BYTES
from harness.load.plan import ClientPlan
from harness.scenario.model import WorkloadSpec
from harness.scenario.quantities import Rate, Size

Bootstrap = Callable[[str, int], tuple[str, ...]]

Traffic = Annotated[Rate, Field(gt=0)]
Payload = Annotated[Size, Field(ge=HEADER_BYTES)]
Subject = Annotated[str, Field(pattern=r"^[^\s.*>]+(\.[^\s.*>]+)*$", max_length=255)]
Queue = Annotated[str, Field(pattern=r"^[^\s]+$", max_length=255)]


class Workload(WorkloadSpec):
    """Be the base of all kinds of traffic.

    A role's clients live in one worker, named ``<workload>-<role>`` such as
    ``hello-publishers``; the clients are named ``hello-publisher-1`` and on.
    """

    @abstractmethod
    def clients(self, first_id: int, bootstrap: Bootstrap) -> tuple[ClientPlan, ...]:
        """Return all clients, worker by worker, with ids from `first_id` on.

        Args:
            first_id: the id of the first client; ids are unique in a run.
            bootstrap: gives a client's first servers by role (``publishers``) and index from 0.
        """

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


def share(rate: float, senders: int, index: int) -> tuple[float, float]:
    """Return rate and offset in seconds of one sender: equal shares of `rate`, interleaved."""
    return rate / senders, index / rate
