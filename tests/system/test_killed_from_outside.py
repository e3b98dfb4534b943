"""A process of the lab's line is killed by somebody else: the session says so, and how to go on."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from command_line import Harness

SCENARIO = """
name: killed
seed: 7
cluster: {servers: 2}
workloads:
  - {name: hello, kind: core, publishers: 1, subscribers: 1, rate: 100/s}
phases: {warmup: 100ms, steady: 500ms, recovery: 500ms, drain: 1s}
faults:
  - {name: f, action: stop, target: n2, duration: 20s}
thresholds:
  duplicates: ["count == 0"]
"""
LIMIT_S = 60.0


def line_of(harness: Harness, outermost: int) -> list[int]:
    """Return the processes that stand in a line, from the door to the inside."""
    found: list[int] = []
    parent = outermost
    while True:
        marked = {int(one.split()[0]) for one in harness.leftovers() if " run " in one}
        children = [pid for pid in marked if parent_of(pid) == parent]
        if not children:
            return found
        parent = children[0]
        found.append(parent)


def parent_of(pid: int) -> int:
    try:
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(said.rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.lab
@pytest.mark.parametrize("place", [0, -1])
def test_a_run_that_is_killed_says_so_and_is_no_pass(harness: Harness, place: int) -> None:
    junit = harness.folder / "junit.xml"
    junit.write_text("an older run passed", encoding="utf-8")
    events = harness.folder / "reports"
    path = harness.scenario(SCENARIO, "killed")
    with harness.start("run", path, "--backend", "lab", "--junit", str(junit)) as process:
        deadline = time.monotonic() + LIMIT_S
        while not any(
            '"fault.observed"' in one.read_text(encoding="utf-8")
            for one in events.glob("*/events.jsonl")
        ):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        line = line_of(harness, process.pid)
        assert len(line) == 3
        os.kill(line[place], signal.SIGKILL)
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 3, out + err
    (folder,) = events.iterdir()
    (said,) = [one for one in err.splitlines() if "SIGKILL" in one]
    assert said.startswith("nats-harness: killed: the process that ran it was ended by SIGKILL")
    assert re.search(rf"nats-harness check {re.escape(str(folder))}$", said)
    (told,) = ET.parse(junit).iter("error")
    assert "ended by SIGKILL" in told.attrib["message"]
    checked = harness.run("check", str(folder))
    assert checked.returncode == 3, checked.stdout
    assert "the harness itself was ended there" in checked.stdout
