"""Enter the lab: one user, pid, mount and network namespace for the whole run.

Four processes stand in a line. The *outside* one stays where the user is: it waits,
passes signals on and returns the exit code. The *door* makes the namespaces. The *init*
is process 1 of the new pid namespace: it reaps orphans, and when it ends the kernel
kills all that is left inside. The *inside* one runs `main`. Each of the first three takes
the next one with it when it dies, so SIGKILL of any leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from harness.backends.lab import namespaces as ns
from harness.errors import CapabilityError

EXIT_SIGNALLED = 128
EXIT_BROKEN = 70  # of a process in the line that could not do its part
CAP_NET_ADMIN = 12
CAP_SYS_ADMIN = 21

_WATCHED = frozenset((signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD))
_Mask = set[int | signal.Signals]
_READY = b"ready"
_inside = False


def inside_lab() -> bool:
    """Tell whether this process runs inside the lab."""
    return _inside


def run_in_lab(main: Callable[[], int], *, heed_signals: bool = True) -> int:
    """Run `main` inside a new lab and return its exit code, 128 + N for signal N.

    Ctrl-C reaches the inside once: it is in a process group of its own, and SIGINT and
    SIGTERM are passed on to it. With `heed_signals` false they wait until it is over,
    and then come to the caller: for an attempt that is short.

    Raises:
        CapabilityError: the kernel does not allow the namespaces; says at which step.
        RuntimeError: called too late, when there are threads already.
    """
    if (threads := len(list(Path("/proc/self/task").iterdir()))) != 1:
        raise RuntimeError(f"the lab must be entered before threads exist; there are {threads}")
    sys.stdout.flush()
    sys.stderr.flush()
    report, told = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        door, lifeline = _fork_tied(lambda: _be_door(main, told, mask))
        os.close(told)
        with os.fdopen(report, "rb") as reader:
            said = reader.read()
        status = _attend(door) if heed_signals else os.waitpid(door, 0)[1]
        os.close(lifeline)
    finally:
        signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if said != _READY:
        raise CapabilityError(said.decode(errors="replace") or "the lab ended while it was made")
    return _exit_code(status)


def privileged() -> bool:
    """Tell whether namespaces can be made without a user namespace around them."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            wanted = 1 << CAP_SYS_ADMIN | 1 << CAP_NET_ADMIN
            return os.geteuid() == 0 and held & wanted == wanted
    return False


def _be_door(main: Callable[[], int], told: int, mask: _Mask) -> int:
    os.setpgid(0, 0)
    try:
        _make_namespaces()
    except OSError as error:
        os.write(told, _step(error).encode())
        return EXIT_BROKEN
    init, lifeline = _fork_tied(lambda: _be_init(main, told, mask))
    os.close(told)
    status = _attend(init)
    os.close(lifeline)
    return _exit_code(status)


def _make_namespaces() -> None:
    flags = ns.CLONE_NEWNS | ns.CLONE_NEWNET | ns.CLONE_NEWPID
    if privileged():
        ns.unshare(flags)
        return
    uid, gid = os.geteuid(), os.getegid()
    ns.unshare(flags | ns.CLONE_NEWUSER)
    # Without setgroups denied an unprivileged process may not map a group (user_namespaces(7)).
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def _be_init(main: Callable[[], int], told: int, mask: _Mask) -> int:
    try:
        # Else the mounts below would show outside as well.
        ns.mount("none", "/", None, ns.MS_REC | ns.MS_PRIVATE)
        ns.mount("proc", "/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
    except OSError as error:
        os.write(told, _step(error).encode())
        return EXIT_BROKEN
    os.write(told, _READY)
    os.close(told)
    child = os.fork()
    if child == 0:
        _leave(lambda: _be_inside(main, mask))
    return _exit_code(_attend(child))


def _be_inside(main: Callable[[], int], mask: _Mask) -> int:
    global _inside  # noqa: PLW0603 - a fact about this process
    _inside = True
    # What came meanwhile goes to the handlers that the caller had.
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return main()


def _step(error: OSError) -> str:
    return f"{error.filename or 'a system call'}: {error.strerror}"


def _fork_tied(act: Callable[[], int]) -> tuple[int, int]:
    """Fork a child that runs `act` and dies with this process.

    Returns:
        The child's pid, and the lifeline: a descriptor to keep open while it may live.
    """
    end, lifeline = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(lifeline)
        ns.set_parent_death_signal(signal.SIGKILL)
        # Between fork and prctl the parent may have died: then its end of the pipe is closed.
        poll = select.poll()
        poll.register(end, select.POLLIN)
        if poll.poll(0):
            os._exit(EXIT_BROKEN)
        _leave(act)
    os.close(end)
    return child, lifeline


def _leave(act: Callable[[], int]) -> NoReturn:
    """Run `act` as the whole of this process: nothing of the parent's is run at the end."""
    code = EXIT_BROKEN
    try:
        code = act()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        code = EXIT_SIGNALLED + signal.SIGINT
    except BaseException:  # noqa: BLE001 - there is no caller left to raise it to
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _attend(child: int) -> int:
    """Pass signals on to `child` until it ends, reap whatever else ends; return its status.

    The signals are blocked and taken by sigwait: a handler could be left unrun by a
    signal that comes just before a blocking call, and Ctrl-C would be lost.
    """
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            return status
        if pid == 0 and (number := signal.sigwait(_WATCHED)) != signal.SIGCHLD:
            os.kill(child, number)  # not reaped yet, so the pid is its own


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else EXIT_SIGNALLED - code
