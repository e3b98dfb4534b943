"""What is left of files after a power loss: real processes, real files."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from synced import CASES
from watched_disk import WatchedDisk, watched_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[WatchedDisk]:
    with watched_disk(tmp_path) as disk:
        yield disk


@pytest.mark.parametrize("case", CASES)
def test_what_was_synced_survives_and_nothing_else(case: str, disk: WatchedDisk) -> None:
    code, left = CASES[case]
    disk.run(code)
    assert disk.lose() == left


def test_what_is_lost_is_counted(disk: WatchedDisk) -> None:
    disk.run(
        "f = make('a'); os.write(f, b'x' * 10_000); os.fsync(f); os.pwrite(f, b'y', 5000)\n"
        "os.write(f, b'z' * 100); g = make('b'); os.write(g, b'12345')"
    )
    told = disk.order("lose")
    assert (told["files"], told["dropped_bytes"]) == (2, 4096 + 100 + 5)
    told = disk.order("lose")
    assert (told["files"], told["dropped_bytes"]) == (0, 0)


def test_what_was_left_counts_as_synced_afterwards(disk: WatchedDisk) -> None:
    disk.run("f = make('a'); os.pwrite(f, b'one', 0); os.fsync(f); os.pwrite(f, b'two', 3)")
    assert disk.lose() == {"a": b"one"}
    disk.run("f = make('a'); os.pwrite(f, b'TWO', 3)")
    assert disk.lose() == {"a": b"one"}
    disk.run("f = make('a'); os.pwrite(f, b'TWO', 3); os.fsync(f)")
    assert disk.lose() == {"a": b"oneTWO"}


def test_the_death_of_a_process_alone_loses_nothing(disk: WatchedDisk) -> None:
    disk.run("f = make('a'); os.pwrite(f, b'one', 0)")
    disk.run("f = make('a'); os.pwrite(f, b'two', 3); os.fsync(f)")
    assert disk.lose() == {"a": b"onetwo"}


def test_a_store_that_was_replaced_counts_as_synced(disk: WatchedDisk) -> None:
    disk.run("f = make('a'); os.pwrite(f, b'one', 0); os.fsync(f)")
    (disk.store / "a").unlink()
    (disk.store / "b").write_bytes(b"two")
    disk.order("rebase")
    assert disk.lose() == {"b": b"two"}


RANDOM = """
import json, random
dice = random.Random(int(sys.argv[2]))
now, named, kept, files = {}, {}, {}, {}  # name to number, and what is synced of both
numbers = iter(range(10_000))
for _ in range(150):
    name, do = dice.choice('abcde'), dice.choice('wwwwsosrutnp')
    if do == 'w' and name in now:
        n = now[name]
        at, size = dice.randrange(150_000), dice.randrange(1, 9000)
        data = bytes([dice.randrange(1, 256)]) * size
        f, content = files[n]
        os.pwrite(f, data, at)
        content.extend(bytes(max(0, at + len(data) - len(content))))
        content[at : at + len(data)] = data
    elif do == 's' and name in now:
        os.fsync(files[now[name]][0])
        kept[now[name]] = bytes(files[now[name]][1])
        named = dict(now)
    elif do == 'o' and name not in now:
        now[name] = n = next(numbers)
        files[n] = (make(name), bytearray())
    elif do == 'r' and name in now:
        other = dice.choice('abcde')
        if other != name:
            os.rename(path(name), path(other))
            now[other] = now.pop(name)
    elif do == 'u' and name in now:
        os.unlink(path(name))
        os.close(files[now.pop(name)][0])
    elif do == 't' and name in now:
        f, content = files[now[name]]
        size = dice.randrange(150_000)
        os.ftruncate(f, size)
        content[size:] = bytes(max(0, size - len(content)))
    elif do == 'n':
        sync_folder()
        named = dict(now)
    elif do == 'p' and name in now:
        f, content = files[now[name]]
        os.lseek(f, 0, os.SEEK_END)
        os.write(f, b'appended')
        content += b'appended'
print(json.dumps({name: kept.get(n, b'').hex() for name, n in named.items()}))
"""


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_process_does_what_is_left_is_what_it_knows_to_be_synced(
    seed: int, disk: WatchedDisk
) -> None:
    expected = json.loads(disk.run(RANDOM.replace("int(sys.argv[2])", str(seed))))
    assert {name: data.hex() for name, data in disk.lose().items()} == expected


THREADS = """
def work(number):
    f = make(str(number))
    for turn in range(10**6):
        os.pwrite(f, turn.to_bytes(4, 'big'), 4 * turn)
        if number % 2:
            os.fsync(f)
        else:
            os.fdatasync(f)
        os.write(1, f'{number} {turn}\\n'.encode())
def disturb():
    f = make('0')
    while True:
        os.fsync(f)
        os.unlink(path('gone')) if os.path.exists(path('gone')) else os.close(make('gone'))
for number in range(4):
    threading.Thread(target=work, args=(number,)).start()
threading.Thread(target=disturb).start()
"""


def test_what_threads_were_told_is_synced_survives_the_kill(disk: WatchedDisk) -> None:
    with disk.start(THREADS) as process:
        assert process.stdout is not None
        told: dict[str, int] = {}
        for line in process.stdout:
            number, turn = line.split()
            told[number] = int(turn)
            if sum(told.values()) > 2000 and process.poll() is None:
                process.send_signal(signal.SIGKILL)
    assert len(told) == 4
    left = disk.lose()
    for number, last in told.items():
        turns = [left[number][at : at + 4] for at in range(0, len(left[number]), 4)]
        wanted = [one.to_bytes(4, "big") for one in range(last + 1)]
        assert turns[: last + 1] == wanted
        assert len(turns) <= last + 3  # one that was synced but not told, one under way
