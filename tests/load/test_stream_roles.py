"""Publishers to streams and consumers against a library that does exactly what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic_ns
from typing import Any

import pytest
from nats.js import errors as js_errors

from harness.history.columns import Columns, read_columns
from harness.history.tables import Integrity, Outcome
from harness.load.adapters.base import ClientFailure
from harness.load.adapters.nats_py_jetstream import was_refused
from harness.load.adapters.streams import (
    ClosedForGoodError,
    ConsumerGoneError,
    ConsumerState,
    StreamAck,
    StreamMessage,
)
from harness.load.ledger import Ledger
from harness.load.payload import Kind, PayloadMaker, examine
from harness.load.plan import ClientPlan, ConsumerPlan, RetryPlan
from harness.load.roles import stream_consumer
from harness.load.roles.stream_consumer import StreamConsumer, Voice
from harness.load.roles.stream_publisher import StreamPublisher

pytestmark = pytest.mark.anyio
RUN = 9
LIMIT_S = 10.0
IDLE = ConsumerState(0, 0, 0)


class RefusedError(Exception):
    """What the scripted library raises when the message is certainly not stored."""


class Library:
    """JetStream as the test says: how a publish ends, and what a consumer hands over."""

    def __init__(self, publish: Callable[[int, int], Awaitable[StreamAck]] | None = None) -> None:
        self._act = publish
        self.streams = self
        self.ids: list[str | None] = []
        self.tries: dict[int, int] = {}
        self.starts: list[int | None] = []
        self.batches: list[Sequence[StreamMessage] | Exception] = []
        self.states: list[ConsumerState | Exception] = []
        self.waiting: list[StreamMessage] = []
        self.ended = 0
        self.name = "C1-on-the-server"

    def connected(self) -> bool:
        return True

    async def publish(
        self, subject: str, payload: bytes, timeout_s: float, message_id: str | None
    ) -> StreamAck:
        assert self._act is not None
        sequence = examine(payload, RUN)[0].sequence
        self.ids.append(message_id)
        self.tries[sequence] = self.tries.get(sequence, 0) + 1
        return await self._act(sequence, self.tries[sequence])

    def outcome_of(self, error: Exception) -> Outcome:
        return Outcome.REFUSED if isinstance(error, RefusedError) else Outcome.UNKNOWN

    async def consume(self, stream: str, plan: ConsumerPlan, start: int | None = None) -> Library:
        self.starts.append(start)
        return self

    async def next(self) -> Sequence[StreamMessage]:
        await asyncio.sleep(0)
        if not self.batches:
            await asyncio.sleep(0.005)
            return ()
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return batch

    def take(self) -> Sequence[StreamMessage]:
        return self.waiting

    async def state(self) -> ConsumerState:
        state = self.states.pop(0) if self.states else IDLE
        if isinstance(state, Exception):
            raise state
        return state

    async def end(self) -> None:
        self.ended += 1


class Bench:
    """A role at work on a scripted library, and what it leaves and tells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger(str(path))
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.told: list[tuple[str, int, list[int]]] = []
        self.acks: list[int] = []

    def emit(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        self.events.append((kind, facts))

    def tell(self, what: str, client: int, senders: list[int]) -> None:
        self.told.append((what, client, senders))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]

    def publisher(self, library: Any, retry: RetryPlan | None = None) -> StreamPublisher:
        plan = ClientPlan(
            3, "p", "publisher", "w", "w", (), "s", rate=100.0, payload_bytes=64,
            timeout_s=0.1, max_in_flight=50, stream="S", retry=retry,
        )  # fmt: skip
        return StreamPublisher(plan, library, self.ledger, self.emit, RUN)

    def consumer(self, library: Any, **more: Any) -> StreamConsumer:
        facts: dict[str, Any] = {
            "durable": True,
            "mode": "pull",
            "ack": "explicit",
            "work_s": 0.0,
        } | more
        consumer = ConsumerPlan(name="C1", batch=10, expires_s=0.1, config={}, **facts)
        plan = ClientPlan(
            5, "c", "consumer", "w", "w", (), "s", senders=(3, 2), stream="S", consumer=consumer
        )
        return StreamConsumer(plan, library, self.ledger, Voice(self.emit, self.tell), RUN)

    def message(
        self, sequence: int, delivery: int = 1, *, place: int | None = None, fails: bool = False
    ) -> StreamMessage:
        async def acknowledge() -> None:
            if fails:
                raise RefusedError("buffer full")
            self.acks.append(sequence)

        payload = PayloadMaker(RUN, 3, 64).batch(sequence, [1])[0]
        at = sequence + 1
        return StreamMessage(payload, monotonic_ns(), at, place or at, delivery, acknowledge)

    async def run(self, sender: StreamPublisher, length_s: float = 0.05) -> Columns:
        start_ns = monotonic_ns()
        pacing = asyncio.ensure_future(sender.pace(start_ns))
        await asyncio.sleep(0)
        sender.stop(start_ns + round(length_s * 1e9))
        async with asyncio.timeout(LIMIT_S):
            await sender.settle()
        pacing.cancel()
        return self.rows()

    def rows(self) -> Columns:
        self.ledger.finish()
        return read_columns(self.path)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "w")


def scripted(*ends: Exception | StreamAck) -> Library:
    """Return a library of whose publishes of a message the n-th ends so, later as the last."""

    async def act(sequence: int, attempt: int) -> StreamAck:
        end = ends[min(attempt, len(ends)) - 1]
        if isinstance(end, Exception):
            raise end
        return end

    return Library(act)


ACK = StreamAck("S", 7, duplicate=False)
AGAIN = StreamAck("S", 7, duplicate=True)
CUT = TimeoutError()
NO = RefusedError()
TWICE = RetryPlan(max=2, msg_id=True, wait_s=0.001)


@pytest.mark.parametrize(
    ("ends", "retry", "outcome", "attempts"),
    [
        ((ACK,), None, Outcome.ACKED, 1),
        ((NO, ACK), None, Outcome.REFUSED, 1),
        ((CUT, ACK), None, Outcome.UNKNOWN, 1),
        ((NO, ACK), TWICE, Outcome.ACKED, 2),
        ((CUT, NO, AGAIN), TWICE, Outcome.ACKED, 3),
        ((CUT, NO, NO), TWICE, Outcome.UNKNOWN, 3),
        ((NO, CUT, NO), TWICE, Outcome.UNKNOWN, 3),
        ((NO, NO, NO, ACK), TWICE, Outcome.REFUSED, 3),
        ((ACK, NO), TWICE, Outcome.ACKED, 1),
    ],
)
async def test_the_outcome_is_what_all_attempts_together_say(
    bench: Bench, ends: Any, retry: RetryPlan | None, outcome: Outcome, attempts: int
) -> None:
    library = scripted(*ends)
    rows = await bench.run(bench.publisher(library, retry))
    assert set(rows.sent["outcome"].tolist()) == {outcome}
    assert set(library.tries.values()) == {attempts}
    acks = rows.tables["acks"]
    if outcome is Outcome.ACKED:
        assert acks["sequence"].tolist() == rows.sent["sequence"].tolist()
        assert set(acks["attempts"].tolist()) == {attempts}
        assert set(acks["duplicate"].tolist()) == {int(ends[attempts - 1].duplicate)}
        assert set(acks["stream_sequence"].tolist()) == {7}
    else:
        assert len(acks["sequence"]) == 0


async def test_a_message_keeps_its_id_over_its_attempts(bench: Bench) -> None:
    library = scripted(NO, ACK)
    await bench.run(bench.publisher(library, TWICE))
    assert set(library.ids) == {f"9-3-{sequence}" for sequence in library.tries}


async def test_without_ids_none_is_sent(bench: Bench) -> None:
    library = scripted(NO, ACK)
    await bench.run(bench.publisher(library, RetryPlan(max=1, msg_id=False, wait_s=0.0)))
    assert set(library.ids) == {None}


@pytest.mark.parametrize("wrong", [StreamAck("T", 7, False), StreamAck("S", 0, False)], ids=str)
async def test_an_acknowledgement_that_proves_nothing_is_told(
    bench: Bench, wrong: StreamAck
) -> None:
    rows = await bench.run(bench.publisher(scripted(wrong)))
    assert set(rows.sent["outcome"].tolist()) == {Outcome.UNKNOWN}
    assert len(rows.tables["acks"]["client"]) == 0
    assert set(bench.kinds()) == {"misacked"}
    facts = {"sequence": 0, "stream": wrong.stream, "stream_sequence": wrong.sequence}
    assert bench.events[0][1] == facts


async def test_a_publish_that_never_ends_is_unknown_and_the_publisher_settles(
    bench: Bench,
) -> None:
    async def hang(sequence: int, attempt: int) -> StreamAck:
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                return ACK

    rows = await bench.run(bench.publisher(Library(hang)))
    assert set(rows.sent["outcome"].tolist()) == {Outcome.UNKNOWN}
    assert set(rows.sent["finished_ns"].tolist()) == {0}
    assert len(rows.tables["acks"]["client"]) == 0


async def test_a_stream_gets_neither_probes_nor_end_markers(bench: Bench) -> None:
    library = scripted(ACK)
    sender = bench.publisher(library)
    for kind in (Kind.PROBE, Kind.END_MARKER):
        async with asyncio.timeout(LIMIT_S):
            await sender.repeat(kind, 0.001, lambda: False)
    assert library.ids == []


async def consuming(consumer: StreamConsumer, until: Callable[[], bool]) -> None:
    """Let a consumer work until something holds."""
    await consumer.set_up()
    task = asyncio.ensure_future(consumer.consume())
    async with asyncio.timeout(LIMIT_S):
        while not until() and not task.done():
            await asyncio.sleep(0.005)
    consumer.finish()
    async with asyncio.timeout(LIMIT_S):
        await task


async def test_a_consumer_acknowledges_and_keeps_every_delivery(bench: Bench) -> None:
    library = Library()
    library.batches = [[bench.message(0), bench.message(1)], [bench.message(0, 2, place=3)]]
    await consuming(bench.consumer(library), lambda: len(bench.acks) == 3)
    rows = bench.rows().tables["consumed"]
    assert rows["sequence"].tolist() == [0, 1, 0]
    assert rows["stream_sequence"].tolist() == [1, 2, 1]
    assert rows["consumer_sequence"].tolist() == [1, 2, 3]
    assert rows["delivery"].tolist() == [1, 1, 2]
    assert rows["acked"].tolist() == [1, 1, 1]
    assert set(rows["sender"].tolist()) == {3}


async def test_an_acknowledgement_that_was_not_sent_is_told_and_shown(bench: Bench) -> None:
    library = Library()
    library.batches = [[bench.message(0, fails=True), bench.message(1)]]
    await consuming(bench.consumer(library), lambda: bench.acks == [1])
    assert bench.rows().tables["consumed"]["acked"].tolist() == [0, 1]
    assert bench.events[0] == ("error", {"error": "consumer: RefusedError: buffer full"})


async def test_ack_all_acknowledges_the_last_of_a_batch(bench: Bench) -> None:
    library = Library()
    library.batches = [[bench.message(0), bench.message(1), bench.message(2)]]
    await consuming(bench.consumer(library, ack="all"), lambda: bool(bench.acks))
    assert bench.acks == [2]
    assert bench.rows().tables["consumed"]["acked"].tolist() == [1, 1, 1]


async def test_ack_none_acknowledges_nothing(bench: Bench) -> None:
    library = Library()
    library.batches = [[bench.message(0)]]
    await consuming(bench.consumer(library, ack="none"), lambda: bench.ledger.delivered == 1)
    assert bench.acks == []
    assert bench.rows().tables["consumed"]["acked"].tolist() == [0]


async def test_a_consumer_goes_on_after_errors(bench: Bench) -> None:
    library = Library()
    library.batches = [OSError("no"), js_errors.ServiceUnavailableError(), [bench.message(0)]]
    await consuming(bench.consumer(library), lambda: bool(bench.acks))
    assert bench.kinds() == ["error", "error"]


async def test_a_consumer_ends_when_its_connection_is_closed_for_good(bench: Bench) -> None:
    library = Library()
    library.batches = [ClosedForGoodError()]
    consumer = bench.consumer(library)
    await consumer.set_up()
    async with asyncio.timeout(LIMIT_S):
        await consumer.consume()


async def test_damage_and_strangers_are_seen(bench: Bench) -> None:
    library = Library()
    good = bench.message(0)
    broken = StreamMessage(good.payload[:-1] + b"~", 1, 2, 2, 1, good.acknowledge)
    foreign = StreamMessage(b"hello", 1, 3, 3, 1, good.acknowledge)
    probe = StreamMessage(
        PayloadMaker(RUN, 3, 64).control(Kind.PROBE), 1, 4, 4, 1, good.acknowledge
    )
    library.batches = [[good, broken, foreign, probe]]
    await consuming(bench.consumer(library), lambda: bench.ledger.delivered == 4)
    assert bench.rows().tables["consumed"]["integrity"].tolist() == [
        Integrity.INTACT, Integrity.CORRUPTED, Integrity.FOREIGN, Integrity.FOREIGN,
    ]  # fmt: skip


async def test_what_the_library_still_holds_at_the_end_is_kept_unacknowledged(
    bench: Bench,
) -> None:
    library = Library()
    library.batches = [[bench.message(0), bench.message(1)]]
    library.waiting = [bench.message(2)]
    consumer = bench.consumer(library, work_s=60.0)
    await consumer.set_up()
    task = asyncio.ensure_future(consumer.consume())
    await asyncio.sleep(0.05)
    consumer.finish()
    task.cancel()
    rows = bench.rows().tables["consumed"]
    assert rows["sequence"].tolist() == [0, 1, 2]
    assert rows["acked"].tolist() == [0, 0, 0]


async def test_a_consumer_of_its_own_begins_again_after_the_last_before_a_gap(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_consumer, "LOOK_AFTER_NS", 10_000_000)
    library = Library()
    missed = bench.message(3, place=5)  # the consumer's third and fourth never came
    library.batches = [[bench.message(0), bench.message(1), missed]]
    library.states = [ConsumerGoneError("consumer not found")]
    await consuming(bench.consumer(library, durable=False), lambda: len(library.starts) == 2)
    assert library.starts == [None, 3]
    assert library.ended == 1
    assert [facts["start"] for kind, facts in bench.events if kind == "consumer_made"] == [None, 3]


async def test_an_error_that_says_nothing_about_the_consumer_makes_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_consumer, "LOOK_AFTER_NS", 10_000_000)
    library = Library()
    library.states = [TimeoutError()]
    await consuming(bench.consumer(library, durable=False), lambda: "error" in bench.kinds())
    assert library.starts == [None]


async def test_a_consumer_that_cannot_be_set_up_fails_its_client(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_consumer, "SET_UP_LIMIT_S", 0.05)
    library = Library()
    library.states = [ConsumerGoneError("consumer not found")] * 50
    with pytest.raises(ClientFailure, match=r"c: consumer C1 of stream S: .*consumer not found"):
        await bench.consumer(library).set_up()


async def test_a_consumer_confirms_at_once_for_all_its_senders(bench: Bench) -> None:
    bench.consumer(Library()).confirm()
    assert bench.told == [("confirmed", 5, [2, 3])]


@pytest.mark.parametrize(
    ("states", "looks"),
    [
        ([IDLE, IDLE], 2),
        ([ConsumerState(1, 0, 4), IDLE, IDLE], 3),
        ([ConsumerState(0, 1, 4), IDLE, IDLE], 3),
        ([IDLE, ConsumerState(0, 0, 5), ConsumerState(0, 0, 5)], 3),
        ([IDLE, TimeoutError(), IDLE, IDLE], 4),
    ],
)
async def test_a_consumer_has_drained_after_two_looks_at_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, states: Any, looks: int
) -> None:
    monkeypatch.setattr(stream_consumer, "DRAIN_PERIOD_S", 0.001)
    library = Library()
    consumer = bench.consumer(library)
    await consumer.set_up()
    library.states = [*states, *[TimeoutError()] * 20]
    async with asyncio.timeout(LIMIT_S):
        await consumer.drain()
    assert bench.told == [("drained", 5, [2, 3])]
    assert len(library.states) == len(states) + 20 - looks


def api_error(err_code: int, description: str = "") -> js_errors.APIError:
    return js_errors.APIError(code=400, err_code=err_code, description=description)


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (js_errors.NoStreamResponseError(), True),
        (api_error(10054), True),
        (api_error(10060), True),
        (api_error(10071), True),
        (api_error(10164), True),
        (api_error(10109), True),
        (api_error(10077, "maximum messages exceeded"), True),
        (api_error(10077, "maximum bytes exceeded"), True),
        (api_error(10077, "store is closed"), False),
        (api_error(10158, "duplicate message id is in process"), False),
        (api_error(10023, "insufficient resources"), False),
        (api_error(10002), False),
        (api_error(10009), False),
        (js_errors.ServiceUnavailableError(code=503), False),
        (TimeoutError(), False),
        (ValueError("not JSON"), False),
    ],
    ids=repr,
)
def test_only_what_is_certainly_not_stored_is_refused(error: Exception, *, refused: bool) -> None:
    assert was_refused(error) is refused
