from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SHORT, Harness


def assert_one_clear_message(result: subprocess.CompletedProcess[str], code: int) -> None:
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert result.stderr.strip(), "nothing was said"
    assert len(result.stderr.strip().splitlines()) <= 3, result.stderr


@pytest.mark.parametrize(
    ("found", "replaced", "said"),
    [
        ("seed: 7", "sede: 7", "did you mean 'seed'"),
        ("seed: 7", "seed: 7\nseed: 8", "seed"),
        ("action: kill", "action: kil", "did you mean 'kill'"),
        ("duration: 500ms", "duration: 500", "expected a duration"),
        ("failover_time:", "failover_tiem:", "did you mean 'failover_time'"),
        ("reconnect_time_wait", "reconect_time_wait", "did you mean 'reconnect_time_wait'"),
        ("rate: 200/s", "rate: 99000000000/s", "rate"),
        ("target: seed", "target: n9", "n9"),
        ("warmup: 200ms", "warmup: 200ms, fault: 100ms", "fault"),
        ("servers: 3}}", "servers: 3, version: 2.10}}", "quote"),
    ],
)
def test_a_wrong_scenario_is_refused_with_its_place_before_anything_starts(
    harness: Harness, found: str, replaced: str, said: str
) -> None:
    assert found in SHORT
    path = harness.scenario(SHORT.replace(found, replaced, 1))
    for command in ("validate", "run"):
        result = harness.run(command, path)
        assert_one_clear_message(result, 2)
        assert "short.yaml:" in result.stderr
        assert said in result.stderr
    assert not (harness.folder / "reports").exists()


def test_a_scenario_that_is_not_there_is_named(harness: Harness) -> None:
    assert_one_clear_message(harness.run("run", "nowhere.yaml"), 2)
    result = harness.run("run", "seed-failoverr")
    assert_one_clear_message(result, 2)
    assert "seed-failover" in result.stderr


def test_a_binary_that_is_not_nats_server_is_refused(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(), "--server", "/bin/true")
    assert_one_clear_message(result, 2)
    assert "/bin/true" in result.stderr


def test_a_version_that_does_not_exist_is_refused(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(), "--server", "9.99.99")
    assert_one_clear_message(result, 2)
    assert "9.99.99" in result.stderr


def test_a_report_folder_where_nothing_can_be_written_is_refused(harness: Harness) -> None:
    assert_one_clear_message(harness.run("run", harness.scenario(), "--reports", "/proc/none"), 2)


def test_a_report_folder_that_cannot_be_one_is_refused(harness: Harness) -> None:
    (harness.folder / "file").write_text("", encoding="utf-8")
    result = harness.run("run", harness.scenario(), "--reports", str(harness.folder / "file"))
    assert_one_clear_message(result, 2)


@pytest.mark.parametrize("limit_bytes", [300, 1000, 4000, 9000, 25_000])
@pytest.mark.parametrize("backend", ["local", pytest.param("lab", marks=pytest.mark.lab)])
def test_a_full_disk_ends_in_one_line_and_never_in_half_a_report(
    harness: Harness, backend: str, limit_bytes: int
) -> None:
    """A file size limit stands for the disk: writing beyond it fails in the same places."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    path = harness.scenario()
    result = harness.run("run", path, "--backend", backend, preexec_fn=limit)
    assert result.returncode in (2, 3), result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert re.search("File too large|the disk took part", result.stderr), result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert harness.reports() == []
    assert list(harness.folder.rglob("*.tmp*")) == []


def test_a_rate_that_no_machine_meets_is_inconclusive_and_says_why(harness: Harness) -> None:
    # Without thresholds: what a flooded server loses in earnest would rightly fail them.
    text = SHORT.replace("rate: 200/s", "rate: 900000/s").partition("thresholds:")[0]
    result = harness.run("run", harness.scenario(text))
    assert result.returncode == 3, result.stdout + result.stderr
    assert "rate" in result.stdout
    assert harness.report()["verdict"] == "inconclusive"


def test_a_pause_shorter_than_the_detection_bound_is_warned_about(harness: Harness) -> None:
    text = SHORT.replace("action: kill", "action: pause").replace(
        "reconnect_time_wait", "ping_interval: 1s, reconnect_time_wait"
    )
    result = harness.run("validate", harness.scenario(text))
    assert result.returncode == 0, result.stderr
    assert "(2, 3] x ping_interval" in result.stdout + result.stderr


def test_a_server_that_exits_unasked_fails_the_run_and_its_log_is_shown(harness: Harness) -> None:
    """A server that ends itself: a script in its place that starts it and soon kills it."""
    real = Path(sys.executable).parent / "nats-server"
    fake = harness.folder / "nats-server"
    fake.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *--version*|*" -t"*|"-t "*) exec {real} "$@";; esac\n'
        f'{real} "$@" & server=$!\n'
        "sleep 1.5; kill -9 $server; exit 3\n",
        encoding="utf-8",
    )
    fake.chmod(0o755)
    result = harness.run("run", harness.scenario(), "--server", str(fake))
    assert result.returncode == 1, result.stdout + result.stderr
    assert "exited" in result.stdout
    assert harness.report()["verdict"] == "fail"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "nonsense"), "'what': 'nonsense' is not one of 'scenarios', 'faults'"),
        (("run", "control", "--backend", "x"), "'--backend': 'x' is not one of 'auto', 'lab'"),
        (("run", "control", "--repeat", "0"), "'--repeat': expected at least 1"),
        (("run", "control", "--repeat", "10001"), "'--repeat': expected at most 10000"),
        (("run", "control", "--repeat", "two"), "'--repeat': expected a whole number"),
    ],
)
def test_a_wrong_word_on_the_command_line_is_refused_in_plain_words(
    harness: Harness, words: tuple[str, ...], said: str
) -> None:
    result = harness.run(*words)
    assert_one_clear_message(result, 2)
    assert said in result.stderr
    assert "Value error" not in result.stderr
    assert "Input" not in result.stderr


@pytest.mark.parametrize(
    ("found", "replaced", "said"),
    [
        (
            "servers: 3}",
            'servers: 3, version: "9.99.99"}',
            "short.yaml:4:32: cluster.version: nats",
        ),
        ("servers: 3}", 'servers: 3, version: {n2: "9.99.99"}}', "cluster.version.n2: nats"),
        (
            "action: kill, target: seed",
            "action: command, target: seed, inject: 'true', observe: 'true'",
            "short.yaml:11:31: faults[0].action: backend local cannot run-commands; attach can",
        ),
        (
            "action: kill, target: seed",
            "action: disconnect, target: seed",
            "short.yaml:11:31: faults[0].action: backend local cannot disconnect; docker can",
        ),
        (
            "action: kill, target: seed",
            "action: delay, target: seed, delay: 0ms",
            "short.yaml:11:59: faults[0].delay: expected 1ms to 5s, found 0s",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_where_it_is_written(
    harness: Harness, found: str, replaced: str, said: str
) -> None:
    text = SHORT.replace("{{", "{").replace("}}", "}").replace("{name}", "short")
    assert found in text
    path = harness.folder / "short.yaml"
    path.write_text(text.replace(found, replaced, 1), encoding="utf-8")
    result = harness.run("run", str(path), "--backend", "local")
    assert_one_clear_message(result, 2)
    assert said in result.stderr


UNWRITTEN = """
import harness.report.write as write
from harness.errors import ReportError
def refuse(report, path):
    raise ReportError(f"cannot write {path}: No space left on device")
write.write_report = refuse
"""


def test_what_was_found_is_told_where_the_disk_takes_no_report(harness: Harness) -> None:
    words = ("run", harness.scenario(), "--backend", "local", "--quiet", "--junit", "j.xml")
    process = harness.start(*words, planted=UNWRITTEN)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 2, out + errors
    assert "report.json: No space left on device" in errors
    assert out.startswith("PASS")
    assert "report.json" not in out
    assert "No space left on device" in (harness.folder / "j.xml").read_text()
