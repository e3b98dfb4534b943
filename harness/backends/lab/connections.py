"""TCP connections of a place, listed and reset by the kernel (sock_diag(7), SOCK_DESTROY)."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Collection, Mapping
from itertools import groupby
from socket import AF_INET, IPPROTO_TCP, inet_ntoa

from harness.backends.lab.netlink import (
    ACK,
    DUMP,
    NETLINK_SOCK_DIAG,
    REQUEST,
    Message,
    Netlink,
)
from harness.backends.lab.network import LabNetwork
from harness.clock import now_ns
from harness.cluster.links import Stream
from harness.errors import FaultError

_BY_FAMILY, _DESTROY = 20, 21
_ESTABLISHED = 1 << 1
_ANY_STATE = 0xFFFF_FFFF
_REQUEST = struct.Struct("=BBBBI")
_ID_BYTES = 48
_ID_OFFSET = 4  # after family, state, timer and retransmissions
_PORTS = struct.Struct(">HH")
_SOURCE, _TARGET, _COOKIE = 4, 20, 40  # offsets in the id


def streams(network: LabNetwork, place: str, peers: Collection[str]) -> frozenset[Stream]:
    """Return the established connections between a place and some of its peers.

    Raises:
        FaultError: the kernel does not tell.
    """
    names = {network.places[peer].address: peer for peer in peers}
    own = network.places[place].address
    body = _REQUEST.pack(AF_INET, IPPROTO_TCP, 0, 0, _ESTABLISHED) + bytes(_ID_BYTES)
    try:
        with network.inside(place):
            netlink = Netlink(NETLINK_SOCK_DIAG)
        with netlink:
            listed = netlink.dump(Message(_BY_FAMILY, REQUEST | DUMP, body))
    except OSError as error:
        raise FaultError(f"the connections of {place} cannot be listed: {error}") from error
    found = (_read(place, data[_ID_OFFSET : _ID_OFFSET + _ID_BYTES], own, names) for data in listed)
    return frozenset(one for one in found if one is not None)


def _read(place: str, key: bytes, own: str, names: Mapping[str, str]) -> Stream | None:
    here = inet_ntoa(key[_SOURCE : _SOURCE + 4])
    there = inet_ntoa(key[_TARGET : _TARGET + 4])
    if here != own or there not in names:
        return None
    port, peer_port = _PORTS.unpack_from(key)
    return Stream(place, names[there], port, peer_port, key)


def reset(network: LabNetwork, connections: Collection[Stream]) -> int:
    """Close connections by a TCP reset to the peer; return the monotonic ns when it was done.

    Those of one place go in one request. One that has ended meanwhile is passed over.

    Raises:
        FaultError: the kernel refused; EOPNOTSUPP means it lacks INET_DIAG_DESTROY.
    """
    ordered = sorted(connections, key=lambda one: one.place)
    for place, members in groupby(ordered, key=lambda one: one.place):
        head = _REQUEST.pack(AF_INET, IPPROTO_TCP, 0, 0, _ANY_STATE)
        messages = [Message(_DESTROY, REQUEST | ACK, head + one.key) for one in members]
        try:
            with network.inside(place):
                netlink = Netlink(NETLINK_SOCK_DIAG)
            with netlink:
                codes = netlink.exchange(messages)
        except OSError as error:
            raise FaultError(f"the connections of {place} were not reset: {error}") from error
        for code in set(codes) - {0, errno.ENOENT}:
            raise FaultError(f"the connections of {place} were not reset: {os.strerror(code)}")
    return now_ns()
