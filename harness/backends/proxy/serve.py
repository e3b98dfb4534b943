"""The proxies of all nodes, as one process: ``python -m harness.backends.proxy.serve FD``.

Orders come and answers go as JSON lines over the socket FD; when it ends, so does this. An order is
``{"do": name, ...}``, the answer ``{"at_ns": when, "stalls": when it stood still since the answer
before}`` and what was asked, or ``{"error": text}``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from time import monotonic_ns
from typing import Any

from harness.backends.lab.wire import TURN_NS, Turns
from harness.backends.proxy.identify import holder, inode_of
from harness.backends.proxy.relay import RECEIVE_BYTES, Connection, Lane, Manner

Address = tuple[str, int]
UP, DOWN = "up", "down"
LOOK_S = 0.01
IDENTIFY_LIMIT_S = 1.0
BACKLOG = 512
NS_PER_S = 1_000_000_000
COLLECT_AFTER = 50_000  # allocations: a pause is a delay that nobody asked for


@dataclass(frozen=True)
class Tag:
    """A connection that the harness itself announced: whose it is to be, and where it leads."""

    group: str
    sink: Address | None


class Doors:
    """Where clients of each node knock, and whatever came in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._doors: dict[str, Address] = {}
        self._servers: dict[str, Address] = {}
        self._listeners: dict[str, socket.socket] = {}
        self._lanes: dict[tuple[str, str, str], Lane] = {}
        self._members: dict[int, str] = {}
        self._tags: dict[int, Tag] = {}
        self._connections: dict[int, Connection] = {}
        self._waiting: set[Connection] = set()
        self._numbers = count(1)
        self._strangers = 0
        self._of_strangers: str | None = None
        self._turns = Turns()

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order and return the answer."""
        orders: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            "set_up": self._set_up,
            "member": self._enlist,
            "tag": self._tag,
            "untag": self._untag,
            "cut": self._cut,
            "shape": self._shape,
            "door": self._move_door,
            "list": self._list,
            "reset": self._reset,
        }
        self._turns.turn(monotonic_ns())
        found = orders[order["do"]](order) or {}
        return {"at_ns": monotonic_ns(), "stalls": self._turns.take_stalls(), **found}

    async def turn(self) -> None:
        """See until cancelled whether the loop stands still, and so what it carries."""
        while True:
            self._turns.turn(monotonic_ns())
            await asyncio.sleep(TURN_NS / NS_PER_S)

    def _set_up(self, order: dict[str, Any]) -> None:
        self._of_strangers = order.get("strangers")
        for node, (door, server) in order["nodes"].items():
            self._doors[node], self._servers[node] = tuple(door), tuple(server)
            for group in order["groups"]:
                for direction in (UP, DOWN):
                    self._lanes[group, node, direction] = Lane(self._loop)
            self._open(node)

    def _enlist(self, order: dict[str, Any]) -> None:
        self._members[order["pid"]] = order["group"]

    def _tag(self, order: dict[str, Any]) -> None:
        sink = order["sink"]
        self._tags[order["port"]] = Tag(order["group"], None if sink is None else tuple(sink))

    def _untag(self, order: dict[str, Any]) -> None:
        self._tags.pop(order["port"], None)

    def _cut(self, order: dict[str, Any]) -> None:
        for group, node in order["pairs"]:
            for direction in (UP, DOWN):
                self._lanes[group, node, direction].set_cut(order["on"])
        for waiting in tuple(self._waiting):
            if not waiting.cut:
                self._waiting.discard(waiting)
                self._dial(waiting)

    def _shape(self, order: dict[str, Any]) -> None:
        for group, node, direction, manner in order["lanes"]:
            self._lanes[group, node, direction].set_manner(Manner(**manner))

    def _move_door(self, order: dict[str, Any]) -> None:
        for node in order["nodes"]:
            if order["open"]:
                self._open(node)
            else:
                self._close(node)

    def _list(self, _: dict[str, Any]) -> dict[str, Any]:
        found = [
            [one.number, one.group, one.node, one.client_port, one.server_port, one.counted]
            for one in self._connections.values()
        ]
        return {"connections": found, "strangers": self._strangers}

    def _reset(self, order: dict[str, Any]) -> None:
        for number in order["numbers"]:
            one = self._connections.get(number)
            if one is not None and not one.cut:  # a reset is a packet: over a cut link none comes
                one.reset()

    def _open(self, node: str) -> None:
        if node in self._listeners:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bound(listener)
        listener.setblocking(False)
        listener.bind(self._doors[node])
        listener.listen(BACKLOG)
        self._listeners[node] = listener
        self._loop.add_reader(listener, self._accept, node, listener)

    def _close(self, node: str) -> None:
        listener = self._listeners.pop(node, None)
        if listener is not None:
            self._loop.remove_reader(listener)
            listener.close()

    def _accept(self, node: str, listener: socket.socket) -> None:
        try:
            client, came_from = listener.accept()
        except (BlockingIOError, ConnectionError, InterruptedError):
            return
        client.setblocking(False)
        self._identify(node, client, came_from, self._loop.time() + IDENTIFY_LIMIT_S)

    def _identify(self, node: str, client: socket.socket, peer: Address, until_s: float) -> None:
        tag = self._tags.pop(peer[1], None)
        if tag is None and (group := self._group_of(peer, self._doors[node])) is not None:
            tag = Tag(group, None)
        if tag is None and self._of_strangers is not None:
            tag = Tag(self._of_strangers, None)
        if tag is not None:
            self._admit(node, client, peer[1], tag)
        elif self._loop.time() < until_s:  # its process may just not have been told of yet
            self._loop.call_later(LOOK_S, self._identify, node, client, peer, until_s)
        else:
            self._strangers += 1
            sys.stderr.write(f"{peer[0]}:{peer[1]} at {node} is no client of this run\n")
            client.close()

    def _group_of(self, peer: Address, door: Address) -> str | None:
        inode = inode_of(peer, door)
        pid = None if inode is None else holder(inode, self._members)
        return None if pid is None else self._members[pid]

    def _admit(self, node: str, client: socket.socket, port: int, tag: Tag) -> None:
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.setblocking(False)
        _bound(server)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(
            loop=self._loop,
            number=next(self._numbers),
            group=tag.group,
            node=node,
            client_port=port,
            counted=tag.sink is None,
            ends={"client": client, "server": server},
            lanes=(self._lanes[tag.group, node, UP], self._lanes[tag.group, node, DOWN]),
            address=tag.sink or self._servers[node],
            on_close=self._forget,
        )
        self._connections[connection.number] = connection
        if connection.cut:
            self._waiting.add(connection)
        else:
            self._dial(connection)

    def _dial(self, connection: Connection) -> None:
        """Connect to the server, unless the client has hung up while it waited."""
        try:
            if connection.ends["client"].recv(1, socket.MSG_PEEK) == b"":
                connection.close()
                return
        except BlockingIOError:
            pass
        except OSError:
            connection.close()
            return
        connection.dial()

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection.number, None)
        self._waiting.discard(connection)


def _bound(end: socket.socket) -> None:
    """Bound what the kernel takes in for a link that passes nothing, as a window would."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)


class Orders:
    """The socket that orders come over."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, doors: Doors, channel: socket.socket
    ) -> None:
        self._doors = doors
        self._channel = channel
        self._said = b""
        self.ended = loop.create_future()
        loop.add_reader(channel, self._read)

    def _read(self) -> None:
        try:
            data = self._channel.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            if not self.ended.done():
                self.ended.set_result(None)
            return
        *lines, self._said = (self._said + data).split(b"\n")
        for line in lines:
            try:
                answer = self._doors.obey(json.loads(line))
            except (KeyError, TypeError, ValueError, OSError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            self._channel.setblocking(True)
            self._channel.sendall(json.dumps(answer).encode() + b"\n")
            self._channel.setblocking(False)


def _die(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End at once on what nobody foresaw: a broken proxy must not look like a network."""
    loop.default_exception_handler(context)
    sys.stderr.write(f"{context.get('message')}: {context.get('exception')!r}\n")
    sys.stderr.flush()
    os._exit(1)


async def _serve(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_die)
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    doors = Doors(loop)
    turning = loop.create_task(doors.turn())
    await Orders(loop, doors, channel).ended
    turning.cancel()


def main() -> None:
    """Serve until the harness hangs up."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.setblocking(False)
    try:
        import uvloop  # noqa: PLC0415 - absent where the platform has none
    except ImportError:
        factory = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(channel))


if __name__ == "__main__":
    main()
