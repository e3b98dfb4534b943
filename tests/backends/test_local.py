"""Ports that are held: servers get them again and again, and nobody else is given them."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.backends import local, ports
from harness.backends.local import hold_endpoints
from harness.backends.ports import hold_port
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


def let_linux_pick_from(low: int, high: int, folder: Path, patch: pytest.MonkeyPatch) -> None:
    facts = folder / "ip_local_port_range"
    facts.write_text(f"{low}\t{high}\n")
    patch.setattr(ports, "RANGE", facts)


def test_ports_are_held_where_neither_linux_nor_docker_picks_any() -> None:
    low, high = map(int, ports.RANGE.read_text().split())
    assert low > ports.LOWEST, "this machine sets no ports apart"
    for _ in range(50):
        with hold_port("127.0.0.1") as port:
            assert port < low or port > high
            assert port >= ports.LOWEST


@pytest.mark.parametrize("listens", [True, False])
def test_a_port_that_somebody_has_bound_is_passed_over(
    listens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold_port("127.0.0.1") as first, ExitStack() as stack:
        if listens:
            stack.enter_context(listener(first, reuse=True))
        let_linux_pick_from(first + 1, ports.HIGHEST, tmp_path, monkeypatch)
        monkeypatch.setattr(ports, "LOWEST", first)  # the only port that is set apart
        with hold_port("127.0.0.1") as second:
            assert second != first


@pytest.mark.parametrize("said", ["1024\t65535\n", "no numbers", None])
def test_where_no_ports_are_set_apart_linux_picks(
    said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = tmp_path / "ip_local_port_range"
    if said is not None:
        facts.write_text(said)
    low, high = map(int, ports.RANGE.read_text().split())
    monkeypatch.setattr(ports, "RANGE", facts)
    with hold_port("127.0.0.1") as port:
        assert low <= port <= high


def test_all_ephemeral_ports_but_the_held_ones_are_given_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_linux_pick_from(1024, ports.HIGHEST, tmp_path, monkeypatch)
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
    def refuse(host: str) -> None:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(local, "hold_port", refuse)
    with (
        pytest.raises(ServerError, match=r"no free port on 127\.0\.0\.1: Address already in use"),
        hold_endpoints(["n1"]),
    ):
        pytest.fail("ports were held")
