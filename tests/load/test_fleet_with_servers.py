"""Workers, real nats-servers and no faults: every message is found again."""

from __future__ import annotations

from dataclasses import replace

import anyio
import numpy as np
import pytest

from harness.clock import now_ns, to_ns
from harness.errors import WorkerError
from harness.history.columns import read_columns
from harness.history.tables import Integrity, Outcome
from harness.load.fleet import fleet
from harness.load.roles.sender import LAST_CALL_NS

pytestmark = pytest.mark.anyio
LIMIT_S = 15.0


async def end(crew, length_s: float = 0.5) -> bool:
    """Let the senders go on for a while, then stop, drain and finish."""
    stop_ns = now_ns() + to_ns(length_s)
    await anyio.sleep(length_s - 0.05)
    await crew.stop(stop_ns, LIMIT_S)
    complete = await crew.drain(LIMIT_S)
    await crew.finish(LIMIT_S)
    return complete


async def test_every_subscriber_gets_every_message_across_two_servers(
    office, pair, at_work, core_clients
) -> None:
    one, two = pair
    clients = core_clients(one.url, two.url, rate="400/s", publishers=2, subscribers=3)
    async with at_work(office, office.plans(*clients)) as crew:
        assert crew.attached("hello") == {one.address, two.address}
        assert crew.attached("hello", "publisher") == crew.attached("hello", "publishers")
        assert crew.attached("other") == frozenset()
        assert await end(crew)
    sent = read_columns(office.columns("hello-publishers"))
    received = read_columns(office.columns("hello-subscribers"))
    assert sent.complete
    assert received.complete
    assert len(sent.sent["client"]) > 100
    assert set(sent.sent["outcome"].tolist()) == {Outcome.ACCEPTED}
    assert set(received.delivered["integrity"].tolist()) == {Integrity.INTACT}
    attempted = set(zip(sent.sent["client"], sent.sent["sequence"], strict=True))
    for subscriber in (2, 3, 4):
        mine = received.delivered["client"] == subscriber
        got = list(
            zip(
                received.delivered["sender"][mine],
                received.delivered["sequence"][mine],
                strict=True,
            )
        )
        assert len(got) == len(attempted)
        assert set(got) == attempted


async def test_a_queue_group_gets_every_message_once(office, pair, at_work, core_clients) -> None:
    urls = [server.url for server in pair]
    clients = core_clients(*urls, publishers=2, subscribers=3, queue="workers", rate="400/s")
    async with at_work(office, office.plans(*clients)) as crew:
        assert await end(crew)
    sent = read_columns(office.columns("hello-publishers")).sent
    delivered = read_columns(office.columns("hello-subscribers")).delivered
    got = sorted(zip(delivered["sender"], delivered["sequence"], strict=True))
    assert got == sorted(zip(sent["client"], sent["sequence"], strict=True))
    assert len(set(delivered["client"].tolist())) > 1


async def test_every_request_is_answered(office, pair, at_work, request_clients) -> None:
    urls = [server.url for server in pair]
    clients = request_clients(*urls, requesters=2, responders=2, rate="200/s")
    async with at_work(office, office.plans(*clients)) as crew:
        assert await end(crew)
        assert crew.stats["ask-requesters"].refused == 0
    columns = read_columns(office.columns("ask-requesters"))
    assert set(columns.sent["outcome"].tolist()) == {Outcome.ACKED}
    assert len(columns.delivered["client"]) == 0
    for client in (0, 1):
        sequences = np.sort(columns.sent["sequence"][columns.sent["client"] == client])
        assert sequences.tolist() == list(range(len(sequences)))
    handled = read_columns(office.columns("ask-responders")).delivered
    assert len(handled["client"]) == len(columns.sent["client"])


async def test_a_request_that_nobody_answers_is_refused(office, server, request_clients) -> None:
    requester = next(c for c in request_clients(server.url) if c.role == "requester")
    async with fleet(
        office.plans(requester), office.spawn, on_event=office.on_event, logs=office.folder
    ) as crew:
        await crew.ready(LIMIT_S)
        await crew.connect(LIMIT_S)
        await crew.confirm(LIMIT_S)
        await crew.start(now_ns())
        await end(crew)
    sent = read_columns(office.columns("ask-requesters")).sent
    assert set(sent["outcome"].tolist()) == {Outcome.REFUSED}


async def test_what_workers_tell_becomes_events_with_names(
    office, server, at_work, core_clients
) -> None:
    async with at_work(office, office.plans(*core_clients(server.url))) as crew:
        await end(crew, 0.1)
    assert {e["worker"] for e in office.of("worker.ready")} == {
        "hello-publishers", "hello-subscribers",
    }  # fmt: skip
    assert office.of("worker.ready")[0]["adapter"]["name"] == "nats-py"
    assert {(e["client"], e["server"]) for e in office.of("client.connected")} == {
        ("hello-publisher-1", server.address), ("hello-subscriber-1", server.address),
    }  # fmt: skip
    assert office.of("subscription.confirmed")[-1]["senders"] == ["hello-publisher-1"]
    rows = {e["worker"]: e["rows"] for e in office.of("worker.done")}
    sent = read_columns(office.columns("hello-publishers")).sent
    assert rows["hello-publishers"] == {"sent": len(sent["client"]), "delivered": 0}
    assert all(isinstance(facts["at_ns"], int) for _, facts in office.events)
    assert not office.of("worker.lost")


async def test_senders_are_due_at_shares_of_the_rate_in_turn(
    office, server, at_work, core_clients
) -> None:
    clients = core_clients(server.url, publishers=2, rate="100/s")
    async with at_work(office, office.plans(*clients)) as crew:
        await end(crew)
    sent = read_columns(office.columns("hello-publishers")).sent
    first = sent["intended_ns"][(sent["client"] == 0) & (sent["sequence"] == 0)]
    second = sent["intended_ns"][(sent["client"] == 1) & (sent["sequence"] == 0)]
    assert second[0] - first[0] == 10_000_000
    mine = sent["intended_ns"][sent["client"] == 0]
    assert set(np.diff(np.sort(mine)).tolist()) == {20_000_000}


async def test_nothing_due_at_the_stop_or_later_is_sent(
    office, server, at_work, core_clients
) -> None:
    async with at_work(office, office.plans(*core_clients(server.url, rate="1000/s"))) as crew:
        stop_ns = now_ns() + to_ns(0.3)
        await crew.stop(stop_ns, LIMIT_S)
        assert await crew.drain(LIMIT_S)
        await crew.finish(LIMIT_S)
    sent = read_columns(office.columns("hello-publishers")).sent
    assert sent["intended_ns"].max() < stop_ns
    assert sent["attempted_ns"].max() < stop_ns + LAST_CALL_NS


async def test_finishing_early_counts_what_was_sent(office, server, at_work, core_clients) -> None:
    async with at_work(office, office.plans(*core_clients(server.url, rate="1000/s"))) as crew:
        await anyio.sleep(0.1)
        await crew.finish(LIMIT_S)
    sent = read_columns(office.columns("hello-publishers"))
    assert sent.complete
    assert sent.sent["sequence"].tolist() == list(range(len(sent.sent["client"])))


async def test_a_password_opens_the_door_and_is_told_nobody(
    office, serve, at_work, core_clients
) -> None:
    server = serve("n1", "--user", "joe", "--pass", "hunter2")
    plans = office.plans(*core_clients(server.url), user="joe", password="hunter2")
    async with at_work(office, plans) as crew:
        assert await end(crew, 0.2)
    for path in office.folder.iterdir():
        assert b"hunter2" not in path.read_bytes(), path
    assert "hunter2" not in str(office.events)


async def test_a_wrong_password_is_said_at_once(office, serve, core_clients) -> None:
    server = serve("n1", "--user", "joe", "--pass", "hunter2")
    plans = office.plans(*core_clients(server.url), user="joe", password="guess")
    with pytest.raises(WorkerError) as caught:  # both steps
        async with fleet(plans, office.spawn, on_event=office.on_event, logs=office.folder) as crew:
            await crew.ready(LIMIT_S)
            with anyio.fail_after(LIMIT_S / 2):
                await crew.connect(LIMIT_S)
    assert "could not connect" in str(caught.value)
    assert "Authorization Violation" in str(caught.value)
    assert "guess" not in str(caught.value)


async def test_a_subscriber_on_another_subject_is_not_confirmed(
    office, server, core_clients
) -> None:
    publisher, subscriber = core_clients(server.url)
    plans = office.plans(publisher, replace(subscriber, subject="elsewhere"))
    with pytest.raises(WorkerError, match="heard nothing of hello-publisher-1"):
        async with fleet(plans, office.spawn, on_event=office.on_event, logs=office.folder) as crew:
            await crew.ready(LIMIT_S)
            await crew.connect(LIMIT_S)
            await crew.confirm(0.5)
