"""The wire: carry packets in user space, with what a shape does to them.

For kernels without netem. Run as ``python -I -S wire.py INTERFACE``; it is a script and
imports only the standard library, so that it starts in milliseconds. The kernel hands it
every packet of a shaped link on INTERFACE; it sends each, when it is due, out of the port
of the bridge that leads to its target.

It is told what to do by lines of JSON on its standard input, and answers each by a line
of JSON. ``{"lanes": [...]}`` sets lanes, each with the fields of `Lane`; the answer tells
`overflowed`, the packets that the kernel had no room to hand over, `carried`, and `stalls`,
when it stood still since the answer before. It ends with its input.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

NS_PER_S = 1_000_000_000
ETH_P_ALL, ETH_P_IP = 0x0003, 0x0800
SOL_PACKET = 263
PACKET_STATISTICS, PACKET_VNET_HDR, PACKET_QDISC_BYPASS, PACKET_IGNORE_OUTGOING = 6, 15, 20, 23
SO_RCVBUFFORCE = 33
RECEIVE_BYTES = 32 << 20
VNET_HEADER = 10  # struct virtio_net_hdr: offloads survive the way through user space
ETHERNET_HEADER = 14
LARGEST = VNET_HEADER + ETHERNET_HEADER + (1 << 16)
AT_ONCE = 128  # packets read before the due ones get their turn
EARLY_NS = 30_000  # cheaper than another sleep
WANDER = 4  # the jitter turns no faster than that many times its size: nothing is overtaken
LEAST_WANDER_NS = 10_000_000
TURN_NS = 20_000_000
LATE_NS = 50_000_000
MOST_STALLS = 100  # between two answers; further ones are left out


class Lane:
    """One direction between two places, and what happens on it.

    Args:
        port: the port of the bridge that leads to the target.
        delay_s, jitter_s, loss, duplicate, reorder, rate_bytes_s: see
            `harness.cluster.shapes.Shape`.
        queue_bytes: how much may wait for its turn at the rate.
        seed: what the dice start from.
    """

    def __init__(
        self,
        port: str,
        *,
        delay_s: float = 0.0,
        jitter_s: float = 0.0,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        rate_bytes_s: float | None = None,
        queue_bytes: int = 1 << 16,
        seed: str = "",
    ) -> None:
        self.port = port
        self._delay_ns = round(delay_s * NS_PER_S)
        self._jitter_ns = jitter_s * NS_PER_S
        self._loss, self._duplicate, self._reorder = loss, duplicate, reorder
        self._rate = rate_bytes_s
        self._queue_bytes = queue_bytes
        self._dice = random.Random(seed)
        self._free_ns = 0
        self._last_ns = 0
        self._knots = (0, 1, 0.0, 0.0)  # from and to (ns), jitter at each, -1 to 1

    def admit(self, now_ns: int, size: int) -> tuple[int, ...]:
        """Return when a packet of `size` bytes is due: never, once or twice."""
        draw = self._dice.random
        if self._loss and draw() < self._loss:
            return ()
        due = now_ns
        if self._rate is not None:
            waiting = (self._free_ns - now_ns) * self._rate / NS_PER_S
            if waiting > 0 and waiting + size > self._queue_bytes:
                return ()
            due = self._free_ns = max(self._free_ns, now_ns) + int(size * NS_PER_S / self._rate)
        if not (self._reorder and draw() < self._reorder):
            due += max(0, self._delay_ns + self._wander(now_ns))
            due = self._last_ns = max(due, self._last_ns)
        if self._duplicate and draw() < self._duplicate:
            return (due, due)
        return (due,)

    def _wander(self, now_ns: int) -> int:
        """Return the jitter of this moment.

        It goes in straight lines between points that are drawn, slowly enough that a
        packet never overtakes one that was sent before it.
        """
        if not self._jitter_ns:
            return 0
        start, end, first, last = self._knots
        span = max(LEAST_WANDER_NS, int(WANDER * self._jitter_ns))
        while now_ns >= end:
            if now_ns - end > span:
                end = now_ns
            start, end, first, last = end, end + span, last, self._dice.uniform(-1.0, 1.0)
            self._knots = (start, end, first, last)
        share = (now_ns - start) / (end - start)
        return int(self._jitter_ns * (first + (last - first) * share))


class Alarm:
    """A timer of the kernel's that poll can wait for, exact to its clock (timerfd_create(2))."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._libc.timerfd_create(
            time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC
        )
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._armed: int | None = None

    def set(self, at_ns: int) -> None:
        """Ring at a time, unless it rings earlier anyway."""
        if self._armed is not None and self._armed <= at_ns:
            return
        self._armed = at_ns
        absolute = 1
        value = struct.pack("4q", 0, 0, *divmod(max(1, at_ns), NS_PER_S))
        self._libc.timerfd_settime(self.descriptor, absolute, value, None)

    def hush(self) -> None:
        """Take note that it rang."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 8)
        self._armed = None


class Turns:
    """Whether a loop that is to turn every 20 ms does so."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._stalls: list[tuple[int, int]] = []

    def turn(self, now_ns: int) -> None:
        """Take note of a turn; one that is more than 50 ms late ends a stall."""
        due_ns = now_ns if self._last_ns is None else self._last_ns + TURN_NS
        if now_ns - due_ns > LATE_NS and len(self._stalls) < MOST_STALLS:
            self._stalls.append((due_ns, now_ns))
        self._last_ns = now_ns

    def take_stalls(self) -> list[tuple[int, int]]:
        """Return from when to when the loop stood still, each time once; monotonic ns."""
        stalls, self._stalls = self._stalls, []
        return stalls


class Wire:
    """The lanes by (source, target) address, and the packets under way."""

    def __init__(self, interface: str) -> None:
        self._taken = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._taken.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._taken.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        try:
            self._taken.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
        except PermissionError:  # only real root may exceed net.core.rmem_max
            self._taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self._taken.bind((interface, ETH_P_ALL))
        self._taken.setblocking(False)
        self._lanes: dict[tuple[bytes, bytes], Lane] = {}
        self._ports: dict[str, socket.socket] = {}
        self._under_way: list[tuple[int, int, str, bytes]] = []
        self._alarm = Alarm()
        self._carried = 0
        self._overflowed = 0
        self._turns = Turns()

    def run(self, orders: int, answers: int) -> None:
        """Carry packets until `orders` ends."""
        poll = select.epoll()
        for descriptor in (self._taken.fileno(), self._alarm.descriptor, orders):
            poll.register(descriptor, select.EPOLLIN)
        rest = b""
        while True:
            ready = poll.poll(TURN_NS / NS_PER_S)
            self._turns.turn(time.monotonic_ns())
            for descriptor, _ in ready:
                if descriptor == orders:
                    read = os.read(orders, 1 << 20)
                    if not read:
                        return
                    *lines, rest = (rest + read).split(b"\n")
                    for line in lines:
                        os.write(answers, json.dumps(self.obey(json.loads(line))).encode() + b"\n")
                elif descriptor == self._alarm.descriptor:
                    self._alarm.hush()
                else:
                    self._take()
            self._send_due()

    def obey(self, order: dict[str, list[dict[str, object]]]) -> dict[str, object]:
        """Set lanes as ordered; return what was carried and overflowed so far, and new stalls."""
        for one in order["lanes"]:
            facts = dict(one)
            source, target = (socket.inet_aton(str(facts.pop(end))) for end in ("source", "target"))
            lane = Lane(**facts)  # type: ignore[arg-type]  # its fields are the message's
            if lane.port not in self._ports:
                self._ports[lane.port] = open_port(lane.port)
            self._lanes[source, target] = lane
        # Reading the statistics sets them to zero (packet(7)).
        _, dropped = struct.unpack("II", self._taken.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._overflowed += dropped
        stalls = self._turns.take_stalls()
        return {"carried": self._carried, "overflowed": self._overflowed, "stalls": stalls}

    def _take(self) -> None:
        for _ in range(AT_ONCE):
            try:
                packet = self._taken.recv(LARGEST)
            except BlockingIOError:
                return
            ip = VNET_HEADER + ETHERNET_HEADER
            if packet[ip - 2 : ip] != ETH_P_IP.to_bytes(2, "big"):
                continue
            lane = self._lanes.get((packet[ip + 12 : ip + 16], packet[ip + 16 : ip + 20]))
            if lane is None:
                continue
            for due in lane.admit(time.monotonic_ns(), len(packet) - VNET_HEADER):
                self._carried += 1
                heapq.heappush(self._under_way, (due, self._carried, lane.port, packet))

    def _send_due(self) -> None:
        until = time.monotonic_ns() + EARLY_NS
        while self._under_way and self._under_way[0][0] <= until:
            _, _, port, packet = heapq.heappop(self._under_way)
            # A port that takes no more loses the packet, as a wire would.
            with contextlib.suppress(OSError):
                self._ports[port].send(packet)
        if self._under_way:
            self._alarm.set(self._under_way[0][0])


def open_port(name: str) -> socket.socket:
    """Return a socket that sends out of a port of the bridge, past its queueing disciplines."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    port.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    # Else the filter that took the packet would take it again.
    port.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
    port.bind((name, 0))
    port.setblocking(False)
    return port


if __name__ == "__main__":
    gc.disable()  # nothing here makes cycles, and a collection would hold up packets
    Wire(sys.argv[1]).run(sys.stdin.fileno(), sys.stdout.fileno())
