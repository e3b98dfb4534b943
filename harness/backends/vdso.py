"""Skew the wall clock of one process by changing its private copy of the vDSO.

A Go program reads clocks by the vDSO's `__vdso_clock_gettime` (runtime/vdso_linux_amd64.go)
and never by a system call where there is a vDSO; `gettimeofday` is there for those who use
it. Both are led by a jump, put over their first five bytes, to code that we place into the
unused end of the vDSO: it asks the kernel and adds the skew to wall clocks alone. The rest
of the functions stays as it was, so that a thread in the middle of one ends it undisturbed.
Pages of the vDSO are copied on the first write through /proc/PID/mem (proc(5), vdso(7)), so
that no other process sees the change. Only for x86-64.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import FaultError

ENTRIES = ("__vdso_clock_gettime", "__vdso_gettimeofday")
MACHINE = "x86_64"
JUMP_BYTES = 5
ALIGNMENT = 16
NS_PER_S = 1_000_000_000
_CLOCK_GETTIME, _GETTIMEOFDAY = 228, 96
_WALL_CLOCKS = (0, 5, 11)  # CLOCK_REALTIME, its coarse sister, and CLOCK_TAI
_ELF64 = b"\x7fELF\x02\x01"
_SECTIONS_AT, _SECTION_SIZES_AT = 0x28, 0x3A
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNSYM = 11


class BusyError(FaultError):
    """Say that a thread is just where the code is to be changed: let it go on, then try again."""


@dataclass(frozen=True)
class Image:
    """The vDSO of a process: where it is mapped, and what it holds."""

    start: int
    content: bytes

    def entries(self) -> Mapping[str, int]:
        """Return the offset of each function that is to be led elsewhere.

        Raises:
            FaultError: this is no vDSO of the known kind.
        """
        found = {name: value for name, value in self._symbols() if name in ENTRIES}
        if ENTRIES[0] not in found:
            raise FaultError(f"the vDSO has no {ENTRIES[0]}")
        return found

    def room(self) -> int:
        """Return the offset from which on nothing is used, to the end of the mapping."""
        used = max(len(self.content.rstrip(b"\0")), self._sections_end())
        return -(-used // ALIGNMENT) * ALIGNMENT

    def _sections(self) -> list[tuple[int, ...]]:
        if not self.content.startswith(_ELF64):
            raise FaultError("the vDSO is no 64-bit ELF image")
        (at,) = struct.unpack_from("<Q", self.content, _SECTIONS_AT)
        size, count = struct.unpack_from("<HH", self.content, _SECTION_SIZES_AT)
        return [_SECTION.unpack_from(self.content, at + index * size) for index in range(count)]

    def _sections_end(self) -> int:
        (at,) = struct.unpack_from("<Q", self.content, _SECTIONS_AT)
        size, count = struct.unpack_from("<HH", self.content, _SECTION_SIZES_AT)
        return int(at + size * count)

    def _symbols(self) -> Iterator[tuple[str, int]]:
        try:
            sections = self._sections()
            for section in sections:
                if section[1] != _DYNSYM:
                    continue
                names = sections[section[6]][4]
                for at in range(section[4], section[4] + section[5], _SYMBOL.size):
                    name, _, _, _, value, _ = _SYMBOL.unpack_from(self.content, at)
                    end = self.content.index(b"\0", names + name)
                    yield self.content[names + name : end].decode("ascii"), value
        except (struct.error, ValueError, IndexError) as error:
            raise FaultError(f"the vDSO cannot be read: {error}") from error


@dataclass(frozen=True)
class Skew:
    """A skew that a process was given: the first bytes of each function, as they were."""

    originals: Mapping[int, bytes] = field(default_factory=dict)


def require_machine() -> None:
    """Raise FaultError where this cannot work, whatever the process."""
    if platform.machine() != MACHINE:
        raise FaultError(f"only known for {MACHINE}, and this is {platform.machine()}")


def skew(pid: int, skew_s: float) -> Skew:
    """Make the wall clock of a stopped process run ahead by `skew_s` seconds, behind if negative.

    Raises:
        BusyError: a thread is in the first bytes of a function; nothing was changed.
        FaultError: it cannot be done.
    """
    require_machine()
    image = read_image(pid)
    entries = image.entries()
    skew_ns = round(skew_s * NS_PER_S)
    codes = {name: _CODES[name](skew_ns) for name in entries}
    places, room = {}, image.room()
    for name, code in codes.items():
        known = image.content.find(code)  # of an earlier skew by just as much
        if known < 0:
            known, room = room, -(-(room + len(code)) // ALIGNMENT) * ALIGNMENT
        places[name] = known
    if room > len(image.content):
        raise FaultError("the vDSO has no room left for another skew")
    jumps = {
        image.start + at: b"\xe9" + struct.pack("<i", places[name] - at - JUMP_BYTES)
        for name, at in entries.items()
    }
    _require_idle(pid, jumps)
    originals = {at: _bytes_at(image, at) for at in jumps}
    for name, code in codes.items():
        _write(pid, image.start + places[name], code)
    for at, jump in jumps.items():
        _write(pid, at, jump)
    return Skew(originals)


def restore(pid: int, given: Skew) -> None:
    """Put back what a stopped process had before it was given a skew.

    The code that added the skew stays where nobody comes any more: a thread may be in it.

    Raises:
        BusyError: a thread is in the first bytes of a function; nothing was changed.
        FaultError: it cannot be done.
    """
    _require_idle(pid, given.originals)
    for at, original in given.originals.items():
        _write(pid, at, original)


def read_image(pid: int) -> Image:
    """Return the vDSO of a process; FaultError when there is none, or it cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
        for line in lines:
            if line.endswith("[vdso]"):
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
                    return Image(start, os.pread(memory.fileno(), end - start, start))
    except OSError as error:
        raise FaultError(f"the memory of {pid} cannot be read: {error.strerror}") from error
    raise FaultError("it has no vDSO")


def _bytes_at(image: Image, address: int) -> bytes:
    at = address - image.start
    return image.content[at : at + JUMP_BYTES]


def _write(pid: int, address: int, content: bytes) -> None:
    try:
        with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
            written = os.pwrite(memory.fileno(), content, address)
            found = os.pread(memory.fileno(), len(content), address)
    except OSError as error:
        raise FaultError(f"the memory of {pid} cannot be written: {error.strerror}") from error
    if written != len(content) or found != content:
        raise FaultError(f"the memory of {pid} did not take what was written")


def _require_idle(pid: int, jumps: Mapping[int, bytes]) -> None:
    """Raise BusyError when a thread has begun, and not ended, what the jumps are to replace."""
    for task in _tasks(pid):
        at = _instruction(pid, task)
        if any(start < at < start + JUMP_BYTES for start in jumps):
            raise BusyError(f"thread {task} of {pid} is at the clock just now")


def _tasks(pid: int) -> list[str]:
    try:
        return [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError as error:
        raise FaultError(f"the threads of {pid} cannot be listed: {error.strerror}") from error


def _instruction(pid: int, task: str) -> int:
    """Return where a stopped thread will go on (proc(5), /proc/pid/syscall)."""
    try:
        said = Path(f"/proc/{pid}/task/{task}/syscall").read_text(encoding="ascii").split()
    except OSError as error:
        raise FaultError(f"thread {task} of {pid} cannot be seen: {error.strerror}") from error
    if len(said) < 3:  # noqa: PLR2004 - "running" alone, else at least three numbers
        raise BusyError(f"thread {task} of {pid} still runs")
    return int(said[-1], 16)


def _clock_gettime_code(skew_ns: int) -> bytes:
    """Return code for clock_gettime(edi: clock, rsi: {seconds, ns}) that adds the skew.

    Ask the kernel; on an error, or when it is no wall clock, return what it said. Else add
    whole seconds and ns, and carry.
    """
    seconds, ns = divmod(skew_ns, NS_PER_S)
    add = (
        b"\x48\xb9" + struct.pack("<q", seconds)  # mov rcx, seconds
        + b"\x48\x01\x0e"  # add [rsi], rcx
        + b"\x48\x8b\x4e\x08"  # mov rcx, [rsi+8]
        + b"\x48\x81\xc1" + struct.pack("<i", ns)  # add rcx, ns
        + b"\x48\x81\xf9" + struct.pack("<i", NS_PER_S)  # cmp rcx, a second
        + b"\x7c\x0a"  # jl over the carry
        + b"\x48\x81\xe9" + struct.pack("<i", NS_PER_S)  # sub rcx, a second
        + b"\x48\xff\x06"  # inc qword [rsi]
        + b"\x48\x89\x4e\x08"  # mov [rsi+8], rcx
        + b"\xc3"  # ret
    )  # fmt: skip
    return _after_call(_CLOCK_GETTIME, _choose_clock() + b"\xc3", add)


def _choose_clock() -> bytes:
    """Return code that skips one byte, the return, when edi is a wall clock."""
    tests = [b"\x83\xff" + bytes([clock]) for clock in _WALL_CLOCKS]  # cmp edi, clock
    chosen = b""
    for place, test in enumerate(tests):
        left = (len(tests) - 1 - place) * 5
        chosen += test + b"\x74" + bytes([left + 1])  # je over what is left, and the return
    return chosen


def _gettimeofday_code(skew_ns: int) -> bytes:
    """Return code for gettimeofday(rdi: {seconds, us} or null) that adds the skew."""
    seconds, ns = divmod(skew_ns, NS_PER_S)
    second_us = NS_PER_S // 1000
    add = (
        b"\x48\xb9" + struct.pack("<q", seconds)  # mov rcx, seconds
        + b"\x48\x01\x0f"  # add [rdi], rcx
        + b"\x48\x8b\x4f\x08"  # mov rcx, [rdi+8]
        + b"\x48\x81\xc1" + struct.pack("<i", ns // 1000)  # add rcx, us
        + b"\x48\x81\xf9" + struct.pack("<i", second_us)  # cmp rcx, a second
        + b"\x7c\x0a"  # jl over the carry
        + b"\x48\x81\xe9" + struct.pack("<i", second_us)  # sub rcx, a second
        + b"\x48\xff\x07"  # inc qword [rdi]
        + b"\x48\x89\x4f\x08"  # mov [rdi+8], rcx
        + b"\xc3"  # ret
    )  # fmt: skip
    unless_null = b"\x48\x85\xff\x75\x01\xc3"  # test rdi, rdi; jnz over the return; ret
    return _after_call(_GETTIMEOFDAY, unless_null, add)


def _after_call(number: int, choose: bytes, add: bytes) -> bytes:
    """Return code that makes the system call and goes on unless that failed."""
    call = b"\xb8" + struct.pack("<i", number) + b"\x0f\x05"  # mov eax, number; syscall
    unless_failed = b"\x48\x85\xc0\x74\x01\xc3"  # test rax, rax; jz over the return; ret
    return call + unless_failed + choose + add


_CODES = {ENTRIES[0]: _clock_gettime_code, ENTRIES[1]: _gettimeofday_code}
