"""The process that answers one server's calls, as the harness sees it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socketpair
from typing import TYPE_CHECKING, Any

import anyio

from harness.backends.disk import interpose
from harness.backends.disk.calls import this_machine
from harness.backends.server_log import tail
from harness.errors import FaultError, ServerError

if TYPE_CHECKING:  # the nodes that this is a part of
    from harness.backends.process_node import Launch

RECEIVE_BYTES = 1 << 16


def interposed(argv: Sequence[str], holder: int) -> list[str]:
    """Return how a program is started whose calls process `holder` answers; see `interpose`."""
    machine = this_machine()
    head = [sys.executable, "-I", "-S", interpose.__file__]
    return [*head, str(machine.seccomp), machine.program().hex(), str(holder), "--", *argv]


def serve_argv(store: Path, shadow: Path) -> list[str]:
    """Return the program that answers the calls about a store; see `serve`."""
    return [sys.executable, "-P", "-m", "harness.backends.disk.serve", str(store), str(shadow)]


class Holder:
    """The started process. It lives as long as the node, whose server may come and go."""

    def __init__(
        self,
        place: str,
        argv: Sequence[str],
        launch: Launch,
        log: Path,
        on_exit: Callable[[], None],
    ) -> None:
        """Start it where the server runs.

        Args:
            place: the node.
            argv: see `serve_argv`.
            launch: how programs are started there.
            log: what it says when it breaks.
            on_exit: called when it has ended.

        Raises:
            ServerError: the log cannot be written.
        """
        self._place = place
        self._log = log
        self._ending = False
        self._said = b""
        self._orders_given = 0
        self._turn = anyio.Lock()
        self._orders, orders = socketpair(AF_UNIX, SOCK_STREAM)
        self._intake, intake = socketpair(AF_UNIX, SOCK_STREAM)
        self._orders.setblocking(False)
        try:
            with orders, intake, log.open("ab") as errors:
                self._process = launch(
                    place,
                    argv,
                    stdin=orders.fileno(),
                    stdout=intake.fileno(),
                    stderr=errors,
                    on_exit=on_exit,
                )
        except OSError as error:
            self._close()
            raise ServerError(f"{log} cannot be written: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def intake(self) -> int:
        """Return the socket over which a server hands its listener over: the server's stdin."""
        return self._intake.fileno()

    @property
    def broken(self) -> bool:
        """Tell whether it ended although nobody ended it: the server's calls fail since."""
        return not self._ending and self._process.returncode is not None

    def why_broken(self) -> ServerError:
        """Return the error that says so."""
        return ServerError(f"what answers the calls of {self._place} ended: {self._last_words()}")

    async def order(self, do: str, limit_s: float, **facts: Any) -> dict[str, Any]:
        """Have it do something; return what it tells.

        Raises:
            FaultError: it could not, has missed a call, or says nothing within the limit.
        """
        with anyio.move_on_after(limit_s):
            async with self._turn:
                self._orders_given += 1
                return self._read(await self._ask({"do": do, "turn": self._orders_given, **facts}))
        raise FaultError(f"the disk of {self._place} did not {do} within {limit_s:g} s")

    async def end(self) -> None:
        """End it and return once it is gone."""
        self._ending = True
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self._close()

    async def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to an order, past those that nobody waited for to the end."""
        try:
            self._orders.sendall(json.dumps(order).encode() + b"\n")  # far less than fits at once
            while True:
                while b"\n" in self._said:
                    line, _, self._said = self._said.partition(b"\n")
                    answer: dict[str, Any] = json.loads(line)
                    if answer["turn"] == order["turn"]:
                        return answer
                await anyio.wait_readable(self._orders)
                data = self._orders.recv(RECEIVE_BYTES)
                if not data:
                    raise self._lost(self._last_words())
                self._said += data
        except OSError as error:
            raise self._lost(str(error)) from error

    def _read(self, answer: dict[str, Any]) -> dict[str, Any]:
        if "error" in answer:
            raise FaultError(f"the disk of {self._place}: {answer['error']}")
        if answer.get("errors"):
            missed = "; ".join(answer["errors"])
            raise FaultError(f"the disk of {self._place} missed what the server did: {missed}")
        return answer

    def _lost(self, why: str) -> FaultError:
        return FaultError(f"what answers the calls of {self._place} does not answer: {why}")

    def _last_words(self) -> str:
        said = tail(self._log, 1)
        return said[0] if said else f"exit {self._process.returncode}"

    def _close(self) -> None:
        self._orders.close()
        self._intake.close()
