"""Tell what shapes links in the lab of this machine, by trying it."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio

from harness.backends.lab.available import available
from harness.backends.lab.enter import EXIT_BROKEN, inside_lab, run_in_lab
from harness.cluster.links import Link
from harness.cluster.protocols import Capability
from harness.cluster.shapes import Shape
from harness.errors import CapabilityError, HarnessError

FIX = "load the kernel's modules: sudo modprobe -a sch_netem sch_tbf sch_htb cls_u32"
_LINK = Link("n1", "n2")
_TRIED = {
    Capability.SHAPE: Shape(delay_s=0.001),
    Capability.BANDWIDTH: Shape(rate_bytes_s=1e6),
}


@dataclass(frozen=True)
class Shaping:
    """What makes delay and loss, and what limits bandwidth; None with a `reason` if nothing."""

    shape: str | None = None
    bandwidth: str | None = None
    reason: str | None = None

    def lacks(self, capability: Capability) -> str | None:
        """Return why a capability is not there; None when it is, or is none of shaping's."""
        via = {Capability.SHAPE: self.shape, Capability.BANDWIDTH: self.bandwidth}
        if via.get(capability, "") is not None:
            return None
        return f"{self.reason}; {FIX}"


@functools.cache
def shaping() -> Shaping:
    """Shape a link in a lab of a forked child; remembered for the process.

    Call it before threads exist.
    """
    if inside_lab():
        raise RuntimeError("what shapes links must be tried before the lab is entered")
    if (why := available()) is not None:
        return Shaping(reason=why)
    report, told = os.pipe()
    with os.fdopen(report, "rb") as reader, os.fdopen(told, "wb") as writer:
        try:
            run_in_lab(lambda: _try(writer.fileno()))
        except CapabilityError as error:
            return Shaping(reason=str(error))
        writer.close()
        said = reader.read()
    return Shaping(**json.loads(said)) if said else Shaping(reason="the attempt broke off")


def _try(told: int) -> int:
    from harness.backends.lab.network import lab_network  # noqa: PLC0415 - pyroute2 is slow to import
    from harness.backends.lab.shaper import lab_shaper  # noqa: PLC0415 - pyroute2 is slow to import

    found: dict[Capability, str] = {}
    reasons: list[str] = []

    async def shape() -> None:
        async with (
            lab_network([_LINK.source, _LINK.target], []) as network,
            lab_shaper(network, tuple(network.places), Path(os.devnull)) as shaper,
        ):
            for capability, shape in _TRIED.items():
                try:
                    async with shaper.shaped({_LINK: shape}, 0) as via:
                        found[capability] = via[_LINK]
                except HarnessError as error:
                    reasons.append(str(error))

    try:
        anyio.run(shape)
    except HarnessError as error:
        reasons.append(str(error))
    result = Shaping(
        shape=found.get(Capability.SHAPE),
        bandwidth=found.get(Capability.BANDWIDTH),
        reason=reasons[0] if reasons else None,
    )
    os.write(told, json.dumps(asdict(result)).encode())
    return EXIT_BROKEN if reasons else 0
