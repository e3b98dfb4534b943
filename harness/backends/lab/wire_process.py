"""The wire as a process of the lab: start it, tell it what to do, see that it lives."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, if_nametoindex, socketpair
from typing import Any

import anyio
from anyio.abc import SocketStream
from pyroute2 import AsyncIPRoute, NetlinkError

from harness.backends.lab import wire
from harness.backends.lab.network import GROUP
from harness.backends.process import ChildProcess, spawn
from harness.cluster.shapes import Shape
from harness.errors import FaultError
from harness.scopes import bounded_cleanup

ANSWER_LIMIT_S = 5.0
LONGEST_ANSWER = 4096


@dataclass(frozen=True)
class Cable:
    """A cable by the names of its ends: what is diverted `into` it comes `out` to the wire."""

    into: str = "w-in"
    out: str = "w-out"


CABLE = Cable()


@dataclass(frozen=True)
class LaneOrder:
    """What one lane of the wire is to do; `seed` is what its dice start from."""

    source: str
    target: str
    port: str
    shape: Shape
    seed: str

    def to_json(self) -> dict[str, Any]:
        """Return the fields as the wire reads them."""
        places = {"source": self.source, "target": self.target, "port": self.port}
        queue = {"queue_bytes": self.shape.queue_bytes, "seed": self.seed}
        return {**places, **asdict(self.shape), **queue}


class WireProcess:
    """A started wire. Every call raises FaultError when it has died or does not answer."""

    def __init__(self, process: ChildProcess, stream: SocketStream, log: Path) -> None:
        self._process = process
        self._stream = stream
        self._log = log

    async def set_lanes(self, lanes: tuple[LaneOrder, ...]) -> Mapping[str, Any]:
        """Set lanes; return what was carried and overflowed since it began, and new `stalls`."""
        order = {"lanes": [lane.to_json() for lane in lanes]}
        answer = b""
        try:
            with anyio.fail_after(ANSWER_LIMIT_S):
                await self._stream.send(json.dumps(order).encode() + b"\n")
                while not answer.endswith(b"\n"):
                    answer += await self._stream.receive(LONGEST_ANSWER)
        except TimeoutError as error:
            raise FaultError(f"the wire has not answered within {ANSWER_LIMIT_S:g} s") from error
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise FaultError(f"the wire ended: {self._last_words()}") from error
        told: dict[str, Any] = json.loads(answer)
        return told

    def require_alive(self) -> None:
        """Raise FaultError when the process has ended: then nothing passes its links."""
        if self._process.returncode is not None:
            raise FaultError(f"the wire ended: {self._last_words()}")

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else f"exit {self._process.returncode}"


@asynccontextmanager
async def wire_process(log: Path, cable: Cable = CABLE) -> AsyncIterator[WireProcess]:
    """Start the wire at the end of the cable; end it on leaving.

    Raises:
        FaultError: it cannot be started, or would not end.
    """
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
    with theirs:
        stream = await SocketStream.from_socket(ours)
        with log.open("ab") as errors:
            argv = [sys.executable, "-I", "-S", wire.__file__, cable.out]
            process = spawn(argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=errors)
    try:
        started = WireProcess(process, stream, log)
        await started.set_lanes(())
        yield started
    finally:
        with bounded_cleanup(ANSWER_LIMIT_S, "ending the wire", FaultError):
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await stream.aclose()


async def lay_cable(netlink: AsyncIPRoute, cable: Cable = CABLE) -> None:
    """Lay the cable that leads to the wire; it goes with the lab's network.

    Raises:
        FaultError: the kernel refuses.
    """
    try:
        await netlink.link(
            "add",
            ifname=cable.into,
            group=GROUP,
            kind="veth",
            peer={"ifname": cable.out, "group": GROUP},
        )
        for name in (cable.into, cable.out):
            await netlink.link("set", index=if_nametoindex(name), state="up")
    except (NetlinkError, OSError) as error:
        raise FaultError(f"the cable to the wire cannot be laid: {error}") from error


async def lift_cable(netlink: AsyncIPRoute, cable: Cable) -> None:
    """Take the cable away, where no network of its own takes it along.

    Raises:
        FaultError: the kernel refuses.
    """
    try:
        await netlink.link("del", index=if_nametoindex(cable.into))
    except (NetlinkError, OSError) as error:
        raise FaultError(f"the cable to the wire cannot be taken away: {error}") from error
