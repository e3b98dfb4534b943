"""Calls that are refused or have to wait, and what becomes of them when nobody answers."""

from __future__ import annotations

import platform
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import eventually
from watched_disk import LIMIT_S, WatchedDisk, watched_disk

from harness.backends.disk import calls
from harness.backends.disk.calls import RETURN_ALLOW, RETURN_NOTIFY, this_machine
from harness.backends.disk.holder import interposed
from harness.errors import FaultError

TELL = """
def tell(what, act):
    try:
        act()
        print(what, 'done')
    except OSError as error:
        print(what, error.strerror)
"""
WANT_ROOM = TELL + (
    "f = os.open(path('a'), os.O_RDWR)\n"
    "tell('extend', lambda: os.pwrite(f, b'xyz', 2))\n"
    "tell('overwrite', lambda: os.pwrite(f, b'xyz', 0))\n"
    "tell('create', lambda: make('b'))\n"
    "tell('open', lambda: make('a'))\n"
    "tell('folder', lambda: os.mkdir(path('c')))\n"
    "tell('elsewhere', lambda: os.mkdir(path('../' + sys.argv[2])))\n"
    "tell('rename', lambda: os.rename(path('a'), path('d')))\n"
    "tell('remove', lambda: os.unlink(path('d')))\n"
    "tell('sync', lambda: os.fsync(f))\n"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[WatchedDisk]:
    with watched_disk(tmp_path) as disk:
        yield disk


def want_room(disk: WatchedDisk, name: str) -> list[str]:
    return disk.run(WANT_ROOM.replace("sys.argv[2]", repr(name))).splitlines()


def test_a_full_disk_refuses_what_takes_room_and_nothing_else(disk: WatchedDisk) -> None:
    (disk.store / "a").write_bytes(b"123")
    disk.order("fill", on=True)
    full = "No space left on device"
    assert want_room(disk, "x") == [
        f"extend {full}",
        "overwrite done",
        f"create {full}",
        "open done",
        f"folder {full}",
        "elsewhere done",
        "rename done",
        "remove done",
        "sync done",
    ]
    assert disk.order("look")["refused"] == 3
    assert list(disk.store.iterdir()) == []


def test_a_disk_with_room_again_refuses_nothing(disk: WatchedDisk) -> None:
    disk.order("fill", on=True)
    disk.order("fill", on=False)
    (disk.store / "a").write_bytes(b"123")
    assert all(line.endswith("done") for line in want_room(disk, "y"))
    assert disk.order("look")["refused"] == 0


TIMED = """
import time
f = make('a')
def timed(what, act):
    began = time.monotonic()
    act()
    print(what, time.monotonic() - began)
timed('write', lambda: os.pwrite(f, b'one', 0))
timed('sync', lambda: os.fsync(f))
timed('open', lambda: make('b', os.O_SYNC))
timed('close', lambda: os.close(make('c')))
"""


@pytest.mark.parametrize(
    ("kinds", "slow"), [(["syncs"], {"sync", "open"}), (["writes"], {"write"}), ([], set())]
)
def test_a_slow_disk_delays_the_calls_it_should(
    kinds: list[str], slow: set[str], disk: WatchedDisk
) -> None:
    disk.order("slow", delay_s=0.3, calls=kinds)
    took = dict(line.split() for line in disk.run(TIMED).splitlines())
    assert {what for what, took_s in took.items() if float(took_s) >= 0.3} == slow
    told = disk.order("look")
    assert told["delayed"] == len(slow)
    assert (told["median_delay_s"] or 0.0) >= (0.3 if slow else 0.0)


def test_calls_of_several_threads_wait_side_by_side(disk: WatchedDisk) -> None:
    disk.order("slow", delay_s=0.5, calls=["syncs"])
    said = disk.run(
        "import time\n"
        "began = time.monotonic()\n"
        "def work(number): os.fsync(make(str(number)))\n"
        "threads = [threading.Thread(target=work, args=(one,)) for one in range(20)]\n"
        "[one.start() for one in threads]; [one.join() for one in threads]\n"
        "print(time.monotonic() - began)"
    )
    assert 0.5 <= float(said) < 20 * 0.5
    assert disk.order("look")["delayed"] == 20


def test_what_waits_goes_on_at_once_when_the_disk_is_quick_again(disk: WatchedDisk) -> None:
    disk.order("slow", delay_s=1000.0, calls=["syncs"])
    with disk.start("f = make('a'); os.fsync(f); print('synced')") as process:
        assert eventually(lambda: disk.order("look")["delayed"] == 1)
        disk.order("slow", delay_s=0.0, calls=[])
        assert process.communicate(timeout=LIMIT_S)[0] == "synced\n"


def test_no_call_waits_when_nobody_is_left_to_answer(disk: WatchedDisk) -> None:
    disk.order("slow", delay_s=1000.0, calls=["syncs"])
    code = (
        TELL + "f = make('a'); tell('sync', lambda: os.fsync(f)); tell('more', lambda: make('b'))"
    )
    with disk.start(code) as process:
        assert eventually(lambda: disk.order("look")["delayed"] == 1)
        disk.holder.kill()
        said = process.communicate(timeout=LIMIT_S)[0]
    assert said == "sync Function not implemented\nmore Function not implemented\n"


def test_what_answers_ends_with_the_one_that_gives_orders(disk: WatchedDisk) -> None:
    disk.order("look")
    disk.orders.close()
    assert disk.holder.wait(LIMIT_S) == 0


def test_nothing_is_set_back_while_calls_still_come(disk: WatchedDisk) -> None:
    code = "import time\nmake('a'); print('made', flush=True); time.sleep(600)"
    with disk.start(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        assert disk.order("lose") == {"turn": None, "error": "its calls still come"}
        process.kill()
    assert disk.order("lose")["files"] == 1


def run_program(program: bytes, *, machine: int, number: int, arguments: tuple[int, ...]) -> int:
    """Do what the kernel does with a filter."""
    data = struct.pack("=iIQ6Q", number, machine, 0, *arguments, *[0] * (6 - len(arguments)))
    steps = list(struct.iter_unpack("=HBBI", program))
    value, at = 0, 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        if code == calls.LOAD:
            (value,) = struct.unpack_from("=I", data, operand)
        elif code == calls.EQUAL:
            at += yes if value == operand else no
        elif code == calls.ANY_BIT:
            at += yes if value & operand else no
        else:
            assert code == calls.RETURN
            return operand


@pytest.mark.parametrize("name", ["x86_64", "aarch64"])
def test_the_filter_reports_what_changes_files_and_lets_all_else_pass(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: name)
    machine = this_machine()
    program = machine.program()
    opens = {machine.numbers[one] for one in ("open", "openat") if one in machine.numbers}

    def verdict(number: int, *arguments: int, audit: int = machine.audit) -> int:
        return run_program(program, machine=audit, number=number, arguments=arguments)

    for number in range(500):
        reported = number in set(machine.numbers.values()) - opens
        assert verdict(number) == (RETURN_NOTIFY if reported else RETURN_ALLOW), number
        assert verdict(number, audit=1) == RETURN_ALLOW
    for number in opens:
        place = machine.shapes[number].value
        for flags, reported in ((0, False), (0o2000000, False), (1, True), (2, True), (0x40, True)):
            arguments = [0] * 6
            arguments[place] = flags
            assert verdict(number, *arguments) == (RETURN_NOTIFY if reported else RETURN_ALLOW)


def test_a_machine_whose_calls_are_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(FaultError, match="Linux on x86_64 and aarch64, and this is riscv64"):
        this_machine()


def test_a_program_that_does_not_exist_says_so(disk: WatchedDisk) -> None:
    argv = interposed(["/nowhere/at-all"], disk.holder.pid)
    done = subprocess.run(
        argv, stdin=disk.intake.fileno(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 127
    assert "/nowhere/at-all cannot be started under a filter" in done.stderr
