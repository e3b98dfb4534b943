"""The report, version 1: what a run's report.json holds.

Within version 1 fields are only added. Times are seconds; `at` and the times of faults
count from the start of their iteration. A number that is not known is null.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION: Literal["1"] = "1"

VerdictName = Literal["pass", "inconclusive", "fail"]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """Be a frozen part of the report without NaN or infinity in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Client(Part):
    """The client library and the options that were in force."""

    adapter: str | None = None
    version: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class Server(Part):
    """A server and its configuration, without secrets."""

    name: str
    version: str | None = None
    config: Any = None


class Environment(Part):
    """Where it ran."""

    backend: str | None = None
    host: Any = None
    cores: int | None = None
    python: str | None = None
    client: Client = Field(default_factory=Client)
    servers: list[Server] = Field(default_factory=list)


class ProbedLink(Part):
    """Probes over one link, one way; `cut` says that, by whatever fault, none was to pass."""

    source: str
    target: str
    cut: bool
    sent: Count
    received: Count


class Proof(Part):
    """One thing that was seen of a fault: how it struck, its effect, its undo or a failure.

    `links` are the counts of the kind ``probes``: a look at links before, during or after.
    """

    at: float
    node: str | None
    kind: Literal["hit", "effect", "undo", "failure", "probes"]
    what: str
    links: list[ProbedLink] | None = None


class Fault(Part):
    """A fault of an iteration; the times are null as far as it did not come."""

    name: str
    action: str
    targets: list[str]
    inject_start: float | None
    inject_done: float | None
    heal_start: float | None
    heal_done: float | None
    proof: list[Proof]


class PhaseMessages(Part):
    """What became of the messages that were due in a phase.

    `intended` were due, `attempted` given to the library, `accepted` taken by it (`acked`
    among them). `expected` counts accepted ones once for each subscription or queue group
    that was to get them, `delivered` first arrivals there. The rest is defined by the
    check `accounting`.
    """

    intended: Count
    attempted: Count
    accepted: Count
    acked: Count
    expected: Count
    delivered: Count
    lost: Count
    unknown: Count
    recovered: Count
    refused: Count
    duplicates: Count
    out_of_order: Count


class Messages(PhaseMessages):
    """What became of all messages of an iteration."""

    corrupted: Count
    unexpected: Count
    by_phase: dict[str, PhaseMessages]


class Disconnect(Part):
    """A connection that a client lost, or should have lost.

    `sign` is what the client noticed; ``silence`` is what only the watchdog noticed; null
    is nothing at all. With `censored`, at least one of the times is a lower bound. A null
    `fault` means that none had struck the server.
    """

    at: float
    fault: str | None
    server: str | None
    sign: str | None
    detection_time: float | None
    reconnect_latency: float | None
    failover_time: float | None
    attempts: int
    reconnected_to: str | None
    censored: bool


class ClientStory(Part):
    """A client; `server` is the node it was connected to first."""

    name: str
    role: str
    workload: str
    server: str | None
    disconnects: list[Disconnect]


class Outage(Part):
    """The longest gap between successes of a sender, subscription or queue group."""

    name: str
    workload: str
    role: str
    outage_window: float
    at: float
    censored: bool


class Rate(Part):
    """First arrivals over time: bin k counts from `start` + k * `width`, in seconds."""

    start: float
    width: float
    delivered: list[Count]


class Happening(BaseModel):
    """Something on the timeline: when, what, and its facts."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    at: float
    kind: str


class Iteration(Part):
    """One pass through the phases; `messages` is null where they could not be counted."""

    index: int
    verdict: VerdictName
    faults: list[Fault]
    messages: Messages | None
    clients: list[ClientStory]
    watchdog: list[Outage]
    rate: Rate
    timeline: list[Happening]
    timeline_left_out: Count = 0


class Metric(Part):
    """A metric over all iterations, in `unit`.

    A distribution has n, min to max by nearest rank, and how many values are `censored`,
    that is lower bounds; statistics named in `lower_bounds` are at least what is said. A
    counter has `count` of `n` and their `ratio`.
    """

    kind: Literal["counter", "distribution"]
    unit: str
    n: Count
    censored: Count = 0
    min: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None
    lower_bounds: list[str] = Field(default_factory=list)
    count: Count | None = None
    ratio: float | None = None


class Finding(Part):
    """What a check found.

    `value`, `limit` and `margin` are in the metric's unit; a negative margin is the
    distance by which a condition was missed. `at_least` says that the value is a lower
    bound. `iteration` is null for what concerns the run as a whole.
    """

    check: str
    verdict: VerdictName
    value: float | None
    limit: float | None
    margin: float | None
    detail: str
    advice: str | None = None
    iteration: int | None = None
    metric: str | None = None
    statistic: str | None = None
    condition: str | None = None
    n: int | None = None
    censored: int | None = None
    at_least: bool = False


class Report(Part):
    """The report of a run."""

    schema_version: Literal["1"] = VERSION
    run_id: str
    started_at: str
    nats_harness_version: str
    verdict: VerdictName
    exit_code: int
    interrupted: bool = False
    scenario: dict[str, Any]
    seed: int | None
    reproduce: str
    environment: Environment
    warnings: list[str] = Field(default_factory=list)
    iterations: list[Iteration]
    metrics: dict[str, Metric]
    findings: list[Finding]
