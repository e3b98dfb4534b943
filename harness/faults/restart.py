"""Restart: the server is stopped and started again at once."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Literal

from harness.cluster.protocols import Capability, Cluster
from harness.faults.base import EFFECT_LIMIT_S, Fault, Strike, down


class Restart(Fault):
    """Stop the server (SIGTERM) and start it again; `duration` is the time in between.

    Without a `duration` it is started again as soon as its process is gone. All
    targets restart at the same time; for one after the other see `rolling-restart`.
    """

    action: Literal["restart"]
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.STOP})
    self_timed: ClassVar[bool] = True

    def active(self, cluster: Cluster, strike: Strike) -> AbstractAsyncContextManager[None]:
        """Hold the nodes down only for the body, then wait until they are healthy again."""
        del cluster
        return down(strike, None, lambda node: node.stop(EFFECT_LIMIT_S))
