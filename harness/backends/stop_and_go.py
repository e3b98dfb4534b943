"""Give a process only a share of the time: stop it and let it go on, again and again.

Run as ``python -I -S stop_and_go.py PID SHARE``, where control groups may not be made. In
each turn the process runs for a few ms and is then stopped (SIGSTOP) until it has had no
more than its share, of the time that passed and of one CPU. The account runs on from turn
to turn, so that one that came late is made up for. It is a script and imports little; its
own end leaves the process as it is, so whoever ends it sends SIGCONT.
"""

import os
import signal
import sys
import time

TURN_S = 0.04
LEAST_RUN_S = 0.002
MOST_OWED_TURNS = 2.0  # what a machine that stood still for long is made up for


def main(argv: list[str]) -> int:
    """Stop and go until the process has ended."""
    pid, share = int(argv[1]), float(argv[2])
    process = os.pidfd_open(pid)
    run_s = max(LEAST_RUN_S, share * TURN_S)
    turn_s = run_s / share
    owed_s = 0.0  # for how long it is still to be stopped
    at_s, used_s = time.monotonic(), cpu_time_s(pid)
    try:
        while True:
            time.sleep(run_s)
            signal.pidfd_send_signal(process, signal.SIGSTOP)
            now_s, now_used_s = time.monotonic(), cpu_time_s(pid)
            had_s = max(now_s - at_s, now_used_s - used_s)
            owed_s += had_s / share - (now_s - at_s)
            if owed_s > 0:
                time.sleep(owed_s)
            at_s, used_s = time.monotonic(), now_used_s
            signal.pidfd_send_signal(process, signal.SIGCONT)
            owed_s -= at_s - now_s
            most_s = MOST_OWED_TURNS * turn_s
            owed_s = min(most_s, max(-most_s, owed_s))
    except (ProcessLookupError, OSError):
        return 0  # it has ended


def cpu_time_s(pid: int) -> float:
    """Return the CPU time of all threads of a process, in seconds (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
