"""Probes: small UDP packets that show whether a link passes IP, and knocks that show TCP.

The sockets are opened inside the places, so that a probe takes the very way that the
traffic of servers and clients takes.
"""

from __future__ import annotations

import errno
import os
import secrets
import struct
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from socket import AF_INET, SO_ERROR, SOCK_DGRAM, SOL_SOCKET, socket

import anyio
import anyio.lowlevel

from harness.backends.lab.network import LabNetwork
from harness.clock import now_ns, to_ns
from harness.cluster.links import Answer, Link, Passage
from harness.cluster.protocols import Address
from harness.errors import FaultError

_PACKET = struct.Struct("=QII")  # the round, the link's place in it, the probe's number
_LOOK_S = 0.002
_AGAIN_S = 0.03
_AT_ONCE = 200  # packets sent before others have their turn


async def probe(
    network: LabNetwork, links: Collection[Link], count: int, limit_s: float
) -> Mapping[Link, Passage]:
    """Send `count` probes over each link and count those that arrive within the limit.

    A probe that has not arrived is sent again every 30 ms: one that a lossy or busy link
    loses comes through in the end, and over a cut link none ever does. Returns as soon
    as all have arrived.

    Raises:
        FaultError: the sockets cannot be opened.
    """
    ordered = sorted(frozenset(links))
    with ExitStack() as held:
        try:
            sockets = _open(network, ordered, held)
        except OSError as error:
            raise FaultError(f"probes cannot be sent: {error}") from error
        arrived = await _send(ordered, sockets, count, limit_s)
    return {link: Passage(count, len(came)) for link, came in zip(ordered, arrived, strict=True)}


def _open(network: LabNetwork, links: Collection[Link], held: ExitStack) -> dict[str, socket]:
    sockets = {}
    for place in sorted({place for link in links for place in (link.source, link.target)}):
        one = held.enter_context(network.socket(place, AF_INET, SOCK_DGRAM))
        one.setblocking(False)
        one.bind((network.places[place].address, 0))
        sockets[place] = one
    return sockets


async def _send(
    links: list[Link], sockets: Mapping[str, socket], count: int, limit_s: float
) -> list[set[int]]:
    nonce = secrets.randbits(64)
    arrived: list[set[int]] = [set() for _ in links]
    receivers = [sockets[name] for name in sorted({link.target for link in links})]
    deadline_ns, again_ns = now_ns() + to_ns(limit_s), 0
    while True:
        if now_ns() >= again_ns:
            again_ns = now_ns() + to_ns(_AGAIN_S)
            await _send_missing(links, sockets, arrived, nonce, count)
        for receiver in receivers:
            _receive(receiver, arrived, nonce)
        if all(len(came) == count for came in arrived) or now_ns() >= deadline_ns:
            return arrived
        await anyio.sleep(_LOOK_S)


async def _send_missing(
    links: list[Link],
    sockets: Mapping[str, socket],
    arrived: list[set[int]],
    nonce: int,
    count: int,
) -> None:
    sent = 0
    for place, link in enumerate(links):
        address = sockets[link.target].getsockname()
        for number in set(range(count)) - arrived[place]:
            # What could not be sent has not arrived, and is counted so.
            with suppress(OSError):
                sockets[link.source].sendto(_PACKET.pack(nonce, place, number), address)
            sent += 1
            if sent % _AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()


def _receive(receiver: socket, arrived: list[set[int]], nonce: int) -> None:
    while True:
        try:
            data = receiver.recv(_PACKET.size + 1)
        except BlockingIOError:
            return
        except OSError:
            continue  # an error of an earlier sending, which the kernel reports once here
        if len(data) == _PACKET.size:
            round_, place, number = _PACKET.unpack(data)
            if round_ == nonce:
                arrived[place].add(number)


async def knock(
    network: LabNetwork, doors: Mapping[Link, Address], limit_s: float
) -> Mapping[Link, Answer]:
    """Try a new TCP connection over each link to a door of its target; close it at once."""
    answers: dict[Link, Answer] = dict.fromkeys(doors, Answer.SILENCE)

    async def try_one(link: Link, door: Address) -> None:
        with network.socket(link.source, AF_INET) as one:
            one.setblocking(False)
            code = one.connect_ex((door.host, door.port))
            if code == errno.EINPROGRESS:
                await anyio.wait_writable(one)
                code = one.getsockopt(SOL_SOCKET, SO_ERROR)
            if code == 0:
                answers[link] = Answer.ACCEPTED
            elif code == errno.ECONNREFUSED:
                answers[link] = Answer.REFUSED
            elif code != errno.ETIMEDOUT:
                raise FaultError(f"{link}: no connection can be tried: {os.strerror(code)}")

    with anyio.move_on_after(limit_s):
        async with anyio.create_task_group() as group:
            for link, door in sorted(doors.items()):
                group.start_soon(try_one, link, door)
    return answers
