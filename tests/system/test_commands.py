from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SHORT, Harness

import harness as package


def test_help_and_version_are_told(harness: Harness) -> None:
    assert "run" in harness.run("--help").stdout
    assert harness.run("--version").stdout.strip() == f"nats-harness {package.__version__}"


@pytest.mark.parametrize("arguments", [[], ["bogus"], ["run"], ["run", "--bakend", "lab", "x"]])
def test_wrong_usage_is_told_and_exits_2(harness: Harness, arguments: list[str]) -> None:
    result = harness.run(*arguments)
    assert result.returncode == 2
    assert result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("scenarios", "seed-failover"),
        ("faults", "rolling-restart"),
        ("workloads", "request"),
        ("checks", "proof"),
        ("backends", "lab"),
        ("backends", "attach"),
        ("faults", "command"),
    ],
)
def test_list_names_what_there_is(harness: Harness, what: str, name: str) -> None:
    assert name in {line.split()[0] for line in harness.run("list", what).stdout.splitlines()}


@pytest.mark.parametrize("which", ["scenario", "report"])
def test_schemas_are_json(harness: Harness, which: str) -> None:
    assert json.loads(harness.run("schema", which).stdout)["$schema"]


def test_doctor_says_what_works(harness: Harness) -> None:
    result = harness.run("doctor")
    assert result.returncode == 0, result.stderr
    assert "nats-server" in result.stdout


def test_a_stored_run_is_judged_the_same_whoever_reads_and_a_full_output_is_told(
    harness: Harness,
) -> None:
    text = SHORT.replace("failover_time:", '"failover_time{{role:publisher}}":').replace(
        "censored == 0", "max < 1us"
    )
    assert harness.run("run", harness.scenario(text)).returncode == 1
    folder = str(harness.reports()[0].parent)
    command = f"{sys.executable} -m harness check {folder}"
    piped = subprocess.run(
        ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (piped.returncode, piped.stderr) == (1, "")
    full = subprocess.run(
        ["bash", "-c", f"{command} > /dev/full"], capture_output=True, text=True, check=False
    )
    assert full.returncode == 2
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr


def test_check_of_what_is_no_run_is_refused(harness: Harness) -> None:
    result = harness.run("check", str(harness.folder))
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_passwords_reach_the_servers_and_no_file(harness: Harness) -> None:
    text = SHORT.replace(
        "servers: 3}}",
        "servers: 3, authorization: {{user: app, password: not-so-secret-1}}, "
        "route_authorization: {{user: r, password: not-so-secret-2}}}}",
        1,
    )
    result = harness.run("run", harness.scenario(text))
    assert result.returncode == 0, result.stdout + result.stderr
    for path in (harness.folder / "reports").rglob("*"):
        assert not path.is_file() or b"not-so-secret" not in path.read_bytes(), path
    assert "not-so-secret" not in result.stdout + result.stderr


def test_the_library_runs_a_scenario_in_a_folder_with_spaces(tmp_path: Path) -> None:
    scenario = Harness(tmp_path).scenario()
    report = package.run(scenario, reports=tmp_path / "all my reports")
    assert report.verdict == "pass"
    assert package.load(scenario).name == "short"
    with pytest.raises(Exception, match="neither a file nor a shipped scenario"):
        package.load("no-such-scenario")
