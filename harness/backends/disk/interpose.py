"""Become a program whose system calls that change files wait for an answer.

Run as ``python -I -S interpose.py SECCOMP PROGRAM HOLDER -- ARGV...`` with a socket as its
stdin: SECCOMP is the number of the system call seccomp, PROGRAM the filter in hexadecimal,
HOLDER the process that will answer. The listener goes over the socket to it; stdin is
then empty. The listener is closed by exec(3), so that only the holder has it: once that
has ended, the kernel answers each such call with ENOSYS instead of letting it wait.
"""

import ctypes
import os
import socket
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_PTRACER = 38, 0x59616D61
SET_MODE_FILTER, NEW_LISTENER, WAIT_KILLABLE = 1, 1 << 3, 1 << 5
EXIT_CANNOT_START = 127


class FilterProgram(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def install(libc: ctypes.CDLL, seccomp: int, program: bytes) -> int:
    """Put this process under the filter and return its listener; OSError when refused.

    With Linux 5.19 only a deadly signal ends a wait once it was noticed; before that any
    does, and the call is made again.
    """
    steps = ctypes.create_string_buffer(program, len(program))
    asked = FilterProgram(len(program) // 8, ctypes.addressof(steps))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for flags in (NEW_LISTENER | WAIT_KILLABLE, NEW_LISTENER):
        listener: int = libc.syscall(seccomp, SET_MODE_FILTER, flags, ctypes.byref(asked))
        if listener >= 0:
            return listener
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def main(argv: list[str]) -> int:
    """Install the filter, hand its listener over and become the program."""
    seccomp, program, holder = int(argv[1]), bytes.fromhex(argv[2]), int(argv[3])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    # Where Yama forbids it else, the holder may read which file a path names.
    libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(holder), 0, 0, 0)
    try:
        with socket.socket(fileno=os.dup(0)) as holder_socket:
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
            listener = install(libc, seccomp, program)
            socket.send_fds(holder_socket, [b"l"], [listener])
        os.execv(argv[5], argv[5:])  # noqa: S606 - becoming another program is the point
    except OSError as error:
        sys.stderr.write(f"{argv[5]} cannot be started under a filter: {error}\n")
    return EXIT_CANNOT_START


if __name__ == "__main__":
    sys.exit(main(sys.argv))
