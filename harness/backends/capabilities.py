"""What backends allow, in sets that several of them share."""

from __future__ import annotations

from harness.cluster.protocols import Capability

SIGNALS = frozenset((Capability.STOP, Capability.KILL, Capability.PAUSE, Capability.LAME_DUCK))
ASKED = frozenset((Capability.JETSTREAM,))  # what needs clients only
TRIED = frozenset((Capability.CLOCK_SKEW, Capability.CPU_LIMIT))  # where the machine lets us
OWNED = frozenset((Capability.STORE, Capability.RELEASE))  # of files and programs that are ours
CAPABILITIES = SIGNALS | ASKED | TRIED | OWNED
STORAGE = frozenset(  # of servers that are our children
    (Capability.DISK, Capability.DEVICE, Capability.ROLLBACK)
)
SHAPING = frozenset((Capability.SHAPE, Capability.BANDWIDTH))
