"""Reach into the links of containers from the host: cut, reset, refuse and shape them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.backends.docker.network import BridgePlaces, Net
from harness.backends.lab.cuts import TABLE
from harness.backends.lab.links import LabLinks, lab_links
from harness.backends.lab.shaper import LabShaper, lab_shaper
from harness.backends.lab.wire_process import Cable
from harness.cluster.protocols import EventSink
from harness.scenario.sites import Sites


@dataclass(frozen=True)
class Reached:
    """The links of one iteration's containers and client groups."""

    places: BridgePlaces
    links: LabLinks
    shaper: LabShaper

    async def plug(self, node: str, container: str, pid: int) -> None:
        """Carry over what was done to a container's links to its new process.

        Cuts go by addresses and need no carrying.
        """
        self.places.plug(node, container, pid)
        self.links.replug(node)
        await self.shaper.replug(node)


@asynccontextmanager
async def reach_links(
    places: BridgePlaces, net: Net, sites: Sites, folder: Path, record: EventSink
) -> AsyncIterator[Reached]:
    """Make the links ready for faults; all is undone on leaving, and by the kernel on SIGKILL.

    But for the cable to the wire: after a SIGKILL the next sweep takes it away.

    Raises:
        ServerError: the kernel lacks what is needed.
    """
    table = dataclasses.replace(TABLE, name=f"harness-cuts-{net.bridge}", owned=True)
    cable = Cable(f"{net.bridge}wi", f"{net.bridge}wo")
    with lab_links(places, sites, addresses=places.addresses, table=table) as links:
        async with lab_shaper(places, sites.nodes, folder / "wire.log", cable, record) as shaper:
            yield Reached(places, links, shaper)
