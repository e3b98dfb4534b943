"""Choose the backend by the name a user gave, and check that it can do what is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from harness.backends.attach.backend import ATTACH_CAPABILITIES, AttachBackend
from harness.backends.capabilities import CAPABILITIES, OWNED, SHAPING, STORAGE, TRIED
from harness.backends.lab.available import available, known_lacks
from harness.backends.lab.backend import LINK_CAPABILITIES, LabBackend
from harness.backends.lab.shaping import shaping
from harness.backends.local import CLIENT_CAPABILITIES, LACKS, LocalBackend
from harness.backends.proxy.identify import obstacle as proxies_obstacle
from harness.backends.trials import attempt
from harness.cluster.protocols import WHOLE, Backend, Capability
from harness.errors import CapabilityError, UsageError
from harness.scenario.model import ClusterSpec

AUTO = "auto"
BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "lab": "a network namespace for each server and client group; Linux, no root needed",
        "local": "plain processes on loopback; faults of clients' links through proxies",
        "docker": "a container for each server, of an image as it is deployed; a Docker Engine",
        "attach": "servers that run already, by their URLs; faults are your own commands",
    }
)
_AT_BEST: Mapping[str, frozenset[Capability]] = MappingProxyType(
    {
        "lab": CAPABILITIES | STORAGE | LINK_CAPABILITIES | SHAPING,
        "local": CAPABILITIES | STORAGE | CLIENT_CAPABILITIES,
        "docker": (CAPABILITIES - OWNED) | LINK_CAPABILITIES | SHAPING | {Capability.DISCONNECT},
        "attach": ATTACH_CAPABILITIES,
    }
)
_CONTAINERS_STAY: Mapping[Capability, str] = MappingProxyType(
    {
        Capability.STORE: "a container's data lie in a volume of the Engine's",
        Capability.RELEASE: "a container stays what its image is",
    }
)
_OTHER_WAYS: Mapping[Capability, str] = MappingProxyType(
    {Capability.DEVICE: "; power-loss with method: shadow needs no device"}
)


@dataclass(frozen=True)
class Choice:
    """The backend to use, and a sentence for the user that says which and why."""

    backend: Backend
    sentence: str


def name_backend(asked: str, clusters: Iterable[ClusterSpec]) -> str:
    """Return the backend to choose: what the clusters need, whatever else would work.

    Containers need ``docker``; servers that run already need ``attach``, and only they do.

    Raises:
        CapabilityError: the clusters need another backend than the one asked for.
    """
    clusters = tuple(clusters)
    attached = [cluster.attach is not None for cluster in clusters]
    if any(attached):
        if not all(attached):
            raise CapabilityError(
                "scenarios with cluster.attach and others need different backends; run them apart"
            )
        if asked in (AUTO, "attach"):
            return "attach"
        raise CapabilityError(
            f"backend {asked} starts its own servers, and those of cluster.attach run already; "
            "attach takes them: --backend attach"
        )
    if asked == "attach":
        raise CapabilityError(
            "backend attach needs cluster.attach: the URLs of servers that run already"
        )
    if not any(cluster.in_containers for cluster in clusters):
        return asked
    if asked in (AUTO, "docker"):
        return "docker"
    raise CapabilityError(f"backend {asked} runs no images; docker does: --backend docker")


def choose(name: str = AUTO) -> Choice:
    """Return the backend called `name`; ``auto`` takes the lab where it works, else local.

    Call it before threads exist: it may have to try the lab.

    Raises:
        UsageError: there is no such backend.
        CapabilityError: the lab was asked for by name and does not work here.
    """
    if name not in (AUTO, *BACKENDS):
        raise UsageError(f"unknown backend {name!r}; expected {', '.join((AUTO, *BACKENDS))}")
    if name == "local":
        return Choice(LocalBackend(), f"Backend: local, {BACKENDS[name].partition(';')[0]}.")
    if name == "docker":
        return _choose_docker()
    if name == "attach":
        return Choice(AttachBackend(), f"Backend: attach, {BACKENDS[name].partition(';')[0]}.")
    obstacle = available()
    if obstacle is None:
        return Choice(LabBackend(), f"Backend: lab, {BACKENDS['lab'].partition(';')[0]}.")
    if name == AUTO:
        return Choice(LocalBackend(), f"Backend: local, since the lab does not work: {obstacle}.")
    raise CapabilityError(f"the lab does not work here: {obstacle}")


def fitted(backend: Backend, needed: Iterable[Capability]) -> Backend:
    """Return the backend, made ready for what the faults of one scenario need.

    Clients of `local` go through proxies only where a fault needs that: it costs latency. So
    does a mount namespace of its own.
    """
    if not isinstance(backend, LocalBackend):
        return backend
    wanted = frozenset(needed)
    proxied, mounting = not CLIENT_CAPABILITIES.isdisjoint(wanted), Capability.DEVICE in wanted
    return replace(backend, proxied=proxied, mounting=mounting) if proxied or mounting else backend


def _choose_docker() -> Choice:
    # The SDK takes a fifth of a second to import, which only its users should pay.
    from harness.backends.docker.backend import DockerBackend, reach  # noqa: PLC0415 - as said

    why = reach()
    limits = "" if why is None else f" Links are left alone: {why}."
    sentence = f"Backend: docker, {BACKENDS['docker'].partition(';')[0]}.{limits}"
    return Choice(DockerBackend(), sentence)


def missing(needed: Iterable[Capability], backend: Backend) -> Mapping[Capability, tuple[str, ...]]:
    """Return what `backend` lacks of `needed`, and the names of the backends that have each.

    What this kernel does not let the lab do, it does not let docker do either.
    """
    kernel_lacks = known_lacks().keys()
    return {
        capability: tuple(
            name
            for name, able in _AT_BEST.items()
            if name != backend.name
            and _within(able, capability)
            and not (name in ("lab", "docker") and capability in kernel_lacks)
        )
        for capability in needed
        if not _can(backend, capability)
    }


def _can(backend: Backend, capability: Capability) -> bool:
    return _within(backend.capabilities, capability)


def _within(able: frozenset[Capability], capability: Capability) -> bool:
    return capability in able or WHOLE.get(capability) in able


def require(needed: Iterable[Capability], backend: Backend) -> None:
    """Raise CapabilityError when `backend` lacks some, or this machine does for it.

    The message names the backends that would do. Call it before threads exist: what
    shapes links, clocks, CPU time or disks may have to be tried.
    """
    needed = frozenset(needed)
    if backend.name in ("lab", "docker"):
        needed = frozenset(WHOLE.get(capability, capability) for capability in needed)
    require_offered(needed, backend)
    fit = fitted(backend, needed)
    proxied = isinstance(fit, LocalBackend) and fit.proxied
    if proxied and (why := proxies_obstacle()) is not None:
        raise CapabilityError(f"local cannot put proxies before its servers here: {why}")
    if backend.name in ("lab", "docker"):
        for capability in sorted(needed & SHAPING):
            if (why := shaping().lacks(capability)) is not None:
                raise CapabilityError(f"{_place(backend)} cannot {capability} here: {why}")
    for capability in sorted(needed & (TRIED | {Capability.DISK, Capability.DEVICE})):
        place = "local" if backend.name == "docker" else backend.name  # this host, both
        if (why := attempt(place, capability).lack) is not None:
            other_way = _OTHER_WAYS.get(capability, "")
            raise CapabilityError(
                f"backend {backend.name} cannot {capability} here: {why}{other_way}"
            )


def require_offered(needed: Iterable[Capability], backend: Backend) -> None:
    """Raise CapabilityError when `backend` lacks some, as far as that is known untried."""
    lacking = missing(needed, backend)
    if not lacking:
        return
    reasons = _reasons(backend)
    problems = (
        f"backend {backend.name} cannot {capability}"
        f"{_because(reasons.get(capability))}; {_who(names, backend)}"
        f"{_excuse(backend, capability)}"
        for capability, names in sorted(lacking.items())
    )
    raise CapabilityError("\n".join(problems))


def _place(backend: Backend) -> str:
    return "the lab" if backend.name == "lab" else backend.name


def _reasons(backend: Backend) -> Mapping[Capability, str]:
    if backend.name == "docker":
        from harness.backends.docker.backend import reach  # noqa: PLC0415 - as above

        why = reach()
        if why is not None:
            out_of_reach = dict.fromkeys(LINK_CAPABILITIES | SHAPING | TRIED, why)
            return {**out_of_reach, **_CONTAINERS_STAY}
        return {**known_lacks(), **_CONTAINERS_STAY}
    return {} if backend.name in ("local", "attach") else known_lacks()


def _because(reason: str | None) -> str:
    return "" if reason is None else f" here ({reason})"


def _excuse(backend: Backend, capability: Capability) -> str:
    """Return why a backend can do a part of it only."""
    parts = (part for part, whole in WHOLE.items() if whole is capability)
    partly = any(part in backend.capabilities for part in parts)
    return f"\n  ({LACKS})" if partly else ""


def _who(names: tuple[str, ...], backend: Backend) -> str:
    if backend.name == "attach":
        return "what goes wrong there is done by your own commands: action command"
    if not names:
        return "no backend can"
    return f"{' and '.join(names)} can: --backend {names[0]}"
