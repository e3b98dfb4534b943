"""Which files are which part of a store, as real servers leave it."""

from __future__ import annotations

import shutil
from pathlib import Path

import anyio
import pytest
from stored import filled_cluster

from harness.cluster.store import Block, Part, find, shown

LIMIT_S = 20.0


@pytest.fixture(scope="module", params=["2.10.25", "2.12.1", "bundled"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the store of a server that was stopped cleanly, with all that it keeps."""
    folder = tmp_path_factory.mktemp("store")
    kept = folder / "kept"

    async def fill_and_stop() -> None:
        async with filled_cluster(folder, version=request.param) as cluster:
            node = cluster.nodes["n2"]
            await node.stop(LIMIT_S)
            assert node.store is not None
            shutil.copytree(node.store, kept)

    anyio.run(fill_and_stop)
    return kept


@pytest.mark.parametrize(
    ("part", "ending"),
    [
        ("stream-index", "$G/streams/S/msgs/index.db"),
        ("stream-meta", "$G/streams/S/meta.inf"),
        ("consumer-state", "$G/streams/S/obs/C1/o.dat"),
    ],
)
def test_a_stream_has_files_under_its_name(store: Path, part: Part, ending: str) -> None:
    found = find(store, part, stream="S")
    assert [shown(store, path) for path in found] == [ending]
    assert find(store, part, stream="other") == ()


def test_blocks_are_picked_by_number_and_by_place(store: Path) -> None:
    blocks = find(store, "stream-block", stream="S")
    numbers = [int(path.stem) for path in blocks]
    assert len(blocks) > 2
    assert numbers == sorted(numbers)
    picked: tuple[tuple[Block, Path], ...] = (
        ("first", blocks[0]),
        ("last", blocks[-1]),
        ("middle", blocks[(len(blocks) - 1) // 2]),
        (numbers[1], blocks[1]),
    )
    for block, expected in picked:
        assert find(store, "stream-block", stream="S", block=block) == (expected,)
    assert find(store, "stream-block", stream="S", block=9999) == ()


def test_raft_logs_and_snapshots_are_of_the_cluster_or_of_a_stream(store: Path) -> None:
    for part in ("meta-snapshot", "meta-log"):
        for path in find(store, part):
            assert shown(store, path).startswith("$SYS/_js_/_meta_/")
    assert find(store, "meta-snapshot")
    assert find(store, "meta-log")
    logs = find(store, "stream-log")
    groups = {shown(store, path).split("/")[2] for path in logs}
    assert len(groups) == 2  # of S and of T, which are replicated
    one = min(groups)
    for path in find(store, "stream-log", groups=frozenset({one})):
        assert shown(store, path).startswith(f"$SYS/_js_/{one}/msgs/")
    assert find(store, "stream-snapshot")
    assert find(store, "stream-snapshot", groups=frozenset()) == ()


def test_consumers_are_told_apart_and_no_pattern_is_read_in_a_name(store: Path) -> None:
    assert len(find(store, "consumer-state", stream="S", consumer="C1")) == 1
    assert find(store, "consumer-state", stream="S", consumer="C[1]") == ()
    assert find(store, "consumer-state", stream="S", consumer="C2") == ()
