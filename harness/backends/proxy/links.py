"""Clients' links through proxies, as faults see them; implements `harness.cluster.links.Links`."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Collection, Mapping
from itertools import product

import anyio

from harness.backends.proxy.control import Carried, Pair, ProxyProcess, lane_of
from harness.backends.proxy.identify import Row, holder, read_table
from harness.backends.proxy.lines import Lines, announced, connected
from harness.clock import now_ns, to_ns
from harness.cluster.links import Answer, Link, Passage, Stream
from harness.cluster.protocols import Address, Endpoints
from harness.errors import FaultError

VIA = "proxy"
LOOK_S = 0.002
BYPASS_TRIES = 10
BYPASS_PAUSE_S = 0.02
INFO = b"INFO "
SIZE_BYTES = 32


class ProxyLinks:
    """The links between client groups and nodes; there are no others here."""

    def __init__(
        self,
        proxies: ProxyProcess,
        lines: Lines,
        endpoints: Mapping[str, Endpoints],
        groups: tuple[str, ...],
        own_pids: list[int],
    ) -> None:
        self.proxies = proxies
        self._lines = lines
        self._endpoints = endpoints
        self._groups = groups
        self._own_pids = own_pids
        self._cuts: Counter[Link] = Counter()
        self._refusals: Counter[Link] = Counter()
        self._known: dict[int, Carried] = {}
        self._changes = 0

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the places that are nodes, the seed first."""
        return tuple(self._endpoints)

    @property
    def groups(self) -> tuple[str, ...]:
        """Return the places that are client groups."""
        return self._groups

    @property
    def usable(self) -> frozenset[Link]:
        """Return both ways between each group and each node."""
        pairs = tuple(product(self._groups, self._endpoints))
        return frozenset(Link(*one) for one in pairs) | frozenset(Link(b, a) for a, b in pairs)

    @property
    def via(self) -> str:
        """Return ``proxy``."""
        return VIA

    @property
    def severed(self) -> frozenset[Link]:
        """Return the links that are cut now."""
        return frozenset(+self._cuts)

    @property
    def changes(self) -> int:
        """Return how often links were cut or healed."""
        return self._changes

    def cut(self, links: Collection[Link]) -> int:
        """Let nothing pass from now on; see the protocol.

        Connections stay open, and what is sent waits: it passes after the heal. New
        connections come about, but nothing passes.

        Raises:
            FaultError: only one way was to be cut, which proxies cannot do honestly.
        """
        pairs = self._pairs(links)
        self._changes += 1
        self._cuts.update(links)
        return self.proxies.cut(pairs, on=True)

    def heal(self, links: Collection[Link]) -> int:
        """Take one cut off each of the links; see the protocol."""
        pairs = self._pairs(links)
        self._changes += 1
        self._cuts.subtract(links)
        severed = self.severed
        return self.proxies.cut([one for one in pairs if Link(*one) not in severed], on=False)

    async def probe(
        self, links: Collection[Link], count: int, limit_s: float
    ) -> Mapping[Link, Passage]:
        """Send probes over each link and count the arrivals; see the protocol.

        They go over connections that stood before, and none is sent again. For a link
        that is cut a new connection is tried besides: what the server says then has
        passed as well.

        Raises:
            FaultError: a client is connected past the proxies, or the probes' own
                connections broke.
        """
        await self.require_no_bypass({lane_of(link, self._groups)[0][1] for link in links})
        with self._lines.round(links) as (mark, paths):
            begun_ns = now_ns()
            for number in range(count):
                for sender, _ in paths.values():
                    sender.send(mark, number, SIZE_BYTES)
            closed = frozenset(links) & self.severed
            doors = [Link(one.target, one.source) for one in closed if one.target in self._groups]
            answers = await self.knock(doors, limit_s) if doors else {}
            deadline_ns = begun_ns + to_ns(limit_s)
            while now_ns() < deadline_ns and any(len(came) < count for _, came in paths.values()):
                await anyio.sleep(LOOK_S)
            passed = {link: len(came) for link, (_, came) in paths.items()}
        for way, answer in answers.items():
            passed[Link(way.target, way.source)] += answer is Answer.ACCEPTED
        return {link: Passage(count, min(count, came)) for link, came in passed.items()}

    def streams(self, place: str, peers: Collection[str]) -> frozenset[Stream]:
        """Return the clients' connections whose end in a place the kernel shows established."""
        self._known |= {one.number: one for one in self.proxies.carried()}
        rows = {(row.local, row.remote): row for row in self._table() if row.established}
        at_node = place in self._endpoints
        found = []
        for one in self._known.values():
            here, there = (one.node, one.group) if at_node else (one.group, one.node)
            if here != place or there not in peers or not one.counted:
                continue
            row = rows.get(self._ends(one, at_node=at_node))
            if row is not None:
                door = self._endpoints[one.node].client.port
                ports = (door, one.client_port) if at_node else (one.client_port, door)
                found.append(Stream(here, there, *ports, f"{one.number}/{row.inode}".encode()))
        return frozenset(found)

    def reset(self, streams: Collection[Stream]) -> int:
        """Close connections by a TCP reset at both ends; see the protocol."""
        return self.proxies.reset({int(one.key.partition(b"/")[0]) for one in streams})

    def refuse(self, links: Collection[Link]) -> int:
        """Close the doors of the links' targets; see the protocol.

        Raises:
            FaultError: only some groups were to be refused; a door is shut for all or none.
        """
        self._refusals.update(links)
        return self.proxies.move_doors(self._doors(links), open_=False)

    def accept(self, links: Collection[Link]) -> int:
        """Take one refusal off each of the links; see the protocol."""
        doors = self._doors(links)
        self._refusals.subtract(links)
        shut = {link.target for link in +self._refusals}
        return self.proxies.move_doors(doors - shut, open_=True)

    async def knock(self, links: Collection[Link], limit_s: float) -> Mapping[Link, Answer]:
        """Try a new connection over each link; it is accepted once the server has spoken."""
        answers: dict[Link, Answer] = dict.fromkeys(links, Answer.SILENCE)
        errors: list[FaultError] = []

        async def try_one(link: Link) -> None:
            try:
                answers[link] = await self._try(link)
            except FaultError as error:
                errors.append(error)

        with anyio.move_on_after(limit_s):
            async with anyio.create_task_group() as group:
                for link in sorted(links):
                    group.start_soon(try_one, link)
        if errors:
            raise errors[0]
        return answers

    async def require_no_bypass(self, nodes: Collection[str]) -> None:
        """Raise FaultError when a server has a connection that did not come through its proxy."""
        strays: list[str] = []
        for _ in range(BYPASS_TRIES):
            strays = self._strays(nodes)
            if not strays:
                return
            await anyio.sleep(BYPASS_PAUSE_S)  # the kernel was asked after the proxies were
        raise FaultError(f"not every client goes through the proxies: {', '.join(strays)}")

    def _strays(self, nodes: Collection[str]) -> list[str]:
        servers = {_pair(self._server(node)): node for node in nodes}
        rows = [row for row in self._table() if row.established]
        carried = {one.server_port for one in self.proxies.carried()}
        strays = []
        for row in rows:
            node = servers.get(row.local)
            if node is not None and row.remote[1] not in carried and not self._own(row, rows):
                strays.append(f"{row.remote[0]}:{row.remote[1]} at {node}")
        return strays

    def _own(self, row: Row, rows: list[Row]) -> bool:
        """Tell whether the far end of a server's connection is the harness or its observer."""
        ends = (one for one in rows if (one.local, one.remote) == (row.remote, row.local))
        return any(holder(one.inode, self._own_pids) is not None for one in ends)

    async def _try(self, way: Link) -> Answer:
        with announced(self.proxies, way.source, None) as one:
            code = await connected(one, _pair(self._endpoints[way.target].client))
            if code == errno.ECONNREFUSED:
                return Answer.REFUSED
            if code != 0:
                return Answer.SILENCE
            said = b""
            while len(said) < len(INFO):
                await anyio.wait_readable(one)
                try:
                    data = one.recv(len(INFO) - len(said))
                except OSError:
                    return Answer.SILENCE  # nobody behind the proxy
                if not data:
                    return Answer.SILENCE
                said += data
            return Answer.ACCEPTED if said == INFO else Answer.SILENCE

    def _pairs(self, links: Collection[Link]) -> frozenset[Pair]:
        wanted = frozenset(links)
        single = [link for link in wanted if Link(link.target, link.source) not in wanted]
        if single:
            raise FaultError(f"proxies cut both ways or none: {single[0]} alone was asked")
        return frozenset(lane_of(link, self._groups)[0] for link in wanted)

    def _doors(self, links: Collection[Link]) -> frozenset[str]:
        doors = frozenset(link.target for link in links)
        if frozenset(links) != {Link(group, node) for group, node in product(self._groups, doors)}:
            raise FaultError("proxies refuse all clients of a node or none")
        return doors

    def _ends(self, one: Carried, *, at_node: bool) -> tuple[tuple[str, int], tuple[str, int]]:
        endpoints = self._endpoints[one.node]
        if at_node:
            server = self._server(one.node)
            return _pair(server), (server.host, one.server_port or 0)
        return (endpoints.client.host, one.client_port), _pair(endpoints.client)

    def _server(self, node: str) -> Address:
        server = self._endpoints[node].server
        assert server is not None, f"{node} has no proxy"
        return server

    def _table(self) -> list[Row]:
        try:
            return read_table()
        except OSError as error:
            raise FaultError(f"the connections of this host cannot be listed: {error}") from error


def _pair(address: Address) -> tuple[str, int]:
    return address.host, address.port
