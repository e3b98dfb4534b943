"""What faults of JetStream share: asking it, and waiting for what /jsz shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio

from harness.cluster.jetstream import JetStream, Views, refusal
from harness.cluster.protocols import Cluster
from harness.errors import FaultError, ServerError

LOOK_LIMIT_S = 1.0
LOOK_EVERY_S = 0.02
REQUEST_S = 5.0


def require_jetstream(cluster: Cluster) -> JetStream:
    """Return what may be asked of JetStream; FaultError where nobody observes it."""
    if cluster.jetstream is None:
        raise FaultError("nobody observes JetStream here")
    return cluster.jetstream


async def order(
    jetstream: JetStream, subject: str, body: Mapping[str, Any] | None, *, system: bool = False
) -> None:
    """Ask for something; FaultError when it is refused or not answered."""
    try:
        said = await jetstream.request(subject, body, limit_s=REQUEST_S, system=system)
    except ServerError as error:
        raise FaultError(str(error)) from error
    if (refused := refusal(said)) is not None:
        raise FaultError(f"{subject}: the server refuses it: {refused}")


async def until(jetstream: JetStream, lack: Callable[[Views], str], limit_s: float) -> Views:
    """Return what servers say once `lack` finds nothing in it; FaultError at the limit."""
    missing = "no server answered"
    with anyio.move_on_after(limit_s):
        while True:
            views = await jetstream.look(LOOK_LIMIT_S)
            if (missing := lack(views)) == "":
                return views
            await anyio.sleep(LOOK_EVERY_S)
    raise FaultError(f"{missing}, after {limit_s:g} s")
