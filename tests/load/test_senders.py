"""Publishers and requesters against a library that does exactly what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np
import pytest

from harness.history.columns import Columns, read_columns
from harness.history.tables import Integrity, Outcome
from harness.load.ledger import Ledger
from harness.load.pacing import NEVER_NS
from harness.load.payload import HEADER_BYTES, Kind, examine
from harness.load.plan import ClientPlan
from harness.load.roles.publisher import Publisher
from harness.load.roles.requester import Requester
from harness.load.roles.sender import LAST_CALL_NS, Sender
from harness.load.roles.windowed import REASONS

pytestmark = pytest.mark.anyio
RUN = 9
LIMIT_S = 10.0


class RefusedError(Exception):
    """What the scripted library raises when it certainly did not send."""


class Library:
    """A client library whose publish and request are given by the test."""

    def __init__(self, act: Callable[[int, bytes], Awaitable[bytes]]) -> None:
        self.act = act
        self.is_connected = True
        self.calls = 0
        self.controls: list[Kind] = []

    def connected(self) -> bool:
        return self.is_connected

    async def publish(self, subject: str, payload: bytes) -> None:
        header, _ = examine(payload, RUN)
        if header.kind != Kind.MESSAGE:
            self.controls.append(Kind(header.kind))
            return
        self.calls += 1
        await self.act(header.sequence, payload)

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        self.calls += 1
        return await self.act(examine(payload, RUN)[0].sequence, payload)

    def outcome_of(self, error: Exception) -> Outcome:
        return Outcome.REFUSED if isinstance(error, RefusedError) else Outcome.UNKNOWN


async def accept(sequence: int, payload: bytes) -> bytes:
    return payload[:HEADER_BYTES]


async def hang(sequence: int, payload: bytes) -> bytes:
    """Block like nats-py does: whoever cancels it is not heard."""
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return b""


class Bench:
    """A sender at work on a scripted library, and the rows it leaves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger(str(path))
        self.complaints: list[str] = []

    def emit(self, kind: str, *, at_ns: int | None = None, **facts: str) -> None:
        self.complaints.append(facts["error"])

    def publisher(self, library: Any, rate: float = 1000.0) -> Publisher:
        plan = ClientPlan(3, "p", "publisher", "w", "w", (), "s", rate=rate, payload_bytes=64)
        return Publisher(plan, library, self.ledger, self.emit, RUN)

    def requester(
        self, library: Any, rate: float = 1000.0, most: int = 50, timeout_s: float = 0.1
    ) -> Requester:
        plan = ClientPlan(
            3, "r", "requester", "w", "w", (), "s", rate=rate, payload_bytes=64,
            timeout_s=timeout_s, max_in_flight=most,
        )  # fmt: skip
        return Requester(plan, library, self.ledger, self.emit, RUN)

    async def run(self, sender: Sender, length_s: float) -> Columns:
        """Let the sender send for a while, stop and settle it, and read its rows."""
        start_ns = monotonic_ns()
        pacing = asyncio.ensure_future(sender.pace(start_ns))
        await asyncio.sleep(0)
        sender.stop(start_ns + round(length_s * 1e9))
        async with asyncio.timeout(LIMIT_S):
            await sender.settle()
        rows = self.rows()
        pacing.cancel()
        return rows

    def rows(self) -> Columns:
        self.ledger.finish()
        return read_columns(self.path)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "w")


def gap_free(columns: Columns) -> bool:
    sequences = np.sort(columns.sent["sequence"])
    return bool((sequences == np.arange(len(sequences))).all())


async def test_a_publisher_sends_every_message_that_is_due_before_the_stop(bench: Bench) -> None:
    sent = (await bench.run(bench.publisher(Library(accept)), 0.1)).sent
    assert 0 < len(sent["client"]) <= 100  # 100 are due; an overdue one is not sent any more
    assert sent["sequence"].tolist() == list(range(len(sent["client"])))
    assert (np.diff(sent["intended_ns"]) == 1_000_000).all()
    assert (sent["attempted_ns"] >= sent["intended_ns"]).all()
    assert (sent["finished_ns"] >= sent["attempted_ns"]).all()
    assert set(sent["outcome"].tolist()) == {Outcome.ACCEPTED}
    assert set(sent["connected"].tolist()) == {1}
    assert set(sent["client"].tolist()) == {3}


async def test_a_publisher_of_listed_messages_sends_each_at_its_time_and_then_waits(
    bench: Bench,
) -> None:
    due_s, texts = (0.02, 0.02, 0.05, 9.0), ("first", "second", "again", "again")
    said: list[bytes] = []

    async def listen(sequence: int, payload: bytes) -> bytes:
        said.append(payload[HEADER_BYTES:])
        return await accept(sequence, payload)

    plan = ClientPlan(3, "p", "publisher", "w", "w", (), "s", due_s=due_s, texts=texts)
    library: Any = Library(listen)
    sender = Publisher(plan, library, bench.ledger, bench.emit, RUN)
    start_ns = monotonic_ns()
    pacing = asyncio.ensure_future(sender.pace(start_ns))
    async with asyncio.timeout(LIMIT_S):
        while len(said) < len(due_s) - 1:
            await asyncio.sleep(0.005)
    assert said == [b"first", b"second", b"again"]
    sender.stop(monotonic_ns())  # the last one is due long after it
    async with asyncio.timeout(LIMIT_S):
        await sender.settle()
        await pacing
    sent = bench.rows().sent
    intended = (sent["intended_ns"] - sent["intended_ns"][0]).tolist()
    assert intended == [0, 0, 30_000_000]
    assert sent["sequence"].tolist() == [0, 1, 2]
    assert (sent["attempted_ns"] >= sent["intended_ns"]).all()


async def test_a_publisher_that_was_held_up_sends_what_is_overdue(bench: Bench) -> None:
    async def stall_once(sequence: int, payload: bytes) -> bytes:
        if sequence == 5:
            await asyncio.sleep(0.05)
        return b""

    sent = (await bench.run(bench.publisher(Library(stall_once)), 0.15)).sent
    late_ns = sent["attempted_ns"] - sent["intended_ns"]
    assert late_ns[6] > 40_000_000  # late, and counted from when it was due
    assert late_ns[:5].max() < late_ns[6]


async def test_what_is_overdue_at_the_stop_is_not_attempted(bench: Bench) -> None:
    async def stall(sequence: int, payload: bytes) -> bytes:
        await asyncio.sleep(0.02)
        return b""

    library = Library(stall)
    columns = await bench.run(bench.publisher(library), 0.1)
    assert gap_free(columns)
    assert len(columns.sent["client"]) == library.calls < 10
    last_call_ns = columns.sent["intended_ns"][0] + 100_000_000 + LAST_CALL_NS
    assert (columns.sent["attempted_ns"] < last_call_ns).all()


async def test_errors_become_outcomes_of_their_own_message(bench: Bench) -> None:
    async def fail_some(sequence: int, payload: bytes) -> bytes:
        if sequence == 2:
            raise RefusedError
        if sequence == 4:
            raise OSError
        return b""

    sent = (await bench.run(bench.publisher(Library(fail_some)), 0.5)).sent
    assert sent["outcome"][:6].tolist() == [1, 1, Outcome.REFUSED, 1, Outcome.UNKNOWN, 1]
    assert bench.ledger.attempted == len(sent["client"])
    assert bench.ledger.accepted == len(sent["client"]) - 2
    assert bench.ledger.refused == 1


async def test_a_publish_that_never_returns_is_unknown_and_holds_up_nobody(bench: Bench) -> None:
    async def stick(sequence: int, payload: bytes) -> bytes:
        return await (hang if sequence == 3 else accept)(sequence, payload)

    publisher = bench.publisher(Library(stick))
    columns = await bench.run(publisher, 0.02)
    assert columns.sent["outcome"].tolist() == [1, 1, 1, Outcome.UNKNOWN]
    assert columns.sent["finished_ns"][3] == 0
    assert (columns.sent["finished_ns"][:3] > 0).all()
    assert columns.sent["attempted_ns"][3] >= columns.sent["finished_ns"][2]
    assert publisher.in_flight == 0


async def test_a_publish_that_returns_after_it_was_given_up_is_not_counted_twice(
    bench: Bench,
) -> None:
    release = asyncio.Event()

    async def stick(sequence: int, payload: bytes) -> bytes:
        await release.wait()
        return b""

    publisher = bench.publisher(Library(stick))
    pacing = asyncio.ensure_future(publisher.pace(monotonic_ns()))
    async with asyncio.timeout(LIMIT_S):
        while not publisher.in_flight:
            await asyncio.sleep(0)
        publisher.stop(0)
        publisher.give_up()
        publisher.give_up()
        release.set()
        await pacing
    publisher.commit()
    assert bench.rows().sent["outcome"].tolist() == [Outcome.UNKNOWN]


async def test_rows_before_a_stuck_publish_can_be_committed_while_it_is_stuck(
    bench: Bench,
) -> None:
    async def stick(sequence: int, payload: bytes) -> bytes:
        return await (hang if sequence == 3 else accept)(sequence, payload)

    publisher = bench.publisher(Library(stick), rate=1e6)
    pacing = asyncio.ensure_future(publisher.pace(monotonic_ns() - 10_000_000))
    async with asyncio.timeout(LIMIT_S):
        while not publisher.in_flight:
            await asyncio.sleep(0)
    publisher.commit()
    assert bench.ledger.attempted == 3
    publisher.commit()
    assert bench.ledger.attempted == 3
    publisher.give_up()
    assert bench.rows().sent["sequence"].tolist() == [0, 1, 2, 3]
    pacing.cancel()


async def test_the_state_of_the_connection_is_that_at_the_attempt(bench: Bench) -> None:
    async def cut(sequence: int, payload: bytes) -> bytes:
        if sequence == 2:
            await asyncio.sleep(0)
            library.is_connected = False
        if sequence == 5:
            await asyncio.sleep(0)
            library.is_connected = True
        return b""

    library = Library(cut)
    sender = bench.publisher(library, rate=1e6)  # all in one burst
    start_ns = monotonic_ns() - 8_000
    sender.stop(start_ns + 8_000)
    sender.stop_ns = NEVER_NS
    await sender.send(0, [start_ns + k for k in range(8)])
    assert bench.rows().sent["connected"].tolist() == [1, 1, 1, 0, 0, 0, 1, 1]


async def test_a_slow_sender_stops_in_time(bench: Bench) -> None:
    columns = await bench.run(bench.publisher(Library(accept), rate=1 / 60), 0.05)
    assert len(columns.sent["client"]) == 1


async def test_controls_are_repeated_until_told_to_end_and_failures_are_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(accept)
    sender = bench.publisher(library)
    async with asyncio.timeout(LIMIT_S):
        await sender.repeat(Kind.PROBE, 0.0, lambda: len(library.controls) >= 3)
    assert library.controls == [Kind.PROBE] * 3

    async def broken(subject: str, payload: bytes) -> None:
        raise OSError("gone")

    monkeypatch.setattr(library, "publish", broken)
    async with asyncio.timeout(LIMIT_S):
        await sender.repeat(Kind.END_MARKER, 0.0, lambda: bool(bench.complaints))
    assert bench.complaints == ["end_marker: OSError: gone"]


async def test_an_answered_request_is_acked(bench: Bench) -> None:
    columns = await bench.run(bench.requester(Library(accept)), 0.05)
    assert gap_free(columns)
    assert set(columns.sent["outcome"].tolist()) == {Outcome.ACKED}
    assert len(columns.delivered["client"]) == 0


async def test_a_wrong_reply_leaves_the_request_unknown_and_is_kept(bench: Bench) -> None:
    async def answer(sequence: int, payload: bytes) -> bytes:
        header = payload[:HEADER_BYTES]
        wrong = {1: header[:-1] + b"!", 2: b"hello", 3: b""}
        return wrong.get(sequence, header)

    columns = await bench.run(bench.requester(Library(answer)), 0.5)
    order = np.argsort(columns.sent["sequence"])
    assert columns.sent["outcome"][order][:5].tolist() == [2, 4, 4, 4, 2]
    assert columns.delivered["sequence"].tolist() == [1, 2, 3]
    assert columns.delivered["client"].tolist() == [3, 3, 3]
    assert columns.delivered["integrity"].tolist() == [
        Integrity.CORRUPTED, Integrity.FOREIGN, Integrity.FOREIGN,
    ]  # fmt: skip


async def test_a_request_without_responders_is_refused_and_one_timed_out_unknown(
    bench: Bench,
) -> None:
    async def answer(sequence: int, payload: bytes) -> bytes:
        raise RefusedError if sequence % 2 else TimeoutError

    columns = await bench.run(bench.requester(Library(answer)), 0.5)
    order = np.argsort(columns.sent["sequence"])
    assert columns.sent["outcome"][order][:4].tolist() == [4, 3, 4, 3]
    assert (columns.sent["finished_ns"] > 0).all()
    assert sorted(bench.complaints) == [
        "refused or unknown: RefusedError",
        "refused or unknown: TimeoutError",
    ]


async def test_of_many_reasons_the_first_few_are_told(bench: Bench) -> None:
    async def answer(sequence: int, payload: bytes) -> bytes:
        raise TimeoutError(f"no. {sequence}")

    await bench.run(bench.requester(Library(answer)), 0.5)
    assert len(bench.complaints) == REASONS


async def test_above_its_limit_a_requester_is_late_and_loses_nothing(bench: Bench) -> None:
    flying, most = 0, 0

    async def answer(sequence: int, payload: bytes) -> bytes:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0.01)
        flying -= 1
        return payload[:HEADER_BYTES]

    columns = await bench.run(bench.requester(Library(answer), most=2), 0.1)
    assert most == 2
    assert gap_free(columns)
    assert set(columns.sent["outcome"].tolist()) == {Outcome.ACKED}
    late_ns = columns.sent["attempted_ns"] - columns.sent["intended_ns"]
    assert late_ns.max() > 20_000_000


async def test_requests_that_never_end_are_given_up_after_their_time_out(bench: Bench) -> None:
    requester = bench.requester(Library(hang))
    columns = await bench.run(requester, 0.02)
    assert gap_free(columns)
    assert len(columns.sent["client"]) > 0
    assert set(columns.sent["outcome"].tolist()) == {Outcome.UNKNOWN}
    assert set(columns.sent["finished_ns"].tolist()) == {0}
    assert requester.in_flight == 0
