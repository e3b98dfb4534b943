"""Faults of clients' links on `local`: proven through proxies, inconclusive without, or refused."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from command_line import Harness, eventually

HEAD = """
name: {name}
seed: 7
cluster: {{servers: 3}}
client:
  servers: [n1]
  options: {{ping_interval: 400ms, max_outstanding_pings: 1, reconnect_time_wait: 100ms,
    max_reconnect_attempts: -1}}
workloads:
  - {{name: hello, kind: core, publishers: 3, subscribers: 3, rate: 100/s, payload: 128B}}
phases: {{warmup: 200ms, steady: 500ms, recovery: 500ms, drain: 1s}}
faults:
"""
SHAPES = """
  - {{name: far, action: delay, target: n2, delay: 20ms, jitter: 5ms, between: clients,
      duration: 300ms}}
  - {{name: thin, action: bandwidth, target: n3, rate: 4Mbit, between: clients, direction: from,
      duration: 300ms}}
"""
DOORS = """
  - {{name: shut, action: refuse, target: seed, between: clients, at: 300ms, duration: 300ms}}
  - {{name: broken, action: reset, target: seed, between: clients, at: 1s}}
"""
CUT = """
  - name: away
    action: partition
    topology: custom
    drop: [[hello-publishers, n1], [n1, hello-publishers], [hello-publishers, n3],
      [n3, hello-publishers]]
    at: 4s
    duration: 1s
"""
BROKEN = "  - {{name: broken, action: reset, target: seed, between: clients, at: 0s}}"
ALL = HEAD + SHAPES + DOORS + CUT
WITHOUT_EFFECT = """
import sys
from harness.backends.proxy.control import ProxyProcess
from harness.cli import command
from harness.clock import now_ns
from harness.faults import reset

def do_nothing(self, *_, **__):
    return now_ns()

for name in ("cut", "shape", "move_doors", "reset"):
    setattr(ProxyProcess, name, do_nothing)
reset.EFFECT_LIMIT_S = 0.2
sys.argv = ["nats-harness", *sys.argv[1:]]
sys.exit(command())
"""
LEAKING = """
import sys
from harness.backends.proxy.control import ProxyProcess
from harness.cli import command

cut = ProxyProcess.cut
def cut_less(self, pairs, *, on):
    return cut(self, sorted(pairs)[1:], on=on)

ProxyProcess.cut = cut_less
sys.argv = ["nats-harness", *sys.argv[1:]]
sys.exit(command())
"""
BYPASSED = """
import sys
from harness.cluster import config
from harness.cli import command

own = config._own_settings
def advertise_nothing(spec, node, endpoints, *, streams):
    settings = own(spec, node, endpoints, streams=streams)
    settings.pop("client_advertise", None)  # not there while releases are asked
    return settings

config._own_settings = advertise_nothing
sys.argv = ["nats-harness", *sys.argv[1:]]
sys.exit(command())
"""


def run_changed(code: str, harness: Harness, text: str) -> dict[str, Any]:
    argv = [sys.executable, "-c", code, "run", harness.scenario(text), "--backend", "local"]
    done = subprocess.run(
        argv, cwd=harness.folder, check=False, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 3, done.stdout + done.stderr
    return harness.report()


def unproven(report: dict[str, Any]) -> list[str]:
    assert report["verdict"] == "inconclusive"
    found = [one for one in report["findings"] if one["check"] == "proof"]
    return [one["detail"] for one in found if one["verdict"] == "inconclusive"]


@pytest.mark.alone
def test_faults_of_clients_links_are_proven_through_proxies(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(ALL), "--backend", "local")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "clients reach n1, n2, n3 through proxies" in result.stdout
    report = harness.report()
    assert report["environment"]["clients_via"] == "proxy"
    faults = {fault["name"]: fault for fault in report["iterations"][0]["faults"]}
    assert set(faults) == {"far", "thin", "shut", "broken", "away"}
    for fault in faults.values():
        effects = [one["what"] for one in fault["proof"] if one["kind"] == "effect"]
        assert effects, fault
        assert all(what.endswith("via proxy") for what in effects), effects
    looks = [one["links"] for one in faults["away"]["proof"] if one["kind"] == "probes"]
    assert all(link["via"] == "proxy" for links in looks for link in links)
    servers = {one["name"]: one["config"] for one in report["environment"]["servers"]}
    assert all(one["client_advertise"] != one["listen"] for one in servers.values())
    moved = [one for client in report["iterations"][0]["clients"] for one in client["disconnects"]]
    assert {one["reconnected_to"] for one in moved} <= set(servers)
    assert harness.leftovers() == []


def test_proxies_without_effect_are_inconclusive(harness: Harness) -> None:
    problems = unproven(run_changed(WITHOUT_EFFECT, harness, ALL))
    for name in ("far", "thin", "shut", "broken", "away"):
        assert any(f"fault {name} is not proven" in one for one in problems), (name, problems)
    assert any("the cut let something through" in one for one in problems)


def test_a_cut_that_lets_one_link_through_is_inconclusive(harness: Harness) -> None:
    (problem,) = unproven(run_changed(LEAKING, harness, HEAD + CUT.replace("1500ms", "0s")))
    assert "the cut let something through: hello-publishers->n1, n1->hello-publishers" in problem


def test_clients_that_discover_a_way_past_the_proxies_are_inconclusive(harness: Harness) -> None:
    text = HEAD + BROKEN + CUT.replace("1500ms", "600ms")
    (problem, *_) = unproven(run_changed(BYPASSED, harness, text))
    assert "not every client goes through the proxies" in problem


@pytest.mark.timeout(120)
def test_sigkill_leaves_no_proxy_behind(make_harness: Callable[[str], Harness]) -> None:
    def kill_at(moment_s: float) -> list[str]:
        harness = make_harness(f"kill-{moment_s}")
        with harness.start("run", harness.scenario(ALL), "--backend", "local") as process:
            time.sleep(moment_s)
            process.kill()
            process.communicate()
        eventually(lambda: not harness.leftovers())
        return harness.leftovers()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(kill_at, (0.7, 1.2, 2.8))) == [[], [], []]
