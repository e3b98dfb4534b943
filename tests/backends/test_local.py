"""Ports that are held: servers get them again and again, and nobody else is given them."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from harness.backends import local
from harness.backends.local import hold_endpoints
from harness.errors import ServerError


def listener(port: int, *, reuse: bool) -> socket.socket:
    made = socket.socket()
    if reuse:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def test_a_held_port_can_be_listened_on_again_and_again() -> None:
    with hold_endpoints(["n1"]) as endpoints:
        port = endpoints["n1"].client.port
        for _ in range(3):
            with (
                listener(port, reuse=True) as server,
                socket.create_connection(("127.0.0.1", port)) as client,
            ):
                peer, _ = server.accept()
                peer.close()  # closes first: the port is left in TIME_WAIT
                assert client.recv(1) == b""


def test_a_held_port_is_not_handed_out_to_others() -> None:
    with hold_endpoints(["n1"]) as endpoints:
        held = {getattr(endpoints["n1"], kind).port for kind in ("client", "route", "monitor")}
        assert len(held) == 3
        with pytest.raises(OSError) as caught:
            listener(next(iter(held)), reuse=False)
        assert caught.value.errno == errno.EADDRINUSE


def test_all_ephemeral_ports_but_the_held_ones_are_given_to_others() -> None:
    option = getattr(socket, "IP_LOCAL_PORT_RANGE", 51)  # Linux 6.3
    with hold_endpoints(["n1"]) as endpoints, socket.socket() as target:
        target.bind(("127.0.0.1", 0))
        target.listen(64)
        held = endpoints["n1"].client.port
        low, high = held - 4, held + 4
        given = set()
        made = []
        for asks_to_bind in (True, False):
            while True:
                asker = socket.socket()
                made.append(asker)
                asker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    asker.setsockopt(socket.IPPROTO_IP, option, struct.pack("HH", low, high))
                except OSError:
                    for each in made:
                        each.close()
                    pytest.skip("this kernel cannot narrow the range of ephemeral ports")
                try:
                    if asks_to_bind:
                        asker.bind(("127.0.0.1", 0))
                    else:
                        asker.connect(target.getsockname())
                except OSError:
                    break
                given.add(asker.getsockname()[1])
        for each in made:
            each.close()
    assert held not in given
    assert given


def test_no_free_port_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(held: object) -> None:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(local, "_hold", refuse)
    with (
        pytest.raises(ServerError, match=r"no free port on 127\.0\.0\.1: Address already in use"),
        hold_endpoints(["n1"]),
    ):
        pytest.fail("ports were held")
