"""Faults whose effect ends by itself, unseen, while they are held: the last look finds each."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from command_line import Harness

FADING = """
name: fading
seed: 7
cluster: {servers: 4}
client: {servers: [n1], options: {reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}
workloads:
  - {name: hello, kind: core, publishers: 1, subscribers: 1, rate: 100/s, payload: 128B}
phases: {warmup: 200ms, steady: 500ms, recovery: 500ms, drain: 1s}
faults:
  - {name: partition, action: partition, target: n1, between: servers, duration: 1500ms}
  - {name: delay, action: delay, target: n2, delay: 30ms, between: clients, duration: 1500ms}
  - {name: refuse, action: refuse, target: n3, at: 400ms, duration: 1500ms}
  - {name: pause, action: pause, target: n4, duration: 1500ms}
  - {name: kill, action: kill, target: n2, duration: 1500ms}
thresholds:
  duplicates: ["count == 0"]
"""
# Each plant undoes an effect behind the harness's back, and redoes it for an orderly heal.
PLANTS = """
import asyncio, os, signal, sys
from contextlib import asynccontextmanager
import anyio
from harness.backends.lab import cuts, refusals
from harness.backends.lab.shaper import LabShaper
from harness.backends.process_node import ProcessNode
from harness.cli import command
from harness.cluster.shapes import Shape

def later(act):
    asyncio.get_running_loop().call_later(0.9, act)

change_cuts = cuts.Cuts._change
def cut_for_a_while(self, add, remove, verb):
    if verb == "heal":
        change_cuts(self, remove, [], "cut")
    change_cuts(self, add, remove, verb)
    if verb == "cut":
        later(lambda: change_cuts(self, [], add, "flush"))
cuts.Cuts._change = cut_for_a_while

table = refusals.TABLE
class ForgetfulTable:
    create = table.create
    def change(self, netlink, add, remove):
        if remove:
            table.change(netlink, remove, [])
        table.change(netlink, add, remove)
        if add:
            later(lambda: table.change(netlink, [], add))
refusals.TABLE = ForgetfulTable()

shaped = LabShaper.shaped
@asynccontextmanager
async def shape_for_a_while(self, shapes, seed):
    async def fade():
        await anyio.sleep(0.9)
        await self._wire.set_lanes(tuple(self._lane(link, Shape(), "0") for link in shapes))
    async with shaped(self, shapes, seed) as via, anyio.create_task_group() as group:
        group.start_soon(fade)
        yield via
        group.cancel_scope.cancel()
LabShaper.shaped = shape_for_a_while

pause = ProcessNode.pause
async def pause_for_a_while(self, limit_s):
    await pause(self, limit_s)
    later(lambda: os.kill(self.pid, signal.SIGCONT))
ProcessNode.pause = pause_for_a_while

kill = ProcessNode.kill
async def kill_for_a_while(self, limit_s):
    ended = await kill(self, limit_s)
    asyncio.get_running_loop().call_later(0.9, lambda: asyncio.ensure_future(self.start()))
    return ended
ProcessNode.kill = kill_for_a_while

sys.argv = ["nats-harness", *sys.argv[1:]]
sys.exit(command())
"""


def run(harness: Harness, *program: str) -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, *program, "run", harness.scenario(FADING, "fading")]
    done = subprocess.run(
        [*argv, "--backend", "lab"],
        cwd=harness.folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert harness.reports(), done.stdout + done.stderr
    return done.returncode, harness.report()


@pytest.mark.lab
def test_what_is_held_to_its_end_is_proven_and_healed_at_its_time(harness: Harness) -> None:
    code, report = run(harness, "-m", "harness")
    assert code == 0, report["findings"]
    for fault in report["iterations"][0]["faults"]:
        held = [one for one in fault["proof"] if one["kind"] == "held"]
        assert held, fault["name"]
        assert all(fault["inject_done"] < one["at"] <= fault["heal_start"] for one in held)
        assert fault["heal_start"] - fault["inject_done"] >= 1.5


@pytest.mark.lab
def test_what_ended_halfway_is_inconclusive_whatever_it_was(harness: Harness) -> None:
    code, report = run(harness, "-c", PLANTS)
    assert code == 3
    found = {
        one["detail"].split()[1]: one["detail"]
        for one in report["findings"]
        if one["check"] == "proof" and one["verdict"] == "inconclusive"
    }
    said = {
        "partition": "holding failed: held: the cut let something through",
        "delay": "holding failed: held: ",
        "refuse": "holding failed: held: new connections were not refused",
        "pause": "holding failed: n4 goes on",
        "kill": "holding failed: n2 runs again",
    }
    assert found.keys() == said.keys()
    for name, words in said.items():
        assert words in found[name]
    for fault in report["iterations"][0]["faults"]:
        assert fault["heal_start"] is not None
