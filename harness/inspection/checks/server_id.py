"""The server's id: there, so that its servers can be told apart in monitoring and events."""

from __future__ import annotations

from harness.inspection.facts import Facts
from harness.inspection.model import Finding, failed, passed, unknown
from harness.inspection.server import logged

NAME = "server_id"


def check(facts: Facts) -> Finding:
    """Fail when monitoring shows an empty id; without monitoring the log may tell it."""
    if facts.monitoring is not None:
        found = str(facts.monitoring.get("server_id") or "").strip()
        evidence = f"/varz: server_id {found or '(empty)'}"
        return passed(NAME, "there", evidence) if found else failed(NAME, "empty", evidence)
    found = logged(facts.shipped.log).get("ID", "")
    if found:
        return passed(NAME, "there, by its log", f"log: ID {found}")
    return unknown(NAME, "monitoring could not be asked", "/varz: no answer", "log: no ID")
