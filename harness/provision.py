"""Make the streams and consumers of a scenario, before any client connects.

Whatever the server ignored or changed of what was asked is an error: else a scenario would
be judged by something that was never there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

from harness.cluster.jetstream import Body, JetStream, Views, refusal
from harness.cluster.protocols import Cluster
from harness.errors import ServerError, UsageError
from harness.scenario.model import Scenario
from harness.scopes import bounded_cleanup

READY_LIMIT_S = 40.0  # a meta leader is elected within 4 to 9 s, and elections may be split
MAKE_LIMIT_S = 20.0
REQUEST_S = 5.0
LOOK_S = 2.0
POLL_S = 0.1
REMOVE_LIMIT_S = 10.0
BUSY = 503  # JetStream has no leader yet, or lost it; whatever else it says is its last word
# But for this: a new meta leader calls its peers offline until it has heard from them.
NO_PEERS, UNHEARD = 10005, "peer offline"


@asynccontextmanager
async def provided(
    scenario: Scenario, cluster: Cluster, jetstream: JetStream
) -> AsyncIterator[None]:
    """Wait for JetStream, and make streams and consumers; all replicas are current then.

    From servers that run already, what was made is taken away again.

    Raises:
        UsageError: a server refuses, ignores or changes what was asked, or has it already.
        ServerError: JetStream is not ready in time, or does not answer.
    """
    await _wait(jetstream, lambda views: _unready(cluster, views), READY_LIMIT_S)
    made: list[str] = []
    try:
        for spec in scenario.streams:
            await _make_stream(jetstream, spec.name, spec.config())
            made.append(spec.name)
        for spec in scenario.streams:
            name, replicas = spec.name, spec.replicas
            views = await _wait(jetstream, lambda v: v.behind(name, replicas), MAKE_LIMIT_S)  # noqa: B023 - awaited in this turn
            info = await _ask(jetstream, f"stream {name}", f"$JS.API.STREAM.INFO.{name}")
            config = info.get("config") or {}
            _compare(f"stream {name}", spec.config(), config)
            cluster.record(
                "stream.created",
                stream=name,
                config=config,
                leader=views.leader(f"stream:{name}"),
                replicas=list(views.replicas(name)),
            )
        for workload in scenario.workloads:
            for stream, consumers in workload.durables().items():
                for name, config in consumers.items():
                    await _make_consumer(cluster, jetstream, stream, name, config)
        yield
    finally:
        if scenario.cluster.attach is not None and made:
            with bounded_cleanup(REMOVE_LIMIT_S, "removing the streams", ServerError):
                for name in made:
                    await jetstream.request(f"$JS.API.STREAM.DELETE.{name}", limit_s=REQUEST_S)


def _unready(cluster: Cluster, views: Views) -> str:
    """Say what keeps JetStream from being ready on all nodes; nothing if nothing does."""
    for name in cluster.nodes:
        if name not in views.nodes:
            return f"{name} does not answer"
        if not views.nodes[name].enabled:
            return f"{name} has no JetStream"
        if len(cluster.nodes) > 1 and views.nodes[name].meta_leader is None:
            return f"{name} knows no meta leader"
    leader = views.nodes.get(views.leader("meta") or "")
    if leader is not None:
        late = [one.node for one in leader.meta_peers if not one.current or one.offline]
        if late or len(leader.meta_peers) + 1 < len(cluster.nodes):
            return f"the meta leader {leader.node} waits for {', '.join(late) or 'others'}"
    return ""


async def _wait(jetstream: JetStream, lack: Callable[[Views], str], limit_s: float) -> Views:
    """Return what servers say once `lack` finds nothing in it."""
    missing = "no server answered"
    with anyio.move_on_after(limit_s):
        while True:
            views = await jetstream.look(LOOK_S)
            if (missing := lack(views)) == "":
                return views
            await anyio.sleep(POLL_S)
    raise ServerError(f"JetStream is not ready after {limit_s:g} s: {missing}")


async def _make_stream(jetstream: JetStream, name: str, config: Mapping[str, Any]) -> None:
    there = await jetstream.request(f"$JS.API.STREAM.INFO.{name}", limit_s=REQUEST_S)
    if refusal(there) is None:
        raise UsageError(f"stream {name} exists already; give it another name, or remove it")
    said = await _ask(jetstream, f"stream {name}", f"$JS.API.STREAM.CREATE.{name}", config)
    _compare(f"stream {name}", config, said.get("config") or {})


async def _make_consumer(
    cluster: Cluster, jetstream: JetStream, stream: str, name: str, config: Mapping[str, Any]
) -> None:
    asked = {"durable_name": name, **config}
    body = {"stream_name": stream, "config": asked}
    what = f"consumer {name} of stream {stream}"
    said = await _ask(jetstream, what, f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}", body)
    got = said.get("config") or {}
    _compare(what, asked, got)

    def leaderless(views: Views) -> str:
        group = f"consumer:{stream}/{name}"
        return "" if views.leader(group) else f"consumer {name} of stream {stream} has no leader"

    views = await _wait(jetstream, leaderless, MAKE_LIMIT_S)
    leader = views.leader(f"consumer:{stream}/{name}")
    cluster.record("consumer.created", stream=stream, consumer=name, config=got, leader=leader)


async def _ask(
    jetstream: JetStream, what: str, subject: str, body: Mapping[str, Any] | None = None
) -> Body:
    """Return what JetStream says to a request about `what`, once it is not merely busy.

    Raises:
        UsageError: it refuses, not only for now.
        ServerError: it does not answer, or is busy to the end.
    """
    why = "no answer"
    with anyio.move_on_after(MAKE_LIMIT_S):
        while True:
            try:
                said = await jetstream.request(subject, body, limit_s=REQUEST_S)
            except ServerError as error:
                why = str(error)
            else:
                refused = refusal(said)
                if refused is None:
                    return said
                if not _passing(said["error"]):
                    raise UsageError(f"{what}: the server refuses it: {refused}")
                why = refused
            await anyio.sleep(POLL_S)
    raise ServerError(f"{what}: not done after {MAKE_LIMIT_S:g} s: {why}")


def _passing(error: Mapping[str, Any]) -> bool:
    """Tell whether JetStream refuses only for the moment."""
    unheard = error.get("err_code") == NO_PEERS and UNHEARD in str(error.get("description"))
    return error.get("code") == BUSY or unheard


def _compare(what: str, asked: Mapping[str, Any], got: Mapping[str, Any]) -> None:
    """Raise UsageError unless the server took over every key as it was asked."""
    for key, value in asked.items():
        if isinstance(value, Mapping) and isinstance(got.get(key), Mapping):
            _compare(f"{what}: {key}", value, got[key])
        elif value and key not in got:
            raise UsageError(f"{what}: {key}: the server ignored it; its release may not know it")
        elif value != got.get(key, value):
            raise UsageError(f"{what}: {key}: asked for {value!r}, the server made it {got[key]!r}")
