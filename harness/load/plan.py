"""What a worker is told to do: the first line of the worker protocol."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.errors import WorkerError
from harness.load.pacing import ListedSchedule, Schedule
from harness.load.stores import StorePlan, parse_store

PROTOCOL = 1
PUBLISHER = "publisher"
SUBSCRIBER = "subscriber"
REQUESTER = "requester"
RESPONDER = "responder"
CONSUMER = "consumer"
USER = "user"  # of a key-value bucket or an object store
WATCHER = "watcher"
SENDERS = frozenset({PUBLISHER, REQUESTER, USER})
RECEIVERS = frozenset({SUBSCRIBER, RESPONDER, WATCHER})
PULL, PUSH, ORDERED = "pull", "push", "ordered"
EXPLICIT, ALL, NONE = "explicit", "all", "none"  # which messages are acknowledged


@dataclass(frozen=True)
class RetryPlan:
    """How a publisher goes on after an attempt that JetStream did not acknowledge.

    Attributes:
        max: how often it publishes the same message again at most.
        msg_id: each message has an id by which the stream knows it again (Nats-Msg-Id).
        wait_s: how long it waits before it does.
    """

    max: int
    msg_id: bool
    wait_s: float


@dataclass(frozen=True)
class ConsumerPlan:
    """How a client consumes a stream.

    Attributes:
        name: what the scenario calls the consumer; the server too, unless it is ordered.
        mode: one of `PULL`, `PUSH` and `ORDERED`.
        durable: it is there before the client connects, who else makes one of its own.
        ack: one of `EXPLICIT`, `ALL` and `NONE`.
        batch: how many messages a pull asks for at most.
        expires_s: how long a pull waits for them.
        work_s: how long the client works on a message before it acknowledges it.
        config: the consumer as the server's API has it; durations in nanoseconds.
    """

    name: str
    mode: str
    durable: bool
    ack: str
    batch: int
    expires_s: float
    work_s: float
    config: dict[str, Any]

    def describe(self) -> dict[str, Any]:
        """Return what the history keeps of it: what it is called, and what is asked of it."""
        return {"consumer": self.name, "config": self.config}


@dataclass(frozen=True)
class ClientPlan:
    """One client: who it is, where it connects first and what it does.

    Attributes:
        id: unique in the run; senders carry it in their payloads.
        worker: the worker that holds it; not part of the protocol's line.
        servers: URLs without credentials; the only ones it bootstraps from.
        rate: messages per second of this sender; None for receivers, and for senders whose
            messages are listed.
        offset_s: how long after the start its first message is due.
        due_s: how long after the start each message of a sender is due, ascending; empty for
            one that sends at a rate.
        texts: the filler of each message in `due_s`.
        senders: ids of the senders a receiver or consumer hears; empty for senders.
        stream: of a publisher, the stream that is to acknowledge; of a consumer, its stream.
        retry: of a publisher to a stream; None: it publishes each message once.
        consumer: of a consumer, how it consumes.
        store: the bucket of its users and watchers.
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
    due_s: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()
    stream: str | None = None
    retry: RetryPlan | None = None
    consumer: ConsumerPlan | None = None
    store: StorePlan | None = None

    @property
    def sends(self) -> bool:
        """Tell whether the client is a sender."""
        return self.role in SENDERS

    def schedule(self, start_ns: int) -> Schedule | ListedSchedule:
        """Return when each message of a sender is due, for a start at `start_ns`."""
        if self.due_s:
            return ListedSchedule(start_ns, self.due_s)
        return Schedule(start_ns, self.offset_s, self.rate or 1.0)

    @property
    def asks(self) -> bool:
        """Tell whether each of its messages is answered, by a client or by the servers."""
        return self.role in (REQUESTER, USER) or (self.sends and self.stream is not None)

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
        if self.due_s:
            plan |= {"due_s": list(self.due_s), "texts": list(self.texts)}
        elif self.sends:
            plan |= {
                "rate": self.rate,
                "offset_s": self.offset_s,
                "payload_bytes": self.payload_bytes,
            }
        else:
            plan |= {"queue": self.queue, "senders": list(self.senders)}
        if self.asks:
            plan |= {"timeout_s": self.timeout_s, "max_in_flight": self.max_in_flight}
        if self.stream is not None:
            plan["stream"] = self.stream
        for key, more in (("retry", self.retry), ("consumer", self.consumer)):
            if more is not None:
                plan[key] = asdict(more)
        if self.store is not None:
            plan |= {"store": self.store.to_dict(), "timeout_s": self.timeout_s}
        return plan

    def describe(self) -> dict[str, Any]:
        """Return what the history keeps of the client (docs/history.md, `load.planned`)."""
        listed = {"due_s": list(self.due_s), "texts": list(self.texts)} if self.due_s else {}
        return {
            "id": self.id,
            "name": self.name,
            "role": self.role,
            "workload": self.workload,
            "queue": self.queue,
            "senders": list(self.senders),
            "rate": self.rate,
            "offset_s": self.offset_s,
            **listed,
            **({} if self.stream is None else {"stream": self.stream}),
            **({} if self.consumer is None else self.consumer.describe()),
        }


@dataclass(frozen=True)
class WorkerPlan:
    """One worker process: its clients, their library and where the columns go.

    Attributes:
        run: the number that marks this run's payloads, 32 bits.
        columns: path of the columns file.
        options: the library's own option names; durations in seconds.
        seed: what the library's random choices start from; empty: not fixed.
        library: the folder that the library is imported from; None: the installed one.
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
    library: str | None = None

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
                "library": self.library,
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
            library=message.get("library"),
        )
    except KeyError as error:
        raise WorkerError(f"the plan lacks {error.args[0]!r}") from error
    except (TypeError, ValueError) as error:
        raise WorkerError(f"the plan cannot be read: {error}") from error


def _parse_client(worker: str, client: dict[str, Any]) -> ClientPlan:
    role = client["role"]
    if role not in SENDERS | RECEIVERS | {CONSUMER}:
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
    if role not in SENDERS:
        more: dict[str, Any] = {
            "queue": client.get("queue"),
            "senders": tuple(int(sender) for sender in client["senders"]),
        }
    elif "due_s" in client:
        more = _parse_listed(client)
    else:
        more = {
            "rate": float(client["rate"]),
            "offset_s": float(client["offset_s"]),
            "payload_bytes": int(client["payload_bytes"]),
        }
    if (stream := client.get("stream")) is not None:
        more["stream"] = str(stream)
    if role in (REQUESTER, USER) or (role in SENDERS and stream is not None):
        more["timeout_s"] = float(client["timeout_s"])
        more["max_in_flight"] = int(client["max_in_flight"])
    if (retry := client.get("retry")) is not None:
        more["retry"] = RetryPlan(
            max=int(retry["max"]), msg_id=bool(retry["msg_id"]), wait_s=float(retry["wait_s"])
        )
    if role == CONSUMER:
        more["consumer"] = _parse_consumer(client["consumer"])
    if role in (USER, WATCHER):
        more["store"] = parse_store(client["store"])
        more["timeout_s"] = float(client["timeout_s"])
    return ClientPlan(**(vars(plan) | more))


def _parse_listed(client: dict[str, Any]) -> dict[str, Any]:
    due_s = tuple(float(one) for one in client["due_s"])
    texts = tuple(str(one) for one in client["texts"])
    if not due_s or list(due_s) != sorted(due_s) or len(texts) != len(due_s):
        raise ValueError(
            f"client {client['name']!r} needs ascending times in due_s, and a text for each"
        )
    return {"due_s": due_s, "texts": texts}


def _parse_consumer(consumer: dict[str, Any]) -> ConsumerPlan:
    return ConsumerPlan(
        name=str(consumer["name"]),
        mode=str(consumer["mode"]),
        durable=bool(consumer["durable"]),
        ack=str(consumer["ack"]),
        batch=int(consumer["batch"]),
        expires_s=float(consumer["expires_s"]),
        work_s=float(consumer["work_s"]),
        config=dict(consumer["config"]),
    )
