"""Tell whether the lab works on this machine, what works in it, and what to do otherwise."""

from __future__ import annotations

import functools
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from harness.backends.lab.enter import EXIT_BROKEN, inside_lab, run_in_lab
from harness.cluster.protocols import Capability
from harness.errors import CapabilityError, HarnessError

SECCOMP_FILTER = "2"


@dataclass(frozen=True)
class Obstacle:
    """Why the lab does not work here, and the command (or sentence) that would help."""

    reason: str
    fix: str


def available() -> str | None:
    """Return why the lab does not work here, with the fix, or None when it works."""
    found = obstacle()
    return None if found is None else f"{found.reason}; {found.fix}"


def obstacle() -> Obstacle | None:
    """Return why the lab does not work here; call it before threads exist."""
    return examine_lab().obstacle


@dataclass(frozen=True)
class Examination:
    """Whether the lab works here and, if so, why some of what it offers does not.

    `lacks` has a reason for each ability that is missing, and is empty without a lab.
    """

    obstacle: Obstacle | None = None
    lacks: Mapping[Capability, str] = field(default_factory=dict)


@functools.cache
def examine_lab() -> Examination:
    """Try a small lab in a forked child; remembered for the process.

    Call it before threads exist.
    """
    if inside_lab():
        return Examination()
    if platform.system() != "Linux":
        fix = "use --backend local"
        return Examination(Obstacle("network namespaces are a thing of Linux", fix))
    report, told = os.pipe()
    try:
        with os.fdopen(report, "rb") as reader, os.fdopen(told, "wb") as writer:
            _load_netlink()
            code = run_in_lab(lambda: _try_network(writer.fileno()), heed_signals=False)
            writer.close()
            said = reader.read().decode(errors="replace")
    except (CapabilityError, OSError) as error:
        return Examination(Obstacle(f"namespaces are refused ({error})", _fix_for_namespaces()))
    if code != 0:
        why = said or f"the attempt ended with status {code}"
        fix = "load the kernel's bridge and veth: sudo modprobe -a bridge veth"
        return Examination(Obstacle(why, fix))
    lacks = {Capability(name): reason for name, reason in json.loads(said).items()}
    return Examination(lacks=lacks)


def known_lacks() -> Mapping[Capability, str]:
    """Return why some of what the lab offers does not work, as far as it was tried."""
    return examine_lab().lacks if examine_lab.cache_info().currsize else {}


def _load_netlink() -> None:
    """Import pyroute2 here, so that the probe and the run both find it imported."""
    from harness.backends.lab import network  # noqa: F401, PLC0415 - pyroute2 is slow to import


def _try_network(told: int) -> int:
    from harness.backends.lab.network import lab_network  # noqa: PLC0415 - pyroute2 is slow to import
    from harness.backends.lab.trial import try_links  # noqa: PLC0415 - pyroute2 is slow to import

    async def build() -> None:
        async with lab_network(["n1", "n2"], []) as network:
            lacks = await try_links(network)
        os.write(told, json.dumps(lacks).encode())

    try:
        anyio.run(build)
    except HarnessError as error:
        os.write(told, str(error).encode())
        return EXIT_BROKEN
    return 0


def _fix_for_namespaces() -> str:
    """Return what would help, by the settings that are known to forbid namespaces."""
    apparmor = "kernel/apparmor_restrict_unprivileged_userns"
    if _setting(apparmor) == "1":  # Ubuntu 23.10 and later
        return "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    if _setting("kernel/unprivileged_userns_clone") == "0":  # Debian's own switch
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    for kind in ("user", "net", "pid", "mnt"):
        if _setting(f"user/max_{kind}_namespaces") == "0":
            return f"sudo sysctl -w user.max_{kind}_namespaces=10000"
    if _seccomp() == SECCOMP_FILTER:
        return (
            "in a container: docker run --security-opt seccomp=unconfined --security-opt "
            "apparmor=unconfined --security-opt systempaths=unconfined"
        )
    return "use --backend local"


def _setting(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text(encoding="ascii").strip()
    except OSError:
        return None


def _seccomp() -> str | None:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("Seccomp:"):
            return line.split()[1]
    return None
