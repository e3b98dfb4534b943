"""Objects: users put objects into a store and get them back, digests checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.load.plan import ClientPlan
from harness.load.stores import CHUNK_BYTES, OBJECT, StorePlan
from harness.scenario.model import Model, Phases
from harness.scenario.quantities import Clients, Count, Duration, InFlight
from harness.scenario.streams import MAX_REPLICAS
from harness.workloads.base import Bootstrap, Bucket, Payload, Traffic, Weight, Workload


class ObjectMix(Model):
    """How often each operation is chosen, relative to the others."""

    put: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    get: Weight = 0


class Object(Workload):
    """An object store (NATS docs, Object Store); its stream is ``OBJ_`` and the bucket's name.

    Every put writes an object of its own, of `payload` bytes in chunks of 128 KiB; a get
    reads one that was put before, and the first operation of all is a put. `rate` is the
    workload's total, shared evenly by its users. `timeout` bounds each operation as a whole.
    """

    roles: ClassVar[tuple[str, ...]] = ("users",)
    also: ClassVar[frozenset[str]] = frozenset({"request"})

    kind: Literal["object"] = "object"
    bucket: Bucket | None = None
    users: Clients = 1
    rate: Traffic = 5.0
    payload: Payload = 256 * 1024
    mix: ObjectMix = ObjectMix(put=50, get=50)
    replicas: Annotated[Count, Field(le=MAX_REPLICAS)] = 1
    storage: Literal["file", "memory"] = "file"
    timeout: Annotated[Duration, Field(gt=0)] = 5.0
    max_in_flight: InFlight = 16

    @property
    def message_bytes(self) -> int:
        """Return the size of a chunk, which is what a message has to hold."""
        return min(self.payload, CHUNK_BYTES)

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Return the stream of the store."""
        return (f"OBJ_{self.bucket or self.name}",)

    def clients(
        self, first_id: int, bootstrap: Bootstrap, phases: Phases
    ) -> tuple[ClientPlan, ...]:
        """Return the users."""
        del phases
        store = StorePlan(
            kind=OBJECT,
            bucket=self.bucket or self.name,
            keys=1,
            mix=self.mix.model_dump(),
            replicas=self.replicas,
            storage=self.storage,
            clients=self.users,
        )
        users = self.paced_senders(
            first_id,
            "users",
            self.users,
            bootstrap,
            f"$O.{store.bucket}",
            rate=self.rate,
            payload_bytes=self.payload,
            timeout_s=self.timeout,
            max_in_flight=self.max_in_flight,
        )
        return tuple(
            replace(one, store=replace(store, place=place)) for place, one in enumerate(users)
        )
