"""A node's container as it is to be made, and how it is asked to stop."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from harness.backends.docker.container import ContainerSpec
from harness.cluster.config import NodeConfig


@dataclass(frozen=True)
class Stopping:
    """The signal that asks a container to stop.

    Attributes:
        signal: which.
        grace_s: after which it is killed, as Docker does; None to leave it be.
    """

    signal: signal.Signals = signal.SIGTERM
    grace_s: float | None = None


@dataclass(frozen=True)
class Service:
    """A node's container, and the configuration that a report shows of it."""

    container: ContainerSpec
    config: NodeConfig
    stopping: Stopping = Stopping()


def read_signal(text: str) -> signal.Signals:
    """Return the signal that the Engine takes ``SIGUSR2``, ``USR2`` or ``12`` for.

    Raises:
        ValueError: there is none.
    """
    name = text.strip().upper()
    try:
        if name.isdigit():
            return signal.Signals(int(name))
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"]
    except (ValueError, KeyError):
        raise ValueError(f"expected a signal such as SIGTERM, found {text!r}") from None
