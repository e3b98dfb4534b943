"""An inspection as JSON: schema version 1, changed only by additions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from harness import __version__
from harness.engine.connection import Engine
from harness.engine.images import Image
from harness.inspection.model import Finding, Inspection, Verdict, redacted, redacted_words

SCHEMA_VERSION = "1"


def build_report(
    engine: Engine, inspection: Inspection, against: Inspection | None
) -> dict[str, Any]:
    """Return the document; the verdict and the exit code are those of the first image."""
    report: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "inspected_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "nats_harness_version": __version__,
        "engine": {"version": engine.version, "architecture": engine.architecture},
        "exit_code": inspection.exit_code,
        **_one(inspection),
    }
    if against is not None:
        report["against"] = _one(against)
        report["differences"] = [
            {
                "name": one.name,
                "image": str(one.verdict),
                "against": str(other.verdict),
                "image_detail": one.detail,
                "against_detail": other.detail,
            }
            for one, other in differences(inspection, against)
        ]
    return report


def differences(one: Inspection, other: Inspection) -> list[tuple[Finding, Finding]]:
    """Return the checks that came to different verdicts or conclusions, as pairs."""
    pairs = zip(one.findings, other.findings, strict=True)
    return [
        (first, second)
        for first, second in pairs
        if (first.verdict, first.detail) != (second.verdict, second.detail)
    ]


def as_json(report: Mapping[str, Any]) -> str:
    """Return the document as text."""
    return json.dumps(report, indent=2) + "\n"


def _one(inspection: Inspection) -> dict[str, Any]:
    return {
        "verdict": str(inspection.verdict),
        "counts": {str(verdict): inspection.count(verdict) for verdict in Verdict},
        "image": _image(inspection.image),
        "checks": [
            {
                "name": one.name,
                "verdict": str(one.verdict),
                "evidence": list(one.evidence),
                "detail": one.detail,
            }
            for one in inspection.findings
        ],
    }


def _image(image: Image) -> dict[str, Any]:
    return {
        "name": image.name,
        "id": image.id,
        "digests": list(image.digests),
        "architecture": image.architecture,
        "user": image.user,
        "entrypoint": list(redacted_words(image.entrypoint)),
        "command": list(redacted_words(image.command)),
        "ports": list(image.ports),
        "volumes": list(image.volumes),
        "working_directory": image.working_directory,
        "labels": {key: redacted(value) for key, value in image.labels.items()},
    }
