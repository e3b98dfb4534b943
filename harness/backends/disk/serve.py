"""Answer the calls by which one server changes files; run as ``python -P -m`` this module.

Its arguments are the store and a folder for the shadow; its stdin is a socket to the
harness, over which orders come as lines of JSON and answers go back; its stdout is a
socket from which the listeners of the server's processes come. It ends when the harness
does: then its listeners close, and no call waits any longer.

Nothing is done by more than one hand: calls are answered in the order they come, but one
that is delayed holds up no other. Whatever goes wrong with a call, it is let through and
what went wrong is told with the next answer.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import json
import os
import resource
import select
import socket
import statistics
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from harness.backends.disk.calls import Call, Shape, this_machine
from harness.backends.disk.notices import Notice, receive, signed
from harness.backends.disk.shadow import Shadow, stat_of

END_LIMIT_S = 5.0
MOST_KEPT = 10_000  # delays of which the median is told
MOST_ERRORS = 5
SYNCS, WRITES = "syncs", "writes"


class Answering:
    """One server's calls: what is to be done to them, and what was."""

    def __init__(self, store: Path, folder: Path) -> None:
        self._store = store
        self._shadow = Shadow(store, folder)
        self._shapes = this_machine().shapes
        self._full = False
        self._delay_s = 0.0
        self._delayed_kinds: frozenset[str] = frozenset()
        self._waiting: list[tuple[float, int, float, Notice]] = []
        self._known: dict[tuple[int, int], bool] = {}
        self._delays_s: deque[float] = deque(maxlen=MOST_KEPT)
        self._errors: list[str] = []
        self.counts = {"syncs": 0, "writes": 0, "refused": 0, "delayed": 0}

    def due_s(self) -> float | None:
        """Return when the next delayed call is due, on the monotonic clock."""
        return self._waiting[0][0] if self._waiting else None

    def let_due(self, *, all_: bool = False) -> None:
        """Let the delayed calls that are due be done."""
        while self._waiting and (all_ or self._waiting[0][0] <= time.monotonic()):
            _, _, came_s, notice = heapq.heappop(self._waiting)
            notice.let()
            self._delays_s.append(time.monotonic() - came_s)

    def answer(self, notice: Notice) -> None:
        """Look at a call, and let it be done now or later, or refuse it."""
        came_s = time.monotonic()
        shape = self._shapes.get(notice.number)
        kind = None
        try:
            self._shadow.moved_on(notice.thread)
            if shape is not None:
                if self._full and self._needs_room(notice, shape):
                    self.counts["refused"] += 1
                    notice.refuse(errno.ENOSPC)
                    return
                kind = self._note(notice, shape, came_s)
        except OSError as error:
            if notice.valid and len(self._errors) < MOST_ERRORS:
                name = "an unknown call" if shape is None else shape.call
                self._errors.append(f"{name} was not followed: {error}")
        if kind is not None:
            self.counts[kind] += 1
        if kind is None or kind not in self._delayed_kinds:
            notice.let()
            return
        self.counts["delayed"] += 1
        heapq.heappush(self._waiting, (came_s + self._delay_s, notice.id, came_s, notice))

    def order(self, do: str, facts: dict[str, Any]) -> dict[str, Any]:
        """Carry an order out and return what is told of it."""
        if do == "fill":
            self._full = facts["on"]
        elif do == "slow":
            self._delay_s = facts["delay_s"]
            self._delayed_kinds = frozenset(facts["calls"])
            if not self._delayed_kinds:
                self.let_due(all_=True)
            self._delays_s.clear()
        elif do == "lose":
            loss = self._shadow.lose()
            self._known.clear()
            return {"files": loss.files, "dropped_bytes": loss.dropped_bytes, **self._told()}
        elif do == "release":
            self._shadow.release()
        elif do == "rebase":
            self._shadow.rebase()
            self._known.clear()
        elif do == "audit":
            return {"left": {name: data.hex() for name, data in self._shadow.audit().items()}}
        return self._told()

    def _told(self) -> dict[str, Any]:
        median_s = statistics.median(self._delays_s) if self._delays_s else None
        return {**self.counts, "median_delay_s": median_s, "errors": self._errors}

    def _inside(self, path: str) -> bool:
        return path == str(self._store) or path.startswith(f"{self._store}/")

    def _file(self, notice: Notice, shape: Shape) -> tuple[os.stat_result, bool]:
        """Return the file that a call is about, and whether it is in the store."""
        path = notice.file(shape.file)
        found = stat_of(path)
        key = (found.st_dev, found.st_ino)
        if not self._known.get(key):  # what is in the store stays there; others may move in
            self._known[key] = self._inside(os.readlink(path))  # noqa: PTH115 - as in stat_of
        return found, self._known[key]

    def _needs_room(self, notice: Notice, shape: Shape) -> bool:
        """Tell whether a call would take room in the store."""
        if shape.call is Call.OPEN:
            path = notice.path(shape.path, shape.folder)
            creates = signed(notice.arguments[shape.value]) & os.O_CREAT != 0
            return creates and self._inside(path) and not os.path.lexists(path)
        if shape.creates:
            path = notice.path(shape.path, shape.folder)
            return self._inside(path) and not os.path.lexists(path)
        if shape.call is Call.WRITE:
            found, inside = self._file(notice, shape)
            size, offset = notice.arguments[shape.value : shape.value + 2]
            return inside and offset + size > found.st_size
        if shape.call is Call.CHANGE:
            return self._file(notice, shape)[1]
        return False

    def _note(self, notice: Notice, shape: Shape, now_s: float) -> str | None:
        """Have the shadow follow a call; return what kind it is, if a disk may be slow at it."""
        if shape.call is Call.SYNC_ALL:
            self._shadow.synced_all(notice.thread, now_s)
            return SYNCS
        follow = self._note_file if shape.file >= 0 else self._note_path
        return follow(notice, shape, now_s)

    def _note_file(self, notice: Notice, shape: Shape, now_s: float) -> str | None:
        found, inside = self._file(notice, shape)
        if not inside:
            return None
        if shape.call is Call.SYNC:
            self._shadow.synced(notice.thread, notice.file(shape.file), now_s)
            return SYNCS
        self._shadow.wrote(notice.thread, (found.st_dev, found.st_ino), _span(notice, shape))
        return None if shape.call is Call.CUT else WRITES

    def _note_path(self, notice: Notice, shape: Shape, now_s: float) -> str | None:
        call, shadow, thread = shape.call, self._shadow, notice.thread
        path = notice.path(shape.path, shape.folder)
        inside = self._inside(path)
        if call in (Call.NAME, Call.RENAME):  # of a rename only one name may be in the store
            shadow.named(thread, now_s, source=path if call is Call.RENAME else None)
        elif inside and call is Call.CUT:
            found = stat_of(path)
            shadow.wrote(thread, (found.st_dev, found.st_ino), _span(notice, shape))
        elif inside and call is Call.OPEN:
            flags = signed(notice.arguments[shape.value])
            shadow.opened(thread, path, flags, now_s)
            return SYNCS if flags & os.O_DSYNC else None
        return None


def _span(notice: Notice, shape: Shape) -> tuple[int, int]:
    if shape.call is Call.WRITE:
        size, offset = notice.arguments[shape.value : shape.value + 2]
        return offset, offset + size
    return (notice.arguments[shape.value] if shape.call is Call.CUT else 0), 1 << 62


class Loop:
    """Wait for orders, listeners and calls, until the harness ends."""

    def __init__(self, answering: Answering, orders: socket.socket, intake: socket.socket) -> None:
        self._answering = answering
        self._orders, self._intake = orders, intake
        self._poll = select.poll()
        self._listeners: set[int] = set()
        self._said = b""
        for one in (orders, intake):
            self._poll.register(one, select.POLLIN)

    def run(self) -> None:
        """Run until the harness has closed its end."""
        while True:
            due_s = self._answering.due_s()
            wait_ms = None if due_s is None else max(0.0, (due_s - time.monotonic()) * 1000)
            ready = dict(self._poll.poll(wait_ms))
            self._answering.let_due()
            for listener in self._listeners & ready.keys():
                self._attend(listener, ready[listener])
            if self._intake.fileno() in ready:
                self._take_listener()
            if self._orders.fileno() in ready and not self._take_orders():
                return

    def _attend(self, listener: int, events: int) -> None:
        if events & select.POLLIN:
            notice = receive(listener)
            if notice is not None:
                self._answering.answer(notice)
        elif events:  # nobody is left whose calls it hears of
            self._poll.unregister(listener)
            self._listeners.remove(listener)
            os.close(listener)

    def _take_listener(self) -> None:
        data, listeners, _, _ = socket.recv_fds(self._intake, 1, 1)
        if not data:
            self._poll.unregister(self._intake)
        for listener in listeners:
            os.set_inheritable(listener, False)
            self._listeners.add(listener)
            self._poll.register(listener, select.POLLIN)

    def _take_orders(self) -> bool:
        data = self._orders.recv(1 << 16)
        self._said += data
        while b"\n" in self._said:
            line, _, self._said = self._said.partition(b"\n")
            facts = json.loads(line)
            answer = {"turn": facts.pop("turn", None), **self._obey(facts)}
            with contextlib.suppress(BrokenPipeError):
                self._orders.sendall(json.dumps(answer).encode() + b"\n")
        return bool(data)

    def _obey(self, facts: dict[str, Any]) -> dict[str, Any]:
        do = facts.pop("do")
        if do in ("lose", "release", "rebase") and not self._alone():
            return {"error": "its calls still come"}
        try:
            return self._answering.order(do, facts)
        except OSError as error:
            return {"error": f"{do}: {error}"}

    def _alone(self) -> bool:
        """Answer what is left, and tell whether the server's processes are all gone."""
        until_s = time.monotonic() + END_LIMIT_S
        while self._listeners and time.monotonic() < until_s:
            self._answering.let_due(all_=True)
            for number, events in self._poll.poll(10):
                if number in self._listeners:
                    self._attend(number, events)
                elif number == self._intake.fileno():
                    self._take_listener()
        self._answering.let_due(all_=True)
        return not self._listeners


def main(argv: list[str]) -> int:
    """Serve until the harness ends."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # one for each file that is synced
    store, folder = Path(argv[1]), Path(argv[2])
    with socket.socket(fileno=0) as orders, socket.socket(fileno=1) as intake:
        Loop(Answering(store, folder), orders, intake).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
