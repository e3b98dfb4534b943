"""The backend `lab`, as the rest of the harness sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.backends.capabilities import CAPABILITIES, SHAPING, STORAGE
from harness.backends.lab.available import known_lacks
from harness.backends.lab.enter import inside_lab, run_in_lab
from harness.backends.process_cluster import process_cluster
from harness.backends.server_cluster import ServerCluster
from harness.cluster.protocols import Address, Capability, Endpoints, EventSink
from harness.errors import CapabilityError
from harness.scenario.model import ClusterSpec

LINK_CAPABILITIES = frozenset((Capability.PARTITION, Capability.RESET, Capability.REFUSE))


@dataclass(frozen=True)
class LabBackend:
    """Network namespaces; implements `harness.cluster.protocols.Backend`.

    Attributes:
        doors: where clients outside connect to a node, if somebody leads them in: that is
            what the node tells its clients.
    """

    doors: Mapping[str, Address] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return ``lab``."""
        return "lab"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what can be done here, but for what was tried and does not work."""
        return (CAPABILITIES | STORAGE | LINK_CAPABILITIES | SHAPING) - known_lacks().keys()

    def host(self, main: Callable[[], int]) -> int:
        """Run `main` inside a new lab and return its exit code; see `run_in_lab`."""
        return run_in_lab(main)

    @asynccontextmanager
    async def cluster(
        self,
        spec: ClusterSpec,
        *,
        groups: Sequence[str],
        folder: Path,
        record: EventSink,
        watched: Collection[str] = (),
        on_devices: Collection[str] = (),
    ) -> AsyncIterator[ServerCluster]:
        """Build the network and make the nodes; see the protocol.

        Raises:
            CapabilityError: called outside `host`.
        """
        if not inside_lab():
            raise CapabilityError("the lab was not entered: run this through LabBackend.host")
        # pyroute2 takes a tenth of a second to import, which only the lab should pay.
        from harness.backends.lab.links import lab_links  # noqa: PLC0415 - as said
        from harness.backends.lab.network import lab_network  # noqa: PLC0415 - as said
        from harness.backends.lab.shaper import lab_shaper  # noqa: PLC0415 - as said

        abilities = self.capabilities
        async with (
            lab_network(spec.nodes, groups) as network,
            lab_shaper(network, spec.nodes, folder / "wire.log", record=record) as shaper,
        ):
            with ExitStack() as held:
                cuttable = abilities & LINK_CAPABILITIES
                links = held.enter_context(lab_links(network, spec.sites)) if cuttable else None
                async with process_cluster(
                    spec,
                    replace(network, endpoints=behind_doors(network.endpoints, self.doors)),
                    folder=folder,
                    record=record,
                    capabilities=abilities,
                    links=links,
                    shaper=shaper,
                    watched=watched,
                    on_devices=on_devices,
                ) as cluster:
                    yield cluster


def behind_doors(
    endpoints: Mapping[str, Endpoints], doors: Mapping[str, Address]
) -> Mapping[str, Endpoints]:
    """Return the endpoints of nodes that clients know by their doors."""
    return {
        name: replace(here, client=doors[name], server=here.client) if name in doors else here
        for name, here in endpoints.items()
    }
