"""What a client is told about the bucket it uses: a key-value bucket or an object store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

KV = "kv"
OBJECT = "object"
CHUNK_BYTES = 128 * 1024  # of objects, as is the client libraries' default


@dataclass(frozen=True)
class StorePlan:
    """A bucket, and what the clients of a workload do with it.

    Attributes:
        kind: ``kv`` or ``object``.
        keys: how many keys (objects) the clients share, numbered from 0.
        mix: how often each operation is chosen, by its name, relative to the others.
        direct: gets may be answered by any replica.
        place: the client's place among the `clients` of the workload: each looks at the
            keys whose number leaves that remainder once all have stopped.
    """

    kind: str
    bucket: str
    keys: int
    mix: Mapping[str, float] = field(default_factory=dict)
    replicas: int = 1
    history: int = 1
    storage: str = "file"
    direct: bool = False
    place: int = 0
    clients: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return it as it stands in the plan line."""
        return asdict(self) | {"mix": dict(self.mix)}

    @property
    def own_keys(self) -> range:
        """Return the keys that this client looks at in the end."""
        return range(self.place, self.keys, self.clients)


def parse_store(store: Mapping[str, Any]) -> StorePlan:
    """Return the bucket of a plan line; KeyError, TypeError or ValueError when it is none."""
    kind = str(store["kind"])
    if kind not in (KV, OBJECT):
        raise ValueError(f"a store is {KV!r} or {OBJECT!r}, not {kind!r}")
    return StorePlan(
        kind=kind,
        bucket=str(store["bucket"]),
        keys=int(store["keys"]),
        mix={str(name): float(weight) for name, weight in dict(store["mix"]).items()},
        replicas=int(store["replicas"]),
        history=int(store["history"]),
        storage=str(store["storage"]),
        direct=bool(store["direct"]),
        place=int(store["place"]),
        clients=int(store["clients"]),
    )
