"""The JSON Schema of report.json, made from the model."""

from __future__ import annotations

import json
from typing import Any

from harness.report.model import VERSION, Report

TITLE = "nats-harness report"


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of report.json; the tracked file is equal to it."""
    schema = Report.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f"{TITLE}, version {VERSION}",
    }


def schema_text() -> str:
    """Return the schema as it stands in reports/schema/."""
    return json.dumps(report_schema(), indent=2, sort_keys=True) + "\n"
