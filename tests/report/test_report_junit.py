from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from story import Story
from told_reports import (
    HOSTILE,
    NO_REPORT,
    NOT_RUN,
    failing_over,
    finding,
    good,
    report_on,
    with_findings,
)

from harness.checks import ITERATION_CHECKS, judge
from harness.checks.base import Case, Check, Result
from harness.report.build import build
from harness.report.junit import render_junit
from harness.report.words import Outcome

TOKEN = re.compile(r"\S+( \S+)*")


def suites(*outcomes: Outcome) -> list[ET.Element]:
    root = ET.fromstring(render_junit(outcomes))
    assert root.tag == "testsuites"
    for index, suite in enumerate(root):
        must_fit_the_schemas(suite, index)
    return list(root)


def must_fit_the_schemas(suite: ET.Element, index: int) -> None:
    """Hold a suite against what Ant's and Jenkins' schema ask for together."""
    assert suite.tag == "testsuite"
    assert set(suite.attrib) == {
        "name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id",
        "package",
    }  # fmt: skip
    assert suite.attrib["id"] == str(index)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    assert re.fullmatch(r"\d+\.\d{3}", suite.attrib["time"])
    assert all(TOKEN.fullmatch(suite.attrib[name]) for name in ("name", "hostname", "package"))
    tags = [child.tag for child in suite]
    cases = suite.findall("testcase")
    assert tags == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
    assert suite.attrib["tests"] == str(len(cases))
    for tag in ("failure", "error"):
        assert suite.attrib[f"{tag}s"] == str(len(suite.findall(f"testcase/{tag}")))
    names = [(case.attrib["classname"], case.attrib["name"]) for case in cases]
    assert len(set(names)) == len(names)
    for case in cases:
        assert set(case.attrib) == {"name", "classname", "time"}
        assert all(TOKEN.fullmatch(value) for value in case.attrib.values())
        assert len(case) <= 1
        assert all(set(child.attrib) == {"message", "type"} for child in case)


def outcome_of(suite: ET.Element, name: str) -> tuple[str, str] | None:
    (case,) = (one for one in suite.findall("testcase") if one.attrib["name"] == name)
    return (case[0].tag, case[0].attrib["type"]) if len(case) else None


def test_a_good_run_has_no_failure_and_no_error() -> None:
    (suite,) = suites(good())
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")
    assert outcome_of(suite, "verdict") is None
    assert outcome_of(suite, "duplicates: count == 0") is None
    assert outcome_of(suite, "completion") is None


def test_a_broken_threshold_is_a_failure_and_one_that_holds_is_none() -> None:
    (suite,) = suites(failing_over())
    assert outcome_of(suite, "failover_time: max < 100ms") == ("failure", "fail")
    assert outcome_of(suite, "lost{phase:steady,workload:hello}: count == 0") is not None
    assert outcome_of(suite, "failover_time: p99 < 3s") is not None
    assert outcome_of(suite, "reconnect_attempts: n >= 1") is None
    assert outcome_of(suite, "verdict") == ("failure", "fail")
    (case,) = (one for one in suite.iter("testcase") if "100ms" in one.attrib["name"])
    assert "limit 100 ms, margin -" in (case[0].text or "")


def test_each_condition_has_a_case_of_its_own_and_twins_are_told_apart() -> None:
    story = Story(thresholds={"duplicates": ["count == 0", "count == 0"]}).core()
    (suite,) = suites(report_on(story))
    names = [one.attrib["name"] for one in suite.iter("testcase")]
    assert names[1:3] == ["duplicates: count == 0", "duplicates: count == 0 (2)"]


def test_what_is_inconclusive_is_an_error_and_never_a_pass() -> None:
    (suite,) = suites(report_on(Story(drained=False).core().drop([799])))
    assert outcome_of(suite, "accounting") == ("error", "inconclusive")
    assert outcome_of(suite, "verdict") == ("error", "inconclusive")


def test_a_run_that_broke_off_is_an_error_of_the_infrastructure() -> None:
    story = Story(collected=False).core()
    story.event(1.0, "run.failed", error="ServerError", message="n1 did not start", phase="setup")
    (suite,) = suites(report_on(story))
    assert outcome_of(suite, "completion") == ("error", "infrastructure")
    assert outcome_of(suite, "verdict") == ("error", "infrastructure")


def test_a_crashed_check_is_an_error_of_the_infrastructure() -> None:
    def crash(case: Case) -> Result:
        raise ZeroDivisionError

    history = Story().core().history()
    report = build(history, judge(history, [*ITERATION_CHECKS, Check("odd", crash)]))
    (suite,) = suites(report)
    assert outcome_of(suite, "odd") == ("error", "infrastructure")
    assert outcome_of(suite, "verdict") == ("error", "infrastructure")


def test_a_server_that_exited_unasked_is_a_failure() -> None:
    story = Story().core()
    story.event(3.0, "server.exited", node="n2", returncode=2, expected=False)
    (suite,) = suites(report_on(story))
    assert outcome_of(suite, "completion") == ("failure", "fail")


def test_checks_of_several_iterations_stand_apart() -> None:
    stories = [Story(index=index).core() for index in range(2)]
    stories[1].silent_workers.add("hello-publishers")
    (suite,) = suites(report_on(*stories))
    cases = {one.attrib["name"]: len(one) for one in suite.iter("testcase")}
    assert cases["completion (iteration 0)"] == 0
    assert any(bad for name, bad in cases.items() if name.endswith("(iteration 1)"))


def test_the_worst_of_what_a_check_found_counts_and_all_is_told() -> None:
    found = [finding("pass"), finding("inconclusive", detail="doubt"), finding(detail="broken")]
    (suite,) = suites(with_findings(good(), *found, verdict="fail", exit_code=1))
    assert outcome_of(suite, "traffic (run)") == ("failure", "fail")
    (case,) = (one for one in suite.iter("testcase") if one.attrib["name"] == "traffic (run)")
    assert case[0].attrib["message"] == "broken"
    assert case[0].text == "inconclusive: traffic: doubt\nfail: traffic: broken"


@pytest.mark.parametrize("verdict", ["inconclusive", "fail"])
def test_a_bad_verdict_that_no_finding_explains_is_no_pass(verdict: str) -> None:
    (suite,) = suites(with_findings(good(), verdict=verdict, exit_code=3))
    assert outcome_of(suite, "verdict") is not None


def test_an_interrupted_run_is_no_pass() -> None:
    story = Story(collected=False).core()
    story.event(9.9, "run.interrupted", by="SIGINT")
    (suite,) = suites(report_on(story))
    assert outcome_of(suite, "verdict") == ("error", "infrastructure")


def test_scenarios_without_a_report_are_errors() -> None:
    _, second, third = suites(good(), NOT_RUN, NO_REPORT)
    assert outcome_of(second, "verdict") == ("error", "not-run")
    assert outcome_of(third, "verdict") == ("error", "no-report")


def test_what_cannot_be_in_xml_is_spelled_out() -> None:
    report = with_findings(good(), finding(detail=HOSTILE), verdict="fail", exit_code=1)
    (suite,) = suites(report.model_copy(update={"reproduce": HOSTILE, "warnings": [HOSTILE]}))
    (failure, *_) = suite.findall("testcase/failure")
    assert r"a]]>b<i>&" in failure.attrib["message"]
    assert r"\x00\x1b[31m" in failure.attrib["message"]
    assert "\\ud800\U0001f4a5" in failure.attrib["message"]
    assert "@team\nnext" in failure.attrib["message"]


def test_properties_say_what_was_run_and_how_to_run_it_again() -> None:
    report = report_on(Story().core(), host={"name": "box", "cores": 2}, reproduce="run it")
    (suite,) = suites(report)
    found = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    assert found["seed"] == "1"
    assert found["backend"] == "lab"
    assert found["reproduce"] == "run it"
    assert found["verdict"] == "pass"
    assert suite.attrib["hostname"] == "box"
    assert float(suite.attrib["time"]) >= 9


def test_a_report_without_host_or_time_still_fits() -> None:
    (suite,) = suites(good().model_copy(update={"started_at": "unknown"}))
    assert suite.attrib["hostname"] == "localhost"
