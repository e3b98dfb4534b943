"""JetStream: publishers that wait for their PubAck, and consumers of the stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.load.plan import (
    ALL,
    EXPLICIT,
    NONE,
    ORDERED,
    PULL,
    PUSH,
    ClientPlan,
    ConsumerPlan,
    RetryPlan,
)
from harness.scenario.model import Model, Phases, Scenario
from harness.scenario.problems import suggestion
from harness.scenario.quantities import Clients, Count, Duration, Flag, InFlight, Retries
from harness.scenario.stream_rules import only_workloads_publish
from harness.scenario.streams import MAX_REPLICAS, NS_PER_S, Filter, StreamName, StreamSpec
from harness.scenario.subjects import covers, overlap, published_by
from harness.units import format_duration
from harness.workloads.base import (
    Bootstrap,
    Payload,
    Subject,
    Traffic,
    Workload,
)

BATCH = 10
EXPIRES_S = 1.0
SERVERS_ACK_WAIT_S = 30.0  # what a consumer has that does not say

_SERVERS = ("$", "_")  # how subjects begin on which servers publish by themselves

# Which keys belong to some modes only: a key that does nothing is refused.
_PULL_ONLY = ("batch", "expires")
_PUSH_ONLY = ("flow_control",)
_NOT_PULL = ("idle_heartbeat",)
_NOT_ORDERED = ("durable", "ack_wait", "max_deliver", "max_ack_pending", "replicas", "work")
# What a consumer says itself, and by which key.
_OURS: Mapping[str, str] = {
    "name": "name",
    "durable_name": "durable",
    "ack_policy": "ack",
    "ack_wait": "ack_wait",
    "max_deliver": "max_deliver",
    "max_ack_pending": "max_ack_pending",
    "num_replicas": "replicas",
    "mem_storage": "memory",
    "filter_subject": "filter",
    "inactive_threshold": "inactive_threshold",
    "idle_heartbeat": "idle_heartbeat",
    "flow_control": "flow_control",
    "deliver_group": "clients",
    "deliver_subject": "mode",
    "deliver_policy": "mode",
}


class Retry(Model):
    """How often and when a message that was not acknowledged is published again.

    `max` counts the further attempts and `wait` is the pause before each (the defaults are
    those of nats.go's JetStream publish). With `msg_id` every message carries an id, so that
    the stream knows it again within its duplicate window.
    """

    max: Retries = 2
    msg_id: Flag = True
    wait: Duration = 0.25


class Consumer(Model):
    """A consumer and the clients that share it (NATS docs, Consumers).

    With `durable` it is made before clients connect, and `clients` share it: a push consumer
    by a deliver group. Without, each client makes one of its own, called `name`. An ordered
    one is the client library's own ephemeral push consumer.

    A client works on one message after the other, `work` long on each, and then acknowledges:
    each message, or with ``ack: all`` the last that it has. A pull asks for `batch` messages
    (10) and waits for them until it `expires` (1 s). What else is not given is the
    server's default; `options` are further keys of its API ($JS.API.CONSUMER.CREATE).
    """

    durable: StreamName | None = None
    name: StreamName | None = None
    mode: Literal["pull", "push", "ordered"] = "pull"
    ack: Literal["explicit", "all", "none"] | None = None
    clients: Clients = 1
    filter: Filter | None = None
    batch: Count | None = None
    expires: Annotated[Duration, Field(gt=0)] | None = None
    work: Duration = 0.0
    ack_wait: Annotated[Duration, Field(gt=0)] | None = None
    max_deliver: Count | None = None
    max_ack_pending: Count | None = None
    replicas: Annotated[Count, Field(le=MAX_REPLICAS)] | None = None
    memory: Flag = False
    inactive_threshold: Annotated[Duration, Field(gt=0)] | None = None
    idle_heartbeat: Annotated[Duration, Field(gt=0)] | None = None
    flow_control: Flag = False
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _refuse_what_does_nothing(self) -> Self:
        given = {key for key in type(self).model_fields if getattr(self, key)}
        wrong = [
            *((key, PULL) for key in _PULL_ONLY if self.mode != PULL),
            *((key, PUSH) for key in _PUSH_ONLY if self.mode != PUSH),
            *((key, f"{PUSH} or {ORDERED}") for key in _NOT_PULL if self.mode == PULL),
            *((key, f"{PULL} or {PUSH}") for key in _NOT_ORDERED if self.mode == ORDERED),
        ]
        for key, mode in wrong:
            if key in given:
                raise ValueError(f"{key} needs mode {mode}, and this consumer is {self.mode}")
        if self.durable is not None and self.name is not None:
            raise ValueError("a durable consumer is called what durable says; remove name")
        if self.mode == ORDERED and self.ack not in (None, NONE):
            raise ValueError("an ordered consumer acknowledges nothing; remove ack")
        if self.ack_policy == ALL and self.durable is not None and self.clients > 1:
            raise ValueError(
                "ack: all with several clients would acknowledge what others have not handled"
            )
        if self.flow_control and self.idle_heartbeat is None:
            raise ValueError("flow_control needs idle_heartbeat")
        if self.options.get("headers_only"):
            raise ValueError(
                "options: messages are told by their payloads, which headers_only leaves out"
            )
        for key in self.options:
            if (ours := _OURS.get(key)) is not None:
                raise ValueError(f"options: {key!r} is given by the key {ours!r} beside it")
        return self

    @property
    def ack_policy(self) -> str:
        """Return what is acknowledged."""
        return self.ack or (NONE if self.mode == ORDERED else EXPLICIT)

    def config(self, stream: str, name: str) -> dict[str, Any]:
        """Return what the server's API takes; durations are nanoseconds."""
        durable = self.durable is not None
        pushed = self.mode == PUSH and durable
        given: dict[str, Any] = {
            "durable_name": name if durable else None,
            "filter_subject": self.filter,
            "ack_wait": _ns(self.ack_wait),
            "max_deliver": self.max_deliver,
            "max_ack_pending": self.max_ack_pending,
            "num_replicas": self.replicas,
            "mem_storage": self.memory or None,
            "inactive_threshold": _ns(self.inactive_threshold),
            "idle_heartbeat": _ns(self.idle_heartbeat),
            "flow_control": self.flow_control or None,
            "deliver_subject": f"_INBOX.nats-harness.{stream}.{name}" if pushed else None,
            "deliver_group": name if pushed and self.clients > 1 else None,
        }
        return {
            "name": name,
            "ack_policy": self.ack_policy,
            "deliver_policy": "all",
            **{key: value for key, value in given.items() if value is not None},
            **self.options,
        }


def _ns(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * NS_PER_S)


class JetStream(Workload):
    """Publish to a stream and consume it (NATS docs, JetStream).

    `rate` is the workload's total, shared evenly by its publishers. `ack_timeout` is how long
    an attempt waits for its PubAck; above `max_in_flight` messages that wait, a publisher is
    late, which shows as lateness, never as loss. `subject` is the first subject of the
    stream, with the workload's name in the place of each wildcard, unless it is given.
    """

    roles: ClassVar[tuple[str, ...]] = ("publishers", "consumers")

    kind: Literal["jetstream"] = "jetstream"
    stream: StreamName
    publishers: Clients = 1
    rate: Traffic = 100.0
    payload: Payload = 128
    subject: Subject | None = None
    ack_timeout: Annotated[Duration, Field(gt=0)] = 5.0
    retry: Retry | None = None
    max_in_flight: InFlight = 256
    consumers: tuple[Consumer, ...] = ()

    @property
    def size(self) -> int:
        """Return how many clients it has in all."""
        return self.publishers + sum(one.clients for one in self.consumers)

    @property
    def deliveries(self) -> int:
        """Return how many consumers there are, of which each gets every message."""
        return sum(1 if one.durable else one.clients for one in self.consumers)

    @property
    def settle_s(self) -> float:
        """Return how long an attempt waits for its acknowledgement."""
        return self.ack_timeout

    def subject_among(self, streams: Sequence[StreamSpec]) -> str | None:
        """Return the subject that it publishes on; None when there is no such stream."""
        if self.subject is not None:
            return self.subject
        mine = next((one for one in streams if one.name == self.stream), None)
        return None if mine is None else published_by(self.name, None, mine.filters)

    def resolved(self, streams: Sequence[StreamSpec]) -> Self:
        """Return it with its subject."""
        return self.model_copy(update={"subject": self.subject_among(streams)})

    def durables(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """Return its durable consumers."""
        made = {
            one.durable: one.config(self.stream, one.durable)
            for one in self.consumers
            if one.durable is not None
        }
        return {self.stream: made} if made else {}

    def names(self) -> Iterator[tuple[int, Consumer, str]]:
        """Yield the place of a consumer's entry, the entry and the name, one for each client."""
        for place, consumer in enumerate(self.consumers):
            stem = consumer.durable or consumer.name or f"{self.name}-{place + 1}"
            for number in range(1, consumer.clients + 1):
                alone = consumer.durable is not None or consumer.clients == 1
                yield place, consumer, stem if alone else f"{stem}-{number}"

    def clients(
        self, first_id: int, bootstrap: Bootstrap, phases: Phases
    ) -> tuple[ClientPlan, ...]:
        """Return the publishers, then the consumers' clients in their order."""
        del phases
        subject = self.subject or self.name
        again = self.retry
        retry = None if again is None else RetryPlan(again.max, again.msg_id, again.wait)
        publishers = self.paced_senders(
            first_id,
            "publishers",
            self.publishers,
            bootstrap,
            subject,
            rate=self.rate,
            payload_bytes=self.payload,
            timeout_s=self.ack_timeout,
            max_in_flight=self.max_in_flight,
            stream=self.stream,
            retry=retry,
        )
        senders = tuple(one.id for one in publishers)
        clients = [*publishers]
        for index, (_, consumer, name) in enumerate(self.names()):
            client_id = first_id + self.publishers + index
            client = self.client(client_id, "consumers", index, bootstrap, subject)
            plan = ConsumerPlan(
                name=name,
                mode=consumer.mode,
                durable=consumer.durable is not None,
                ack=consumer.ack_policy,
                batch=consumer.batch or BATCH,
                expires_s=consumer.expires or EXPIRES_S,
                work_s=consumer.work,
                config=consumer.config(self.stream, name),
            )
            clients.append(replace(client, stream=self.stream, senders=senders, consumer=plan))
        return tuple(clients)

    def impossibilities(self, scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what the stream does not allow, and names that are taken."""
        known = tuple(one.name for one in scenario.streams)
        if self.stream not in known:
            yield ("stream",), f"there is no stream {self.stream!r}{suggestion(self.stream, known)}"
            return
        stream = scenario.stream(self.stream)
        if self.subject and not any(covers(one, self.subject) for one in stream.filters):
            taken = ", ".join(stream.filters)
            message = f"stream {self.stream!r} takes {taken}, and not {self.subject!r}"
            yield ("subject",), message
        for place, consumer in enumerate(self.consumers):
            for key, message in _misfits(consumer, stream):
                yield ("consumers", place, *key), message
            if _is_idle(consumer, stream, scenario):
                message = f"no workload publishes on {consumer.filter!r}, so it would get nothing"
                yield ("consumers", place, "filter"), message
        yield from self._taken(scenario)

    def doubts(self, scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield consumers that may not have drained after a fault took acknowledgements."""
        drain_s = scenario.phases.drain
        for place, consumer in enumerate(self.consumers if scenario.faults else ()):
            wait_s = consumer.ack_wait or SERVERS_ACK_WAIT_S
            if consumer.ack_policy != NONE and wait_s > drain_s:
                message = (
                    "a message whose acknowledgement is lost comes again only after ack_wait "
                    f"{format_duration(wait_s)} > drain {format_duration(drain_s)}; set ack_wait "
                    "lower or give drain more time"
                )
                yield ("consumers", place), message

    def _taken(self, scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield consumers whose name another of the stream has already, here or before."""
        taken: dict[str, tuple[str, int]] = {}
        for workload in scenario.workloads:
            if not isinstance(workload, JetStream) or workload.stream != self.stream:
                continue
            for place, consumer, name in workload.names():
                owner = taken.setdefault(name, (workload.name, place))
                if owner != (workload.name, place) and workload.name == self.name:
                    key = "durable" if consumer.durable is not None else "name"
                    at = (key,) if key in consumer.model_fields_set else ()
                    message = f"stream {self.stream!r} has another consumer {name!r}"
                    yield ("consumers", place, *at), message
            if workload.name == self.name:
                return


def _is_idle(consumer: Consumer, stream: StreamSpec, scenario: Scenario) -> bool:
    """Tell whether it will never get a message for certain, though its stream could take some."""
    wanted = consumer.filter
    if wanted is None or not any(overlap(one, wanted) for one in stream.filters):
        return False
    if wanted.startswith(_SERVERS) or not only_workloads_publish(scenario):
        return False
    published = [one.subject_among(scenario.streams) for one in scenario.workloads]
    return not any(one is None or covers(wanted, one) for one in published)


def _misfits(consumer: Consumer, stream: StreamSpec) -> Iterator[tuple[tuple[str, ...], str]]:
    wanted = consumer.filter
    same = not {"subject_transform", "sources", "mirror"} & stream.options.keys()
    if wanted is not None and same and not any(overlap(one, wanted) for one in stream.filters):
        taken = ", ".join(stream.filters)
        yield ("filter",), f"stream {stream.name!r} takes {taken}, and nothing on {wanted!r}"
    if consumer.replicas is not None and consumer.replicas > stream.replicas:
        message = f"stream {stream.name!r} has {stream.replicas} replica(s), a consumer no more"
        yield ("replicas",), message
    if stream.retention != "limits" and stream.replicas > 1:
        for at, count in (("replicas", consumer.replicas), ("mode", _replicas_of(consumer))):
            if count not in (None, stream.replicas):
                message = (
                    f"stream {stream.name!r} has {stream.replicas} replicas and retention: "
                    f"{stream.retention}, so the server refuses a consumer with {count}"
                )
                yield (at,), message
    if stream.retention == "workqueue" and consumer.ack_policy != EXPLICIT:
        key = ("ack",) if consumer.ack is not None else ("mode",)
        yield key, f"stream {stream.name!r} is a work queue, which needs ack: explicit"


def _replicas_of(consumer: Consumer) -> int | None:
    """Return how many replicas the client library asks for; None for the stream's."""
    return 1 if consumer.mode == ORDERED else None
