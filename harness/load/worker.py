"""The worker process: ``python -m harness.load.worker``, the reference of docs/worker-protocol.md.

It imports neither pydantic nor numpy, and the client library only once a plan names it.
Whatever the library does, the process ends within its bounds: the last act is always
`os._exit`, since a library that swallows cancellation cannot hold that up.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import random
import sys
import traceback
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic_ns
from typing import Any, NoReturn

from harness.errors import WorkerError
from harness.load.adapters import load_adapter
from harness.load.adapters.base import Client, ClientFailure, Emit
from harness.load.channel import Channel, serve
from harness.load.ledger import Ledger
from harness.load.payload import Kind
from harness.load.plan import (
    CONSUMER,
    PUBLISHER,
    REQUESTER,
    RESPONDER,
    SUBSCRIBER,
    WATCHER,
    ClientPlan,
    WorkerPlan,
    parse_plan,
)
from harness.load.pulse import Pulse
from harness.load.roles.key_value import KeyValueClient
from harness.load.roles.object_client import ObjectClient
from harness.load.roles.publisher import Publisher
from harness.load.roles.receiver import Receiver
from harness.load.roles.requester import Requester
from harness.load.roles.responder import Responder
from harness.load.roles.sender import END_MARKER_PERIOD_S, PROBE_PERIOD_S, Sender
from harness.load.roles.stream_consumer import StreamConsumer, Voice
from harness.load.roles.stream_publisher import StreamPublisher
from harness.load.roles.subscriber import Subscriber
from harness.load.roles.watcher import Watcher
from harness.load.stores import KV

BACKLOG_LIMIT_S = 1.0
CLOSE_LIMIT_S = 0.3
LAST_WORDS_LIMIT_S = 1.0
_REPEAT_NS = 100_000_000  # the same complaint of a client is told ten times a second at most
_TOLD_LIMIT = 1000
_COLLECT_AFTER = 10_000  # allocations between collections: a pause is a lateness nobody asked for


class Worker:
    """One worker: a plan, its clients, and the commands of the harness."""

    def __init__(self) -> None:
        self._channel = Channel(
            0, 1, on_message=self._obey, on_end=self._abandoned, on_problem=self._fail
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._plan: WorkerPlan | None = None
        self._ledger: Ledger | None = None
        self._clients: list[Client] = []
        self._senders: list[Sender] = []
        self._receivers: list[Receiver] = []
        self._consumers: list[StreamConsumer] = []
        self._latest: dict[int, int] = {}
        self._objects: list[tuple[int, int]] = []
        self._told: dict[tuple[int, str], int] = {}
        self._probing = False
        self._draining = False
        self._finishing = False
        self._done = False

    def _obey(self, message: dict[str, Any]) -> None:
        commands: dict[Any, Callable[[], Coroutine[Any, Any, None]]] = {
            "connect": self._connect,
            "probe": self._probe,
            "start": partial(self._start, message),
            "stop": partial(self._stop, message),
            "drain": self._drain,
            "finish": self._finish,
        }
        kind = message.get("type")
        if kind == "plan" and self._plan is None:
            try:
                self._prepare(message)  # at once: the next command may already be here
            except Exception as error:  # noqa: BLE001 - the harness must hear of it
                self._fail(error)
        elif kind == "probe_end":
            self._probing = False
        elif self._plan is not None and kind in commands:
            self._spawn(commands[kind]())
        else:
            self._fail(WorkerError(f"the command {kind!r} is unknown or came out of turn"))

    def _prepare(self, message: dict[str, Any]) -> None:
        plan = self._plan = parse_plan(message)
        if plan.library is not None:
            sys.path.insert(0, plan.library)
        adapter = load_adapter(plan.adapter)
        options = adapter.effective_options(plan.options)
        if plan.seed:
            random.seed(plan.seed)
        credentials = None
        if plan.user is not None and plan.password is not None:
            credentials = (plan.user, plan.password)
        ledger = self._ledger = Ledger(plan.columns)
        for member in plan.clients:
            emit = partial(self._emit, member.id)
            client = adapter.client(member.name, member.servers, plan.options, credentials, emit)
            self._clients.append(client)
            self._cast(member, client, ledger, emit, plan.run)
        pulse = Pulse(ledger, self._senders, self._receivers, self._channel.say)
        self._spawn(pulse.beat(lambda: self._draining))
        described = {"name": adapter.name, "version": adapter.version, "options": options}
        self._channel.say(
            {
                "type": "ready",
                "adapter": described,
                "python": platform.python_version(),
                "pid": os.getpid(),
            }
        )

    def _cast(
        self, member: ClientPlan, client: Client, ledger: Ledger, emit: Emit, run: int
    ) -> None:
        if member.role == PUBLISHER:
            kind = Publisher if member.stream is None else StreamPublisher
            self._senders.append(kind(member, client, ledger, emit, run))
        elif member.role == REQUESTER:
            self._senders.append(Requester(member, client, ledger, emit, run))
        elif member.role == CONSUMER:
            voice = Voice(emit, self._tell)
            self._consumers.append(StreamConsumer(member, client, ledger, voice, run))
        elif member.role in (SUBSCRIBER, RESPONDER):
            role = Responder if member.role == RESPONDER else Subscriber
            self._receivers.append(role(member, client, ledger, self._tell, run))
        else:
            self._cast_for_store(member, client, ledger, emit, run)

    def _cast_for_store(
        self, member: ClientPlan, client: Client, ledger: Ledger, emit: Emit, run: int
    ) -> None:
        assert member.store is not None
        if member.role == WATCHER:
            self._receivers.append(Watcher(member, client, ledger, self._tell, run))
            return
        if member.store.kind == KV:
            made: Sender = KeyValueClient(
                member, client, ledger, emit, run=run, tell=self._tell, latest=self._latest
            )
        else:
            made = ObjectClient(
                member, client, ledger, emit, run=run, tell=self._tell, known=self._objects
            )
        self._senders.append(made)

    async def _connect(self) -> None:
        async with asyncio.TaskGroup() as group:
            for client in self._clients:
                group.create_task(client.connect())
        for sender in self._senders:
            await sender.set_up()
        for receiver in self._receivers:
            await receiver.set_up()
        async with asyncio.TaskGroup() as group:
            for consumer in self._consumers:
                group.create_task(consumer.set_up())
        for client in self._clients:
            await client.flush()
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)
        for consumer in self._consumers:
            self._spawn(consumer.consume())
        self._channel.say({"type": "connected"})

    async def _probe(self) -> None:
        self._probing = True
        for sender in self._senders:
            self._spawn(sender.repeat(Kind.PROBE, PROBE_PERIOD_S, lambda: not self._probing))
        for consumer in self._consumers:
            consumer.confirm()

    async def _start(self, message: dict[str, Any]) -> None:
        for sender in self._senders:
            self._spawn(sender.pace(int(message["at_ns"])))

    async def _stop(self, message: dict[str, Any]) -> None:
        for sender in self._senders:
            sender.stop(int(message["at_ns"]))
        async with asyncio.TaskGroup() as group:
            for sender in self._senders:
                group.create_task(sender.settle())
        self._channel.say({"type": "stopped"})

    async def _drain(self) -> None:
        self._draining = True
        for sender in self._senders:
            self._spawn(
                sender.repeat(Kind.END_MARKER, END_MARKER_PERIOD_S, lambda: self._finishing)
            )
        for consumer in self._consumers:
            self._spawn(consumer.drain())

    async def _finish(self) -> None:
        assert self._ledger is not None
        self._finishing = True
        self._probing = False
        for sender in self._senders:
            sender.stop(0)
            sender.give_up()
        try:
            async with asyncio.timeout(BACKLOG_LIMIT_S):
                while any(client.backlog() for client in self._clients):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            # The messages are lost to the ledger, so its numbers must not look complete.
            raise WorkerError(
                f"{sum(client.backlog() for client in self._clients)} received messages "
                f"still waited in the client library after {BACKLOG_LIMIT_S:g} s"
            ) from None
        for receiver in self._receivers:
            receiver.collect()
        for consumer in self._consumers:
            consumer.finish()
        rows = self._ledger.finish()
        self._done = True
        self._channel.say({"type": "done", "rows": rows})
        self._channel.flush(LAST_WORDS_LIMIT_S)
        await asyncio.gather(*(client.close(CLOSE_LIMIT_S) for client in self._clients))
        os._exit(0)

    def _emit(self, client: int, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        if self._finishing:
            return
        at_ns = monotonic_ns() if at_ns is None else at_ns
        if kind == "error":
            complaint = (client, str(facts.get("error")))
            if at_ns - self._told.get(complaint, -_REPEAT_NS) < _REPEAT_NS:
                return
            if len(self._told) >= _TOLD_LIMIT:
                self._told.clear()
            self._told[complaint] = at_ns
        self._channel.say({"type": "event", "at_ns": at_ns, "client": client, "kind": kind} | facts)

    def _tell(self, what: str, client: int, senders: list[int]) -> None:
        self._channel.say({"type": what, "client": client, "senders": senders})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, WorkerError | ClientFailure):
            text = str(error)
        else:
            traceback.print_exception(error)
            text = f"{type(error).__name__}: {error}"
        self._channel.say({"type": "error", "message": " ".join(text.split())})
        self._die()

    def _abandoned(self) -> None:
        """End at once: nobody is there to tell."""
        if self._done:
            os._exit(0)
        self._die()

    def _die(self) -> NoReturn:
        try:
            if self._ledger is not None:
                self._ledger.flush()
        except WorkerError:
            traceback.print_exc()
        self._channel.flush(LAST_WORDS_LIMIT_S)
        sys.stderr.flush()
        os._exit(1)


def main() -> None:
    """Serve the harness on stdin and stdout until told to finish."""
    serve(Worker)


if __name__ == "__main__":
    main()
