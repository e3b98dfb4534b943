"""Entering the lab: what is inside, how it ends, and what is said where it does not work.

The bodies run in processes of their own, since the lab is entered before threads exist.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.backends.lab import available as lab_available
from harness.backends.lab import enter
from harness.errors import CapabilityError

pytestmark = pytest.mark.lab

ENTER = "import os, sys\nfrom harness.backends.lab.enter import run_in_lab, inside_lab\n"


def python(code: str, **options: object) -> subprocess.Popen[str]:
    argv = [sys.executable, "-W", "error", "-c", ENTER + code]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def outcome(code: str) -> tuple[int, str]:
    with python(code) as process:
        said, complained = process.communicate(timeout=60)
        return process.returncode, said + complained


def test_the_inside_has_its_own_world() -> None:
    code = """
def main():
    assert inside_lab()
    kinds = ("net", "pid", "mnt")
    for kind in kinds:
        assert os.readlink(f"/proc/self/ns/{kind}") != outside[kind], kind
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    assert pids == ["1", str(os.getpid())], pids
    assert os.getpid() == 2
    assert os.getuid() == 0
    print("inside")
    return 41
outside = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "pid", "mnt")}
code = run_in_lab(main)
assert not inside_lab()
assert {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in outside} == outside
sys.exit(code + 1)
"""
    assert outcome(code) == (42, "inside\n")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("return 3", 3),
        ("sys.exit(5)", 5),
        ("raise KeyboardInterrupt", 130),
        ("os.kill(os.getpid(), 9)", 137),
        ("os.kill(os.getpid(), 15)", 143),
        ("os._exit(6)", 6),
    ],
)
def test_the_exit_code_comes_out(body: str, code: int) -> None:
    assert outcome(f"def main():\n    {body}\nsys.exit(run_in_lab(main))") == (code, "")


def test_an_error_inside_is_shown_and_the_line_ends() -> None:
    code, said = outcome("def main():\n    1 / 0\nsys.exit(run_in_lab(main))")
    assert code == enter.EXIT_BROKEN
    assert "ZeroDivisionError" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_inside_once(number: int) -> None:
    code = """
import signal
def main():
    watched = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    print("ready", flush=True)
    print(int(signal.sigwait(watched)), signal.sigtimedwait(watched, 0.3), flush=True)
    return 9
sys.exit(run_in_lab(main))
"""
    with python(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        said, complained = process.communicate(timeout=60)
    assert (process.returncode, said + complained) == (9, f"{int(number)} None\n")


def test_a_signal_at_any_moment_ends_the_line() -> None:
    # A shell's background jobs inherit that SIGINT is ignored, and then it would be lost.
    code = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.sigwait({signal.SIGINT})  # time.sleep would miss one that comes just before it
    return 130
print("ready", flush=True)
sys.exit(run_in_lab(main))
"""
    for delay_s in [0.0, 0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03] * 3:
        with python(code) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(delay_s)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) in (130, -2, 1)
            process.communicate()


def test_orphans_are_reaped_and_stragglers_die_with_the_inside(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"""
import subprocess, time
def main():
    subprocess.run(["sh", "-c", "sleep 0.01 & sleep 600 & :"], check=True)
    deadline = time.monotonic() + 10
    while len([name for name in os.listdir("/proc") if name.isdigit()]) != 3:
        assert time.monotonic() < deadline
    straggler = subprocess.Popen(["sh", "-c", "trap '' TERM INT HUP; while :; do :> {mark}; done"])
    while not os.path.exists({str(mark)!r}):
        assert time.monotonic() < deadline
    os._exit(0)
sys.exit(run_in_lab(main))
"""
    assert outcome(code) == (0, "")
    mark.unlink()  # nobody is left to write it again: the kernel had killed all by then
    assert not mark.exists()


def test_entering_with_threads_is_refused() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="before threads exist; there are"):
            enter.run_in_lab(lambda: 0)
    finally:
        stop.set()
        thread.join()


def test_a_refused_namespace_is_a_capability_error_that_names_the_step() -> None:
    code = """
from harness.errors import CapabilityError
import harness.backends.lab.enter as enter
def refuse(flags):
    raise OSError(1, "Operation not permitted", "unshare")
enter.ns.unshare = refuse
try:
    run_in_lab(lambda: 0)
except CapabilityError as error:
    print(error)
from harness.backends.lab.available import available, examine_lab
examine_lab.cache_clear()
print(available())
"""
    code_, said = outcome(code)
    first, second = said.splitlines()
    assert (code_, first) == (0, "unshare: Operation not permitted")
    assert second.startswith("namespaces are refused (unshare: Operation not permitted); ")


def test_a_network_that_cannot_be_built_is_an_obstacle() -> None:
    code = """
import harness.backends.lab.network as network
from harness.errors import ServerError
def refuse():
    raise OSError(95, "Operation not supported")
network._switch_ipv6_off = refuse
from harness.backends.lab.available import available
print(available())
"""
    code_, said = outcome(code)
    assert code_ == 0
    assert said.startswith(
        "the lab's network cannot be built: [Errno 95] Operation not supported; "
    )
    assert "modprobe" in said


@pytest.mark.parametrize(
    ("settings", "seccomp", "fix"),
    [
        ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, "0", "apparmor_restrict"),
        ({"kernel/unprivileged_userns_clone": "0"}, "0", "unprivileged_userns_clone=1"),
        ({"user/max_user_namespaces": "0"}, "0", "user.max_user_namespaces=10000"),
        ({"user/max_net_namespaces": "0"}, "0", "user.max_net_namespaces=10000"),
        ({}, "2", "seccomp=unconfined"),
        ({}, "0", "--backend local"),
    ],
)
def test_the_fix_fits_what_forbids_the_lab(
    settings: dict[str, str], seccomp: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab_available, "_setting", settings.get)
    monkeypatch.setattr(lab_available, "_seccomp", lambda: seccomp)
    assert fix in lab_available._fix_for_namespaces()


def test_the_network_goes_and_comes_again_with_its_names() -> None:
    code = """
import anyio, os, socket, threading
from harness.backends.lab.network import lab_network
async def build():
    for _ in range(3):
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
        before = len(os.listdir("/proc/self/fd"))
        async with lab_network(["n1", "n2"], ["load-publishers"]) as network:
            names = sorted(name for _, name in socket.if_nameindex())
            assert names == ["br-lab", "lo", "v-g1", "v-n1", "v-n2"], names
            assert network.places["load-publishers"].address == "198.18.1.1"
            home = os.readlink("/proc/thread-self/ns/net")
            with network.inside("n1"):
                assert os.readlink("/proc/thread-self/ns/net") != home
                assert [name for _, name in socket.if_nameindex()] == ["lo", "eth0"]
                listener = socket.create_server(("198.18.0.1", 4222))
            assert os.readlink("/proc/thread-self/ns/net") == home
            for place in ("n2", "load-publishers"):
                with network.socket(place, socket.AF_INET) as client, listener:
                    client.settimeout(10)
                    client.connect(("198.18.0.1", 4222))
                    peer, address = listener.accept()
                    peer.close()
                    assert address[0] == network.places[place].address
                    listener = listener.dup()
            with listener, socket.create_connection(("198.18.0.1", 4222), 10) as client:
                assert client.getsockname()[0] == "198.18.255.254"
        assert len(os.listdir("/proc/self/fd")) == before
def main():
    anyio.run(build)
    return 0
sys.exit(run_in_lab(main))
"""
    assert outcome(code) == (0, "")


def test_a_failed_step_leaves_no_half_network() -> None:
    code = """
import anyio, socket
import harness.backends.lab.network as network
from harness.errors import ServerError
good = network.make_inner
async def refuse(place, home):
    if place.port == "v-n2":
        raise OSError(12, "Cannot allocate memory")
    await good(place, home)
network.make_inner = refuse
async def build():
    for _ in range(2):
        try:
            async with network.lab_network(["n1", "n2", "n3"], []):
                pass
        except ServerError as error:
            assert "Cannot allocate memory" in str(error)
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
def main():
    anyio.run(build)
    return 0
sys.exit(run_in_lab(main))
"""
    assert outcome(code) == (0, "")


def test_the_capability_error_has_the_usage_exit_code() -> None:
    assert CapabilityError("x").exit_code == 2
