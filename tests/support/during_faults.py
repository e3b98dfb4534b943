"""A run whose fault holds for long, to be killed in its midst."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from command_line import Harness
from pyroute2 import IPRoute

from harness.backends.lab.netlink import DUMP, NETLINK_NETFILTER, REQUEST, Message, Netlink
from harness.cluster.protocols import Capability
from harness.faults.base import Fault
from harness.scenario.load import loads
from harness.vocabulary import VOCABULARY

EFFECT_LIMIT_S = 120.0
NFT_MSG_GETTABLE = 1
# A key that an action cannot do without; a new fault without one needs none here.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "bandwidth": {"rate": "4Mbit"},
    "clock-skew": {"skew": "30s"},
    "command": {"inject": "true", "observe": "true", "heal": "true"},
    "corrupt": {"part": "stream-block", "duration": "20s"},
    "cpu-limit": {"cpus": 0.2},
    "delay": {"delay": "20ms"},
    "loss": {"loss": "20%"},
    "peer-remove": {"stream": "S", "target": "stream-leader:S"},
    "rollback": {"back": "1s", "at": "2s"},
    "slow-disk": {"delay": "20ms"},
    "step-down": {"target": "stream-leader:S"},
    "upgrade": {"to": "2.14.0", "target": "all", "interval": "20s"},
}
# What needs JetStream, and a stream that is written to.
STORED = frozenset(
    ("corrupt", "disk-full", "peer-remove", "power-loss", "rollback", "slow-disk", "step-down")
)
STREAMS = "streams: [{name: S, replicas: 3}]"
WRITER = "  - {name: kept, kind: jetstream, stream: S, rate: 50/s, payload: 64B}"
SCENARIO = """
name: {name}
cluster: {{servers: {servers}, jetstream: {jetstream}}}
{streams}
client: {{servers: [n1], options: {{reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}}}
workloads:
  - {{name: hello, kind: core, publishers: 1, subscribers: 1, rate: 50/s, payload: 64B}}
{writer}
phases: {{warmup: 100ms, steady: 100ms, fault: 30s, recovery: 1s, drain: 1s}}
faults:
  - {step}
"""


def scenario_of(action: str, servers: int = 3) -> str:
    """Return a scenario in which one fault holds for up to 30 s."""
    facts: dict[str, Any] = {"name": "f", "action": action, "target": "n1"}
    step = json.dumps(facts | dict(EXAMPLES.get(action, {})))
    stored = action in STORED
    servers = max(servers, 3) if stored else servers
    return SCENARIO.format(
        name=action,
        servers=servers + (action == "peer-remove"),
        jetstream=str(stored).lower(),
        streams=STREAMS if stored else "",
        writer=WRITER if stored else "",
        step=step,
    )


def needs_of(action: str) -> frozenset[Capability]:
    """Return what a backend must be able to do for the fault of `scenario_of`."""
    (fault,) = loads(scenario_of(action), action, VOCABULARY).scenario.faults
    assert isinstance(fault, Fault)
    return fault.needed


def struck(harness: Harness) -> bool:
    """Tell whether a fault's effect was observed, by the events so far."""
    for path in (harness.folder / "reports").glob("*/events.jsonl"):
        text = path.read_text(encoding="utf-8")
        return any('"fault.observed"' in line and '"effect"' in line for line in text.splitlines())
    return False


def tables() -> list[str]:
    """Return the nf_tables tables of every family (linux/netfilter/nf_tables.h)."""
    try:
        with Netlink(NETLINK_NETFILTER) as netlink:
            bodies = netlink.dump(Message(10 << 8 | NFT_MSG_GETTABLE, REQUEST | DUMP, bytes(4)))
    except OSError:
        return []  # who may not look may not have made one either, or the kernel has none
    return [f"nft table {body!r}" for body in bodies]


def queues() -> list[str]:
    """Return the queues that shape, in the network of the user, but for those of containers.

    Runs in containers may go on beside the tests; they shape on links of their own.
    """
    with IPRoute() as netlink:
        names = {one["index"]: one.get_attr("IFLA_IFNAME") for one in netlink.get_links()}
        found = [
            (str(names.get(one["index"])), one.get_attr("TCA_KIND")) for one in netlink.get_qdiscs()
        ]
    return [
        f"{kind} on {name}"
        for name, kind in found
        if kind in {"clsact", "htb", "tbf", "netem"} and not name.startswith(("nh", "veth"))
    ]
