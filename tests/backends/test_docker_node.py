"""A node in a container, with an Engine that is not there."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from harness.backends.docker.exits import ContainerProcess, Exits, Told
from harness.backends.docker.node import ContainerNode
from harness.backends.docker.service import Stopping
from harness.backends.docker.services import shown
from harness.cluster.protocols import Address, Endpoints
from harness.errors import EngineError, FaultError, ServerError

pytestmark = pytest.mark.anyio

ADDRESS = Address("198.18.0.1", 4222)


class DyingContainer:
    """A container whose end comes in while the Engine is still asked for its pid."""

    id = "c1"

    def __init__(self, exits: Exits, *, starts: bool) -> None:
        self.exits, self.starts = exits, starts

    async def start(self) -> int:
        if not self.starts:
            raise EngineError("no such program")
        self.exits.note(Told(self.id, at_ns=17, code=2, frozen=None))
        return 0


class GoneContainer(DyingContainer):
    """A container whose process is gone when it is looked for, which the Engine tells later."""

    def __init__(self, exits: Exits, *, tells: bool) -> None:
        super().__init__(exits, starts=True)
        self.tells = tells

    async def start(self) -> int:
        return 4711

    async def log(self) -> bytes:
        return b"[1] 2026/11/26 [FTL] no store for you\n"

    async def plug(self, node: str, container: str, pid: int) -> None:
        assert (node, container, pid) == ("n1", self.id, 4711)
        if self.tells:
            self.exits.note(Told(self.id, at_ns=17, code=1, frozen=None))
        raise ServerError("its process 4711 is not to be found")


class Node:
    def __init__(
        self,
        *,
        starts: bool = True,
        gone: bool = False,
        tells: bool = True,
        stopping: Stopping = Stopping(),  # noqa: B008 - it is frozen
        log: Path = Path("n1.log"),
    ) -> None:
        self.events: list[dict[str, Any]] = []
        exits = Exits()
        container: Any = DyingContainer(exits, starts=starts)
        plug: Any = None  # nothing to plug: there is no process
        unjoined: Any = None  # nobody waits for it to be joined
        if gone:
            container = missing = GoneContainer(exits, tells=tells)
            plug = missing.plug
        self.node = ContainerNode(
            "n1",
            endpoints=Endpoints(ADDRESS, ADDRESS, ADDRESS),
            version="2.15.1",
            config=shown([]),
            container=container,
            stopping=stopping,
            log=log,
            exits=exits,
            plug=plug,
            record=lambda kind, **facts: self.events.append({"kind": kind, **facts}),
            peers=lambda _: frozenset(),
            unjoined=unjoined,
            on_exit=self.note_exit,
        )

    def note_exit(self) -> None:
        self.node.record_exit()  # as the cluster's watch does

    def exits(self) -> list[dict[str, Any]]:
        return [one for one in self.events if one["kind"] == "server.exited"]


async def test_a_server_that_dies_while_it_is_started_is_recorded_once_as_unasked() -> None:
    made = Node(starts=True)
    await made.node.start()
    made.node.record_exit()
    assert made.events[0]["kind"] == "server.exited"  # at once: who watches ends the run there
    (ended,) = made.exits()
    assert (ended["returncode"], ended["expected"], ended["at_ns"]) == (2, False, 17)
    assert made.node.ended_unasked


async def test_the_engine_tells_who_was_thawed_by_somebody_else() -> None:
    exits, ends = Exits(), []
    life = ContainerProcess(lambda: ends.append(1))
    exits.expect("one", life)
    exits.note(Told("one", at_ns=1, code=0, frozen=True))
    assert life.stopped()
    exits.note(Told("one", at_ns=2, code=0, frozen=False))
    assert not life.stopped()
    assert ends == []
    exits.note(Told("one", at_ns=3, code=137, frozen=None))
    assert (life.returncode, ends) == (-9, [1])


async def test_a_container_that_cannot_be_started_is_no_exit_of_a_server() -> None:
    made = Node(starts=False)
    with pytest.raises(EngineError):
        await made.node.start()
    made.node.record_exit()
    assert made.exits() == []


async def test_a_server_that_ends_before_its_links_are_known_tells_why(tmp_path: Path) -> None:
    made = Node(gone=True, log=tmp_path / "n1.log")
    with pytest.raises(ServerError, match=r"(?s)n1 exited with status 1.*no store for you"):
        await made.node.start()
    (ended,) = made.exits()
    assert not ended["expected"]


async def test_a_server_whose_links_cannot_be_reached_says_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backends.docker.node.END_LIMIT_S", 0.01)
    made = Node(gone=True, tells=False, log=tmp_path / "n1.log")
    with pytest.raises(ServerError, match="4711 is not to be found"):
        await made.node.start()


class AskedContainer(DyingContainer):
    """A container that ends by one signal, with a code of the Engine's."""

    def __init__(self, exits: Exits, ends_by: int, code: int) -> None:
        super().__init__(exits, starts=True)
        self.ends_by, self.code = ends_by, code

    async def start(self) -> int:
        return 0

    async def signal(self, number: int, kind: type[Exception] = EngineError) -> None:
        del kind
        if number == self.ends_by:
            self.exits.note(Told(self.id, at_ns=17, code=self.code, frozen=None))


@pytest.mark.parametrize(
    ("act", "ends_by", "code", "expected"),
    [
        ("stop", signal.SIGTERM, 0, True),
        ("stop", signal.SIGTERM, 1, True),
        ("stop", signal.SIGTERM, 143, True),
        ("stop", signal.SIGTERM, 2, False),
        ("stop", signal.SIGTERM, 137, False),
        ("stop", signal.SIGTERM, 139, False),
        ("kill", signal.SIGKILL, 137, True),
        ("kill", signal.SIGKILL, 1, False),
        ("end_now", signal.SIGTERM, 1, True),
        ("end_now", signal.SIGTERM, 139, False),
        ("end_now", signal.SIGKILL, 137, True),
    ],
)
async def test_a_container_ends_as_asked_only_by_what_it_was_sent(
    act: str, ends_by: int, code: int, expected: bool
) -> None:
    made = Node()
    made.node.container = asked = AskedContainer(made.node._exits, ends_by, code)  # type: ignore[assignment]
    await made.node.start()
    with (
        nullcontext() if expected or act == "end_now" else pytest.raises(FaultError, match="as no")
    ):
        await getattr(made.node, act)(0.05)
    assert asked.id == "c1"
    (ended,) = made.exits()
    assert ended["expected"] is expected


async def test_a_container_that_is_killed_after_its_grace_ended_as_asked() -> None:
    made = Node(stopping=Stopping(grace_s=0.01))
    made.node.container = AskedContainer(made.node._exits, signal.SIGKILL, 137)  # type: ignore[assignment]
    await made.node.start()
    assert (await made.node.stop(5.0)).returncode == -9
    assert made.exits()[0]["expected"]


def names_in(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


async def test_a_log_is_never_seen_half_written(tmp_path: Path) -> None:
    made = Node(gone=True, log=tmp_path / "n1.log")
    (tmp_path / "n1.log").write_text("what was said before")
    seen: list[str] = []
    done = anyio.Event()

    async def read() -> None:
        while not done.is_set():
            seen.append((tmp_path / "n1.log").read_text())
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        async with anyio.create_task_group() as keeping:
            for _ in range(50):
                keeping.start_soon(made.node.keep_log)
        done.set()
    assert {text[:6] for text in seen} <= {"what w", "[1] 20"}
    assert names_in(tmp_path) == ["n1.log"]
