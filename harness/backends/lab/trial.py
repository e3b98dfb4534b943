"""Try each ability of the lab's links on two empty places."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from socket import AF_INET

from harness.backends.lab.links import LabLinks, lab_links
from harness.backends.lab.network import CLIENT_PORT, ROUTE_PORT, LabNetwork
from harness.cluster.links import Answer, Link
from harness.cluster.protocols import Capability
from harness.errors import HarnessError

_LIMIT_S = 5.0  # a bridge may take a second to see that a port is up
_SILENCE_S = 0.02
_PROBES = 3


async def try_links(network: LabNetwork) -> Mapping[Capability, str]:
    """Return why an ability does not work, for each that does not.

    Args:
        network: one with the nodes n1 and n2, in which nothing runs.
    """
    lacks: dict[Capability, str] = {}
    try:
        with lab_links(network) as links:
            for capability, attempt in (
                (Capability.PARTITION, _try_cut),
                (Capability.RESET, _try_reset),
                (Capability.REFUSE, _try_refusal),
            ):
                try:
                    await attempt(network, links)
                except (HarnessError, OSError) as error:
                    lacks[capability] = str(error)
    except HarnessError as error:
        return dict.fromkeys(
            (Capability.PARTITION, Capability.RESET, Capability.REFUSE), str(error)
        )
    return lacks


async def _try_cut(network: LabNetwork, links: LabLinks) -> None:
    del network
    link = Link("n1", "n2")
    if (await links.probe([link], _PROBES, _LIMIT_S))[link].received != _PROBES:
        raise HarnessError("probes do not arrive over a whole link")
    links.cut([link])
    if (await links.probe([link], _PROBES, _SILENCE_S))[link].received:
        raise HarnessError("the kernel took a cut, and packets pass all the same")
    links.heal([link])


async def _try_reset(network: LabNetwork, links: LabLinks) -> None:
    with ExitStack() as held:
        listener = held.enter_context(network.socket("n1", AF_INET))
        listener.bind((network.places["n1"].address, CLIENT_PORT))
        listener.listen()
        client = held.enter_context(network.socket("n2", AF_INET))
        client.settimeout(_LIMIT_S)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            links.reset(links.streams("n1", ["n2"]))
            try:
                client.recv(1)
            except ConnectionResetError:
                return
            except OSError as error:
                raise HarnessError(f"a reset connection says {error}") from error
    raise HarnessError("the kernel took a reset, and the peer got none")


async def _try_refusal(network: LabNetwork, links: LabLinks) -> None:
    link = Link("n2", "n1")
    with network.socket("n1", AF_INET) as listener:
        listener.bind((network.places["n1"].address, ROUTE_PORT))
        listener.listen()
        for change, expected in (
            (links.refuse, Answer.REFUSED),
            (links.accept, Answer.ACCEPTED),
        ):
            change([link])
            answer = (await links.knock([link], _LIMIT_S))[link]
            if answer is not expected:
                raise HarnessError(f"expected a connection to be {expected}, found {answer}")
