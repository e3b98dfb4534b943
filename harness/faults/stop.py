"""Stop: the server is asked to end (SIGTERM) and started again."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Literal

from harness.cluster.protocols import Capability, Cluster
from harness.faults.base import EFFECT_LIMIT_S, Fault, Strike, down


class Stop(Fault):
    """Ask the server to stop (SIGTERM); start it again after `duration`.

    The gentlest fault of all: the server closes its clients' connections and hands
    over what it leads. It never stands for a crash; see `kill`.
    """

    action: Literal["stop"]
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.STOP})

    def active(self, cluster: Cluster, strike: Strike) -> AbstractAsyncContextManager[None]:
        """Hold the nodes down from the exit of their processes until they are healthy again."""
        del cluster
        return down(strike, None, lambda node: node.stop(EFFECT_LIMIT_S))
