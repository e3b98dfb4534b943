"""Probes: numbered and stamped UDP datagrams over links of the lab.

All places share one monotonic clock, so a stamp tells the one-way delay.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from socket import AF_INET, SO_RCVBUF, SOCK_DGRAM, SOL_SOCKET, socket

import anyio

from harness.backends.lab.network import LabNetwork
from harness.clock import now_ns, sleep_until, to_ns
from harness.cluster.links import Link
from harness.cluster.shapes import Arrival, Sample, Trial
from harness.errors import FaultError

RECEIVE_BYTES = 4 << 20
HEADERS = 14 + 20 + 8  # Ethernet, IP, UDP: what shapes count and the payload is not
STAMP = struct.Struct("!8sHIq")  # the trial's mark, the link's place, number, when sent (ns)
AT_ONCE = 256
CATCH_UP = 16  # datagrams on each link from one turn of the loop to the next
SO_RCVBUFFORCE = 33


@dataclass
class _Path:
    """A link under trial."""

    sender: socket
    address: tuple[str, int]
    sent: int = 0
    arrivals: list[Arrival] = field(default_factory=list)


class _Probing:
    """One trial under way."""

    def __init__(self, network: LabNetwork, trial: Trial, held: ExitStack) -> None:
        self._network = network
        self._trial = trial
        self._held = held
        self._mark = os.urandom(8)
        self._receivers: dict[str, socket] = {}
        self._senders: dict[str, socket] = {}
        self._paths: list[_Path] = []
        self._filling = bytes(max(0, trial.payload_bytes - STAMP.size))

    def add(self, link: Link) -> _Path:
        """Prepare a link."""
        if link.source not in self._senders:
            self._senders[link.source] = self._open(link.source)
        if link.target not in self._receivers:
            receiver = self._receivers[link.target] = self._open(link.target)
            try:
                receiver.setsockopt(SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
            except PermissionError:  # of older kernels, outside the first user namespace
                receiver.setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES)
            receiver.bind((self._network.places[link.target].address, 0))
        address = self._receivers[link.target].getsockname()
        path = _Path(self._senders[link.source], address)
        self._paths.append(path)
        return path

    async def run(self) -> None:
        """Send everything, and wait for stragglers as long as some may still come."""
        async with anyio.create_task_group() as readers:
            for receiver in self._receivers.values():
                readers.start_soon(self._read, receiver)
            await self._send_all()
            with anyio.move_on_after(self._trial.wait_s):
                while any(len(path.arrivals) < path.sent for path in self._paths):
                    await anyio.sleep(min(0.005, self._trial.patience_s))
            readers.cancel_scope.cancel()

    async def _send_all(self) -> None:
        begun_ns = now_ns()
        gap_ns = max(1, to_ns(self._trial.gap_s))
        sent = 0
        while sent < self._trial.count:
            turn_ns = now_ns()
            due = min(self._trial.count, sent + CATCH_UP, (turn_ns - begun_ns) // gap_ns + 1)
            for number in range(sent, due):
                for place, path in enumerate(self._paths):
                    self._send(place, path, number)
            # A late loop catches up at twice the pace: all at once would find no room anywhere.
            calm_ns = turn_ns + (due - sent) * gap_ns // 2
            sent = max(sent, due)
            await sleep_until(max(begun_ns + sent * gap_ns, calm_ns))

    def _send(self, place: int, path: _Path, number: int) -> None:
        datagram = STAMP.pack(self._mark, place, number, now_ns()) + self._filling
        path.sent += 1
        try:
            path.sender.sendto(datagram, path.address)
        except BlockingIOError:
            return  # the queue before a narrow link is full: as lost as if it were dropped there
        except OSError as error:
            raise FaultError(f"a probe cannot be sent: {error}") from error

    async def _read(self, receiver: socket) -> None:
        while True:
            await anyio.wait_readable(receiver)
            for _ in range(AT_ONCE):
                try:
                    datagram = receiver.recv(1 << 16)
                except BlockingIOError:
                    break
                at_ns = now_ns()
                if len(datagram) < STAMP.size:
                    continue
                mark, place, number, sent_ns = STAMP.unpack_from(datagram)
                if mark == self._mark:
                    self._paths[place].arrivals.append(Arrival(number, sent_ns, at_ns))

    def _open(self, place: str) -> socket:
        try:
            opened = self._held.enter_context(self._network.socket(place, AF_INET, SOCK_DGRAM))
        except OSError as error:
            raise FaultError(f"no probe can be sent from {place}: {error}") from error
        opened.setblocking(False)
        return opened


async def probe(
    network: LabNetwork, links: Collection[Link], trial: Trial
) -> Mapping[Link, Sample]:
    """Make the trial on all links at once and return what came over each.

    Raises:
        FaultError: a probe cannot be sent at all.
    """
    with ExitStack() as held:
        probing = _Probing(network, trial, held)
        paths = {link: probing.add(link) for link in links}
        await probing.run()
    frame_bytes = max(trial.payload_bytes, STAMP.size) + HEADERS
    return {
        link: Sample(path.sent, frame_bytes, tuple(path.arrivals)) for link, path in paths.items()
    }
