from __future__ import annotations

import time

import anyio
import anyio.lowlevel
import pytest
from fake_nodes import Events

from harness.heartbeat import heartbeat

pytestmark = pytest.mark.anyio


async def test_a_loop_that_stood_still_says_from_when_on_and_for_how_long() -> None:
    record = Events()
    begun_ns = time.monotonic_ns()
    async with anyio.create_task_group() as beating:
        beating.start_soon(heartbeat, record)
        await anyio.lowlevel.checkpoint()
        time.sleep(0.3)  # noqa: ASYNC251 - this is the stall
        with anyio.fail_after(5):
            while not record.kinds:
                await anyio.sleep(0.01)
        beating.cancel_scope.cancel()
    assert record.kinds[0] == "harness.lagged"
    facts = record.facts[0]
    assert facts["max_lag_s"] > 0.25
    assert begun_ns < facts["from_ns"] < (record.at_ns[0] or 0)
