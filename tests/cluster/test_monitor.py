"""What is read over the monitoring port, and that a read never hangs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.cluster.monitor import Monitor
from harness.cluster.protocols import Address
from harness.errors import ServerError

pytestmark = pytest.mark.anyio


@contextmanager
def answering(body: bytes, status: str = "200 OK") -> Iterator[Monitor]:
    """Answer one request with `body`, or with silence when it is empty."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                if not body:
                    connection.recv(4096)  # until the other side gives up
                    return
                head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Monitor(Address(*listener.getsockname()))
        thread.join()


async def test_routes_are_counted_by_distinct_remotes() -> None:
    with answering(b'{"remotes": 2, "routes": 8}') as monitor:
        assert await monitor.remotes(5) == 2


async def test_health_is_the_status() -> None:
    with answering(b'{"status": "ok"}') as monitor:
        assert await monitor.healthy(5)
    with answering(b'{"status": "unavailable"}', "503 Service Unavailable") as monitor:
        assert not await monitor.healthy(5)


async def test_a_missing_route_is_named() -> None:
    body = b'{"routes": [{"remote_name": "n2"}, {"remote_name": "n2"}]}'
    with answering(body) as monitor:
        assert await monitor.lacks_routes_to(frozenset(("n2", "n3")), 5) == {"n3"}
    with answering(b'{"routes": null}') as monitor:
        assert await monitor.lacks_routes_to(frozenset(("n2",)), 5) == {"n2"}


async def test_old_releases_do_not_name_remotes_so_their_ids_are_counted() -> None:
    body = b'{"routes": [{"remote_id": "A"}, {"remote_id": "A"}]}'
    with answering(body) as monitor:
        assert await monitor.lacks_routes_to(frozenset(("n2",)), 5) == frozenset()
    with answering(body) as monitor:
        assert await monitor.lacks_routes_to(frozenset(("n2", "n3")), 5) == {"n2", "n3"}


async def test_the_reasons_of_closed_connections_are_read() -> None:
    with answering(b'{"connections": [{"reason": "Stale Connection"}]}') as monitor:
        assert (await monitor.connections(5, closed=True))[0]["reason"] == "Stale Connection"
    with answering(b'{"connections": null}') as monitor:
        assert await monitor.connections(5) == []


@pytest.mark.parametrize("body", [b"", b"{not json"])
async def test_silence_and_nonsense_are_server_errors(body: bytes) -> None:
    with (
        answering(body) as monitor,
        pytest.raises(ServerError, match=r"did not answer /varz within 0\.2 s"),
    ):
        await monitor.remotes(0.2)


async def test_a_closed_port_is_a_server_error() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(ServerError, match="did not answer /healthz"):
            await Monitor(Address(*held.getsockname())).healthy(1)
