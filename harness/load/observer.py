"""The observer process: ``python -m harness.load.observer``, in a place of its own.

It holds one connection to each server, tells what JetStream announces there, passes on
requests, and reads replicas for the audit. Commands and answers are JSON objects, one a
line, on stdin and stdout, as a worker's are; end of file on stdin means: exit at once.

    {"type": "plan", "nodes": {node: [host, port]}, "login": [user, password] or null,
     "system": [user, password] or null}               answered by {"type": "ready"}
    {"type": "request", "id", "node" or null, "subject", "payload": text, "limit_s", "system"}
    {"type": "read", "id", ... `harness.load.replica.Order`}
                       both answered by {"type": "answer", "id", "result", "error": text or null}
    it tells by itself {"type": "advisory", "at_ns", "node", "subject", "body"}
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections import OrderedDict
from collections.abc import Coroutine
from contextlib import suppress
from time import monotonic_ns
from typing import Any

from harness.errors import WorkerError
from harness.load.adapters.bulk import BulkError
from harness.load.adapters.nats_py_observer import Post, RequestError
from harness.load.channel import Channel, serve
from harness.load.replica import PREFIX, Order, read_replica

KNOWN = 10_000  # advisories whose ids are remembered: every server's subscriber hears each
LAST_WORDS_LIMIT_S = 1.0
CONNECT_S = 10.0
LOOK_S = 0.02


class Observer:
    """The connections, and the commands of the harness."""

    def __init__(self) -> None:
        self._channel = Channel(
            0, 1, on_message=self._obey, on_end=self._abandoned, on_problem=self._fail
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._posts: dict[str, Post] = {}
        self._system: dict[str, Post] = {}
        self._login: tuple[str, str] | None = None
        self._heard: OrderedDict[str, None] = OrderedDict()

    def _obey(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "plan":
            self._connect(message)
        elif kind == "request":
            self._spawn(self._answer(message["id"], self._request(message)))
        elif kind == "read":
            self._spawn(self._answer(message["id"], self._read(message)))
        else:
            self._fail(WorkerError(f"the command {kind!r} is unknown"))

    def _connect(self, message: dict[str, Any]) -> None:
        login, system = message["login"], message["system"]
        self._login = None if login is None else (login[0], login[1])
        for node, (host, port) in message["nodes"].items():
            url = f"nats://{host}:{port}"
            self._posts[node] = Post(node, url, self._login, self._tell)
            if system is not None:
                self._system[node] = Post(node, url, (system[0], system[1]), None)
        for post in (*self._posts.values(), *self._system.values()):
            self._spawn(post.open())
        self._channel.say({"type": "ready"})

    async def _request(self, message: dict[str, Any]) -> str:
        posts = self._system if message["system"] else self._posts
        limit_s = float(message["limit_s"])
        post = await self._choose(posts, message["node"], limit_s)
        payload = str(message["payload"]).encode()
        said = await post.request(message["subject"], payload, limit_s)
        return said.decode(errors="replace")

    async def _choose(self, posts: dict[str, Post], node: str | None, limit_s: float) -> Post:
        """Return a connection that stands, once one does."""
        wanted = [one for name, one in posts.items() if node in (None, name)]
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while True:
                    for post in sorted(wanted, key=lambda one: one.suspect):
                        if post.connected:
                            return post
                    await asyncio.sleep(LOOK_S)
        where = node or "any server"
        raise RequestError(f"the observer was not connected to {where} within {limit_s:g} s")

    async def _read(self, message: dict[str, Any]) -> dict[str, Any]:
        known = Order.__dataclass_fields__
        order = Order(**{name: message[name] for name in known})
        post = await self._choose(self._posts, order.node, CONNECT_S)
        return await read_replica(order, post, self._login)

    async def _answer(self, number: int, work: Coroutine[Any, Any, Any]) -> None:
        result, problem = None, None
        try:
            result = await work
        except (RequestError, BulkError, WorkerError) as error:
            problem = str(error)
        self._channel.say({"type": "answer", "id": number, "result": result, "error": problem})

    def _tell(self, node: str, subject: str, body: dict[str, Any]) -> None:
        number = str(body.get("id"))
        if number in self._heard or str(body.get("consumer", "")).startswith(PREFIX):
            return
        self._heard[number] = None
        if len(self._heard) > KNOWN:
            self._heard.popitem(last=False)
        facts = {"node": node, "subject": subject, "body": body}
        self._channel.say({"type": "advisory", "at_ns": monotonic_ns(), **facts})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        traceback.print_exception(error)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        self._channel.say({"type": "error", "message": text})
        self._channel.flush(LAST_WORDS_LIMIT_S)
        sys.stderr.flush()
        os._exit(1)

    def _abandoned(self) -> None:
        """End at once: nobody is there to tell."""
        os._exit(0)


def main() -> None:
    """Serve the harness on stdin and stdout until it hangs up."""
    serve(Observer)


if __name__ == "__main__":
    main()
