"""See containers end: one stream of the Engine's events, read in a thread of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
from docker.errors import DockerException
from requests.exceptions import RequestException

from harness.clock import now_ns
from harness.cluster.protocols import Exit
from harness.engine.connection import Engine, translated
from harness.engine.labels import RUN
from harness.errors import ServerError

FIRST_SIGNAL_CODE = 128
JOIN_LIMIT_S = 5.0


class ContainerProcess:
    """One life of a container, from a start to its end; see `harness.backends.process`."""

    def __init__(self, on_exit: Callable[[], None]) -> None:
        self.pid = 0
        self.frozen = False
        self._on_exit = on_exit
        self._ended = anyio.Event()
        self._exit: Exit | None = None

    @property
    def returncode(self) -> int | None:
        """Return how it ended, -N for signal N; None while it runs."""
        return None if self._exit is None else self._exit.returncode

    @property
    def exit(self) -> Exit | None:
        """Return how and when it ended; None until the Engine told."""
        return self._exit

    async def wait(self) -> Exit:
        """Return how and when it ended, once it has."""
        await self._ended.wait()
        assert self._exit is not None  # set just before the event
        return self._exit

    def stopped(self) -> bool:
        """Tell whether the Engine has frozen it."""
        return self.frozen

    def end(self, code: int, at_ns: int) -> None:
        """Note its end; `code` is the Engine's, 128 + N for signal N."""
        if self._exit is not None:
            return
        returncode = FIRST_SIGNAL_CODE - code if code > FIRST_SIGNAL_CODE else code
        self._exit = Exit(at_ns, returncode)
        self._ended.set()
        self._on_exit()


@dataclass(frozen=True)
class Told:
    """One event: the container, and whether it was frozen, thawed (else None) or ended."""

    container: str
    at_ns: int
    code: int
    frozen: bool | None


class Exits:
    """The running containers of one run, by id; see `watch_exits`."""

    def __init__(self) -> None:
        self._lives: dict[str, ContainerProcess] = {}

    def expect(self, container: str, process: ContainerProcess) -> None:
        """Give the next end of a container to `process`."""
        self._lives[container] = process

    def note(self, told: Told) -> None:
        """Note what the Engine tells: an end, or that somebody froze or thawed a container."""
        if told.frozen is not None:
            if (process := self._lives.get(told.container)) is not None:
                process.frozen = told.frozen
            return
        if (process := self._lives.pop(told.container, None)) is not None:
            process.end(told.code, told.at_ns)


@asynccontextmanager
async def watch_exits(engine: Engine, run: str) -> AsyncIterator[Exits]:
    """Follow the ends of a run's containers for as long as the body runs.

    Times are when the event came in, some milliseconds after the end itself.

    Raises:
        ServerError: the Engine's stream of events broke off.
    """
    filters = {"label": f"{RUN}={run}", "event": ["die", "pause", "unpause"]}
    with translated("the Engine's events cannot be followed", ServerError):
        stream: Any = await anyio.to_thread.run_sync(
            lambda: engine.api.events(filters=filters, decode=True)
        )
    exits = Exits()
    closing = False

    def follow() -> None:
        try:
            for told in _read(stream):
                anyio.from_thread.run_sync(exits.note, told)
        except (DockerException, RequestException, OSError, ValueError, AttributeError) as error:
            if not closing:  # closing the stream under its reader ends it by one of these
                raise ServerError(f"the Engine's events broke off: {error}") from error
        if not closing:
            raise ServerError("the Engine's events broke off: has the Engine been stopped?")

    async with anyio.create_task_group() as following:
        following.start_soon(partial(anyio.to_thread.run_sync, follow, abandon_on_cancel=True))
        try:
            yield exits
        finally:
            closing = True
            stream.close()
            following.cancel_scope.cancel()


def _read(stream: Any) -> Iterator[Told]:
    for event in stream:
        at_ns = now_ns()
        actor = event.get("Actor") or {}
        container = str(actor.get("ID") or event.get("id"))
        code = int((actor.get("Attributes") or {}).get("exitCode", "0"))
        frozen = {"pause": True, "unpause": False}.get(str(event.get("Action")))
        yield Told(container, at_ns, code, frozen)
