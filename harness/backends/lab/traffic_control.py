"""The kernel's traffic control on the ports of the bridge: divert, squeeze, disturb.

A port's way out leads to its place, so a link is found there by the address it comes
from. It lies behind the bridge's forwarding: what a cut drops never comes here.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from socket import htons, if_nametoindex
from typing import Any

from pyroute2 import AsyncIPRoute, NetlinkError
from pyroute2.netlink.rtnl import TC_H_ROOT

from harness.cluster.shapes import Shape
from harness.errors import FaultError

ETH_P_IP = 0x0800
CLSACT_EGRESS = 0xFFFF_FFF3
ROOT = 0x1_0000  # handle 1:
LEAF_STEP = 0x1_0000
FAST = "8gbit"
HELD_PACKETS = 100_000  # what netem may hold: seconds of delay must not become loss
BURST_S = 0.005
LEAST_BURST_BYTES = 3200  # two full frames


def burst_bytes(rate_bytes_s: float) -> int:
    """Return what a token bucket lets through at once before its rate holds."""
    return max(LEAST_BURST_BYTES, int(rate_bytes_s * BURST_S))


@dataclass
class _Port:
    """What is on one port, by the address that packets come from."""

    index: int
    diverted: set[str] = field(default_factory=set)
    queued: set[str] = field(default_factory=set)


class TrafficControl:
    """Filters and queues on ports; each call returns once the kernel has done it.

    Raises, in each call:
        FaultError: the kernel refuses.
    """

    def __init__(self, netlink: AsyncIPRoute) -> None:
        self._netlink = netlink
        self._ports: dict[str, _Port] = {}

    async def divert(self, port: str, source: str, interface: str) -> None:
        """Hand what comes from `source` to `interface` instead of sending it out of the port."""
        known = self._port(port)
        if not known.diverted:
            await self._do(self._netlink.tc("add", "clsact", known.index))
        known.diverted.add(source)
        action = {
            "kind": "mirred",
            "direction": "egress",
            "action": "redirect",
            "ifindex": if_nametoindex(interface),
        }
        await self._do(
            self._netlink.tc(
                "add-filter",
                "u32",
                known.index,
                parent=CLSACT_EGRESS,
                target=0,
                action=action,
                **_match(source),
            )
        )

    async def restore(self, port: str, source: str) -> None:
        """Take a diversion back."""
        known = self._port(port)
        known.diverted.discard(source)
        if not known.diverted:
            await self._do(self._netlink.tc("del", "clsact", known.index))
            return
        await self._do(_unfilter(self._netlink, known.index, CLSACT_EGRESS, source))

    async def queue(self, port: str, source: str, kind: str, shape: Shape) -> None:
        """Put a queue of the kernel's (``tbf`` or ``netem``) in front of the port."""
        known = self._port(port)
        if not known.queued:
            await self._do(
                self._netlink.tc("add", "htb", known.index, handle=ROOT, default=0),
            )
        known.queued.add(source)
        place = _number(source)
        classid, handle = ROOT | place, LEAF_STEP * (1 + place)
        await self._do(
            self._netlink.tc(
                "add-class", "htb", known.index, handle=classid, parent=ROOT, rate=FAST, ceil=FAST
            )
        )
        options = _tbf(shape) if kind == "tbf" else _netem(shape)
        await self._do(
            self._netlink.tc("add", kind, known.index, handle=handle, parent=classid, **options)
        )
        await self._do(
            self._netlink.tc(
                "add-filter", "u32", known.index, parent=ROOT, target=classid, **_match(source)
            )
        )

    async def unqueue(self, port: str, source: str) -> None:
        """Take a queue away; what waits in it is lost."""
        known = self._port(port)
        known.queued.discard(source)
        if not known.queued:
            await self._do(self._netlink.tc("del", "htb", known.index, handle=ROOT))
            return
        await self._do(_unfilter(self._netlink, known.index, ROOT, source))
        classid = ROOT | _number(source)
        await self._do(
            self._netlink.tc("del-class", index=known.index, handle=classid, parent=ROOT)
        )

    def _port(self, name: str) -> _Port:
        if name not in self._ports:
            try:
                self._ports[name] = _Port(if_nametoindex(name))
            except OSError as error:
                raise FaultError(f"there is no port {name}: {error}") from error
        return self._ports[name]

    async def _do(self, call: Awaitable[Any]) -> None:
        try:
            await call
        except (NetlinkError, OSError) as error:
            raise FaultError(f"the kernel refuses to shape a link: {error}") from error


async def supports(netlink: AsyncIPRoute, port: str, kind: str) -> bool:
    """Tell whether the kernel has a queueing discipline, by trying it on a port without any.

    Raises:
        NetlinkError: it could not be tried.
    """
    index = if_nametoindex(port)
    options = _tbf(Shape(rate_bytes_s=1e6)) if kind == "tbf" else _netem(Shape(delay_s=1e-3))
    try:
        await netlink.tc("add", kind, index, handle=ROOT, **options)
    except NetlinkError as error:
        if error.code in (errno.ENOENT, errno.EOPNOTSUPP):
            return False
        raise
    await netlink.tc("del", index=index, handle=ROOT, parent=TC_H_ROOT)
    return True


def _number(address: str) -> int:
    """Return a number that is the address's own on this network, 1 to 65535."""
    return int(IPv4Address(address)) & 0xFFFF


def _match(source: str) -> dict[str, Any]:
    """Match IP packets by their source (offset 12); each source has a priority of its own."""
    key = f"{int(IPv4Address(source)):#010x}/0xffffffff+12"
    return {"prio": _number(source), "protocol": ETH_P_IP, "keys": [key]}


def _unfilter(netlink: AsyncIPRoute, index: int, parent: int, source: str) -> Awaitable[Any]:
    which = _number(source) << 16 | htons(ETH_P_IP)
    return netlink.tc("del-filter", index=index, parent=parent, info=which)  # type: ignore[no-any-return]  # untyped


def _tbf(shape: Shape) -> dict[str, Any]:
    assert shape.rate_bytes_s is not None
    return {
        "rate": int(shape.rate_bytes_s),
        "burst": burst_bytes(shape.rate_bytes_s),
        "limit": shape.queue_bytes,
    }


def _netem(shape: Shape) -> dict[str, Any]:
    """Return netem's options: times in us, shares in percent, the rate in bytes/s."""
    options: dict[str, Any] = {
        "delay": round(shape.delay_s * 1e6),
        "jitter": round(shape.jitter_s * 1e6),
        "loss": shape.loss * 100,
        "duplicate": shape.duplicate * 100,
        "limit": HELD_PACKETS,
    }
    if shape.reorder:
        options["prob_reorder"] = shape.reorder * 100
    if shape.rate_bytes_s is not None:
        options["rate"] = int(shape.rate_bytes_s)
    return options
