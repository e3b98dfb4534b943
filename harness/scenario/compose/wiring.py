"""How the servers of a file are joined: by networks, and by routes to a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from harness.scenario.compose.context import Context, is_null, shown
from harness.scenario.compose.mounts import Shelves
from harness.scenario.compose.server import Wired
from harness.scenario.problems import Position

_DRIVERS = ("bridge", "default")


@dataclass(frozen=True)
class Places:
    """Where a service and its command are written."""

    service: Position
    command: Position


def check_networks(
    context: Context,
    wired: Sequence[Wired],
    shelves: Shelves,
    written: Mapping[str, Places],
) -> None:
    """Refuse servers that could not reach each other as deployed, but could in the harness."""
    places = {
        one.service.name: {attachment.network for attachment in one.service.networks}
        for one in wired
    }
    for one, other in combinations(places, 2):
        if not places[one] & places[other]:
            message = f"shares no network with {one!r}, but the harness joins all servers by one"
            context.refuse(written[other].service, ("services", other, "networks"), message)
    used = dict.fromkeys(name for networks in places.values() for name in sorted(networks))
    if len(used) > 1:
        position = written[wired[0].service.name].service
        names = ", ".join(used)
        context.note(position, ("networks",), f"the harness makes one network of these: {names}")
    for name in used:
        entry = shelves.sections["networks"].get(name)
        if entry is None or is_null(entry.value):
            continue
        options = context.mapping(entry.value, ("networks", name))
        driver = options.get("driver")
        if driver is not None and not is_null(driver.value):
            text = context.text(driver.value, ("networks", name, "driver"))
            if text is not None and text not in _DRIVERS:
                message = f"expected bridge, found {shown(text)}: the harness makes bridges only"
                context.refuse(driver.value, ("networks", name, "driver"), message)
        if rest := sorted(set(options) - {"driver", "name"}):
            message = f"the harness makes a network of its own, without {', '.join(rest)}"
            context.note(entry.key_position, ("networks", name), message)


def find_seed(context: Context, wired: Sequence[Wired], written: Mapping[str, Places]) -> str:
    """Return the service that most others have a route to, of equals the first."""
    homes = {name: one.service.name for one in reversed(wired) for name in _names_of(one)}
    known_by: dict[str, set[str]] = {one.service.name: set() for one in wired}
    for one in wired:
        name = one.service.name
        for route in one.routes:
            place = ("services", name, "command")
            if route.is_address:
                message = (
                    f"a route leads to the address {route.host}; the harness gives servers "
                    "addresses of its own: name the service"
                )
                context.refuse(written[name].command, place, message)
            elif route.host not in homes:
                message = f"a route leads to {shown(route.host)}, which is none of the servers"
                context.note(written[name].command, place, message)
            elif homes[route.host] != name:
                known_by[homes[route.host]].add(name)
    seed = max(known_by, key=lambda name: len(known_by[name]))  # of equals max takes the first
    alone = [
        one.service.name
        for one in wired
        if one.known and not known_by[one.service.name] and not _knows(one.service.name, known_by)
    ]
    if len(wired) > 1:
        for name in alone:
            message = (
                "has no route to another server and none has one to it; add --routes, or "
                "leave it out by cluster.services"
            )
            context.refuse(written[name].command, ("services", name, "command"), message)
        for one in wired:
            if one.service.ports.route is None:
                message = "has no fixed port for routes; add --cluster nats://0.0.0.0:6222"
                path = ("services", one.service.name, "command")
                context.refuse(written[one.service.name].command, path, message)
    return seed


def _knows(name: str, known_by: Mapping[str, set[str]]) -> bool:
    return any(name in others for others in known_by.values())


def _names_of(one: Wired) -> tuple[str, ...]:
    hostname = one.service.hostname
    return one.service.names if hostname is None else (*one.service.names, hostname)
