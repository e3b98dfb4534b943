"""Start a program that dies with the process that asked for it, even on SIGKILL.

Run as ``python -I -S leash.py PARENT_PID -- ARGV...``; it replaces itself by ARGV. It is
a script and imports little, so that it costs milliseconds. The kernel ends the program
when the *thread* that spawned this ends (prctl(2), PR_SET_PDEATHSIG): spawn it from the
main thread.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_CANNOT_START = 127


def main(argv: list[str]) -> int:
    """Tie this process to its parent and become the program; return only on failure."""
    parent, program = int(argv[1]), argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.stderr.write(f"prctl: {os.strerror(ctypes.get_errno())}\n")
        return EXIT_CANNOT_START
    if os.getppid() != parent:  # it died before the tie was made
        return EXIT_CANNOT_START
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec keeps that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(program[0], program)  # noqa: S606 - becoming another program is the point
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
    return EXIT_CANNOT_START


if __name__ == "__main__":
    sys.exit(main(sys.argv))
