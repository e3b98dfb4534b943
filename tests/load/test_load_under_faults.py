"""Servers that die, freeze or retire under load: nothing hangs, and the ledger is whole."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import anyio
import numpy as np
import pytest

from harness.clock import now_ns
from harness.errors import WorkerError
from harness.history.columns import Columns, read_columns
from harness.history.tables import Outcome
from harness.load.fleet import fleet

pytestmark = pytest.mark.anyio
LIMIT_S = 15.0


async def end(crew) -> None:
    await crew.stop(now_ns(), LIMIT_S)
    await crew.drain(2.0)
    await crew.finish(LIMIT_S)


def assert_whole(office, *workers: str) -> list[Columns]:
    """Return the workers' columns, complete and with gap-free sequences."""
    found = []
    for worker in workers:
        columns = read_columns(office.columns(worker))
        assert columns.complete, columns.problem
        for client in set(columns.sent["client"].tolist()):
            sequences = np.sort(columns.sent["sequence"][columns.sent["client"] == client])
            assert sequences.tolist() == list(range(len(sequences)))
        found.append(columns)
    return found


async def test_a_killed_server_is_signed_left_and_replaced(
    office, pair, at_work, core_clients, until
) -> None:
    one, two = pair
    clients = core_clients(one.url, publishers=2, subscribers=2, rate="400/s")
    async with at_work(office, office.plans(*clients)) as crew:
        await anyio.sleep(0.2)
        killed_ns = now_ns()
        one.signal(signal.SIGKILL)
        await until(lambda: len(office.of("client.reconnected")) == 4)
        assert crew.attached("hello") == {two.address}
        seen = crew.stats["hello-subscribers"].delivered
        await until(lambda: crew.stats["hello-subscribers"].delivered > seen + 50)
        await end(crew)
    for name in {client.name for client in clients}:
        told = {
            kind: [e for e in office.of(f"client.{kind}") if e["client"] == name]
            for kind in ("sign", "disconnected", "attempt", "reconnected")
        }
        (sign,) = told["sign"]
        assert sign["sign"] in ("UnexpectedEOF", "ConnectionResetError", "BrokenPipeError")
        (reconnected,) = told["reconnected"]
        assert reconnected["server"] == two.address
        assert reconnected["attempts"] == len(told["attempt"]) >= 1
        assert killed_ns <= sign["at_ns"] <= told["disconnected"][0]["at_ns"]
        assert told["disconnected"][0]["at_ns"] <= reconnected["at_ns"]
    sent, _ = assert_whole(office, "hello-publishers", "hello-subscribers")
    assert set(sent.sent["outcome"].tolist()) <= set(Outcome)


async def test_a_server_that_comes_back_is_found_again(
    office, server, at_work, core_clients, until
) -> None:
    async with at_work(office, office.plans(*core_clients(server.url))) as crew:
        await until(lambda: crew.stats["hello-publishers"].accepted > 0)
        server.signal(signal.SIGKILL)
        await until(lambda: len(office.of("client.sign")) == 2)
        assert crew.attached("hello") == frozenset()
        await anyio.sleep(0.3)
        server.start()
        await until(lambda: len(office.of("client.reconnected")) == 2)
        assert crew.attached("hello") == {server.address}
        await end(crew)
    (sent, _) = assert_whole(office, "hello-publishers", "hello-subscribers")
    assert {0, 1} == set(sent.sent["connected"].tolist())
    assert max(e["attempts"] for e in office.of("client.reconnected")) > 1


async def test_a_frozen_server_is_signed_as_stale(
    office, pair, at_work, core_clients, until
) -> None:
    one, _ = pair
    options = {"ping_interval": 0.2, "max_outstanding_pings": 2}
    async with at_work(office, office.plans(*core_clients(one.url), options=options)) as crew:
        one.signal(signal.SIGSTOP)
        await until(lambda: len(office.of("client.sign")) == 2)
        assert {e["sign"] for e in office.of("client.sign")} == {"StaleConnectionError"}
        one.signal(signal.SIGCONT)
        await until(lambda: len(office.of("client.reconnected")) == 2)
        await end(crew)
    assert_whole(office, "hello-publishers", "hello-subscribers")


async def test_publishes_stuck_at_a_frozen_server_end_as_unknown_and_in_time(
    office, server, at_work, core_clients, until
) -> None:
    clients = core_clients(server.url, rate="4000/s", payload="64KiB")
    async with at_work(office, office.plans(*clients, options={"ping_interval": 60.0})) as crew:
        server.signal(signal.SIGSTOP)
        await until(lambda: crew.stats["hello-publishers"].in_flight == 1)
        with anyio.fail_after(LIMIT_S):
            await crew.stop(now_ns(), 5.0)
            assert not await crew.drain(0.3)
            await crew.finish(5.0)
    sent, _ = assert_whole(office, "hello-publishers", "hello-subscribers")
    last = int(np.argmax(sent.sent["sequence"]))
    assert sent.sent["outcome"][last] == Outcome.UNKNOWN
    assert sent.sent["finished_ns"][last] == 0
    assert (np.delete(sent.sent["finished_ns"], last) > 0).all()
    assert all(process.returncode == 0 for process in office.processes.values())


async def test_requests_to_a_frozen_server_end_as_unknown(
    office, server, at_work, request_clients, until
) -> None:
    clients = request_clients(server.url, rate="100/s", timeout="200ms")
    async with at_work(office, office.plans(*clients, options={"ping_interval": 60.0})) as crew:
        await until(lambda: crew.stats["ask-requesters"].accepted > 5)
        server.signal(signal.SIGSTOP)
        seen = crew.stats["ask-requesters"]
        await until(
            lambda: (
                crew.stats["ask-requesters"].attempted
                - crew.stats["ask-requesters"].accepted
                - crew.stats["ask-requesters"].in_flight
                > seen.attempted - seen.accepted
            )
        )
        await end(crew)
    asked, _ = assert_whole(office, "ask-requesters", "ask-responders")
    assert {Outcome.ACKED, Outcome.UNKNOWN} == set(asked.sent["outcome"].tolist())


async def test_a_full_buffer_while_disconnected_is_a_refusal(
    office, server, at_work, core_clients, until
) -> None:
    clients = core_clients(server.url, rate="500/s", payload="64KiB")
    async with at_work(office, office.plans(*clients)) as crew:
        server.signal(signal.SIGKILL)
        await until(lambda: crew.stats["hello-publishers"].refused > 0)
        await end(crew)
    sent, _ = assert_whole(office, "hello-publishers", "hello-subscribers")
    refused = sent.sent["outcome"] == Outcome.REFUSED
    assert (sent.sent["connected"][refused] == 0).all()


async def test_a_client_that_gives_up_says_so(office, server, at_work, core_clients, until) -> None:
    options = {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.01}
    plans = office.plans(*core_clients(server.url), options=options)
    async with at_work(office, plans) as crew:
        server.signal(signal.SIGKILL)
        await until(lambda: len(office.of("client.closed")) == 2)
        await until(lambda: crew.stats["hello-publishers"].refused > 0)
        assert crew.attached("hello") == frozenset()
        await end(crew)
    sent, _ = assert_whole(office, "hello-publishers", "hello-subscribers")
    assert sent.sent["outcome"][-1] == Outcome.REFUSED


async def test_lame_duck_and_new_servers_are_told(
    office, pair, at_work, core_clients, until
) -> None:
    one, two = pair
    async with at_work(office, office.plans(*core_clients(one.url))) as crew:
        one.signal(signal.SIGUSR2)
        await until(lambda: len(office.of("client.lame_duck")) >= 2)
        await end(crew)
    assert two.address not in {e["server"] for e in office.of("client.connected")}


async def test_a_worker_that_is_killed_leaves_readable_columns(
    office, server, at_work, core_clients, until
) -> None:
    plans = office.plans(*core_clients(server.url, rate="2000/s"))
    with pytest.raises(WorkerError, match="worker hello-publishers ended by signal 9"):
        async with at_work(office, plans) as crew:
            await until(lambda: crew.stats["hello-publishers"].attempted > 1000)
            office.processes["hello-publishers"].send_signal(signal.SIGKILL)
            await until(lambda: bool(office.of("worker.lost")))
            await crew.finish(LIMIT_S)
    dead = read_columns(office.columns("hello-publishers"))
    assert not dead.complete
    rows = len(dead.sent["sequence"])
    assert rows > 500
    assert dead.sent["sequence"].tolist() == list(range(rows))
    # The others are told to finish all the same.
    assert read_columns(office.columns("hello-subscribers")).complete


async def test_the_rows_of_a_worker_reach_the_file_while_it_runs(
    office, server, at_work, core_clients, until
) -> None:
    plans = office.plans(*core_clients(server.url, rate="100/s"))
    async with at_work(office, plans) as crew:
        for worker in ("hello-publishers", "hello-subscribers"):
            path = office.columns(worker)
            await until(
                lambda path=path: (
                    len(read_columns(path).sent["client"])
                    + len(read_columns(path).delivered["client"])
                    > 5
                )
            )
        await end(crew)


async def test_a_frozen_worker_is_lost(office, server, at_work, core_clients) -> None:
    with pytest.raises(WorkerError, match="worker hello-subscribers has been silent for 5 s"):
        async with at_work(office, office.plans(*core_clients(server.url))) as crew:
            office.processes["hello-subscribers"].send_signal(signal.SIGSTOP)
            with anyio.fail_after(LIMIT_S):
                await crew.watch()
    assert office.processes["hello-subscribers"].returncode == -signal.SIGKILL


async def test_columns_that_outgrow_the_disk_end_the_run_with_one_clear_error(
    office, server, core_clients, at_work
) -> None:
    plans = office.plans(*core_clients(server.url, rate="5000/s"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def spawn(*order):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            return type(office).spawn(office, *order)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    office.spawn = spawn
    with pytest.raises(WorkerError) as caught:  # whichever wait meets it
        async with at_work(office, plans) as crew:
            with anyio.fail_after(LIMIT_S):
                await crew.watch()
    assert "cannot go on: cannot write the message columns" in str(caught.value)
    assert "File too large" in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_full_disk_is_one_clear_error(office, server, core_clients, at_work) -> None:
    plans = office.plans(*core_clients(server.url))
    office.columns("hello-subscribers").symlink_to("/dev/full")
    with pytest.raises(WorkerError, match="No space left on device"):
        async with fleet(plans, office.spawn, on_event=office.on_event, logs=office.folder) as crew:
            await crew.ready(LIMIT_S)
