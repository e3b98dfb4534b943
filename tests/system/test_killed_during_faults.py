"""SIGKILL of the harness in the midst of each fault leaves nothing of it behind."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import Harness, eventually, lab_interfaces
from during_faults import EFFECT_LIMIT_S, needs_of, queues, scenario_of, struck, tables
from namespaces import namespaces_of, still_used

from harness.backends.lab.cuts import TABLE
from harness.cluster.protocols import Capability
from harness.faults import FAULTS

pytestmark = pytest.mark.lab

AT_ONCE = 4
ELSEWHERE = {Capability.DISCONNECT, Capability.COMMAND}  # what no lab can
HERE = [action for action in FAULTS if not needs_of(action) & ELSEWHERE]


def kill_during(harness: Harness, action: str) -> list[str]:
    """Run the harness until the fault shows, kill it, and return what is left of it."""
    temporary = harness.folder / "tmp"
    temporary.mkdir()
    path = harness.folder / "scenario.yaml"
    path.write_text(scenario_of(action), encoding="utf-8")
    environment = {"TMPDIR": str(temporary)}
    out = (harness.folder / "out").open("w+", encoding="utf-8")
    with (
        out,
        harness.start(
            "run", str(path), "--backend", "lab", env=environment, stdout=out, stderr=out
        ) as process,
    ):
        deadline = time.monotonic() + EFFECT_LIMIT_S
        while not struck(harness):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                return [f"no effect: {Path(out.name).read_text(encoding='utf-8')}"]
            time.sleep(0.02)
        own = [one.split()[0] for one in harness.leftovers()]
        namespaces = namespaces_of(own)
        process.kill()
        process.wait()
    if len(namespaces) < 5:  # one for each node and client group, and the lab's own
        return [f"only {namespaces} were seen"]
    eventually(lambda: not harness.leftovers() and not still_used(namespaces))
    left = harness.leftovers() + [f"namespace: {one}" for one in still_used(namespaces).items()]
    return left + [f"file: {one}" for one in temporary.rglob("*")]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return what each action left, killed in the midst; several at once, since most is waiting."""
    harnesses = {action: Harness(tmp_path_factory.mktemp(action)) for action in HERE}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(kill_during, harnesses.values(), harnesses)
        return dict(zip(harnesses, found, strict=True))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("action", HERE)
def test_sigkill_while_a_fault_holds_leaves_nothing(
    action: str, left: dict[str, list[str]]
) -> None:
    assert left[action] == []


@pytest.mark.timeout(600)
def test_sigkill_leaves_nothing_in_the_network_of_the_user(left: dict[str, list[str]]) -> None:
    assert left
    assert queues() == []
    assert lab_interfaces() == []
    others = f"{TABLE.name}-nh"  # of runs in containers, which may go on beside this
    assert [one for one in tables() if "harness" in one and others not in one] == []
