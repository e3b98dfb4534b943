"""What a user wrote: the scenario as frozen data.

The model holds shapes and single-value rules; rules that span keys live in
`harness.scenario.rules`, where each can name the key that is at fault. Faults
and workloads subclass `FaultStep` and `WorkloadSpec` in their own packages and
reach the loader through a `Vocabulary`, so this module knows none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, SerializeAsAny

from harness.scenario.quantities import Count, Duration, Flag, Index, Name

SEED_NODE = "n1"
MAX_SERVERS = 25
MAX_STEPS = 100

Selection = Literal["one", "minority", "majority", "all"]


class Model(BaseModel):
    """Be frozen and refuse keys that are not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


class Authorization(Model):
    """A user and a password; the password never reaches a report, a log or a file."""

    user: str = Field(min_length=1)
    password: SecretStr = Field(min_length=1)


class JetStream(Model):
    """JetStream settings of every server (NATS docs, Configuring JetStream)."""

    sync_interval: Literal["always"] | Duration | None = None


class ClusterSpec(Model):
    """The servers under test.

    `servers` nodes are named n1, n2, ...; n1 is the seed: the others are given only
    its route and learn the rest by gossip.
    """

    servers: int = Field(default=3, strict=True, ge=1, le=MAX_SERVERS)
    version: str | dict[str, str] = "bundled"
    jetstream: Flag | JetStream = False
    authorization: Authorization | None = None
    route_authorization: Authorization | None = None
    config: dict[str, Any] = Field(default_factory=dict)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the node names, the seed first."""
        return tuple(f"n{index + 1}" for index in range(self.servers))

    def version_of(self, node: str) -> str:
        """Return the version asked for `node`: ``bundled``, a release or a path."""
        if isinstance(self.version, str):
            return self.version
        return self.version.get(node, self.version.get("default", "bundled"))


class ClientSpec(Model):
    """The clients: which library, which bootstrap servers, which of its options.

    `options` are the library's own option names; durations carry units.
    """

    adapter: Literal["nats-py"] = "nats-py"
    servers: tuple[str, ...] = Field(default=(SEED_NODE,), min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)


class WorkloadSpec(Model):
    """Be the base of all kinds of traffic.

    `attach` maps a role (such as ``publishers``) to where its clients connect first:
    a node, a list of nodes taken in turn, ``seed``, or ``spread`` over all nodes. An
    attached client has that one server as its bootstrap list; a role that is not
    attached bootstraps from `ClientSpec.servers`.
    """

    roles: ClassVar[tuple[str, ...]] = ()

    name: Name
    kind: str
    attach: Mapping[str, str | tuple[str, ...]] = Field(default_factory=dict)


class Phases(Model):
    """How long each phase lasts.

    The fault phase lasts until every fault is healed; `fault` makes it last at least
    that long, and a fault that would end later is refused. `drain` is an upper bound:
    it ends as soon as every message is accounted for.
    """

    warmup: Duration = 1.0
    steady: Duration = 3.0
    fault: Duration | None = None
    recovery: Duration = 5.0
    drain: Duration = 2.0


class FaultStep(Model):
    """Be the base of all faults: when it starts, how long it holds, what it hits.

    `at` counts from the start of the fault phase. `duration` is how long the effect is
    held before it is undone; without it, to the end of `phases.fault`. `silent` tells
    that clients notice the effect only by missing answers, not by a closed connection;
    `self_timed` that the fault ends by itself and needs no `duration`. `lead_s` is how
    long before its time a fault wants to look around.
    """

    silent: ClassVar[bool] = False
    self_timed: ClassVar[bool] = False
    lead_s: ClassVar[float] = 0.0

    name: Name
    action: str
    target: str | tuple[str, ...] = SEED_NODE
    count: Selection = "all"
    at: Duration = 0.0
    duration: Duration | None = None

    @property
    def strikes_clients(self) -> bool:
        """Tell whether clients' own connections can be struck."""
        return True

    def impossibilities(
        self, nodes: Sequence[str], groups: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what cannot be done in such a cluster: the path below the step, and why.

        Args:
            nodes: the names of all nodes.
            groups: the client groups of each workload, by its name.
        """
        del nodes, groups
        yield from ()


class Scenario(Model):
    """One resilience scenario, resolved: defaults filled in, names checked."""

    name: Name
    description: str = ""
    seed: Index = 1
    repeat: Count = 1
    cluster: ClusterSpec = Field(default_factory=ClusterSpec)
    client: ClientSpec = Field(default_factory=ClientSpec)
    workloads: tuple[SerializeAsAny[WorkloadSpec], ...] = Field(min_length=1, max_length=MAX_STEPS)
    phases: Phases = Field(default_factory=Phases)
    faults: tuple[SerializeAsAny[FaultStep], ...] = Field(default=(), max_length=MAX_STEPS)
    thresholds: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def workload(self, name: str) -> WorkloadSpec:
        """Return the workload called `name`; KeyError when there is none."""
        for workload in self.workloads:
            if workload.name == name:
                return workload
        raise KeyError(name)
