"""JetStream as each server sees it (/jsz), and what may be asked of it.

A group is whatever has a leader: ``meta``, ``stream:S``, ``consumer:S/C``. Who leads a group
is told by each server; a stream's replicas and their lag are to be taken from the view of
its leader only, since followers report other followers wrongly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

META = "meta"
STREAM = "stream:"
CONSUMER = "consumer:"
VIEW = "/jsz?accounts=1&streams=1&consumers=1&raft=1&config=1"
SYSTEM = "$SYS"

Body = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """Another replica of a group, as a server sees it; one of no node has its server's name."""

    node: str
    current: bool
    lag: int
    offline: bool


@dataclass(frozen=True)
class ConsumerView:
    """A consumer as one server sees it; sequences are the stream's but for `consumer_seq`."""

    name: str
    leader: str | None
    pending: int
    ack_pending: int
    redelivered: int
    delivered: int
    consumer_seq: int
    ack_floor: int


@dataclass(frozen=True)
class StreamView:
    """A stream as one server sees it: its own replica, and the peers of that."""

    name: str
    leader: str | None
    peers: tuple[Peer, ...]
    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    num_deleted: int
    consumers: Mapping[str, ConsumerView] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeView:
    """What one server says of JetStream; without `enabled` it has none, or none any more."""

    node: str
    enabled: bool
    meta_leader: str | None
    meta_peers: tuple[Peer, ...]
    streams: Mapping[str, StreamView]

    @property
    def leaders(self) -> dict[str, str | None]:
        """Return who leads each group that it knows, by its word."""
        found: dict[str, str | None] = {META: self.meta_leader}
        for stream in self.streams.values():
            found[f"{STREAM}{stream.name}"] = stream.leader
            for consumer in stream.consumers.values():
                found[f"{CONSUMER}{stream.name}/{consumer.name}"] = consumer.leader
        return found


@dataclass(frozen=True)
class Views:
    """What all servers that answered said, by node, in the cluster's order."""

    nodes: Mapping[str, NodeView]

    def leader(self, group: str) -> str | None:
        """Return the node that leads a group: who most name, and first who names itself."""
        said = [(view.leaders.get(group), node) for node, view in self.nodes.items()]
        votes = Counter(leader for leader, _ in said if leader is not None)
        own = {leader for leader, node in said if leader == node}
        return max(votes, key=lambda one: (votes[one], one in own), default=None)

    def leading(self, stream: str) -> StreamView | None:
        """Return the stream as its leader sees it; None while it has none, or that is silent."""
        view = self.nodes.get(self.leader(f"{STREAM}{stream}") or "")
        return view.streams.get(stream) if view is not None else None

    def replicas(self, stream: str) -> tuple[str, ...]:
        """Return the nodes that the leader counts as replicas, itself included and first."""
        leading = self.leading(stream)
        if leading is None or leading.leader is None:
            return ()
        return (leading.leader, *sorted(peer.node for peer in leading.peers))

    def followers(self, stream: str) -> tuple[str, ...]:
        """Return the replicas that do not lead."""
        return self.replicas(stream)[1:]

    def consumer(self, stream: str, consumer: str) -> ConsumerView | None:
        """Return a consumer as its leader sees it."""
        view = self.nodes.get(self.leader(f"{CONSUMER}{stream}/{consumer}") or "")
        found = view.streams.get(stream) if view is not None else None
        return found.consumers.get(consumer) if found is not None else None

    def behind(self, stream: str, replicas: int, without: Collection[str] = ()) -> str:
        """Say what keeps a stream from having all its replicas current; nothing if none does.

        Of the nodes in `without` nothing is expected.
        """
        leading = self.leading(stream)
        if leading is None:
            return f"stream {stream} has no leader that answers"
        late = [
            f"{peer.node} is {peer.lag} behind" if peer.lag else f"{peer.node} is not current"
            for peer in leading.peers
            if peer.node not in without and (peer.offline or not peer.current or peer.lag)
        ]
        if late:
            return f"of stream {stream}, by its leader {leading.leader}, {', '.join(late)}"
        if len(leading.peers) + 1 != replicas:
            return f"stream {stream} has {len(leading.peers) + 1} of {replicas} replicas"
        return ""


class JetStream(Protocol):
    """What faults and targets may ask of a cluster's JetStream; every wait is bounded."""

    @property
    def system(self) -> bool:
        """Tell whether requests to the system account can be made."""

    @property
    def servers(self) -> Mapping[str, str]:
        """Return the servers' own names by node, as far as they were ever looked at."""

    async def look(self, limit_s: float) -> Views:
        """Return what every running server says now; those that do not answer are left out."""

    async def request(
        self,
        subject: str,
        body: Mapping[str, Any] | None = None,
        *,
        limit_s: float,
        node: str | None = None,
        system: bool = False,
    ) -> Body:
        """Return the answer to a request such as ``$JS.API.STREAM.INFO.S``; see `refusal`.

        Args:
            subject: where to.
            body: what is sent as JSON.
            limit_s: how long to wait for the answer.
            node: whose connection to ask over; any that stands if None.
            system: ask in the system account.

        Raises:
            ServerError: no answer came.
        """


def refusal(body: Mapping[str, Any]) -> str | None:
    """Return why JetStream refused a request; None when it did not."""
    error = body.get("error")
    if not isinstance(error, Mapping):
        return None
    return f"{error.get('description')} ({error.get('code')}, {error.get('err_code')})"


def read_view(
    node: str, body: Mapping[str, Any], names: Mapping[str, str], *, alone: bool = False
) -> NodeView:
    """Return what a server's answer to `VIEW` says.

    Args:
        node: whose answer it is.
        body: the answer.
        names: the nodes by their servers' own names.
        alone: there is no other node, so it leads the consumers of which it names no leader.
    """
    meta = body.get("meta_cluster") or {}
    # A server without a cluster tells of streams that it leads them, but not of consumers.
    sole = node if alone and not meta else None
    streams: dict[str, StreamView] = {}
    for account in body.get("account_details") or ():
        if account.get("name") == SYSTEM:
            continue
        for detail in account.get("stream_detail") or ():
            streams.setdefault(str(detail["name"]), _read_stream(detail, names, sole))
    return NodeView(
        node=node,
        enabled="config" in body and not body.get("disabled", False),
        meta_leader=_name(meta.get("leader"), names),
        meta_peers=_read_peers(meta.get("replicas"), names),
        streams=streams,
    )


def _read_stream(
    detail: Mapping[str, Any], names: Mapping[str, str], sole: str | None
) -> StreamView:
    cluster, state = detail.get("cluster") or {}, detail.get("state") or {}
    return StreamView(
        name=str(detail["name"]),
        leader=_name(cluster.get("leader"), names),
        peers=_read_peers(cluster.get("replicas"), names),
        messages=int(state.get("messages", 0)),
        bytes=int(state.get("bytes", 0)),
        first_seq=int(state.get("first_seq", 0)),
        last_seq=int(state.get("last_seq", 0)),
        num_deleted=int(state.get("num_deleted", 0)),
        consumers={
            str(one["name"]): _read_consumer(one, names, sole)
            for one in detail.get("consumer_detail") or ()
        },
    )


def _read_consumer(
    one: Mapping[str, Any], names: Mapping[str, str], sole: str | None
) -> ConsumerView:
    cluster = one.get("cluster") or {}
    delivered, floor = one.get("delivered") or {}, one.get("ack_floor") or {}
    return ConsumerView(
        name=str(one["name"]),
        leader=_name(cluster.get("leader"), names) or sole,
        pending=int(one.get("num_pending", 0)),
        ack_pending=int(one.get("num_ack_pending", 0)),
        redelivered=int(one.get("num_redelivered", 0)),
        delivered=int(delivered.get("stream_seq", 0)),
        consumer_seq=int(delivered.get("consumer_seq", 0)),
        ack_floor=int(floor.get("stream_seq", 0)),
    )


def _read_peers(
    replicas: Sequence[Mapping[str, Any]] | None, names: Mapping[str, str]
) -> tuple[Peer, ...]:
    return tuple(
        Peer(
            node=names.get(str(one.get("name")), str(one.get("name"))),
            current=bool(one.get("current", False)),
            lag=int(one.get("lag", 0)),
            offline=bool(one.get("offline", False)),
        )
        for one in replicas or ()
    )


def _name(server: object, names: Mapping[str, str]) -> str | None:
    return names.get(str(server), str(server)) if server else None
