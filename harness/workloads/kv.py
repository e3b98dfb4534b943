"""Key-value: users put, get, update and delete the keys of a bucket; watchers are told of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.load.plan import ClientPlan
from harness.load.stores import KV, StorePlan
from harness.scenario.model import Model, Phases
from harness.scenario.quantities import Clients, Count, Duration, Flag, InFlight, NoClients
from harness.scenario.streams import MAX_REPLICAS
from harness.workloads.base import Bootstrap, Bucket, Payload, Traffic, Weight, Workload

MAX_HISTORY = 64
MAX_KEYS = 10_000


class KvMix(Model):
    """How often each operation is chosen, relative to the others."""

    put: Weight = 0
    get: Weight = 0
    update: Weight = 0
    delete: Weight = 0

    @model_validator(mode="after")
    def _refuse_nothing(self) -> KvMix:
        if not self.put + self.update + self.delete:
            raise ValueError("expected something that writes: put, update or delete")
        return self


class Kv(Workload):
    """A key-value bucket (NATS docs, Key/Value Store); its stream is ``KV_`` and its name.

    `rate` is the workload's total of operations, shared evenly by its users; keys and
    operations are drawn by the seed, operations in the proportions of `mix`. An update
    expects the latest revision that a user of the workload has seen. With `direct` any
    replica may answer a get, as clients have it by default where the bucket allows it;
    without, the stream's leader answers. `timeout` bounds each operation.
    """

    roles: ClassVar[tuple[str, ...]] = ("users", "watchers")
    also: ClassVar[frozenset[str]] = frozenset({"request"})

    kind: Literal["kv"] = "kv"
    bucket: Bucket | None = None
    users: Clients = 2
    watchers: NoClients = 0
    rate: Traffic = 100.0
    keys: Annotated[Count, Field(le=MAX_KEYS)] = 10
    payload: Payload = 128
    mix: KvMix = KvMix(put=40, get=40, update=15, delete=5)
    replicas: Annotated[Count, Field(le=MAX_REPLICAS)] = 1
    history: Annotated[Count, Field(le=MAX_HISTORY)] = 1
    storage: Literal["file", "memory"] = "file"
    direct: Flag = False
    timeout: Annotated[Duration, Field(gt=0)] = 2.0
    max_in_flight: InFlight = 100

    @property
    def deliveries(self) -> int:
        """Return how many are told of each operation: its user, and every watcher."""
        return 1 + self.watchers

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Return the stream of the bucket."""
        return (f"KV_{self.bucket or self.name}",)

    def clients(
        self, first_id: int, bootstrap: Bootstrap, phases: Phases
    ) -> tuple[ClientPlan, ...]:
        """Return the users, then the watchers."""
        del phases
        store = StorePlan(
            kind=KV,
            bucket=self.bucket or self.name,
            keys=self.keys,
            mix=self.mix.model_dump(),
            replicas=self.replicas,
            history=self.history,
            storage=self.storage,
            direct=self.direct,
            clients=self.users,
        )
        subject = f"$KV.{store.bucket}"
        users = self.paced_senders(
            first_id,
            "users",
            self.users,
            bootstrap,
            subject,
            rate=self.rate,
            payload_bytes=self.payload,
            timeout_s=self.timeout,
            max_in_flight=self.max_in_flight,
        )
        senders = tuple(one.id for one in users)
        clients = [
            replace(one, store=replace(store, place=place)) for place, one in enumerate(users)
        ]
        for index in range(self.watchers):
            client_id = first_id + self.users + index
            client = self.client(client_id, "watchers", index, bootstrap, subject)
            clients.append(replace(client, senders=senders, timeout_s=self.timeout, store=store))
        return tuple(clients)
