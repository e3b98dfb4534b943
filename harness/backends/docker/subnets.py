"""Find a subnet for a run: fixed addresses need one, and it must be nobody else's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from pathlib import Path
from random import Random

from harness.engine.connection import Engine, translated
from harness.errors import UsageError

POOL = IPv4Network("198.18.0.0/15")  # set aside for such tests (RFC 2544)
PREFIX = 22
_ROUTES = Path("/proc/net/route")
_DESTINATION, _MASK = 1, 7


def parse_subnet(text: str) -> IPv4Network:
    """Return the subnet that a user asked for; UsageError unless it is one with room."""
    try:
        subnet = IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise UsageError(f"cluster.container.subnet: {error}") from error
    if subnet.prefixlen > PREFIX:
        raise UsageError(
            f"cluster.container.subnet: expected at least a /{PREFIX} (servers and client groups "
            f"have an address each), found /{subnet.prefixlen}"
        )
    return subnet


def taken(engine: Engine) -> tuple[IPv4Network, ...]:
    """Return what is in use: by the Engine's networks and, where it is here, by this host."""
    found: list[IPv4Network] = []
    with translated("the Engine's networks cannot be listed"):
        for network in engine.api.networks():
            for config in (network.get("IPAM") or {}).get("Config") or []:
                found += _parse(config.get("Subnet", ""))
    if engine.here:
        found += _routed()
    return tuple(found)


def candidates(used: Sequence[IPv4Network], dice: Random) -> Iterable[IPv4Network]:
    """Yield subnets of the pool that nobody uses, from a drawn one on."""
    subnets = list(POOL.subnets(new_prefix=PREFIX))
    first = dice.randrange(len(subnets))
    for subnet in (*subnets[first:], *subnets[:first]):
        if not any(subnet.overlaps(one) for one in used):
            yield subnet


def colliding(subnet: IPv4Network, used: Iterable[IPv4Network]) -> IPv4Network | None:
    """Return one of `used` that overlaps `subnet`; None when none does."""
    return next((one for one in used if subnet.overlaps(one)), None)


def _parse(text: str) -> list[IPv4Network]:
    try:
        return [IPv4Network(text, strict=False)]
    except ValueError:
        return []  # an IPv6 subnet, or none


def _routed() -> list[IPv4Network]:
    """Return the destinations of this host's routes, but for the default route."""
    rows = [line.split() for line in _ROUTES.read_text(encoding="ascii").splitlines()[1:]]
    networks = []
    for row in rows:
        address, mask = (
            int.from_bytes(bytes.fromhex(row[at])[::-1]) for at in (_DESTINATION, _MASK)
        )
        if mask:
            networks.append(IPv4Network((address, mask.bit_count())))
    return networks
