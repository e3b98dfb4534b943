"""JetStream: its store can be written by the image's own user."""

from __future__ import annotations

from harness.inspection.facts import Facts
from harness.inspection.model import Finding, failed, passed, unknown

NAME = "jetstream_store"


def check(facts: Facts) -> Finding:
    """Fail when a server with ``--jetstream`` cannot write where users keep streams.

    Where the image offers a folder for data (a volume, or /data) a fresh volume there
    counts, and the default store is only told; without one the default store counts.
    """
    evidence = [f"{' '.join(one.asked)}: {'; '.join(one.said)}" for one in facts.stores]
    volumes = [one for one in facts.stores if "--store_dir" in one.asked]
    counted = volumes or list(facts.stores)
    broken = [one.where for one in counted if one.enabled is False]
    if broken:
        return failed(NAME, f"no store on {', '.join(broken)}", *evidence)
    if not counted or any(one.enabled is None for one in counted):
        return unknown(NAME, "whether streams can be kept was not seen", *evidence)
    without = [one.where for one in facts.stores if one.enabled is False]
    note = f"; but not in {without[0]}: name a store" if without else ""
    return passed(NAME, f"works on {', '.join(one.where for one in counted)}{note}", *evidence)
