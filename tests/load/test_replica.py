"""Where the consumer lives through which a replica is read."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from harness.history.columns import read_columns
from harness.history.tables import Integrity
from harness.load.adapters.nats_py_observer import RequestError
from harness.load.payload import PayloadMaker
from harness.load.replica import Order, _place_consumer, read_replica

pytestmark = pytest.mark.anyio


class FakePost:
    """Servers that make consumers on these servers, in turn."""

    def __init__(self, *homes: str) -> None:
        self.homes = list(homes)
        self.alive: list[str] = []

    async def request(self, subject: str, payload: bytes, limit_s: float) -> bytes:
        name = subject.rpartition(".")[2]
        if ".DELETE." in subject:
            self.alive.remove(name)
            return b'{"success": true}'
        config = json.loads(payload)["config"]
        assert (config["num_replicas"], config["ack_policy"]) == (1, "none")
        self.alive.append(name)
        home = self.homes.pop(0) if len(self.homes) > 1 else self.homes[0]
        return json.dumps({"num_pending": 5, "cluster": {"leader": home}}).encode()


def order(**keys: Any) -> Order:
    given: dict[str, Any] = {
        "node": "n1",
        "server": "server-1",
        "host": "h",
        "port": 1,
        "stream": "S",
        "run": 7,
    }
    given |= {"columns": "c", "first": 1, "last": 5, "clustered": True, "singly": False}
    return Order(**(given | keys))


async def test_a_consumer_that_lives_elsewhere_is_made_anew_until_it_does_not() -> None:
    post: Any = FakePost("server-2", "server-3", "server-1")
    name, waiting = await _place_consumer(order(), post, 1)
    assert (post.alive, waiting) == ([name], 5)


async def test_a_replica_is_not_read_through_a_consumer_of_another_server() -> None:
    post: Any = FakePost("server-2")
    with pytest.raises(RequestError, match="no consumer came to live on server-1"):
        await _place_consumer(order(), post, 1)
    assert post.alive == []


class Keeper:
    """A leader that gives single messages: what it says of each."""

    def __init__(self, said: dict[int, dict[str, Any]]) -> None:
        self.said = said

    async def request(self, subject: str, payload: bytes, limit_s: float) -> bytes:
        return json.dumps(self.said[json.loads(payload)["seq"]]).encode()


HERE = {"message": {"seq": 1, "data": "eA=="}}
GONE = {"error": {"code": 404, "err_code": 10037, "description": "no message found"}}
BUSY = {"error": {"code": 503, "err_code": 10008, "description": "temporarily unavailable"}}


@pytest.mark.parametrize(
    ("third", "refused"), [(GONE, None), (BUSY, "temporarily unavailable (10008)")]
)
async def test_what_was_not_found_is_absent_and_what_was_not_given_is_told(
    tmp_path: Path, third: dict[str, Any], refused: str | None
) -> None:
    post: Any = Keeper({1: HERE, 2: GONE, 3: third, 4: HERE, 5: GONE})
    columns = str(tmp_path / "c")
    found = await read_replica(order(singly=True, columns=columns), post, None)
    assert (found["rows"], found["absent"], found["absent_count"]) == (2, [2, 3, 5], 3)
    assert found["refused"] == refused
    assert read_columns(columns).tables["stored"]["stream_sequence"].tolist() == [1, 4]


class Waverer(Keeper):
    """Does not find some messages when it is asked for the first time."""

    def __init__(self, said: dict[int, dict[str, Any]], late: set[int]) -> None:
        super().__init__(said)
        self.late = late

    async def request(self, subject: str, payload: bytes, limit_s: float) -> bytes:
        sequence = json.loads(payload)["seq"]
        if sequence in self.late:
            self.late.remove(sequence)
            return json.dumps(GONE).encode()
        return await super().request(subject, payload, limit_s)


async def test_what_is_there_after_all_is_kept_and_not_counted_as_absent(tmp_path: Path) -> None:
    post: Any = Waverer({1: HERE, 2: GONE, 3: HERE, 4: HERE, 5: HERE}, {3, 5})
    columns = str(tmp_path / "c")
    found = await read_replica(order(singly=True, columns=columns), post, None)
    assert (found["rows"], found["absent"], found["absent_count"]) == (4, [2], 1)
    assert sorted(read_columns(columns).tables["stored"]["stream_sequence"]) == [1, 3, 4, 5]


class Full(Keeper):
    """A leader that gives single messages, and whose stream may have no more consumers."""

    async def request(self, subject: str, payload: bytes, limit_s: float) -> bytes:
        if ".CONSUMER.CREATE." in subject:
            why = "maximum consumers limit reached"
            error = {"code": 400, "err_code": 10026, "description": why}
            return json.dumps({"error": error}).encode()
        return await super().request(subject, payload, limit_s)


async def test_a_stream_that_may_have_no_more_consumers_is_read_singly(tmp_path: Path) -> None:
    post: Any = Full({1: HERE, 2: HERE, 3: GONE, 4: HERE, 5: HERE})
    found = await read_replica(order(columns=str(tmp_path / "c")), post, None)
    assert (found["rows"], found["absent"], found["refused"]) == (4, [3], None)
    assert found["halts"] == ["at 1: no consumer on S: maximum consumers limit reached"]


async def test_a_consumer_that_is_refused_otherwise_is_an_error() -> None:
    class Refusing(Keeper):
        async def request(self, subject: str, payload: bytes, limit_s: float) -> bytes:
            return json.dumps({"error": {"err_code": 10023, "description": "too much"}}).encode()

    post: Any = Refusing({})
    with pytest.raises(RequestError, match="no consumer on S: too much"):
        await _place_consumer(order(), post, 1)


async def read_rows(tmp_path: Path, *payloads: bytes, by_content: bool) -> list[tuple[int, ...]]:
    """Return what a reading keeps of payloads: sender, sequence, place, integrity."""
    said = {
        at: {"message": {"seq": at, "data": base64.b64encode(one).decode()}}
        for at, one in enumerate(payloads, 1)
    }
    columns = str(tmp_path / "c")
    asked = order(singly=True, by_content=by_content, columns=columns, last=len(payloads))
    post: Any = Keeper(said)
    await read_replica(asked, post, None)
    table = read_columns(columns).tables["stored"]
    return list(zip(*(column.tolist() for column in table.values()), strict=True))


async def test_of_a_bucket_every_byte_of_what_is_no_payload_counts(tmp_path: Path) -> None:
    (intact,) = PayloadMaker(run=7, sender=3, size=6000).batch(9, [0])
    damaged = intact[:5000] + b"!" + intact[5001:]
    also = intact[:5001] + b"!" + intact[5002:]
    chunk = bytes(6000)
    other = chunk[:5000] + b"!" + chunk[5001:]
    rows = await read_rows(tmp_path, intact, damaged, also, chunk, other, by_content=True)
    assert rows[0] == (3, 9, 1, Integrity.INTACT)
    assert [row[3] for row in rows[1:]] == [Integrity.CORRUPTED] * 2 + [Integrity.FOREIGN] * 2
    assert [row[0] for row in rows[1:]] == [
        zlib.crc32(one) for one in (damaged, also, chunk, other)
    ]
    assert len({(row[0], row[1], row[3]) for row in rows}) == 5
    # Of a stream, as before, what the header says.
    rows = await read_rows(tmp_path, intact, damaged, chunk, by_content=False)
    assert [row[:2] for row in rows] == [(3, 9), (3, 9), (0, 0)]
