from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from command_line import Harness, eventually

pytestmark = pytest.mark.lab

TINY = """
name: {name}
seed: 3
client: {{options: {{ping_interval: 1s}}}}
workloads: [{{name: hello, kind: core, publishers: 1, subscribers: 1, rate: 50/s, payload: 128B}}]
phases: {{warmup: 200ms, steady: 500ms, recovery: 500ms, drain: 1s}}
faults: [{{name: k, action: kill, target: seed, duration: 300ms}}]
thresholds: {{"lost{{phase:steady}}": ["count == 0"]}}
"""


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def test_scenarios_side_by_side_leave_what_each_would_leave_alone(harness: Harness) -> None:
    names = [harness.scenario(TINY, name) for name in ("one", "two", "three")]
    result = harness.run("run", *names, "--jobs", "3")
    assert result.returncode == 0, result.stdout + result.stderr
    folders = {path.parent.name.partition("-")[0]: path.parent for path in harness.reports()}
    assert set(folders) == {"one", "two", "three"}
    for folder in folders.values():
        assert str(folder.relative_to(harness.folder)) in result.stdout
        assert (folder / "events.jsonl").is_file()
    assert {path.name for path in (harness.folder / "reports").iterdir()} == {
        folder.name for folder in folders.values()
    }
    assert harness.leftovers() == []


def under_load(harness: Harness, count: int) -> bool:
    """Tell whether the load of so many scenarios has started, side by side."""
    paths = harness.folder.glob("reports/.side-by-side-*/runs/*/*/events.jsonl")
    return sum("load.started" in path.read_text() for path in paths) >= count


LONG = TINY.replace("recovery: 500ms", "recovery: 20s")


def test_scenarios_that_were_interrupted_side_by_side_are_told_as_run(harness: Harness) -> None:
    names = [harness.scenario(LONG, name) for name in ("one", "two", "three")]
    process = harness.start("run", *names, "--jobs", "2", "--junit", "all.xml")
    assert eventually(lambda: under_load(harness, 2), 60)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, out + errors
    assert len(harness.reports()) == 2
    suites = {
        suite.get("name"): suite for suite in ET.parse(harness.folder / "all.xml").iter("testsuite")
    }
    told = {name: ET.tostring(suite, "unicode") for name, suite in suites.items()}
    ended = "the session ended before this scenario was run"
    assert {name for name, text in told.items() if ended in text} == {"three"}, told
    assert all("interrupted" in told[name] for name in ("one", "two"))


def test_runs_side_by_side_of_a_session_that_was_killed_come_home_with_the_next(
    harness: Harness,
) -> None:
    names = [harness.scenario(LONG, name) for name in ("one", "two")]
    process = harness.start("run", *names, "--jobs", "2")
    assert eventually(lambda: under_load(harness, 1), 60)
    reports = harness.folder / "reports"
    living = set(reports.iterdir())
    harness.run("run", harness.scenario(TINY, "beside"), "--quiet")
    assert living <= set(reports.iterdir())  # what a session holds that lives is let alone
    process.kill()
    process.communicate(timeout=60)
    assert eventually(lambda: harness.leftovers() == [])
    result = harness.run("run", harness.scenario(TINY, "after"), "--quiet")
    assert result.returncode == 0, result.stdout + result.stderr
    assert not any(path.name.startswith(".") for path in reports.iterdir())
    (home,) = reports.glob("one-*")
    assert f"{home.relative_to(harness.folder)} is of a session that was killed" in result.stderr
    assert (home / "events.jsonl").is_file()


def test_a_wrong_scenario_keeps_all_from_starting(harness: Harness) -> None:
    good = harness.scenario(TINY, "good")
    bad = harness.scenario("name: bad\nworkloads: 3\n", "bad")
    result = harness.run("run", good, bad, "--jobs", "2")
    assert result.returncode == 2
    assert "bad.yaml:2" in result.stderr
    assert not (harness.folder / "reports").exists()


def test_an_interrupted_matrix_goes_on_without_running_anything_twice(harness: Harness) -> None:
    name = harness.scenario(TINY, "tiny")
    words = ("matrix", name, "--client", "installed", "--repeat", "3", "--out", "grid")
    process = harness.start(*words)
    ledger = harness.folder / "grid" / "campaign.jsonl"
    assert eventually(lambda: ledger.exists() and ledger.read_text().count("\n") >= 1, 60)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert json.loads((harness.folder / "grid" / "matrix.json").read_text())["whole"] is False
    before = set((harness.folder / "grid").glob("runs/*/*/report.json"))
    done = {json.loads(line)["report"] for line in ledger.read_text().splitlines()}

    result = harness.run(*words)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(done)} of 3 runs were done before" in result.stdout
    table = json.loads((harness.folder / "grid" / "matrix.json").read_text())
    assert table["whole"] is True
    assert len(table["runs"]) == 3
    assert done <= {run["report"] for run in table["runs"]}
    assert all(
        path.exists() for path in before if str(path.relative_to(harness.folder / "grid")) in done
    )
    assert {run["seed"] for run in table["runs"]} == {3, 4, 5}
    assert harness.leftovers() == []


def test_an_older_table_does_not_pass_for_the_one_of_a_matrix_that_was_killed(
    harness: Harness,
) -> None:
    table = harness.folder / "grid" / "matrix.json"
    table.parent.mkdir()
    table.write_text('{"whole": true, "runs": []}')
    name = harness.scenario(TINY, "tiny")
    process = harness.start("matrix", name, "--out", "grid")
    assert eventually(lambda: any(table.parent.glob("runs/*/*/events.jsonl")), 60)
    process.kill()
    process.communicate(timeout=60)
    found = json.loads(table.read_text())
    assert (found["whole"], found["runs"]) == (False, [])
    assert eventually(lambda: harness.leftovers() == [])


def test_nothing_of_an_older_decision_is_left_by_a_check_that_was_interrupted(
    harness: Harness,
) -> None:
    folder = harness.folder / "check"
    folder.mkdir()
    older = [folder / f"release.{ending}" for ending in ("json", "html", "md")]
    for path in older:
        path.write_text("go")
    step = harness.folder / "step.md"
    words = ["release-check", "--candidate", "bundled", "--baseline", "bundled", "--runs", "1"]
    words += ["--suite", harness.scenario(TINY, "tiny"), "--jobs", "1", "--out", "check"]
    process = harness.start(*words, env={"GITHUB_STEP_SUMMARY": str(step)})
    ledger = folder / "campaign.jsonl"
    assert eventually(lambda: ledger.exists() and ledger.read_text().count("\n") >= 1, 60)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert [path for path in older if path.exists()] == []
    assert "Not decided: nats-server bundled against bundled" in step.read_text()
    assert "of 2 runs (1 " in step.read_text()

    result = harness.run(*words)
    assert "1 of 2 runs were done before" in result.stdout
    assert all(path.exists() for path in older)


def test_what_a_killed_campaign_started_ends_with_it(harness: Harness) -> None:
    names = [harness.scenario(TINY, name) for name in ("one", "two")]
    process = harness.start("matrix", *names, "--jobs", "2", "--out", "grid", "--repeat", "5")
    assert eventually(
        lambda: len(list((harness.folder / "grid").glob("runs/*/*/events.jsonl"))) >= 2, 60
    )
    process.kill()
    process.communicate(timeout=30)
    assert eventually(lambda: harness.leftovers() == [])


def test_seeds_that_would_be_too_large_are_refused_beforehand(harness: Harness) -> None:
    name = harness.scenario(TINY, "tiny")
    words = ("matrix", name, "--seed", str(2**63 - 1), "--repeat", "2", "--out", "grid")
    result = harness.run(*words)
    assert result.returncode == 2
    assert "the seed of run 2 would be 9223372036854775808" in result.stderr
    assert not (harness.folder / "grid").exists()


def test_a_run_that_cannot_start_says_why_in_its_line(harness: Harness) -> None:
    name = harness.scenario(TINY, "tiny")
    result = harness.run("matrix", name, "--server", "9.9.9", "--out", "grid")
    assert result.returncode == 2
    assert "9.9.9" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("no_echo", "expected NAME=VALUE"),
        ("ping_intervall=1s", "did you mean 'ping_interval'"),
        ("ping_interval=1", "--client-option ping_interval"),
        ("max_outstanding_pings=0", "--client-option max_outstanding_pings"),
    ],
)
def test_a_wrong_client_option_is_one_clear_line(harness: Harness, option: str, said: str) -> None:
    result = harness.run("run", harness.scenario(TINY, "tiny"), "--client-option", option)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("release", ["newest", "2.0.0", "9.9.9"])
def test_a_client_release_that_cannot_be_had_is_one_clear_line(
    harness: Harness, release: str
) -> None:
    result = harness.run("run", harness.scenario(TINY, "tiny"), "--client", release)
    assert result.returncode == 2
    assert release in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_oldest_client_release_runs_beside_the_installed_one(harness: Harness) -> None:
    name = harness.scenario(TINY, "tiny")
    words = ("--client-option", "ping_interval=2s", "--client-option", "no_echo=true")
    result = harness.run("run", name, "--client", "2.11.0", *words)
    assert result.returncode == 0, result.stdout + result.stderr
    client = harness.report()["environment"]["client"]
    assert client["version"] == "2.11.0"
    assert (client["options"]["ping_interval"], client["options"]["no_echo"]) == (2.0, True)
    assert "--client 2.11.0" in harness.report()["reproduce"]
    assert "--client-option ping_interval=2s" in harness.report()["reproduce"]


def test_a_scenario_that_is_named_in_two_ways_runs_twice(harness: Harness) -> None:
    name = harness.scenario(TINY, "tiny")
    result = harness.run("run", name, "tiny.yaml", "--jobs", "2", "--page", "never")
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(harness.reports()) == 2


def test_the_code_that_runs_is_not_whatever_lies_in_the_current_folder(harness: Harness) -> None:
    for name in ("harness", "anyio"):
        (harness.folder / name).mkdir()
        (harness.folder / name / "__init__.py").write_text("raise SystemExit('OTHER CODE')")
    name = harness.scenario(TINY, "tiny")
    planted = "import sys; sys.path[:] = [one for one in sys.path if one]"
    result = harness.run("run", name, name, "--jobs", "2", planted=planted)
    assert "OTHER CODE" not in result.stdout + result.stderr
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_was_interrupted_side_by_side_is_kept(harness: Harness) -> None:
    names = [harness.scenario(TINY.replace("500ms", "20s"), name) for name in ("one", "two")]
    process = harness.start("run", *names, "--jobs", "2")
    folder = harness.folder / "reports"
    started = '"kind":"load.started"'
    assert eventually(
        lambda: sum(started in one.read_text() for one in folder.rglob("events.jsonl")) == 2, 60
    )
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert len(harness.reports()) == 2
    assert not list(folder.glob(".side-by-side-*"))
    assert harness.leftovers() == []


def test_a_lab_that_is_killed_is_no_pass_beside_one_that_passes(harness: Harness) -> None:
    """The first is killed once it is under load, as when memory runs out."""
    names = [harness.scenario(TINY.replace("500ms", "20s"), "long"), harness.scenario(TINY, "tiny")]
    process = harness.start("run", *names, "--jobs", "2", "--junit", "all.xml")
    folder = harness.folder / "reports"

    def victim() -> int | None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().split(b"\0")
            except OSError:
                continue
            if names[0].encode() in words and b"-P" in words:
                return int(entry.parent.name)
        return None

    assert eventually(lambda: bool(list(folder.glob(".side*/runs/long-*/*/events.jsonl"))), 60)
    found = victim()
    assert found is not None
    os.kill(found, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, out + err
    assert "no report" in out
    assert "<error" in (harness.folder / "all.xml").read_text()
