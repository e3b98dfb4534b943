"""A JetStream client of few lines: it publishes, tells what was acknowledged, and reads back."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from harness.cluster.protocols import Address

LINE_BYTES = 1 << 20
READY_LIMIT_S = 60.0
BROKEN = (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


@dataclass
class JetStreamClient:
    stream: SocketStream
    replies: dict[str, bytes] = field(default_factory=dict)
    waiting: dict[str, anyio.Event] = field(default_factory=dict)
    number: int = 0
    turn: anyio.Lock = field(default_factory=anyio.Lock)

    async def receive(self) -> None:
        reader = BufferedByteReceiveStream(self.stream)
        try:
            while True:
                line = (await reader.receive_until(b"\r\n", LINE_BYTES)).decode()
                word, *rest = line.split(" ")
                if word == "PING":
                    await self.send(b"PONG\r\n")
                elif word in ("MSG", "HMSG"):
                    body = await reader.receive_exactly(int(rest[-1]) + 2)
                    head = int(rest[-2]) if word == "HMSG" else 0
                    self.replies[rest[0]] = body[head:-2]
                    if rest[0] in self.waiting:
                        self.waiting[rest[0]].set()
        except (*BROKEN, anyio.IncompleteRead):
            return

    async def send(self, data: bytes) -> None:
        async with self.turn:
            await self.stream.send(data)

    async def request(self, subject: str, body: bytes, limit_s: float = 5.0) -> Any:
        """Return the answer's JSON; None when none came, or one that is not JSON."""
        self.number += 1
        inbox = f"_INBOX.test.{self.number}"
        self.waiting[inbox] = anyio.Event()
        head = f"PUB {subject} {inbox} {len(body)}\r\n".encode()
        try:
            await self.send(head + body + b"\r\n")
            with anyio.move_on_after(limit_s):
                await self.waiting[inbox].wait()
        except BROKEN:
            return None
        answer = self.replies.pop(inbox, b"")
        return json.loads(answer) if answer else None

    async def make_stream(self, name: str, replicas: int = 3) -> None:
        config = {"name": name, "subjects": [f"{name}.>"], "num_replicas": replicas}
        config |= {"storage": "file", "retention": "limits"}
        with anyio.fail_after(READY_LIMIT_S):
            while True:
                made = await self.request(
                    f"$JS.API.STREAM.CREATE.{name}", json.dumps(config).encode()
                )
                if made is not None and "config" in made:
                    return
                await anyio.sleep(0.05)

    async def publish(self, name: str, numbers: Sequence[int], at_once: int = 32) -> set[int]:
        """Publish messages that say their numbers; return those that were acknowledged."""
        acked: set[int] = set()
        pending = list(reversed(numbers))

        async def work() -> None:
            while pending:
                number = pending.pop()
                body = str(number).encode().ljust(128, b" ")
                answer = await self.request(f"{name}.x", body)
                if answer is not None and "seq" in answer:
                    acked.add(number)

        async with anyio.create_task_group() as group:
            for _ in range(at_once):
                group.start_soon(work)
        return acked

    async def read(self, name: str) -> set[int]:
        """Return the numbers that the stream holds, once it has a leader; none where it is gone."""
        with anyio.fail_after(READY_LIMIT_S):
            while True:
                told = await self.request(f"$JS.API.STREAM.INFO.{name}", b"")
                if told is not None and told.get("cluster", {}).get("leader"):
                    break
                if told is not None and told.get("error", {}).get("code") == 404:
                    return set()
                await anyio.sleep(0.05)
        state = told["state"]
        found = set()
        for sequence in range(state["first_seq"], state["last_seq"] + 1):
            query = json.dumps({"seq": sequence}).encode()
            got = await self.request(f"$JS.API.STREAM.MSG.GET.{name}", query)
            if got is not None and "message" in got:
                found.add(int(base64.b64decode(got["message"]["data"])))
        return found


@asynccontextmanager
async def jetstream_client(address: Address) -> AsyncIterator[JetStreamClient]:
    async with await anyio.connect_tcp(address.host, address.port) as stream:
        await stream.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        await stream.send(b"SUB _INBOX.test.* 1\r\n")
        client = JetStreamClient(stream)
        async with anyio.create_task_group() as group:
            group.start_soon(client.receive)
            yield client
            group.cancel_scope.cancel()
