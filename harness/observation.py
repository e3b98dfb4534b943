"""Observe JetStream for as long as a cluster runs: form the cluster, and make what is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from harness.cluster.config import system_login
from harness.cluster.protocols import Cluster
from harness.load.observing import Logins, Observer, observer
from harness.provision import provided
from harness.scenario.model import Authorization, Scenario

SETUP_LIMIT_S = 30.0


@asynccontextmanager
async def observed(scenario: Scenario, cluster: Cluster, log: Path) -> AsyncIterator[Observer]:
    """Form a cluster, its JetStream observed, and make the streams of the scenario.

    Raises:
        ServerError: a server ended or is not ready in time. WorkerError: the observer is not.
        UsageError: a server refuses what was asked.
    """
    spec = scenario.cluster
    logins = Logins(_login(spec.login), _login(system_login(spec)))
    async with observer(cluster, logins, log) as found:
        cluster.lend(found)
        await cluster.form(SETUP_LIMIT_S)
        async with provided(scenario, cluster, found):
            yield found


def _login(authorization: Authorization | None) -> tuple[str, str] | None:
    if authorization is None:
        return None
    return authorization.user, authorization.password.get_secret_value()
