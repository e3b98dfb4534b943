"""Workers that die, lie, mumble or fall silent: one clear error each, in bounded time."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from harness.errors import WorkerError
from harness.load import fleet as fleet_module
from harness.load import member as member_module
from harness.load.fleet import fleet

pytestmark = pytest.mark.anyio
LIMIT_S = 15.0

PRELUDE = """
import json, sys, time
def say(**message): sys.stdout.write(json.dumps(message) + "\\n"); sys.stdout.flush()
def ready():
    json.loads(sys.stdin.readline())
    say(type="ready", adapter={"name": "fake", "version": "0", "options": {}}, python="3", pid=1)
def stats():
    zeros = dict.fromkeys(["attempted", "accepted", "delivered", "in_flight", "max_lag_s"], 0)
    say(type="stats", at_ns=1, **zeros)
def linger():
    while sys.stdin.readline(): pass
"""


@pytest.fixture
def fake(office, core_clients) -> Callable[[str], Any]:
    """Return a fleet of two workers that run the given script in place of the real one."""

    def crew(script: str) -> Any:
        office.argv = [sys.executable, "-c", PRELUDE + script]
        plans = office.plans(*core_clients("nats://127.0.0.1:1"))
        return fleet(plans, office.spawn, on_event=office.on_event, logs=office.folder)

    return crew


async def gone(office) -> bool:
    """Tell whether every worker has ended."""
    return all(process.returncode is not None for process in office.processes.values())


async def test_a_worker_that_dies_is_named_with_the_end_of_its_log(fake, office) -> None:
    script = "ready(); print('the last words', file=sys.stderr); sys.exit(7)"
    with pytest.raises(WorkerError) as caught:  # whichever wait meets it first
        async with fake(script) as crew:
            await crew.ready(LIMIT_S)
            await crew.connect(LIMIT_S)
    assert "ended with code 7 before it was done" in str(caught.value)
    assert "the last words" in str(caught.value)
    assert office.of("worker.lost")[0]["returncode"] == 7


async def test_a_worker_that_cannot_even_start_is_named(fake) -> None:
    with pytest.raises(WorkerError, match=r"(?s)ended with code 1 before it was done.*SyntaxError"):
        async with fake("def") as crew:
            await crew.ready(LIMIT_S)


async def test_a_worker_killed_by_a_signal_is_named(fake, office) -> None:
    with pytest.raises(WorkerError, match="ended by signal 9 before it was done"):
        async with fake("ready(); linger()") as crew:
            await crew.ready(LIMIT_S)
            office.processes["hello-publishers"].send_signal(signal.SIGKILL)
            await crew.connect(LIMIT_S)


async def test_watching_raises_when_a_worker_is_lost(fake, office) -> None:
    with pytest.raises(WorkerError, match="worker hello-publishers ended by signal 9"):
        async with fake("ready(); linger()") as crew:
            await crew.ready(LIMIT_S)
            office.processes["hello-publishers"].send_signal(signal.SIGKILL)
            with anyio.fail_after(LIMIT_S):
                await crew.watch()


@pytest.mark.parametrize(
    "said",
    [
        "'garbage'",
        "'[]'",
        "'{}'",
        "json.dumps({'type': 'juggle'})",
        "json.dumps({'type': 'event', 'client': 99, 'kind': 'sign', 'at_ns': 1})",
        "json.dumps({'type': 'event', 'client': 0, 'kind': 'connected', 'at_ns': 1})",
        "json.dumps({'type': 'confirmed', 'client': 0, 'senders': 5})",
        "json.dumps({'type': 'stats'})",
        "json.dumps({'type': 'done', 'rows': {}})",
        "'\\udcff'",
    ],
)
async def test_a_worker_that_talks_nonsense_is_quoted(fake, said: str) -> None:
    script = (
        "ready(); sys.stdout.reconfigure(errors='surrogateescape')\n"
        f"print({said}, flush=True); linger()"
    )
    with pytest.raises(WorkerError, match="broke its protocol, it said: "):
        async with fake(script) as crew:
            await crew.ready(LIMIT_S)
            await crew.connect(LIMIT_S)


async def test_a_line_without_end_is_cut_off(fake) -> None:
    script = "ready()\nwhile True: sys.stdout.write('x' * 65536)"
    with pytest.raises(WorkerError, match="said a line of more than 1048576 bytes"):
        async with fake(script) as crew:
            await crew.ready(LIMIT_S)
            await crew.connect(LIMIT_S)


async def test_what_a_worker_says_it_died_of_is_passed_on(fake) -> None:
    script = "ready(); say(type='error', message='no space left'); sys.exit(1)"
    with pytest.raises(WorkerError, match="cannot go on: no space left"):
        async with fake(script) as crew:
            await crew.ready(LIMIT_S)
            await crew.connect(LIMIT_S)


async def test_a_worker_that_falls_silent_is_lost(fake, monkeypatch) -> None:
    monkeypatch.setattr(fleet_module, "TICK_S", 0.02)
    with pytest.raises(WorkerError, match="has been silent for"):
        async with fake("ready(); linger()") as crew:
            await crew.ready(LIMIT_S)
            with anyio.fail_after(LIMIT_S):
                await crew.watch()


async def test_a_worker_that_goes_on_talking_is_not_lost(fake, monkeypatch) -> None:
    monkeypatch.setattr(fleet_module, "TICK_S", 0.02)
    script = "ready()\nwhile True: stats(); time.sleep(0.05)"
    async with fake(script) as crew:
        await crew.ready(LIMIT_S)
        with anyio.move_on_after(1.0):
            await crew.watch()


async def test_a_worker_that_reads_nothing_is_lost(fake, monkeypatch, office) -> None:
    monkeypatch.setattr(member_module, "SEND_LIMIT_S", 0.2)
    script = "ready()\nwhile True: stats(); time.sleep(0.05)"
    with pytest.raises(WorkerError, match=r"has not read its commands for 0\.2 s"):
        async with fake(script) as crew:
            await crew.ready(LIMIT_S)
            with anyio.fail_after(LIMIT_S):
                while True:
                    await crew.start(10**4000)  # a long line fills the socket sooner
                    if office.of("worker.lost"):
                        await crew.watch()


async def test_a_step_that_is_not_reached_in_time_names_who_was_late(fake) -> None:
    script = "ready()\nwhile True: stats(); time.sleep(0.05)"
    with pytest.raises(WorkerError, match=r"was not connected within 0\.2 s.*hello-"):
        async with fake(script) as crew:
            await crew.ready(LIMIT_S)
            await crew.connect(0.2)


async def test_subscriptions_that_hear_nothing_are_named(fake) -> None:
    script = "ready(); say(type='connected')\nwhile True: stats(); time.sleep(0.05)"
    with pytest.raises(WorkerError) as caught:
        async with fake(script) as crew:
            await crew.ready(LIMIT_S)
            await crew.connect(LIMIT_S)
            await crew.confirm(0.2)
    assert "hello-subscriber-1 heard nothing of hello-publisher-1" in str(caught.value)


async def test_a_worker_that_does_not_finish_is_named(fake) -> None:
    script = "ready()\nwhile True: stats(); time.sleep(0.05)"
    with pytest.raises(WorkerError, match=r"not finished within 0\.2 s: hello-publishers"):
        async with fake(script) as crew:
            await crew.ready(LIMIT_S)
            await crew.finish(0.2)


async def test_drain_gives_up_at_its_limit(fake) -> None:
    async with fake("ready()\nwhile True: stats(); time.sleep(0.05)") as crew:
        await crew.ready(LIMIT_S)
        assert not await crew.drain(0.2)


async def test_leaving_ends_workers_that_ignore_the_end_of_their_input(
    fake, office, monkeypatch
) -> None:
    monkeypatch.setattr(fleet_module, "EXIT_LIMIT_S", 0.2)
    async with fake("ready(); time.sleep(1000)") as crew:
        await crew.ready(LIMIT_S)
    assert await gone(office)


async def test_cancelling_ends_every_worker(fake, office) -> None:
    with anyio.move_on_after(LIMIT_S) as scope:
        async with fake("ready(); linger()") as crew:
            await crew.ready(LIMIT_S)
            scope.cancel()
            await anyio.sleep_forever()
    assert await gone(office)


async def test_a_program_that_cannot_be_started_leaves_nothing(office, core_clients) -> None:
    plans = office.plans(*core_clients("nats://127.0.0.1:1"))

    def spawn(group: str, argv: Any, channel: Any, log: Any) -> Any:
        if group == "hello-subscribers":
            raise OSError("no such program")
        return office.spawn(group, argv, channel, log)

    with pytest.raises(WorkerError, match="worker hello-subscribers cannot be started"):
        async with fleet(plans, spawn, on_event=office.on_event, logs=office.folder):
            raise AssertionError("never reached")
    assert await gone(office)


async def test_an_error_of_the_body_comes_out_as_it_was_raised(fake) -> None:
    with pytest.raises(KeyError):
        async with fake("ready(); linger()"):
            raise KeyError
