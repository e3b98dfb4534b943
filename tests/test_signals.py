from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# Says that it is there, then answers a line by a line; stopped, it would not.
ANSWER = "from harness import signals\nsignals.{}()\nprint('there', flush=True)\nprint(input())"


def started(listening: str) -> subprocess.Popen[str]:
    """Start a job as a shell does: in a process group of its own, of this session."""
    child = subprocess.Popen(
        [sys.executable, "-c", ANSWER.format(listening)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "there\n"
    return child


def test_a_run_cannot_be_suspended_while_servers_and_clients_go_on() -> None:
    with started("remember") as child:
        child.send_signal(signal.SIGTSTP)
        try:
            said, _ = child.communicate("on\n", timeout=20)
        finally:
            child.kill()
    assert said == "on\n"


def test_what_runs_nothing_is_suspended_as_usual() -> None:
    with started("act") as child:
        child.send_signal(signal.SIGTSTP)
        with pytest.raises(subprocess.TimeoutExpired):
            child.communicate("on\n", timeout=0.5)
        child.send_signal(signal.SIGCONT)
        said, _ = child.communicate(timeout=20)
    assert said == "on\n"


HOLD = """
import signal
from harness import signals
signals.interrupt()
try:
    with signals.held():
        signal.raise_signal(signal.{})
        print("whole")
    print("went on")
except KeyboardInterrupt:
    print("then interrupted")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_what_is_held_is_ended_before_it_is_interrupted(name: str) -> None:
    argv = [sys.executable, "-c", HOLD.format(name)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert done.stdout.split("\n") == ["whole", "then interrupted", ""]
