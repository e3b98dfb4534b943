"""What of ours is on the Engine, for tests that nothing is left there."""

from __future__ import annotations

from pathlib import Path

from command_line import Harness

from harness.engine.connection import engine
from harness.engine.labels import OWNER, RUN, Owner


def on_the_engine(harness: Harness) -> list[str]:
    """Return the names of the containers, networks and volumes that a harness's runs made."""
    with engine() as found:
        api, filters = found.api, {"label": RUN}
        volumes = (api.volumes(filters=filters) or {}).get("Volumes") or []
        every = [
            *(
                (one["Names"][0], one["Labels"])
                for one in api.containers(all=True, filters=filters)
            ),
            *((one["Name"], one["Labels"]) for one in (*api.networks(filters=filters), *volumes)),
        ]
    return sorted(name for name, labels in every if _owner(labels) in harness.pids)


def containers_of(harness: Harness) -> dict[str, str]:
    """Return the ids of the containers that a harness's runs made, by their names."""
    with engine() as found:
        every = found.api.containers(all=True, filters={"label": RUN})
        return {
            one["Names"][0].lstrip("/"): one["Id"]
            for one in every
            if _owner(one["Labels"]) in harness.pids
        }


def on_the_host(before: frozenset[str] = frozenset()) -> list[str]:
    """Return the interfaces of the host that runs on an Engine make, but for those of before."""
    found = {path.name for path in Path("/sys/class/net").iterdir() if path.name[:2] == "nh"}
    return sorted(found - before)


def _owner(labels: dict[str, str]) -> int | None:
    owner = Owner.parse(labels.get(OWNER, ""))
    return None if owner is None else owner.pid
