"""Superclusters and leaf nodes from the command line, with clients and with cuts between them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from command_line import Harness

pytestmark = pytest.mark.lab

TEXT = """
name: joined
seed: 7
cluster: {CLUSTER}
client: {options: {ping_interval: 1s, max_reconnect_attempts: -1}}
workloads:
  - name: inside
    kind: core
    rate: 100/s
    subscribers: 2
    attach: {publishers: n3, subscribers: AWAY}
  - {name: across, kind: core, rate: 100/s, attach: {publishers: HERE, subscribers: AWAY}}
  - name: ask
    kind: request
    rate: 20/s
    timeout: 3s
    attach: {requesters: AWAY, responders: HERE}
phases: {warmup: 0s, steady: 500ms, recovery: 2s, drain: 1s}
faults:
  - {name: apart, action: partition, target: "cluster:AWAY", between: BETWEEN, duration: 1s}
thresholds:
  "lost{workload:inside}": ["count == 0"]
  "outage_window{workload:inside}": ["max < 500ms"]
  "time_to_first_delivery{workload:across}": ["min > 900ms", "max < 3s"]
  detection_time: ["n == 0"]
  lost: ["count == 0"]
  duplicates: ["count == 0"]
  out_of_order: ["count == 0"]
"""
SUPER = TEXT.replace("CLUSTER", "clusters: {east: {servers: 2}, west: {servers: 2}}")
SUPER = SUPER.replace("HERE", "east").replace("AWAY", "west").replace("BETWEEN", "gateways")
LEAF = TEXT.replace("CLUSTER", "servers: 2, leafnodes: [{name: edge, servers: 1}]")
LEAF = LEAF.replace("HERE", "hub").replace("AWAY", "edge").replace("BETWEEN", "leafnodes")
# What is tried before a run would find it at once; the names of what leads out stay open.
LEAKY = """
import harness.backends.lab.trial as trial
from harness.backends.lab.cuts import Cuts
async def see_nothing(network):
    return {}
trial.try_links = see_nothing
change = Cuts._change
def spare_one(self, add, remove, verb):
    change(self, add[1:], [key for key in remove if key != spare_one.key], verb)
    spare_one.key = add[0] if add else None
spare_one.key = None
Cuts._change = spare_one
from harness.__main__ import main
main()
"""


@pytest.mark.parametrize("text", [SUPER, LEAF], ids=["gateways", "leafnodes"])
def test_a_cut_between_clusters_concerns_what_crosses_and_nothing_else(
    text: str, harness: Harness
) -> None:
    result = harness.run("run", harness.scenario(text), "--backend", "lab")
    assert result.returncode == 0, result.stdout + result.stderr
    report = harness.report()
    (fault,) = report["iterations"][0]["faults"]
    during = next(one for one in fault["proof"] if "during" in one["what"])
    cut = {(link["source"], link["target"]) for link in during["links"] if link["cut"]}
    assert cut
    assert all((one in ("n1", "n2")) != (other in ("n1", "n2")) for one, other in cut)
    clusters = [one["config"]["cluster"]["name"] for one in report["environment"]["servers"]]
    assert len(set(clusters)) == 2


def test_a_cut_between_clusters_that_leaks_is_inconclusive(harness: Harness) -> None:
    text = re.sub(r'^ +"time_to_first.*\n', "", SUPER, flags=re.MULTILINE)
    argv = [sys.executable, "-c", LEAKY, "run", harness.scenario(text), "--backend", "lab"]
    result = subprocess.run(
        argv, cwd=harness.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 3, result.stdout + result.stderr
    proof = [one for one in harness.report()["findings"] if one["check"] == "proof"]
    assert [one["verdict"] for one in proof] == ["inconclusive"]
    assert "the cut let something through" in proof[0]["detail"]
