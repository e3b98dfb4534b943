"""The backend `lab`, as the rest of the harness sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from harness.backends.lab.available import known_lacks
from harness.backends.lab.enter import inside_lab, run_in_lab
from harness.backends.process_cluster import (
    CAPABILITIES,
    SHAPING,
    ProcessCluster,
    process_cluster,
)
from harness.cluster.protocols import Capability, EventSink
from harness.errors import CapabilityError
from harness.scenario.model import ClusterSpec

LINK_CAPABILITIES = frozenset((Capability.PARTITION, Capability.RESET, Capability.REFUSE))


class LabBackend:
    """Network namespaces; implements `harness.cluster.protocols.Backend`."""

    @property
    def name(self) -> str:
        """Return ``lab``."""
        return "lab"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what can be done here, but for what was tried and does not work."""
        return (CAPABILITIES | LINK_CAPABILITIES | SHAPING) - known_lacks().keys()

    def host(self, main: Callable[[], int]) -> int:
        """Run `main` inside a new lab and return its exit code; see `run_in_lab`."""
        return run_in_lab(main)

    @asynccontextmanager
    async def cluster(
        self, spec: ClusterSpec, *, groups: Sequence[str], folder: Path, record: EventSink
    ) -> AsyncIterator[ProcessCluster]:
        """Build the network and make the nodes; see the protocol.

        Raises:
            CapabilityError: called outside `host`.
        """
        if not inside_lab():
            raise CapabilityError("the lab was not entered: run this through LabBackend.host")
        # pyroute2 takes a tenth of a second to import, which only the lab should pay.
        from harness.backends.lab.links import lab_links  # noqa: PLC0415
        from harness.backends.lab.network import lab_network  # noqa: PLC0415
        from harness.backends.lab.shaper import lab_shaper  # noqa: PLC0415

        abilities = self.capabilities
        async with (
            lab_network(spec.nodes, groups) as network,
            lab_shaper(network, spec.nodes, folder / "wire.log") as shaper,
        ):
            with ExitStack() as held:
                cuttable = abilities & LINK_CAPABILITIES
                links = held.enter_context(lab_links(network)) if cuttable else None
                async with process_cluster(
                    spec,
                    network,
                    folder=folder,
                    record=record,
                    capabilities=abilities,
                    links=links,
                    shaper=shaper,
                ) as cluster:
                    yield cluster
