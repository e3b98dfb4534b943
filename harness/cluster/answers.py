"""Whether a server answers: at its monitoring port, and at the port for clients."""

from __future__ import annotations

import anyio

from harness.cluster.monitor import Monitor
from harness.cluster.protocols import Address
from harness.errors import ServerError

INFO_LIMIT_BYTES = 65_536


async def responds(monitor: Monitor, limit_s: float) -> bool:
    """Tell whether the monitoring port answers a request within the limit."""
    try:
        await monitor.get("/healthz", limit_s)
    except ServerError:
        return False
    return True


async def accepts_clients(address: Address, limit_s: float) -> bool:
    """Tell whether a new connection to a client port gets an INFO line within the limit."""
    said = b""
    try:
        with anyio.fail_after(limit_s):
            async with await anyio.connect_tcp(address.host, address.port) as stream:
                while b"\n" not in said and len(said) < INFO_LIMIT_BYTES:
                    said += await stream.receive()
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):  # TimeoutError too
        return False
    return said.startswith(b"INFO ")
