"""The proxies as a process of the harness: start them, tell them what to do, see that they live."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket, socketpair
from typing import Any

import anyio

from harness.backends.process import ChildProcess
from harness.backends.process_node import Launch
from harness.backends.proxy.relay import Manner
from harness.backends.server_log import tail
from harness.cluster.lags import record_lag
from harness.cluster.links import Link
from harness.cluster.protocols import Address, Endpoints, EventSink
from harness.errors import FaultError, ServerError
from harness.scopes import bounded_cleanup

ARGV = (sys.executable, "-P", "-m", "harness.backends.proxy.serve", "0")
PLACE = "proxies"
START_LIMIT_S = 15.0
ANSWER_LIMIT_S = 5.0
END_LIMIT_S = 5.0
UP, DOWN = "up", "down"

Pair = tuple[str, str]  # a client group and a node


@dataclass(frozen=True)
class Carried:
    """A connection that the proxies carry.

    Attributes:
        client_port: where its client's end is.
        server_port: where the server sees it come from; None while it waits behind a cut.
        counted: whether it is a client's, not a probe.
    """

    number: int
    group: str
    node: str
    client_port: int
    server_port: int | None
    counted: bool


class ProxyProcess:
    """The started proxies.

    An order is carried out before its call returns: the answer is waited for, which takes
    a fraction of a millisecond. Every call raises FaultError when there is none.
    """

    def __init__(
        self, process: ChildProcess, channel: socket, log: Path, record: EventSink | None = None
    ) -> None:
        self._process = process
        self._channel = channel
        self._log = log
        self._record = record
        self._said = b""

    def enlist(self, group: str, pid: int) -> None:
        """Tell whose connections a process makes."""
        self._order("member", group=group, pid=pid)

    def announce(self, port: int, group: str, sink: tuple[str, int] | None) -> None:
        """Let the next connection from a port be the group's, and lead to `sink`, else the node."""
        self._order("tag", port=port, group=group, sink=sink)

    def renounce(self, port: int) -> None:
        """Forget an announced connection that has not come."""
        self._order("untag", port=port)

    def cut(self, pairs: Iterable[Pair], *, on: bool) -> int:
        """Let nothing pass between the pairs, either way, or everything; return when, in ns."""
        return int(self._order("cut", pairs=sorted(pairs), on=on)["at_ns"])

    def shape(self, lanes: Mapping[tuple[Pair, str], Manner]) -> None:
        """Set how lanes, each a pair and ``up`` or ``down``, treat what passes."""
        told = [[*pair, direction, asdict(one)] for (pair, direction), one in lanes.items()]
        self._order("shape", lanes=told)

    def move_doors(self, nodes: Iterable[str], *, open_: bool) -> int:
        """Take new connections for the nodes, or refuse them; return when, in ns."""
        return int(self._order("door", nodes=sorted(nodes), open=open_)["at_ns"])

    def carried(self) -> tuple[Carried, ...]:
        """Return what the proxies carry now."""
        return tuple(Carried(*one) for one in self._order("list")["connections"])

    def reset(self, numbers: Iterable[int]) -> int:
        """Close connections by a reset at both ends, but for those that are cut; return when."""
        return int(self._order("reset", numbers=sorted(numbers))["at_ns"])

    def set_up(
        self, nodes: Mapping[str, Endpoints], groups: Sequence[str], strangers: str | None = None
    ) -> None:
        """Open the doors: for each node where clients connect, and lead on to the server.

        Connections of processes that were not enlisted are the group's `strangers`, if any.
        """
        doors = {
            name: [_pair(one.client), _pair(one.server)]
            for name, one in nodes.items()
            if one.server is not None
        }
        self._order("set_up", nodes=doors, groups=list(groups), strangers=strangers)

    async def watch(self) -> None:
        """Run until cancelled; raise ServerError when the process ends, and clients with it."""
        await self._process.wait()
        raise ServerError(f"the proxies ended: {self._last_words()}")

    async def started(self) -> None:
        """Return once the process listens to orders; ServerError when it does not come to that."""
        self._channel.setblocking(False)
        self._channel.send(b'{"do": "list"}\n')
        with anyio.move_on_after(START_LIMIT_S):
            await anyio.wait_readable(self._channel)
            self._channel.settimeout(ANSWER_LIMIT_S)
            try:
                self._answer()
            except FaultError as error:
                raise ServerError(str(error)) from error
            return
        raise ServerError(f"the proxies have not started within {START_LIMIT_S:g} s")

    def _order(self, do: str, **facts: Any) -> dict[str, Any]:
        try:
            self._channel.sendall(json.dumps({"do": do, **facts}).encode() + b"\n")
        except OSError as error:
            raise FaultError(f"the proxies cannot be told to {do}: {error}") from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        while b"\n" not in self._said:
            try:
                data = self._channel.recv(1 << 16)
            except OSError as error:  # TimeoutError is one
                self._channel.close()  # a late answer must not be taken for the next one's
                raise FaultError(f"the proxies do not answer: {error}") from error
            if not data:
                raise FaultError(f"the proxies ended: {self._last_words()}")
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise FaultError(f"the proxies refused an order: {answer['error']}")
        self._tell_stalls(answer.get("stalls", ()))
        return answer

    def _tell_stalls(self, stalls: Iterable[tuple[int, int]]) -> None:
        if self._record is None:
            return
        for from_ns, to_ns in stalls:
            record_lag(self._record, "proxies.lagged", from_ns, to_ns)

    def _last_words(self) -> str:
        said = tail(self._log, 1)
        return said[0] if said else f"exit {self._process.returncode}"


def lane_of(link: Link, groups: Sequence[str]) -> tuple[Pair, str]:
    """Return the lane that is a link: ``up`` leads to the node, ``down`` to the clients.

    Raises:
        FaultError: the link is one between servers, which no proxy carries.
    """
    if link.source in groups:
        return (link.source, link.target), UP
    if link.target in groups:
        return (link.target, link.source), DOWN
    raise FaultError(f"{link}: proxies carry only what passes between clients and servers")


@asynccontextmanager
async def proxy_process(
    launch: Launch, log: Path, record: EventSink | None = None
) -> AsyncIterator[ProxyProcess]:
    """Start the proxies; end them on leaving. When they stood still is recorded.

    Raises:
        ServerError: they do not start, or would not end.
    """
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
    with ours:
        try:
            with theirs, log.open("ab") as errors:
                process = launch(PLACE, ARGV, stdin=theirs.fileno(), stdout=errors, stderr=errors)
        except OSError as error:
            raise ServerError(f"{log} cannot be written: {error.strerror}") from error
        try:
            proxies = ProxyProcess(process, ours, log, record)
            await proxies.started()
            yield proxies
        finally:
            with bounded_cleanup(END_LIMIT_S, "ending the proxies", ServerError):
                process.send_signal(signal.SIGKILL)
                await process.wait()


def _pair(address: Address) -> tuple[str, int]:
    return address.host, address.port
