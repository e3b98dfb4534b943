"""What a user wrote: the scenario as frozen data.

The model holds shapes and single-value rules; rules that span keys live in
`harness.scenario.rules`, where each can name the key that is at fault. Faults
and workloads subclass `FaultStep` and `WorkloadSpec` in their own packages and
reach the loader through a `Vocabulary`, so this module knows none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from harness.scenario.attached import ClientUrl, MonitorUrl, NodeName
from harness.scenario.compose.model import ComposeProject
from harness.scenario.quantities import Count, Duration, Flag, Index, Name, Repeat, Size
from harness.scenario.sites import NOWHERE, Site, Sites
from harness.scenario.streams import StreamSpec

INSTALLED = "installed"
SEED_NODE = "n1"  # of a cluster whose nodes the harness names
SEED = "seed"  # what a scenario calls the seed, whatever its name
NODES = "nodes"  # of the validation context: the names of all nodes, where a file says them
CLUSTER_NAME = "nats-harness"  # of a cluster that the scenario does not name
HUB = "hub"  # the cluster that leaf nodes connect to
MAX_SERVERS = 25
MAX_STEPS = 100
MAX_STREAMS = 100
MAX_FAULTS = 500

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


class Members(Model):
    """A cluster of a supercluster (NATS docs, Gateways)."""

    servers: int = Field(default=3, strict=True, ge=1, le=MAX_SERVERS)


class Leaf(Model):
    """A leaf of the cluster: servers of which each connects to it (NATS docs, Leaf Nodes)."""

    name: Name
    servers: int = Field(default=1, strict=True, ge=1, le=MAX_SERVERS)


class ContainerOptions(Model):
    """How the servers' containers are made, for the backend `docker`.

    `arguments` are the server's own command line, of all nodes or by node (``default`` for
    the others), instead of a configuration that the harness writes. `memory` and `cpus`
    limit each container.
    """

    arguments: str | dict[str, str] | None = None
    subnet: str | None = None
    memory: Size | None = None
    cpus: float | None = Field(default=None, gt=0, le=1024)
    read_only: Flag = False

    def arguments_of(self, node: str) -> str | None:
        """Return the command line of `node`; None when the harness writes its configuration."""
        if self.arguments is None or isinstance(self.arguments, str):
            return self.arguments
        return self.arguments.get(node, self.arguments.get("default"))


class AttachedServer(Model):
    """A server that runs already: where clients connect, and where it is asked about itself."""

    client: ClientUrl
    monitor: MonitorUrl


class ClusterSpec(Model):
    """The servers under test.

    `servers` nodes are named n1, n2, ...; n1 is the seed: the others are given only
    its route and learn the rest by gossip. With `clusters` there are several such
    clusters, joined by gateways, and `servers` is how many they have in all; with
    `leafnodes` the cluster is a hub. Nodes are numbered through: cluster after cluster,
    then leaf after leaf. With `compose` the nodes are the NATS services of a Compose file,
    which says everything else about them; `services` names them where the harness cannot
    tell.

    With `attach` the servers run already, under names of the user's own: the harness only
    looks at them, and connects clients that log in by `authorization`.
    """

    servers: int = Field(default=3, strict=True, ge=1, le=MAX_SERVERS)
    clusters: dict[Name, Members] | None = None
    leafnodes: tuple[Leaf, ...] = ()
    version: str | dict[str, str] = "bundled"
    image: str | dict[str, str] | None = None
    container: ContainerOptions | None = None
    jetstream: Flag | JetStream = False
    authorization: Authorization | None = None
    route_authorization: Authorization | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    compose: ComposeProject | None = None
    services: tuple[str, ...] | None = Field(default=None, min_length=1)
    attach: dict[NodeName, AttachedServer] | None = None

    @field_validator("attach")
    @classmethod
    def _require_some(
        cls, attach: dict[str, AttachedServer] | None
    ) -> dict[str, AttachedServer] | None:
        if attach is not None and not 1 <= len(attach) <= MAX_SERVERS:
            raise ValueError(f"expected one to {MAX_SERVERS} servers, found {len(attach)}")
        return attach

    @model_validator(mode="before")
    @classmethod
    def _count_servers(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "servers" in data:
            return data
        clusters = data.get("clusters")
        return {**data, "servers": _total(clusters)} if isinstance(clusters, Mapping) else data

    @property
    def sites(self) -> Sites:
        """Return the clusters that the servers form, leafs last."""
        if self.compose is not None:
            return Sites((Site(CLUSTER_NAME, self.compose.nodes),))
        if self.attach is not None:
            return Sites((Site(CLUSTER_NAME, tuple(self.attach)),))
        if self.clusters is not None:
            sizes = [(name, members.servers, None) for name, members in self.clusters.items()]
        elif self.leafnodes:
            sizes = [(HUB, self.servers, None)]
        else:
            sizes = [(CLUSTER_NAME, self.servers, None)]
        leafs = [(leaf.name, leaf.servers, HUB) for leaf in self.leafnodes]
        sites: list[Site] = []
        first = 1
        for name, size, hub in (*sizes, *leafs):
            nodes = tuple(f"n{number}" for number in range(first, first + size))
            sites.append(Site(name, nodes, hub))
            first += size
        return Sites(tuple(sites))

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the node names, the seed first."""
        return self.sites.nodes

    @property
    def seed(self) -> str:
        """Return the node whose address the others are given."""
        return self.nodes[0]

    @property
    def login(self) -> Authorization | None:
        """Return what clients log in with; None where the servers ask for nothing."""
        if self.compose is None or self.compose.login is None:
            return self.authorization
        login = self.compose.login
        return Authorization(user=login.user, password=login.password)

    def version_of(self, node: str) -> str:
        """Return the version asked for `node`: ``bundled``, a release or a path."""
        if isinstance(self.version, str):
            return self.version
        return self.version.get(node, self.version.get("default", "bundled"))

    def image_of(self, node: str) -> str | None:
        """Return the image asked for `node`, by tag or digest; None for none in particular."""
        if self.compose is not None:
            return self.compose.by_name[node].image
        if self.image is None or isinstance(self.image, str):
            return self.image
        return self.image.get(node, self.image.get("default"))

    @property
    def in_containers(self) -> bool:
        """Tell whether only containers can be these servers."""
        return any(one is not None for one in (self.image, self.container, self.compose))


def _total(clusters: Mapping[Any, Any]) -> int:
    """Return how many servers clusters have in all, as far as that can be told of raw data."""
    default = Members.model_fields["servers"].default
    told = [one.get("servers", default) for one in clusters.values() if isinstance(one, Mapping)]
    total = sum(size for size in told if type(size) is int and size > 0)
    return min(max(1, total), MAX_SERVERS)


class ClientSpec(Model):
    """The clients: which library, which bootstrap servers, which of its options.

    `options` are the library's own option names; durations carry units. `version` is the
    library's: ``installed``, or a release.
    """

    adapter: Literal["nats-py"] = "nats-py"
    servers: tuple[str, ...] = Field(default=(SEED_NODE,), min_length=1)
    version: str = Field(default=INSTALLED, pattern=r"^(installed|\d+\.\d+\.\d+)$")
    options: dict[str, Any] = Field(default_factory=dict)


class WorkloadSpec(Model):
    """Be the base of all kinds of traffic.

    `attach` maps a role (such as ``publishers``) to where its clients connect first:
    a node, a list of nodes taken in turn, ``seed``, or ``spread`` over all nodes. An
    attached client has that one server as its bootstrap list; a role that is not
    attached bootstraps from `ClientSpec.servers`. With JetStream it may also be a leader or
    followers, as `harness.scenario.targets` spells them, found out before clients connect.

    `paced` tells that messages are due at a rate, all the time; `also` which other kinds it
    is like, as far as metrics need a kind.
    """

    roles: ClassVar[tuple[str, ...]] = ()
    paced: ClassVar[bool] = True
    also: ClassVar[frozenset[str]] = frozenset()

    name: Name
    kind: str
    attach: Mapping[str, str | tuple[str, ...]] = Field(default_factory=dict)

    def due_in(self, phase: str) -> bool:
        """Tell whether messages are due in a phase that has a length."""
        del phase
        return True

    def untimely(
        self, phases: Phases, fault_s: float
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what does not fit into the phases: the path below the workload, and why.

        Args:
            phases: how long each phase is to last.
            fault_s: how long the fault phase lasts for certain, unless a fault fails.
        """
        del phases, fault_s
        yield from ()

    @property
    def size(self) -> int:
        """Return how many clients it has in all."""
        return sum(getattr(self, role, 1) for role in self.roles)

    @property
    def deliveries(self) -> int:
        """Return how many deliveries, or answers, come of one message where nothing fails."""
        return 1

    @property
    def settle_s(self) -> float:
        """Return how long after the stop an attempt may take by itself, in seconds."""
        return 0.0

    def subject_among(self, streams: Sequence[StreamSpec]) -> str | None:
        """Return the subject that it sends on; None when that cannot be told."""
        del streams
        return getattr(self, "subject", None) or self.name

    def impossibilities(self, scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what cannot be done in the scenario: the path below the workload, and why."""
        del scenario
        yield from ()

    def doubts(self, scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what can be done but is hardly meant, likewise."""
        del scenario
        yield from ()

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Return the names of the streams that it makes besides those of the scenario."""
        return ()

    def durables(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """Return the consumers that it reads by: by stream, then by name, how each is made.

        They are made before any client connects; as the server's own API spells it
        ($JS.API.CONSUMER.CREATE), durations in nanoseconds.
        """
        return {}


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


class Step(Model):
    """Be the base of what stands in `faults`: a name, what to do, and from when on.

    `at` counts from the start of the fault phase, or rather from 100 ms later: what was on its way
    when the first fault struck must not count as sent before it.
    """

    name: Name
    action: str
    at: Duration = 0.0


class Expectation(Model):
    """What a fault is there to do: if it does not, the run is inconclusive.

    `leader_changed`: whether, after the fault, another node leads what the target names, or
    anything that a struck node led.
    """

    leader_changed: Flag


class FaultStep(Step):
    """Be the base of all faults: when it starts, how long it holds, what it hits.

    `duration` is how long the effect is held before it is undone; without it, to the end
    of `phases.fault`. With `repeat_every` the step occurs again and again, at most `times`
    times. `silent` tells that clients notice the effect only by missing answers, not by a
    closed connection; `self_timed` that the fault ends by itself and needs no `duration`,
    `timeless` that it takes none.
    `lead_s` is how long before its time a fault wants to look around, `settle_s` how long
    its proofs and its undo may take beside `duration`. `claims_nodes` tells that it needs
    its nodes for itself, `parts` that servers may not find each other while it holds,
    `needs_files` that it is about files that servers keep JetStream's data in,
    `watches_disk` that its nodes have to be started under a filter of their system calls,
    `cuts_devices` that their stores have to be on devices of their own.
    """

    silent: ClassVar[bool] = False
    self_timed: ClassVar[bool] = False
    timeless: ClassVar[bool] = False
    lead_s: ClassVar[float] = 0.0
    settle_s: ClassVar[float] = 3.0
    claims_nodes: ClassVar[bool] = True
    parts: ClassVar[bool] = False
    needs_files: ClassVar[bool] = False
    watches_disk: ClassVar[bool] = False
    cuts_devices: ClassVar[bool] = False

    target: str | tuple[str, ...] = SEED
    count: Selection = "all"
    duration: Duration | None = None
    repeat_every: Duration | None = None
    times: Count | None = None
    expect: Expectation | None = None

    @property
    def strikes_clients(self) -> bool:
        """Tell whether clients' own connections can be struck."""
        return True

    def reaches_clients(self, sites: Sites) -> bool:
        """Tell the same where names of clusters are known, which stand for nodes."""
        del sites
        return self.strikes_clients

    @property
    def takes_target(self) -> bool:
        """Tell whether it is aimed at nodes; else it decides by itself whom it strikes."""
        return True

    def impossibilities(
        self, nodes: Sequence[str], groups: Mapping[str, Sequence[str]], sites: Sites = NOWHERE
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what cannot be done in such a cluster: the path below the step, and why.

        Args:
            nodes: the names of all nodes.
            groups: the client groups of each workload, by its name.
            sites: the clusters that the nodes form.
        """
        del nodes, groups, sites
        yield from ()

    def unmet(self, cluster: ClusterSpec) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what it needs that servers with such settings do not have, as above."""
        del cluster
        yield from ()


class Scenario(Model):
    """One resilience scenario, resolved: defaults filled in, names checked.

    Iterations are numbered from `first_iteration`: dice are thrown by that number, so that
    a later iteration of a longer run can be run again alone.
    """

    name: Name
    description: str = ""
    seed: Index = 1
    repeat: Repeat = 1
    first_iteration: Index = 0
    cluster: ClusterSpec = Field(default_factory=ClusterSpec)
    client: ClientSpec = Field(default_factory=ClientSpec)
    streams: tuple[StreamSpec, ...] = Field(default=(), max_length=MAX_STREAMS)
    workloads: tuple[SerializeAsAny[WorkloadSpec], ...] = Field(min_length=1, max_length=MAX_STEPS)
    phases: Phases = Field(default_factory=Phases)
    faults: tuple[SerializeAsAny[Step], ...] = Field(default=(), max_length=MAX_FAULTS)
    thresholds: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _begin_at_the_seed(cls, data: Any) -> Any:
        """Let clients start at the seed of an attached cluster, unless they are told where."""
        match data:
            case {"cluster": {"attach": {**attached}}} if attached and isinstance(data, dict):
                client = data.get("client", {})
                if isinstance(client, Mapping) and "servers" not in client:
                    return {**data, "client": {**client, "servers": [next(iter(attached))]}}
        return data

    def stream(self, name: str) -> StreamSpec:
        """Return the stream called `name`; KeyError when there is none."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise KeyError(name)

    def workload(self, name: str) -> WorkloadSpec:
        """Return the workload called `name`; KeyError when there is none."""
        for workload in self.workloads:
            if workload.name == name:
                return workload
        raise KeyError(name)
