"""The few nf_tables objects that cuts and refusals are made of (linux/netfilter/nf_tables.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from harness.backends.lab.netlink import (
    ACK,
    APPEND,
    CREATE,
    REQUEST,
    Message,
    Netlink,
    attribute,
    nested,
    number,
    text,
)

FAMILY_IPV4, FAMILY_BRIDGE = 2, 7
INPUT, FORWARD = 1, 2  # hooks, the same in both families
META_PROTOCOL, META_INPUT_NAME, META_OUTPUT_NAME, META_L4 = 1, 6, 7, 16
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
VERDICT, FIRST, SECOND = 0, 1, 2  # registers of 16 bytes

_SUBSYSTEM = 10 << 8
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 2, 3, 6
_NEW_SET, _NEW_ELEMENTS, _DELETE_ELEMENTS = 9, 12, 14
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_OWNER = 2  # NFT_TABLE_F_OWNER
_RESET = 1  # NFT_REJECT_TCP_RST
_ELEMENTS_A_MESSAGE = 400  # a list of elements is an attribute and holds 64 KiB at most


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def read_meta(key: int, register: int) -> bytes:
    """Put a fact about the packet into a register."""
    return _expression("meta", number(2, key), number(1, register))


def read_payload(header: int, offset: int, length: int, register: int) -> bytes:
    """Put bytes of a header into a register."""
    where = (number(2, header), number(3, offset), number(4, length))
    return _expression("payload", number(1, register), *where)


def mask(register: int, bits: bytes) -> bytes:
    """Keep only some bits of a register."""
    registers = (number(1, register), number(2, register), number(3, len(bits)))
    nothing = nested(5, attribute(1, bytes(len(bits))))
    return _expression("bitwise", *registers, nested(4, attribute(1, bits)), nothing)


def equals(register: int, value: bytes) -> bytes:
    """Go on only if a register holds `value`."""
    return _expression("cmp", number(1, register), number(2, 0), nested(3, attribute(1, value)))


def is_in(set_name: str, register: int) -> bytes:
    """Go on only if what begins at a register is an element of the set."""
    return _expression("lookup", text(1, set_name), number(2, register), number(4, 1))


def drop() -> bytes:
    """Drop the packet, silently."""
    return _expression("immediate", number(1, VERDICT), nested(2, nested(2, number(1, 0))))


def reject_by_reset() -> bytes:
    """Answer the packet by a TCP reset and drop it."""
    return _expression("reject", number(1, _RESET), attribute(2, b"\0"))


@dataclass(frozen=True)
class Table:
    """A table with one set, and one chain with one rule that looks into it.

    Attributes:
        family: of addresses or of the bridge.
        name: of the table; the set is called ``pairs``.
        hook: where the chain hangs.
        key_bytes: the size of the set's keys; each part takes a register of 16 bytes.
        rule: the expressions of the rule.
        owned: whether the kernel takes it away when the socket that made it is closed,
            even by a SIGKILL (NFT_TABLE_F_OWNER, Linux 5.12).
    """

    family: int
    name: str
    hook: int
    key_bytes: int
    rule: tuple[bytes, ...]
    owned: bool = False

    def create(self, netlink: Netlink) -> None:
        """Make the table; OSError where the kernel lacks a part of it."""
        table = text(1, self.name)
        own_set = number(3, 0) + number(4, 0) + number(5, self.key_bytes) + number(10, 1)
        hook = nested(4, number(1, self.hook), number(2, 0))
        _commit(
            netlink,
            self._message(_NEW_TABLE, CREATE, table + number(2, _OWNER if self.owned else 0)),
            self._message(_NEW_SET, CREATE, table + text(2, SET) + own_set),
            self._message(_NEW_CHAIN, CREATE, table + text(3, "links") + hook + text(7, "filter")),
            self._message(
                _NEW_RULE,
                CREATE | APPEND,
                table + text(2, "links") + nested(4, *self.rule),
            ),
        )

    def delete(self, netlink: Netlink) -> None:
        """Take the table away with all that is in it."""
        _commit(netlink, self._message(_DELETE_TABLE, 0, text(1, self.name)))

    def change(self, netlink: Netlink, add: Sequence[bytes], remove: Sequence[bytes]) -> None:
        """Add and remove keys of the set, all at one instant or none; OSError when refused."""
        messages = [self._elements(_NEW_ELEMENTS, CREATE, part) for part in _parts(add)]
        messages += [self._elements(_DELETE_ELEMENTS, 0, part) for part in _parts(remove)]
        if messages:
            _commit(netlink, *messages)

    def _elements(self, kind: int, flags: int, keys: Sequence[bytes]) -> Message:
        listed = (nested(1, nested(1, attribute(1, key))) for key in keys)
        body = text(1, self.name) + text(2, SET) + nested(3, *listed)
        return self._message(kind, flags, body)

    def _message(self, kind: int, flags: int, body: bytes) -> Message:
        header = struct.pack(">BBH", self.family, 0, 0)
        return Message(_SUBSYSTEM | kind, REQUEST | ACK | flags, header + body)


SET = "pairs"


def _parts(keys: Sequence[bytes]) -> Iterator[list[bytes]]:
    left = iter(keys)
    while part := list(islice(left, _ELEMENTS_A_MESSAGE)):
        yield part


def _commit(netlink: Netlink, *messages: Message) -> None:
    header = struct.pack(">BBH", 0, 0, _SUBSYSTEM >> 8)
    begin, end = (Message(kind, REQUEST, header) for kind in (_BATCH_BEGIN, _BATCH_END))
    netlink.commit([begin, *messages, end])
