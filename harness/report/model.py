"""The report, version 1: what a run's report.json holds.

Within version 1 fields are only added. Times are seconds; `at` and the times of faults
count from the start of their iteration. A number that is not known is null.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from harness.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, EXIT_PASS

VERSION: Literal["1"] = "1"

VerdictName = Literal["pass", "inconclusive", "fail"]
SEVERITY: tuple[VerdictName, ...] = ("pass", "inconclusive", "fail")
EXIT_CODES: dict[VerdictName, int] = {
    "pass": EXIT_PASS,
    "inconclusive": EXIT_INCONCLUSIVE,
    "fail": EXIT_FAIL,
}
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """Be a frozen part of a document, such as the report, without NaN or infinity in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Client(Part):
    """The client library and the options that were in force."""

    adapter: str | None = None
    version: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class Server(Part):
    """A server and its configuration, without secrets.

    `version` is what it was started as first, `versions` are all that it was, in that order.
    """

    name: str
    version: str | None = None
    versions: list[str] = Field(default_factory=list)
    config: Any = None


class Environment(Part):
    """Where it ran; `clients_via` is what clients went through (``proxy``), null if nothing."""

    backend: str | None = None
    clients_via: str | None = None
    host: Any = None
    cores: int | None = None
    python: str | None = None
    client: Client = Field(default_factory=Client)
    servers: list[Server] = Field(default_factory=list)


class ProbedLink(Part):
    """Probes over one link, one way; `cut` says that, by whatever fault, none was to pass.

    `via` is what stood in for the network (``proxy``), null if nothing did.
    """

    source: str
    target: str
    cut: bool
    sent: Count
    received: Count
    via: str | None = None


class Proof(Part):
    """One thing that was seen of a fault: how it struck, its effect, its undo or a failure.

    ``held`` is the effect as seen once more right before the heal.

    `links` are the counts of the kind ``probes``: a look at links before, during,
    right before the heal or after.
    """

    at: float
    node: str | None
    kind: Literal["hit", "effect", "held", "undo", "failure", "probes"]
    what: str
    links: list[ProbedLink] | None = None


class Notice(Part):
    """What a server noticed of a fault, or should have, by samples of its own view.

    ``route-gone``: it no longer lists its routes to `peer`. ``connection-closed``: it closed
    connections of `clients`, for a `reason` in its own words. `after_s` counts from the
    instant of the hit; it may truly be up to `resolution_s` less. With `censored` it had not
    noticed by then, and `at` is null.
    """

    server: str
    peer: str | None
    what: Literal["route-gone", "connection-closed"]
    reason: str | None
    clients: list[str]
    at: float | None
    after_s: float
    resolution_s: float
    censored: bool


class Fault(Part):
    """A fault of an iteration; the times are null as far as it did not come.

    `proven`: it struck what it was aimed at, its effect and its undo were seen, and nothing
    else was struck; null where that was not judged. `late_s`: how much later than planned it
    began, since a fault before it was still being healed.
    """

    name: str
    action: str
    targets: list[str]
    inject_start: float | None
    inject_done: float | None
    heal_start: float | None
    heal_done: float | None
    proof: list[Proof]
    proven: bool | None = None
    noticed: list[Notice] = Field(default_factory=list)
    late_s: float = 0.0


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

    @property
    def told(self) -> bool:
        """Tell whether the client itself said that its connection was lost."""
        return self.sign not in (None, "silence")


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


class NamedFate(Part):
    """What became of a named message at one subscriber; defined by the check `named`.

    `server` is the node it was on when the message came, else when it was attempted. `at` and
    `latency` (from when it was due) are null unless it was delivered; `copies` is how often.
    """

    name: str
    server: str | None
    fate: Literal[
        "delivered",
        "lost",
        "uncertain",
        "not-sent",
        "not-delivered",
        "not-confirmed",
        "closed",
        "unrecorded",
    ]
    at: float | None
    latency: float | None
    copies: Count


class NamedMessage(Part):
    """A message that the scenario names, and what happened to it.

    `server` is the node that its publisher was on, null without connection; `phase` is the
    one in which it was `due`, null after the end of the load.
    """

    workload: str
    text: str
    publisher: str
    server: str | None
    due: float
    phase: str | None
    attempted: float | None
    outcome: Literal["accepted", "refused", "unknown", "not-attempted", "unrecorded"]
    subscribers: list[NamedFate]


class StreamReplica(Part):
    """What the audit found of one replica; `healthy` is what its node said, null if not asked.

    `lost` acked messages are absent: `prefix` and `postfix` of them at the ends of what was
    acknowledged, `middle` between. `uncertain` ones the stream may have removed itself.
    """

    server: str
    stored: Count
    lost: Count
    uncertain: Count
    prefix: Count
    middle: Count
    postfix: Count
    healthy: bool | None


class StreamConsumer(Part):
    """What a consumer delivered of what it was to deliver; see the check `consumption`."""

    name: str
    expected: Count
    delivered: Count
    lost: Count
    uncertain: Count
    redelivered: Count
    duplicates: Count
    out_of_order: Count


class Stream(Part):
    """What became of a stream's messages; see the checks `stream-loss` and `stream-order`.

    `unread` says by node why a replica could not be judged. `removed` messages are gone as
    the stream's limits or retention allow.
    """

    name: str
    acked: Count
    lost: Count
    uncertain: Count
    removed: Count
    recovered: Count
    duplicates: Count
    sequence_conflicts: Count
    replicas: list[StreamReplica]
    unread: dict[str, str]
    consumers: list[StreamConsumer]


class Rate(Part):
    """First arrivals over time: bin k counts from `start` + k * `width`, in seconds."""

    start: float
    width: float
    delivered: list[Count]


class Disturbance(Part):
    """How far the machine or the harness itself disturbed an iteration.

    `lag` is how late a worker's own loop was at worst under load, in seconds, 0 where that was
    less than 50 ms: what it saw may be stamped late by as much. `late_senders` had more than
    1 % of their messages in steady sent more than 50 ms after they were due.
    """

    lag: float = 0.0
    late_senders: list[str] = Field(default_factory=list)


class Happening(BaseModel):
    """Something on the timeline: when, what, and its facts."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    at: float
    kind: str


class Iteration(Part):
    """One pass through the phases; `messages` is null where they could not be counted.

    `schedule` are the faults that it set out to carry out, as one would write them in a
    scenario: what repeats is written out, what is random is drawn. `named` are the messages
    that the scenario names, sender by sender in the order in which they were due. `metrics`
    are its own, by the same names as those of the run.
    """

    index: int
    verdict: VerdictName
    schedule: list[dict[str, Any]] = Field(default_factory=list)
    faults: list[Fault]
    messages: Messages | None
    named: list[NamedMessage] = Field(default_factory=list)
    clients: list[ClientStory]
    watchdog: list[Outage]
    streams: list[Stream] = Field(default_factory=list)
    rate: Rate
    metrics: dict[str, IterationMetric] = Field(default_factory=dict)
    disturbance: Disturbance = Field(default_factory=Disturbance)
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


class IterationMetric(Metric):
    """A metric of one iteration, with the values themselves where there are few.

    `values` are those that are known exactly, `lower_values` the censored ones as their lower
    bounds, both ascending and in `unit`; null where there are more than 256 in all, and for
    counters.
    """

    values: list[float] | None = None
    lower_values: list[float] | None = None


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
    """The report of a run.

    No finding is worse than the verdict, and the exit code is the verdict's, or that of an
    interruption: a report that contradicts itself is refused, as nobody could say what it means.
    """

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

    _folder: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        worst = max((one.verdict for one in self.findings), key=SEVERITY.index, default="pass")
        if SEVERITY.index(self.verdict) < SEVERITY.index(worst):
            raise ValueError(f"the verdict is {self.verdict}, and that of a finding {worst}")
        expected = EXIT_INTERRUPTED if self.interrupted else EXIT_CODES[self.verdict]
        if self.exit_code != expected:
            how = ", interrupted" if self.interrupted else ""
            raise ValueError(f"exit code {self.exit_code} with verdict {self.verdict}{how}")
        return self

    @property
    def passed(self) -> bool:
        """Tell whether the verdict is ``pass``."""
        return self.verdict == "pass"

    @property
    def thresholds(self) -> list[Finding]:
        """Return what was found of each condition of the scenario's thresholds, in its order."""
        return [finding for finding in self.findings if finding.condition is not None]

    @property
    def folder(self) -> Path | None:
        """Return the run folder; None when that is not known here."""
        return self._folder

    def found_in(self, folder: Path) -> Self:
        """Return the same report, with the run folder that it belongs to."""
        placed = self.model_copy()
        placed._folder = folder  # noqa: SLF001 - its own
        return placed
