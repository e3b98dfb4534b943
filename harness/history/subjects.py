"""What workloads published on, by the scenario that a run left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.scenario.subjects import published_by, taken_by


def published_subjects(scenario: Mapping[str, Any]) -> dict[str, str]:
    """Return the subject of each workload by its name, as it was when the run was made.

    The scenario has none where the user left it out. A workload that uses a stream which the
    scenario does not have is left out: nobody knows what it published on.
    """
    taken = {
        one["name"]: taken_by(one["name"], one.get("subjects") or ())
        for one in scenario.get("streams") or ()
    }
    subjects: dict[str, str] = {}
    for workload in scenario.get("workloads") or ():
        name, subject, stream = (workload.get(key) for key in ("name", "subject", "stream"))
        if stream is None:
            subjects[name] = subject or name
        elif subject or stream in taken:
            subjects[name] = published_by(name, subject, taken.get(stream, ()))
    return subjects
