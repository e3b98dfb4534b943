"""What the errors of nats-py say about the effect of an operation on a bucket."""

from __future__ import annotations

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
