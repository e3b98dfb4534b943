"""What is tried before a clock is skewed or CPU time limited, and what is said when it fails."""

from __future__ import annotations

import ctypes
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SHORT, Harness, eventually
from server_handles import IDLE

from harness.backends import cgroup, trials, vdso
from harness.backends import choose as choosing
from harness.backends.attach.backend import AttachBackend
from harness.backends.choose import require
from harness.backends.lab.backend import LabBackend
from harness.backends.local import LocalBackend
from harness.backends.trials import Attempt
from harness.cluster.protocols import Capability
from harness.errors import CapabilityError, FaultError

SKEW = vdso.skew


def drop_sys_admin() -> None:
    """Let no program that is started from here have CAP_SYS_ADMIN (capabilities(7))."""
    bounding_set_drop, sys_admin = 24, 21
    ctypes.CDLL(None).prctl(bounding_set_drop, sys_admin, 0, 0, 0)  # fails for who has none


def no_group(pid: int, cpus: float) -> cgroup.Group:
    raise FaultError("no control group")


@pytest.mark.skipif(platform.machine() != vdso.MACHINE, reason="clocks are skewed there only")
def test_a_clock_is_skewed_here() -> None:
    assert trials._try(Capability.CLOCK_SKEW) == Attempt(means="the process's own vDSO")


def test_cpu_time_is_limited_here_with_and_without_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trials._try(Capability.CPU_LIMIT).lack is None
    monkeypatch.setattr(cgroup, "limit", no_group)
    assert trials._try(Capability.CPU_LIMIT) == Attempt(means="stop-and-go")


@pytest.mark.lab
def test_the_lab_is_tried_from_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from harness.backends.trials import TRIALS, attempt\n"
        "for one in TRIALS:\n"
        "    if one != 'cut-power-of-devices': print(attempt('lab', one).lack)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["None"] * (len(trials.TRIALS) - 1)  # for the last one see below


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (lambda *_: vdso.Skew(), r"a clock is .* s ahead, expected 3600\.5 s"),
        (lambda pid, skew_s: SKEW(pid, -skew_s), r"a clock is -3600.* expected 3600\.5 s"),
    ],
    ids=["nothing", "the-other-way"],
)
def test_a_skew_that_does_not_work_is_found(
    planted: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vdso, "skew", planted)
    tried = trials._try(Capability.CLOCK_SKEW)
    assert tried.means is None
    assert re.search(said, str(tried.lack))


def test_another_machine_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    lack = trials._try(Capability.CLOCK_SKEW).lack
    assert lack == "only known for x86_64, and this is aarch64"


def test_memory_that_cannot_be_written_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(pid: int, skew_s: float) -> vdso.Skew:
        raise FaultError(f"the memory of {pid} cannot be written: Permission denied")

    monkeypatch.setattr(vdso, "skew", refuse)
    assert "cannot be written: Permission denied" in str(trials._try(Capability.CLOCK_SKEW).lack)


def test_a_limit_that_does_not_limit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "limit", no_group)
    idle = [sys.executable, "-I", "-S", "-c", IDLE]
    monkeypatch.setattr(trials, "stop_and_go_argv", lambda *_: idle)
    monkeypatch.setattr(trials, "LIMIT_S", 0.3)
    assert trials._try(Capability.CPU_LIMIT).lack == "a process did not stop within 0.3 s"
    monkeypatch.setattr(trials, "MOST_USED", 0.0)
    monkeypatch.setattr(trials, "_await_stop", lambda _: None)
    assert "limited to 20% of a CPU used" in str(trials._try(Capability.CPU_LIMIT).lack)


@pytest.mark.parametrize("backend", [LabBackend(), LocalBackend()], ids=["lab", "local"])
def test_what_was_tried_in_vain_is_refused_before_anything_starts(
    backend: LabBackend | LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, Capability]] = []

    def attempt(name: str, capability: Capability) -> Attempt:
        tried.append((name, capability))
        return Attempt(lack="no vDSO")

    monkeypatch.setattr(choosing, "attempt", attempt)
    require([Capability.KILL], backend)
    assert tried == []
    said = f"backend {backend.name} cannot skew-clocks here: no vDSO"
    with pytest.raises(CapabilityError, match=said):
        require([Capability.CLOCK_SKEW, Capability.KILL], backend)
    assert tried == [(backend.name, Capability.CLOCK_SKEW)]


def test_a_disk_is_faulted_here() -> None:
    assert trials._try(Capability.DISK) == Attempt(
        means="calls seen before they are done (seccomp)"
    )


@pytest.mark.parametrize(
    ("writes", "said"),
    [
        ("import sys; open(sys.argv[1], 'w').write('synced')", "expected 'synced'"),
        (
            "import sys, os; f = open(sys.argv[1], 'w'); f.write('all'); f.flush(); os.sync()",
            "'all'",
        ),
        ("raise SystemExit('no seccomp here')", "no seccomp here"),
    ],
    ids=["nothing-synced", "too-much-synced", "not-started"],
)
def test_a_disk_that_cannot_be_followed_is_found(
    writes: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "WRITES", writes)
    assert said in str(trials._try(Capability.DISK).lack)


def test_a_disk_is_not_faulted_on_a_machine_whose_calls_are_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "and this is riscv64" in str(trials._try(Capability.DISK).lack)


@pytest.mark.parametrize("backend", [LabBackend(), LocalBackend()], ids=["lab", "local"])
def test_a_disk_that_cannot_be_faulted_is_refused_before_anything_starts(
    backend: LabBackend | LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "attempt", lambda *_: Attempt(lack="no seccomp"))
    require([Capability.ROLLBACK], backend)
    with pytest.raises(
        CapabilityError, match=f"{backend.name} cannot fault-disks here: no seccomp"
    ):
        require([Capability.DISK], backend)


@pytest.mark.device
@pytest.mark.lab
@pytest.mark.parametrize("backend", ["lab", "local"])
def test_the_power_of_a_device_is_cut_here(backend: str) -> None:
    code = (
        "from harness.backends.trials import attempt\n"
        f"print(attempt({backend!r}, {str(Capability.DEVICE)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(Attempt(means="ext4 on a loop device"))


@pytest.mark.lab
@pytest.mark.parametrize("backend", ["lab", "local"])
def test_who_may_not_mount_is_refused_before_anything_starts(backend: str, tmp_path: Path) -> None:
    """Root without CAP_SYS_ADMIN is like anybody else, and root of the lab only."""
    text = SHORT.replace("action: kill", "action: power-loss, method: device")
    text = text.replace("servers: 3}}", "servers: 3, jetstream: true}}")
    harness = Harness(tmp_path)
    done = harness.run(
        "run", harness.scenario(text), "--backend", backend, preexec_fn=drop_sys_admin
    )
    assert done.returncode == 2, done.stdout + done.stderr
    said = f"backend {backend} cannot cut-power-of-devices here: only root of the machine may mount"
    assert said in done.stderr
    assert "with method: shadow needs no device" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert harness.reports() == []


@pytest.mark.parametrize("capability", [Capability.DISK, Capability.DEVICE, Capability.ROLLBACK])
def test_attached_servers_and_containers_have_no_disk_to_fault(capability: Capability) -> None:
    for backend in ("attach", "docker"):
        assert capability not in choosing._AT_BEST[backend]
    with pytest.raises(CapabilityError, match=f"backend attach cannot {capability}"):
        require([capability], AttachBackend())


def test_what_was_tried_dies_with_the_one_who_tries() -> None:
    code = (
        "import os\nfrom harness.backends import trials\n"
        "with trials._child(trials.BUSY) as child:\n"
        "    trials._read_line(child.stdout)\n"
        "    child.send_signal(19)\n"
        "    trials._await_stop(child)\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -9
    assert eventually(lambda: not _alive(int(done.stdout)))


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
