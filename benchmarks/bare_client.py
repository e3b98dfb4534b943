"""A client of bare nats-py, the yardstick: it counts, and does nothing else.

Run as ``python bare_client.py publish|subscribe URL SUBJECT SECONDS PAYLOAD_BYTES``. It prints
``ready``, waits for a line on stdin, works, and prints one JSON object. Times are monotonic ns.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import nats
import uvloop

BATCH = 100
TICK_S = 0.002
IDLE_S = 0.5
UNLIMITED = 1 << 30
PENDING_BYTES = 1 << 30


async def publish(url: str, subject: str, length_s: float, payload_bytes: int) -> dict[str, Any]:
    """Publish as fast as nats-py does for `length_s` seconds."""
    client = await nats.connect(url)
    payload = bytes(payload_bytes)
    await wait_for_go()
    first_ns = time.monotonic_ns()
    end_ns = first_ns + round(length_s * 1e9)
    count = 0
    while time.monotonic_ns() < end_ns:
        for _ in range(BATCH):
            await client.publish(subject, payload)
        count += BATCH
        await asyncio.sleep(0)
    await client.drain()
    return {"count": count, "first_ns": first_ns}


async def subscribe(url: str, subject: str, length_s: float, _: int) -> dict[str, Any]:
    """Count what arrives until nothing has arrived for a while."""
    client = await nats.connect(url)
    count = 0

    async def receive(_: object) -> None:
        nonlocal count
        count += 1

    await client.subscribe(
        subject, cb=receive, pending_msgs_limit=UNLIMITED, pending_bytes_limit=PENDING_BYTES
    )
    await client.flush()
    await wait_for_go()
    seen, last_ns = 0, time.monotonic_ns()
    give_up_ns = last_ns + round((length_s + 30) * 1e9)
    while (now_ns := time.monotonic_ns()) < give_up_ns:
        if count != seen:
            seen, last_ns = count, now_ns
        elif seen and now_ns - last_ns > IDLE_S * 1e9:
            break
        await asyncio.sleep(TICK_S)
    await client.close()
    return {"count": count, "last_ns": last_ns}


async def wait_for_go() -> None:
    """Say ready and return when a line comes on stdin."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def main(role: str, url: str, subject: str, length_s: str, payload_bytes: str) -> None:
    """Run one role and print what it saw."""
    work = {"publish": publish, "subscribe": subscribe}[role]
    seen = uvloop.run(work(url, subject, float(length_s), int(payload_bytes)))
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
