"""SIGKILL of the harness in the midst of each fault in containers: the next command clears up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import docker_images
import pytest
from command_line import Harness, eventually
from during_faults import EFFECT_LIMIT_S, needs_of, queues, scenario_of, struck, tables
from engine_state import containers_of, on_the_engine
from namespaces import Seen, namespaces_of, still_used

from harness.backends.capabilities import ASKED, OWNED, SIGNALS, STORAGE
from harness.cluster.protocols import Capability
from harness.faults import FAULTS

pytestmark = pytest.mark.docker

AT_ONCE = 4
SERVERS = 2
FROM_THE_HOST = os.geteuid() == 0  # links, clocks and CPU time are reached by root only
ANYWHERE = SIGNALS | ASKED | {Capability.DISCONNECT}
ELSEWHERE = {Capability.COMMAND, *OWNED, *STORAGE}  # what no container can
HERE = [
    action
    for action in FAULTS
    if not needs_of(action) & ELSEWHERE and (FROM_THE_HOST or needs_of(action) <= ANYWHERE)
]


@dataclass
class Killed:
    """A run that was killed, and what there was of it just before."""

    harness: Harness
    trouble: str = ""
    token: str = ""
    containers: list[str] = field(default_factory=list)
    interfaces: set[str] = field(default_factory=set)
    namespaces: Seen = field(default_factory=lambda: Seen(frozenset(), frozenset()))

    def left(self) -> Iterator[str]:
        """Yield what is still there of it."""
        if self.trouble:
            yield self.trouble
        yield from self.harness.leftovers()
        yield from on_the_engine(self.harness)
        yield from (f"namespace {one}" for one in still_used(self.namespaces).items())
        yield from (f"interface {one}" for one in self.interfaces & interfaces())
        yield from (f"interface {one}" for one in interfaces() if one.startswith(f"nh{self.token}"))
        yield from (one for one in tables() if self.token in one)
        for path in Path("/sys/fs/cgroup").glob("**/"):
            yield from (f"cgroup {path}" for one in self.containers if one in path.name)
        yield from (f"file {path}" for path in (self.harness.folder / "tmp").rglob("*"))


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def kill_during(harness: Harness, action: str, image: str) -> Killed:
    """Run the harness until the fault shows, and kill it."""
    killed = Killed(harness)
    (harness.folder / "tmp").mkdir()
    path = harness.folder / "scenario.yaml"
    path.write_text(scenario_of(action, SERVERS), encoding="utf-8")
    environment = {"TMPDIR": str(harness.folder / "tmp")}
    with (
        (harness.folder / "out").open("w+", encoding="utf-8") as out,
        harness.start(
            "run", str(path), "--image", image, env=environment, stdout=out, stderr=out
        ) as process,
    ):
        shown = eventually(lambda: process.poll() is not None or struck(harness), EFFECT_LIMIT_S)
        if not shown or process.poll() is not None:
            killed.trouble = f"no effect: {Path(out.name).read_text(encoding='utf-8')}"
        else:
            names = containers_of(harness)
            killed.containers = list(names.values())
            killed.token = next(iter(names)).split("-")[2]
            ports = Path(f"/sys/class/net/nh{killed.token}/brif")
            killed.interfaces = {one.name for one in ports.iterdir()} if FROM_THE_HOST else set()
            killed.namespaces = namespaces_of(one.split()[0] for one in harness.leftovers())
        process.kill()
        process.wait()
    return killed


def nothing_left_of(harness: Harness) -> Callable[[], bool]:
    return lambda: not harness.leftovers()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Killed]:
    """Kill a run in the midst of each action, several at once, then give one more command."""
    image = docker_images.build("hardened", docker_images.hardened())
    harnesses = {action: Harness(tmp_path_factory.mktemp(action)) for action in HERE}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = pool.map(kill_during, harnesses.values(), harnesses, [image] * len(harnesses))
        found = dict(zip(harnesses, runs, strict=True))
    for action in [action for action, one in found.items() if one.trouble]:
        # A busy machine is slower than some faults are meant to be: once more, alone.
        found[action] = kill_during(Harness(tmp_path_factory.mktemp(action)), action, image)
    for one in found.values():
        eventually(nothing_left_of(one.harness))
    sweeper = Harness(tmp_path_factory.mktemp("sweeper"))
    swept = sweeper.run("doctor", "--sweep")
    assert swept.returncode == 0, swept.stdout + swept.stderr
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("action", HERE)
def test_sigkill_while_a_fault_holds_leaves_nothing_after_the_next_command(
    action: str, killed: dict[str, Killed]
) -> None:
    run = killed[action]
    assert not run.trouble, run.trouble
    assert len(run.containers) >= SERVERS
    assert eventually(lambda: not list(run.left())), list(run.left())


@pytest.mark.timeout(600)
@pytest.mark.skipif(not FROM_THE_HOST, reason="only root shapes links from the host")
def test_sigkill_leaves_no_queue_on_what_others_use(killed: dict[str, Killed]) -> None:
    assert killed
    assert queues() == []
