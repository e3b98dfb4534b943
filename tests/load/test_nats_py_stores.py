"""What the errors of nats-py say about an operation on a bucket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nats import errors
from nats.js import errors as js_errors

from harness.history.tables import Answer
from harness.load.adapters.nats_py import ADAPTER
from harness.load.stores import StorePlan


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (js_errors.BadRequestError(code=400, err_code=10071), Answer.CONFLICT),
        (js_errors.BadRequestError(code=400, err_code=10164), Answer.CONFLICT),
        (js_errors.BadRequestError(code=400, err_code=10054), Answer.REFUSED),
        (js_errors.NotFoundError(code=404, err_code=10059), Answer.REFUSED),
        (js_errors.NoStreamResponseError(), Answer.REFUSED),
        (js_errors.ServiceUnavailableError(code=503, err_code=10008), Answer.REFUSED),
        (js_errors.ServiceUnavailableError(code=503, err_code=10077), Answer.UNKNOWN),
        (js_errors.ServerError(code=500, err_code=10049), Answer.UNKNOWN),
        (js_errors.ServiceUnavailableError(), Answer.UNKNOWN),
        (errors.ConnectionClosedError(), Answer.REFUSED),
        (errors.MaxPayloadError(), Answer.REFUSED),
        (errors.TimeoutError(), Answer.UNKNOWN),
        (TimeoutError(), Answer.UNKNOWN),
        (ValueError("not JSON"), Answer.UNKNOWN),
        (OSError("broken pipe"), Answer.UNKNOWN),
    ],
)
def test_only_what_certainly_had_no_effect_is_refused(error: Exception, answer: Answer) -> None:
    client = ADAPTER.client("c", ["nats://127.0.0.1:1"], {}, None, lambda *_, **__: None)
    plan = StorePlan(kind="kv", bucket="cfg", keys=1)
    assert client.key_value(plan, 1.0).answer_of(error) is answer
    assert client.object_store(plan, 1.0).answer_of(error) is answer


class OneAnswer:
    """A connection on which every request is answered by the same error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, err_code: int) -> None:
        client = ADAPTER.client("c", ["nats://127.0.0.1:1"], {}, None, lambda *_, **__: None)
        self.bucket: Any = client.key_value(StorePlan(kind="kv", bucket="cfg", keys=1), 1.0)
        self.store: Any = client.object_store(StorePlan(kind="object", bucket="o", keys=1), 1.0)
        error = {"code": 404, "err_code": err_code, "description": "not found"}

        class Said:
            data = json.dumps({"error": error}).encode()

        async def request(*_: object, **__: object) -> Said:
            return Said()

        stores: tuple[Any, ...] = (self.bucket, self.store)
        for one in stores:
            monkeypatch.setattr(one._nc, "request", request)


@pytest.mark.anyio
async def test_a_key_and_an_object_that_are_not_there_are_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    none = OneAnswer(monkeypatch, 10037)
    assert await none.bucket.get("key-0", direct=False) is None
    assert await none.store.get("object-0-0") is None
    assert await none.store.lacks("object-0-0")


@pytest.mark.anyio
async def test_without_the_stream_nothing_is_known_of_a_key_or_an_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    none = OneAnswer(monkeypatch, 10059)
    for asked in (
        none.bucket.get("key-0", direct=False),
        none.store.get("object-0-0"),
        none.store.lacks("object-0-0"),
    ):
        with pytest.raises(js_errors.NotFoundError) as raised:
            await asked
        assert none.bucket.answer_of(raised.value) is Answer.REFUSED
