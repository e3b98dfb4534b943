"""Where a server keeps which part of its JetStream data, as releases 2.10 to 2.15 do.

Below the store directory there is, in a folder ``jetstream``:

    ACCOUNT/streams/STREAM/meta.inf               how the stream is set up
    ACCOUNT/streams/STREAM/msgs/N.blk, index.db   its messages, block by block, and their index
    ACCOUNT/streams/STREAM/obs/CONSUMER/o.dat     what a consumer has delivered and acknowledged
    $SYS/_js_/_meta_/msgs/N.blk, snapshots/       the Raft log and snapshot of all streams there are
    $SYS/_js_/S-*/msgs/N.blk, snapshots/          the same of one replicated stream

Indexes, and snapshots of a stream, are written by a clean stop and else only now and then. The
snapshot of all streams is there as soon as a cluster has formed, and then names none; it is
written anew by a clean stop, as a rule, by a server that comes to lead, and once a minute.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

Part = Literal[
    "stream-block",
    "stream-index",
    "stream-meta",
    "consumer-state",
    "stream-snapshot",
    "stream-log",
    "meta-snapshot",
    "meta-log",
]
Block = int | Literal["first", "middle", "last", "all"]

ROOT = "jetstream"
SYSTEM = "$SYS"
RAFT = "_js_"
META = "_meta_"
INDEX = "index.db"
OF_STREAMS: frozenset[Part] = frozenset(
    {
        "stream-block",
        "stream-index",
        "stream-meta",
        "consumer-state",
        "stream-snapshot",
        "stream-log",
    }
)
IN_BLOCKS: frozenset[Part] = frozenset({"stream-block", "stream-log", "meta-log"})
BY_RAFT_GROUP: frozenset[Part] = frozenset({"stream-snapshot", "stream-log"})
_BELOW: Mapping[Part, str] = MappingProxyType(
    {
        "stream-block": "msgs/*.blk",
        "stream-index": f"msgs/{INDEX}",
        "stream-meta": "meta.inf",
        "stream-snapshot": "snapshots/snap.*",
        "stream-log": "msgs/*.blk",
        "meta-snapshot": "snapshots/snap.*",
        "meta-log": "msgs/*.blk",
    }
)


def find(
    store: Path,
    part: Part,
    *,
    stream: str | None = None,
    consumer: str | None = None,
    groups: frozenset[str] | None = None,
    block: Block = "all",
) -> tuple[Path, ...]:
    """Return the files of a part, in a fixed order; none where there are none.

    Args:
        store: the store directory of one server.
        part: which files.
        stream: of which stream, by its name; of all if None.
        consumer: of which consumer; of all if None.
        groups: of which streams' Raft groups, since their folders are named by these and
            not by streams; of all if None.
        block: which of the blocks in each folder, where the part has blocks: by what its
            file is called (7 is ``7.blk``) or by its place among the others.
    """
    found: list[Path] = []
    for folder in _folders(store, part, stream, groups):
        name = "*" if consumer is None else glob.escape(consumer)
        pattern = f"obs/{name}/o.dat" if part == "consumer-state" else _BELOW[part]
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
        found += _pick(files, block) if part in IN_BLOCKS else files
    return tuple(found)


def index_of(path: Path) -> Path:
    """Return where the index of a block lies; with it, a server need not read the block."""
    return path.parent / INDEX


def names_no_stream(snapshot: Path) -> bool:
    """Tell whether a snapshot of all streams holds none of them.

    There are a term and an index (8 bytes each), the peers with their length (4 bytes) before
    them, the streams, if any, and a checksum (8 bytes); nats-server, server/raft.go.
    """
    content = snapshot.read_bytes()
    peers = int.from_bytes(content[16:20], "little")
    return len(content) == 20 + peers + 8


def shown(store: Path, path: Path) -> str:
    """Return how a file of the store is named to people."""
    return str(path.relative_to(store / ROOT))


def _folders(
    store: Path, part: Part, stream: str | None, groups: frozenset[str] | None
) -> Iterator[Path]:
    root = store / ROOT
    raft = root / SYSTEM / RAFT
    if part in ("meta-snapshot", "meta-log"):
        yield raft / META
    elif part in BY_RAFT_GROUP:
        folders = sorted(raft.glob("S-*"))
        yield from (one for one in folders if groups is None or one.name in groups)
    else:
        folders = sorted(root.glob("*/streams/*"))
        yield from (one for one in folders if stream is None or one.name == stream)


def _pick(files: list[Path], block: Block) -> list[Path]:
    """Return the wanted ones of a folder's blocks, in the order of their numbers."""
    numbered = sorted(
        (int(path.stem), path) for path in files if path.stem.isascii() and path.stem.isdigit()
    )
    blocks = [path for _, path in numbered]
    if not blocks or block == "all":
        return blocks
    if isinstance(block, int):
        return [path for number, path in numbered if number == block]
    place = {"first": 0, "middle": (len(blocks) - 1) // 2, "last": len(blocks) - 1}[block]
    return [blocks[place]]
