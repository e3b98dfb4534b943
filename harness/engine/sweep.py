"""Take away what a run that is no more left on the Engine: containers, networks, volumes.

Only what carries our labels is looked at. What belongs to a living process, or to another
machine (which cannot be asked whether it lives), stays. Beside the Engine, a run has cables in
this host's network, to its clients and to what shapes links, named after its bridge and taken
away before that: one without its bridge was left behind. (A client's goes by itself with its
network, but that may live on for minutes: as long as the kernel repeats what a client that was
killed had sent to a server that is gone.)
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from socket import if_nameindex, if_nametoindex
from typing import Any

from docker.errors import APIError, NotFound

from harness.engine.connection import Engine, explain, translated
from harness.engine.labels import OWNER, RUN, Owner, boot_id
from harness.errors import EngineError

SETTLE_S = 1.0  # in which an Engine ends what it was doing for somebody who is gone
_CABLE = re.compile(r"(nh[0-9a-f]{6})(wi|g[0-9]+)")  # as the backend docker names them


@dataclass(frozen=True)
class Leftover:
    """Something of ours on the Engine: its kind, its name, its run and its owner."""

    kind: str
    name: str
    run: str
    owner: Owner | None

    def __str__(self) -> str:
        return f"{self.kind} {self.name} (run {self.run})"


@dataclass(frozen=True)
class Swept:
    """What was taken away, and what of ours was left because its owner may be alive."""

    removed: tuple[Leftover, ...]
    kept: tuple[Leftover, ...]


def sweep(engine: Engine) -> Swept:
    """Remove what dead runs of this machine left behind.

    Where there was something, it looks again a while later: who was killed while the Engine made
    a container for it leaves that container a moment after its network.

    Raises:
        EngineError: the Engine does not answer, or refuses to remove something.
    """
    with translated("the Engine cannot be swept"):
        swept = more = _sweep_once(engine)
        while more.removed:
            time.sleep(SETTLE_S)
            more = _sweep_once(engine)
            swept = Swept(swept.removed + more.removed, more.kept)
    return swept


def _sweep_once(engine: Engine) -> Swept:
    removed: list[Leftover] = []
    kept: list[Leftover] = []
    for leftover, remove in _ours(engine, {"label": RUN}):
        if not _dead(engine, leftover.owner):
            kept.append(leftover)
        elif _remove(leftover, remove):
            removed.append(leftover)
    for name in _loose_cables(engine):
        _remove_interface(name)
        removed.append(Leftover("interface", name, "unknown", None))
    return Swept(tuple(removed), tuple(kept))


def leftovers(engine: Engine) -> tuple[str, ...]:
    """Return what `sweep` would remove, one description each; nothing is touched."""
    with translated("the Engine's containers cannot be listed"):
        dead = [str(one) for one, _ in _ours(engine, {"label": RUN}) if _dead(engine, one.owner)]
        return (*dead, *(f"interface {name}" for name in _loose_cables(engine)))


def _loose_cables(engine: Engine) -> list[str]:
    """Return the cables on this host whose bridge is gone; none where nobody could lay one."""
    if not engine.here or os.geteuid() != 0:
        return []
    names = {name for _, name in if_nameindex()}
    cables = (match for name in names if (match := _CABLE.fullmatch(name)))
    return sorted(cable[0] for cable in cables if cable[1] not in names)


def _remove_interface(name: str) -> None:
    from pyroute2 import IPRoute  # noqa: PLC0415 - seldom needed, and slow to import
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415 - as above

    try:
        with IPRoute() as links:
            links.link("del", index=if_nametoindex(name))
    except (NetlinkError, OSError) as error:
        if name in {other for _, other in if_nameindex()}:  # else somebody was quicker
            raise EngineError(f"interface {name} cannot be removed: {error}") from error


def _dead(engine: Engine, owner: Owner | None) -> bool:
    """Tell whether an owner is gone for certain; one of another machine may well live."""
    if owner is None:
        return False
    if owner.here:
        return not owner.alive
    return engine.here and owner.boot != boot_id()  # of this machine, before its last start


def _ours(
    engine: Engine, filters: dict[str, Any]
) -> Iterator[tuple[Leftover, Callable[[], object]]]:
    """Yield what is ours, containers first: they hold networks and volumes."""
    api = engine.api
    for one in api.containers(all=True, filters=filters):
        name = (one.get("Names") or [one["Id"]])[0].lstrip("/")
        yield (
            _leftover("container", name, one.get("Labels")),
            partial(api.remove_container, one["Id"], force=True, v=True),
        )
    for one in api.networks(filters=filters):
        yield (
            _leftover("network", one["Name"], one.get("Labels")),
            partial(api.remove_network, one["Id"]),
        )
    for one in (api.volumes(filters=filters) or {}).get("Volumes") or []:
        yield (
            _leftover("volume", one["Name"], one.get("Labels")),
            partial(api.remove_volume, one["Name"], force=True),
        )


def _leftover(kind: str, name: str, labels: dict[str, str] | None) -> Leftover:
    labels = labels or {}
    return Leftover(kind, name, labels.get(RUN, ""), Owner.parse(labels.get(OWNER, "")))


def _remove(leftover: Leftover, remove: Callable[[], object]) -> bool:
    """Remove it; tell whether nobody else was quicker."""
    try:
        remove()
    except NotFound:
        return False
    except APIError as error:
        if "already in progress" in str(error):
            return False
        raise EngineError(f"{leftover} cannot be removed: {explain(error)}") from error
    return True
