"""Choose the backend by the name a user gave, and check that it can do what is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.backends.lab.available import available, known_lacks
from harness.backends.lab.backend import LabBackend
from harness.backends.lab.shaping import shaping
from harness.backends.local import LocalBackend
from harness.backends.process_cluster import SHAPING
from harness.cluster.protocols import Backend, Capability
from harness.errors import CapabilityError, UsageError

AUTO = "auto"
BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "lab": "a network namespace for each server and client group; Linux, no root needed",
        "local": "plain processes on loopback",
    }
)
_PLACES: Mapping[str, Backend] = MappingProxyType(
    {backend.name: backend for backend in (LabBackend(), LocalBackend())}
)


@dataclass(frozen=True)
class Choice:
    """The backend to use, and a sentence for the user that says which and why."""

    backend: Backend
    sentence: str


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
        return Choice(_PLACES[name], f"Backend: local, {BACKENDS[name]}.")
    obstacle = available()
    if obstacle is None:
        return Choice(_PLACES["lab"], f"Backend: lab, {BACKENDS['lab'].partition(';')[0]}.")
    if name == AUTO:
        return Choice(_PLACES["local"], f"Backend: local, since the lab does not work: {obstacle}.")
    raise CapabilityError(f"the lab does not work here: {obstacle}")


def missing(needed: Iterable[Capability], backend: Backend) -> Mapping[Capability, tuple[str, ...]]:
    """Return what `backend` lacks of `needed`, and the names of the backends that have each."""
    return {
        capability: tuple(
            other.name for other in _PLACES.values() if capability in other.capabilities
        )
        for capability in needed
        if capability not in backend.capabilities
    }


def require(needed: Iterable[Capability], backend: Backend) -> None:
    """Raise CapabilityError when `backend` lacks some, or this machine does for it.

    The message names the backends that would do. Call it before threads exist: what
    shapes links may have to be tried.
    """
    needed = frozenset(needed)
    lacking = missing(needed, backend)
    if lacking:
        reasons = known_lacks() if backend.name == "lab" else {}
        problems = (
            f"backend {backend.name} cannot {capability}"
            f"{_because(reasons.get(capability))}; {_who(names)}"
            for capability, names in lacking.items()
        )
        raise CapabilityError("\n".join(problems))
    if backend.name == "lab":
        for capability in sorted(needed & SHAPING):
            if (why := shaping().lacks(capability)) is not None:
                raise CapabilityError(f"the lab cannot {capability} here: {why}")


def _because(reason: str | None) -> str:
    return "" if reason is None else f" here ({reason})"


def _who(names: tuple[str, ...]) -> str:
    if not names:
        return "no backend can"
    return f"{' and '.join(names)} can: --backend {names[0]}"
