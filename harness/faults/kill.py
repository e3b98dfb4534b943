"""Kill: the server process dies at once (SIGKILL) and is started again."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Literal

from harness.cluster.protocols import Capability, Cluster
from harness.faults.base import EFFECT_LIMIT_S, Fault, Strike, down


class Kill(Fault):
    """Kill the server process (SIGKILL); start it again after `duration`.

    The kernel closes the sockets, so clients see an end of file or a reset at once;
    nothing is handed over.
    """

    action: Literal["kill"]
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.KILL})

    def active(self, cluster: Cluster, strike: Strike) -> AbstractAsyncContextManager[None]:
        """Hold the nodes down from the death of their processes until they are healthy again."""
        del cluster
        return down(strike, "SIGKILL", lambda node: node.kill(EFFECT_LIMIT_S))
