from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import Harness, eventually, lab_interfaces
from namespaces import namespaces_of, still_used

MOMENTS = 30
SPAN_S = 4.5
AT_ONCE = 3

BACKENDS = [pytest.param("lab", marks=pytest.mark.lab), "local"]


def moments(backend: str) -> list[float]:
    """Return random moments, the same in every run of the tests."""
    dice = random.Random(f"moments/{backend}")
    return [dice.uniform(0, SPAN_S) for _ in range(MOMENTS)]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("backend", BACKENDS)
def test_sigkill_at_any_moment_leaves_no_process_namespace_or_interface(
    backend: str, make_harness: Callable[[str], Harness]
) -> None:
    def kill_at(number: int, moment_s: float) -> list[str]:
        harness = make_harness(f"kill-{number}")
        with harness.start("run", harness.scenario(), "--backend", backend) as process:
            time.sleep(moment_s)
            made = namespaces_of(one.split()[0] for one in harness.leftovers())
            process.kill()
            process.communicate()
        eventually(lambda: not harness.leftovers() and not still_used(made))
        half = [path for path in harness.reports() if not _is_whole(path)]
        left = [f"namespace: {one}" for one in still_used(made).items()]
        return harness.leftovers() + left + [f"half a report: {path}" for path in half]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        left = list(pool.map(kill_at, range(MOMENTS), moments(backend)))
    assert [found for found in left if found] == []
    assert lab_interfaces() == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupt_at_any_moment_reports_that_and_exits_130(
    backend: str, number: signal.Signals, make_harness: Callable[[str], Harness]
) -> None:
    codes: list[int] = []

    def interrupt_at(index: int, moment_s: float) -> str | None:
        harness = make_harness(f"interrupt-{index}")
        with harness.start("run", harness.scenario(), "--backend", backend) as process:
            assert eventually(lambda: _hears(process.pid))
            time.sleep(moment_s)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        codes.append(process.returncode)
        wrong = _find_wrong(harness, process.returncode, out + err)
        return f"at {moment_s}: {wrong}" if wrong else None

    dice = random.Random(f"interrupt/{backend}/{number}")
    times = [0.0, *(dice.uniform(0, SPAN_S - 1) for _ in range(11))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = list(pool.map(interrupt_at, range(len(times)), times))
    assert [one for one in wrong if one] == []
    assert codes.count(130) > len(codes) / 2, codes


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_second_interrupt_changes_nothing(backend: str, harness: Harness) -> None:
    with harness.start("run", harness.scenario(), "--backend", backend) as process:
        time.sleep(2)
        for _ in range(5):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err
    assert process.returncode == 130, out + err
    assert harness.report()["exit_code"] == 130


def _is_whole(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def _hears(pid: int) -> bool:
    """Tell whether a program catches SIGTERM; its interpreter needs a moment until it can."""
    (line,) = (
        one
        for one in Path(f"/proc/{pid}/status").read_text().splitlines()
        if one.startswith("SigCgt:")
    )
    return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def _find_wrong(harness: Harness, code: int, said: str) -> str | None:
    """Return what is wrong with how an interrupted run ended, if anything."""
    if (left := harness.leftovers()) or "Traceback" in said or not harness.reports():
        return f"left {left}, {len(harness.reports())} reports: {said}"
    report = harness.report()
    marked = any(finding["check"] == "interrupted" for finding in report["findings"])
    if code != report["exit_code"] or marked != (code == 130):
        return f"exit {code}, reported {report['exit_code']}, marked {marked}: {said}"
    return "an interrupted run passed" if marked and report["verdict"] == "pass" else None
