"""What a worker is told to do: the first line of the worker protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from harness.errors import WorkerError

PROTOCOL = 1
PUBLISHER = "publisher"
SUBSCRIBER = "subscriber"
REQUESTER = "requester"
RESPONDER = "responder"
SENDERS = frozenset({PUBLISHER, REQUESTER})
RECEIVERS = frozenset({SUBSCRIBER, RESPONDER})


@dataclass(frozen=True)
class ClientPlan:
    """One client: who it is, where it connects first and what it does.

    Attributes:
        id: unique in the run; senders carry it in their payloads.
        worker: the worker that holds it; not part of the protocol's line.
        servers: URLs without credentials; the only ones it bootstraps from.
        rate: messages per second of this sender; None for receivers.
        offset_s: how long after the start its first message is due.
        senders: ids of the senders a receiver hears; empty for senders.
    """

    id: int
    name: str
    role: str
    workload: str
    worker: str
    servers: tuple[str, ...]
    subject: str
    rate: float | None = None
    offset_s: float = 0.0
    payload_bytes: int | None = None
    timeout_s: float | None = None
    max_in_flight: int | None = None
    queue: str | None = None
    senders: tuple[int, ...] = ()

    @property
    def sends(self) -> bool:
        """Tell whether the client is a sender."""
        return self.role in SENDERS

    def to_dict(self) -> dict[str, Any]:
        """Return the client as it stands in the plan line: only what its role has."""
        plan: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "role": self.role,
            "workload": self.workload,
            "servers": list(self.servers),
            "subject": self.subject,
        }
        if self.sends:
            plan |= {
                "rate": self.rate,
                "offset_s": self.offset_s,
                "payload_bytes": self.payload_bytes,
            }
        else:
            plan |= {"queue": self.queue, "senders": list(self.senders)}
        if self.role == REQUESTER:
            plan |= {"timeout_s": self.timeout_s, "max_in_flight": self.max_in_flight}
        return plan

    def describe(self) -> dict[str, Any]:
        """Return what the history keeps of the client (docs/history.md, `load.planned`)."""
        return {
            "id": self.id,
            "name": self.name,
            "role": self.role,
            "workload": self.workload,
            "queue": self.queue,
            "senders": list(self.senders),
            "rate": self.rate,
            "offset_s": self.offset_s,
        }


@dataclass(frozen=True)
class WorkerPlan:
    """One worker process: its clients, their library and where the columns go.

    Attributes:
        run: the number that marks this run's payloads, 32 bits.
        columns: path of the columns file.
        options: the library's own option names; durations in seconds.
        seed: what the library's random choices start from; empty: not fixed.
    """

    worker: str
    run: int
    columns: str
    clients: tuple[ClientPlan, ...]
    adapter: str = "nats-py"
    options: dict[str, Any] = field(default_factory=dict)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    seed: str = ""

    def to_json(self) -> str:
        """Return the plan line, without its line end. It holds the password: never log it."""
        return json.dumps(
            {
                "type": "plan",
                "protocol": PROTOCOL,
                "worker": self.worker,
                "run": self.run,
                "columns": self.columns,
                "adapter": self.adapter,
                "options": self.options,
                "user": self.user,
                "password": self.password,
                "seed": self.seed,
                "clients": [client.to_dict() for client in self.clients],
            }
        )


def parse_plan(message: dict[str, Any]) -> WorkerPlan:
    """Return the plan for a parsed plan line.

    Raises:
        WorkerError: another protocol version, or a key is missing or of the wrong type.
    """
    if message.get("protocol") != PROTOCOL:
        raise WorkerError(
            f"this worker speaks protocol {PROTOCOL}, the plan is for {message.get('protocol')!r}"
        )
    try:
        worker = str(message["worker"])
        return WorkerPlan(
            worker=worker,
            run=int(message["run"]),
            columns=str(message["columns"]),
            clients=tuple(_parse_client(worker, client) for client in message["clients"]),
            adapter=str(message["adapter"]),
            options=dict(message.get("options") or {}),
            user=message.get("user"),
            password=message.get("password"),
            seed=str(message.get("seed") or ""),
        )
    except KeyError as error:
        raise WorkerError(f"the plan lacks {error.args[0]!r}") from error
    except (TypeError, ValueError) as error:
        raise WorkerError(f"the plan cannot be read: {error}") from error


def _parse_client(worker: str, client: dict[str, Any]) -> ClientPlan:
    role = client["role"]
    if role not in SENDERS | RECEIVERS:
        raise ValueError(f"client {client['name']!r} has an unknown role {role!r}")
    plan = ClientPlan(
        id=int(client["id"]),
        name=str(client["name"]),
        role=role,
        workload=str(client["workload"]),
        worker=worker,
        servers=tuple(client["servers"]),
        subject=str(client["subject"]),
    )
    if role in RECEIVERS:
        more: dict[str, Any] = {
            "queue": client.get("queue"),
            "senders": tuple(int(sender) for sender in client["senders"]),
        }
    else:
        more = {
            "rate": float(client["rate"]),
            "offset_s": float(client["offset_s"]),
            "payload_bytes": int(client["payload_bytes"]),
        }
    if role == REQUESTER:
        more["timeout_s"] = float(client["timeout_s"])
        more["max_in_flight"] = int(client["max_in_flight"])
    return ClientPlan(**(vars(plan) | more))
