from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from command_line import SHORT, Harness

from harness.report.outputs import OUTPUTS

BROKEN = SHORT.replace('failover_time: ["censored == 0"]', 'failover_time: ["max < 1us"]')


def folders(harness: Harness) -> dict[str, Path]:
    return {path.parent.name.rsplit("-", 2)[0]: path.parent for path in harness.reports()}


def test_a_session_leaves_one_junit_file_a_summary_and_outputs_of_each_run(
    harness: Harness, tmp_path: Path
) -> None:
    step = tmp_path / "step.md"
    done = harness.run(
        "run", harness.scenario(), harness.scenario(BROKEN, "broken"), "--quiet", "--junit",
        "ci/all.xml", env={"GITHUB_STEP_SUMMARY": str(step)},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1].endswith("/report.json")
    verdicts = {
        path.parent.name: json.loads(path.read_text())["verdict"] for path in harness.reports()
    }
    suites = ET.parse(harness.folder / "ci" / "all.xml").getroot()
    assert [one.attrib["name"] for one in suites] == ["short", "broken"]
    assert suites[1].find("testcase[@name='failover_time: max < 1us']/failure") is not None
    for suite in suites:
        properties = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
        name = f"{suite.attrib['name']}-{properties['run_id']}"
        assert properties["verdict"] == verdicts[name]
    assert "### FAIL: broken" in step.read_text()
    for folder in folders(harness).values():
        assert {path.name for path in folder.iterdir()} >= OUTPUTS.keys()

    folder = folders(harness)["broken"]
    written = {name: (folder / name).read_bytes() for name in OUTPUTS}
    for name in OUTPUTS:
        (folder / name).unlink()
    checked = harness.run("check", str(folder))
    assert checked.returncode == 1
    assert {name: (folder / name).read_bytes() for name in OUTPUTS} == written


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_an_output_that_cannot_be_written_changes_nothing_but_stderr(
    harness: Harness, name: str
) -> None:
    if not harness.reports():
        harness.run("run", harness.scenario(), "--quiet")
    (path,) = harness.reports()
    (path.parent / name).unlink()
    (path.parent / name).mkdir()
    checked = harness.run("check", str(path.parent))
    assert checked.returncode == json.loads(path.read_text())["exit_code"]
    assert checked.stderr.splitlines() == [
        f"nats-harness: warning: cannot write {path.parent / name}: Is a directory"
    ]
    assert checked.stdout.splitlines()[-1] == str(path)


def test_a_scenario_without_a_report_is_an_error_in_the_file(harness: Harness) -> None:
    (harness.folder / "reports").write_text("in the way")
    done = harness.run("run", harness.scenario(), "--quiet", "--junit", "all.xml")
    assert done.returncode == 2
    (error,) = ET.parse(harness.folder / "all.xml").iter("error")
    assert error.attrib["type"] == "no-report"
    assert error.attrib["message"] in done.stderr


def test_an_old_file_does_not_pass_for_a_session_that_did_not_begin(harness: Harness) -> None:
    path = harness.folder / "all.xml"
    path.write_text("<testsuites><testsuite name='short'/></testsuites>")
    done = harness.run("run", harness.scenario("name: short\n"), "--junit", str(path))
    assert done.returncode == 2
    (error,) = ET.parse(path).iter("error")
    assert error.attrib["type"] == "not-run"
