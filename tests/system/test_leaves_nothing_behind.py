from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from command_line import Harness, eventually, network_state

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
    interfaces, namespaces = network_state()

    def kill_at(number: int, moment_s: float) -> list[str]:
        harness = make_harness(f"kill-{number}")
        with harness.start("run", harness.scenario(), "--backend", backend) as process:
            time.sleep(moment_s)
            process.kill()
            process.communicate()
        eventually(lambda: not harness.leftovers())
        half = [path for path in harness.reports() if not _is_whole(path)]
        return harness.leftovers() + [f"half a report: {path}" for path in half]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        left = list(pool.map(kill_at, range(MOMENTS), moments(backend)))
    assert [found for found in left if found] == []
    assert eventually(lambda: network_state()[1] <= namespaces), network_state()[1] - namespaces
    assert network_state()[0] == interfaces


@pytest.mark.timeout(400)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupt_at_any_moment_reports_that_and_exits_130(
    backend: str, number: signal.Signals, make_harness: Callable[[str], Harness]
) -> None:
    def interrupt_at(index: int, moment_s: float) -> str | None:
        harness = make_harness(f"interrupt-{index}")
        # The interpreter itself needs a moment before any program can hear a signal.
        with harness.start("run", harness.scenario(), "--backend", backend) as process:
            time.sleep(0.4 + moment_s)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        if left := harness.leftovers():
            return f"left {left}"
        if "Traceback" in out + err:
            return f"at {moment_s}: {err}"
        if not harness.reports():
            return f"at {moment_s}: no report: {out} {err}"
        report = harness.report()
        interrupted = any(finding["check"] == "interrupted" for finding in report["findings"])
        if process.returncode != report["exit_code"]:
            return f"at {moment_s}: exit {process.returncode}, reported {report['exit_code']}"
        if interrupted != (process.returncode == 130):
            return f"at {moment_s}: exit {process.returncode}, interrupted {interrupted}: {out}"
        if interrupted and report["verdict"] == "pass":
            return f"at {moment_s}: an interrupted run passed"
        return None

    dice = random.Random(f"interrupt/{backend}/{number}")
    times = [dice.uniform(0, SPAN_S - 1) for _ in range(10)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = list(pool.map(interrupt_at, range(len(times)), times))
    assert [one for one in wrong if one] == []


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


def _is_whole(path: object) -> bool:
    try:
        with open(str(path), encoding="utf-8") as file:
            json.load(file)
    except ValueError:
        return False
    return True
