"""Accounted throughput against bare nats-py: one publisher and one subscriber process each."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from figure import Figure

from harness.backends.local import LocalBackend
from harness.clock import now_ns, seconds, sleep_until, to_ns
from harness.cluster.protocols import Cluster
from harness.history.columns import read_columns
from harness.load.fleet import fleet
from harness.load.plan import ClientPlan, WorkerPlan
from harness.scenario.model import ClusterSpec

AIM = 0.9
PAYLOAD_BYTES = 128
SUBJECT = "bench"
# More than any client of this kind can send: the sender is always late, never idle.
SATURATING_RATE = 1_000_000.0
LIMIT_S = 60.0
HEAD_START_S = 0.05
# A saturated server holds much for a slow reader; its default limits would cut it off.
CONFIG = {"max_pending": 1 << 30, "write_deadline": "60s"}
BARE = Path(__file__).with_name("bare_client.py")
METHOD = (
    "messages per second from the first publish to the last delivery, publisher saturated for "
    "{length_s:g} s, {payload} B payload, one server, uvloop everywhere; value = workers with "
    "every message accounted / bare nats-py with a counting callback, measured in turn"
)


def measure_throughput(folder: Path, runs: int, length_s: float) -> Figure:
    """Measure bare and accounted throughput `runs` times, alternating."""
    bare, accounted = anyio.run(_measure, folder, runs, length_s)
    return Figure(
        "accounted / bare throughput",
        "ratio",
        AIM,
        "higher",
        METHOD.format(length_s=length_s, payload=PAYLOAD_BYTES),
        [ours / theirs for ours, theirs in zip(accounted, bare, strict=True)],
        {
            "bare_per_s": [round(rate) for rate in bare],
            "accounted_per_s": [round(rate) for rate in accounted],
        },
    )


async def _measure(folder: Path, runs: int, length_s: float) -> tuple[list[float], list[float]]:
    bare, accounted = [], []
    async with LocalBackend().cluster(
        ClusterSpec(servers=1, config=CONFIG), groups=(), folder=folder, record=_forget
    ) as cluster:
        await cluster.form(LIMIT_S)
        for index in range(runs):
            bare.append(await _run_bare(cluster, length_s))
            accounted.append(await _run_accounted(cluster, folder, index, length_s))
    return bare, accounted


def _url(cluster: Cluster) -> str:
    return f"nats://{cluster.nodes['n1'].endpoints.client}"


async def _run_bare(cluster: Cluster, length_s: float) -> float:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(_bare_client(role, _url(cluster), length_s))
            for role in ("subscribe", "publish")
        ]
        for _, output in clients:
            line = await output.receive_until(b"\n", 64)
            if line != b"ready":
                raise RuntimeError(f"a bare client said {line!r}")
        for process, _ in clients:
            assert process.stdin is not None
            await process.stdin.send(b"go\n")
        received, sent = [
            json.loads(await output.receive_until(b"\n", 4096)) for _, output in clients
        ]
    if received["count"] != sent["count"]:
        raise RuntimeError(f"bare nats-py sent {sent['count']}, received {received['count']}")
    return float(received["count"] / seconds(received["last_ns"] - sent["first_ns"]))


@asynccontextmanager
async def _bare_client(
    role: str, url: str, length_s: float
) -> AsyncIterator[tuple[Process, BufferedByteReceiveStream]]:
    argv = [sys.executable, str(BARE), role, url, SUBJECT, str(length_s), str(PAYLOAD_BYTES)]
    process = await anyio.open_process(argv, stderr=None)
    try:
        assert process.stdout is not None
        with anyio.fail_after(LIMIT_S):
            yield process, BufferedByteReceiveStream(process.stdout)
            await process.wait()
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.wait()
            await process.aclose()


async def _run_accounted(cluster: Cluster, folder: Path, index: int, length_s: float) -> float:
    plans = _plans(folder, index, _url(cluster))
    logs = folder / f"logs-{index}"
    logs.mkdir()
    async with fleet(plans, cluster.spawn_client, on_event=_ignore, logs=logs) as workers:
        await workers.ready(LIMIT_S)
        await workers.connect(LIMIT_S)
        await workers.confirm(LIMIT_S)
        start_ns = now_ns() + to_ns(HEAD_START_S)
        stop_ns = start_ns + to_ns(length_s)
        await workers.start(start_ns)
        await sleep_until(stop_ns)
        await workers.stop(stop_ns, LIMIT_S)
        if not await workers.drain(LIMIT_S):
            raise RuntimeError("the workers did not drain")
        await workers.finish(LIMIT_S)
    publisher, subscriber = (read_columns(Path(plan.columns)) for plan in plans)
    sent, received = publisher.sent["attempted_ns"], subscriber.delivered["received_ns"]
    if not len(sent) == len(received) > 0:
        raise RuntimeError(f"workers sent {len(sent)}, received {len(received)}")
    return len(received) / seconds(int(received.max()) - int(sent.min()))


def _plans(folder: Path, index: int, url: str) -> tuple[WorkerPlan, ...]:
    run = secrets.randbits(32)
    shared: dict[str, Any] = {"workload": "bench", "servers": (url,), "subject": SUBJECT}
    publisher = ClientPlan(
        id=0,
        name="bench-publisher-1",
        role="publisher",
        worker="bench-publishers",
        rate=SATURATING_RATE,
        payload_bytes=PAYLOAD_BYTES,
        **shared,
    )
    subscriber = ClientPlan(
        id=1,
        name="bench-subscriber-1",
        role="subscriber",
        worker="bench-subscribers",
        senders=(0,),
        **shared,
    )
    return tuple(
        WorkerPlan(
            worker=client.worker,
            run=run,
            columns=str(folder / f"{client.worker}-{index}.columns"),
            clients=(client,),
        )
        for client in (publisher, subscriber)
    )


def _ignore(kind: str, facts: Mapping[str, Any]) -> None:
    del kind, facts


def _forget(kind: str, *, at_ns: int | None = None, **facts: object) -> None:
    del kind, at_ns, facts
