from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from story import Story, tell

from harness.checks import judge
from harness.report.build import build
from harness.report.model import Report
from harness.report.schema import report_schema, schema_text

TRACKED = Path(__file__).parents[2] / "reports" / "schema" / "report-v1.json"


def sample() -> dict[str, Any]:
    story = Story(thresholds={"lost": ["count == 0"]}).core().named([("first", 1.5)]).fault()
    story.failover("hello-publisher-1", 4.1, None)
    history = tell([story], seed=1, backend="lab")
    told: dict[str, Any] = json.loads(build(history, judge(history)).model_dump_json())
    return told


def test_the_tracked_schema_is_the_one_of_the_model() -> None:
    assert TRACKED.read_text(encoding="utf-8") == schema_text(), (
        "write harness.report.schema.schema_text() to reports/schema/report-v1.json; "
        "within version 1 fields may only be added"
    )


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())


def test_a_report_is_valid_by_the_tracked_schema() -> None:
    jsonschema.validate(sample(), json.loads(TRACKED.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("key", "value"),
    [("verdict", "maybe"), ("exit_code", "0"), ("iterations", {}), ("metrics", []), ("seed", "x")],
)
def test_what_is_no_report_is_refused(key: str, value: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(sample() | {key: value}, report_schema())


def test_every_promised_field_is_required() -> None:
    required = set(report_schema()["required"])
    assert required >= {
        "run_id", "started_at", "nats_harness_version", "verdict", "exit_code", "scenario",
        "seed", "reproduce", "environment", "iterations", "metrics", "findings",
    }  # fmt: skip
    assert "schema_version" in Report.model_fields
