"""A kernel's traffic control without a kernel: it keeps what was added, or refuses as told."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

import pytest
from pyroute2 import NetlinkError

from harness.backends.lab import shaper, traffic_control, wire_process
from harness.backends.lab.network import Place

PORTS = {"v-n1": 11, "v-n2": 12, "v-g1": 15, "w-in": 13, "w-out": 14}


@dataclass
class FakeKernel:
    """Queueing disciplines, classes and filters by interface, handle and parent."""

    lacks: dict[str, int] = field(default_factory=dict)
    refuses: str = ""
    there: dict[tuple[str, int, int], dict[str, Any]] = field(default_factory=dict)
    diary: list[str] = field(default_factory=list)

    def kinds(self) -> list[str]:
        return sorted(str(facts["kind"]) for facts in self.there.values())

    def options(self, kind: str) -> dict[str, Any]:
        (found,) = [facts for facts in self.there.values() if facts["kind"] == kind]
        return found

    def act(self, command: str, kind: str | None, index: int, facts: dict[str, Any]) -> None:
        self.diary.append(f"{command} {kind}")
        if self.refuses == f"{command} {kind}":
            raise NetlinkError(errno.EINVAL)
        if command == "add" and kind in self.lacks:
            raise NetlinkError(self.lacks[kind])
        what = command.partition("-")[2]
        if command.startswith("add"):
            number = facts["prio"] << 16 if what == "filter" else facts.get("handle", 0)
            self.there[what, index, number] = {"kind": kind, **facts}
            return
        number = facts["info"] >> 16 << 16 if what == "filter" else facts.get("handle", 0)
        if self.there.pop((what, index, number), None) is None:
            raise NetlinkError(errno.ENOENT)
        if not what:  # all that hangs below a discipline goes with it
            self.there = {key: one for key, one in self.there.items() if key[1] != index}


class FakeNetlink:
    """Stand in for `pyroute2.AsyncIPRoute`."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def link(self, command: str, **facts: Any) -> None:
        pass

    async def tc(self, command: str, kind: str | None = None, index: int = 0, **facts: Any) -> None:
        self.kernel.act(command, kind, index, facts)


@contextmanager
def kernel_in_place(kernel: FakeKernel) -> Iterator[Any]:
    """Let a lab's shaper talk to the fake kernel; yield the network of two nodes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shaper, "AsyncIPRoute", lambda: FakeNetlink(kernel))
        for module in (traffic_control, wire_process):
            patch.setattr(module, "if_nametoindex", PORTS.__getitem__)
        places = {
            f"n{number}": Place(-1, f"198.18.0.{number}", f"v-n{number}") for number in (1, 2)
        }
        places["load"] = Place(-1, "198.18.1.1", "v-g1")
        yield SimpleNamespace(places=places)
