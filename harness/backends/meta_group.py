"""Whether all servers of a cluster belong to the group that leads JetStream.

Servers up to 2.10 that start together may leave one of them out for good: the first leader
shrinks the group to those whose votes it has counted (2.10.25: one of ten starts of three
servers, on busy cores). Nothing but a start from nothing mends that, and such a cluster is
not the one that was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from harness.backends.server_node import POLL_S, READ_LIMIT_S, ServerNode
from harness.cluster.releases import NONE, release_of
from harness.errors import ServerError

SOUND_SINCE = (2, 11)
LEAST = 3  # of two, both have to vote
SETTLE_S = 6.0  # a sound group has all its members within 3 s


async def find_left_out(nodes: Sequence[ServerNode]) -> str:
    """Say how many servers the meta group of one cluster leaves out; nothing if none.

    Only of releases that may do so, and whose stores can be emptied. Where nobody leads yet,
    nothing is said either.
    """
    prone = [node for node in nodes if not _sound(node.version) and node.store is not None]
    if not prone or len(nodes) < LEAST:
        return ""
    said = ""
    with anyio.move_on_after(SETTLE_S):
        while True:
            size = await _size(nodes)
            if size == len(nodes):
                return ""
            said = "" if size is None else f"JetStream counts {size} of {len(nodes)} servers"
            await anyio.sleep(POLL_S)
    return said


async def _size(nodes: Sequence[ServerNode]) -> int | None:
    """Return of how many the meta group consists by its leader's word; None without one."""
    for node in nodes:
        try:
            said = (await node.monitor.get("/jsz", READ_LIMIT_S)).body
        except ServerError:
            continue
        meta = said.get("meta_cluster") or {}
        if meta.get("replicas") is not None:  # the leader alone names them
            return int(meta.get("cluster_size") or 0)
    return None


def _sound(version: str) -> bool:
    release = release_of(version)
    return release == NONE or release >= SOUND_SINCE
