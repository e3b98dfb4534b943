"""Ports: only above 1023, in the configuration and in what really listens."""

from __future__ import annotations

from harness.inspection.containers import exposed_ports
from harness.inspection.facts import Facts
from harness.inspection.model import Finding, failed, passed, unknown
from harness.inspection.server import logged_ports

NAME = "ports"
LOWEST = 1024


def check(facts: Facts) -> Finding:
    """Fail for a privileged port; unknown when what listens cannot be seen."""
    exposed = exposed_ports(facts.image)
    logged = logged_ports(facts.shipped.log)
    listening = facts.shipped.listening
    evidence = [
        f"config exposes {_list(exposed)}",
        "what listens cannot be seen here"
        if listening is None
        else f"listens on {_list(listening)}",
        f"log: listens on {_list(logged)}",
    ]
    low = sorted({one for one in (*exposed, *logged, *(listening or ())) if one < LOWEST})
    if low:
        return failed(NAME, f"privileged: {_list(tuple(low))}", *evidence)
    if not listening:
        return unknown(NAME, "no listening port was seen in the running container", *evidence)
    return passed(NAME, f"all above {LOWEST - 1}: {_list(listening)}", *evidence)


def _list(ports: tuple[int, ...]) -> str:
    return ", ".join(map(str, ports)) or "none"
