"""A report that contradicts itself is none, whoever wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from planted_reports import finding, report
from pydantic import ValidationError
from told_reports import failing_over, good

from harness.report.model import Report


def read(told: Report, **forged: Any) -> Report:
    return Report.model_validate_json(json.dumps({**told.model_dump(mode="json"), **forged}))


@pytest.mark.parametrize(
    "forged",
    [
        {"verdict": "pass", "exit_code": 0},
        {"verdict": "inconclusive", "exit_code": 3},
        {"verdict": "pass", "exit_code": 0, "interrupted": True},
    ],
)
def test_a_verdict_that_is_better_than_a_finding_is_refused(forged: dict[str, Any]) -> None:
    failed = failing_over()
    assert read(failed) == failed
    with pytest.raises(ValidationError, match="and that of a finding fail"):
        read(failed, **forged)


@pytest.mark.parametrize(
    ("forged", "told"),
    [
        ({"exit_code": 1}, "exit code 1 with verdict pass"),
        ({"exit_code": 130}, "exit code 130 with verdict pass"),
        ({"interrupted": True}, "exit code 0 with verdict pass, interrupted"),
        ({"verdict": "fail"}, "exit code 0 with verdict fail"),
    ],
)
def test_an_exit_code_that_is_not_the_verdict_s_is_refused(
    forged: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        read(good(), **forged)


def test_what_judges_say_of_interrupted_and_doubtful_runs_is_read_again() -> None:
    doubtful = [finding("proof", "inconclusive", 0), finding("traffic", "pass", 0)]
    for told in (
        report([], interrupted=True),
        report([], findings=doubtful),
        report([], findings=doubtful, interrupted=True),
        report([], findings=doubtful, verdict="fail", exit_code=1),
    ):
        assert read(told) == told
