"""Reports to put before outputs: told stories, judged, and spoiled where a test wants it."""

from __future__ import annotations

from typing import Any

from story import Story, tell

from harness.checks import judge
from harness.report.build import build
from harness.report.model import Finding, Report
from harness.report.words import Unreported

# What XML, Markdown, HTML and Prometheus each give a meaning to, or cannot hold at all.
HOSTILE = "a]]>b<i>&\"'|`*_[x](http://e.x)\\ \x00\x1b[31m\u2028\ud800\U0001f4a5 @team\nnext # 1"
NOT_RUN = Unreported("second", "the session ended", run=False, at="2026-01-02T03:04:05.678Z")
NO_REPORT = Unreported("third", HOSTILE, run=True, at="2026-01-02T03:04:05.678Z")


def report_on(*stories: Story, **started: Any) -> Report:
    history = tell(list(stories), seed=1, backend="lab", **started)
    return build(history, judge(history))


def good() -> Report:
    return report_on(Story(thresholds={"duplicates": ["count == 0"]}).core())


def failing_over() -> Report:
    """Return a failed run: a threshold broken, one held, a reconnect that never came."""
    story = Story(
        thresholds={
            "lost{phase:steady,workload:hello}": ["count == 0", "ratio < 1%"],
            "failover_time": ["p99 < 3s", "max < 100ms"],
            "reconnect_attempts": ["n >= 1"],
        }
    )
    story.core(1, 1).fault().drop(range(120, 130))
    story.failover("hello-publisher-1", 4.1, 4.3)
    return report_on(story.failover("hello-subscriber-1", 4.2, None, attempts=9))


def with_findings(report: Report, *findings: Finding, **changes: Any) -> Report:
    return report.model_copy(update={"findings": list(findings), **changes})


def finding(verdict: str = "fail", **facts: Any) -> Finding:
    blank = {"check": "traffic", "value": None, "limit": None, "margin": None, "detail": "said"}
    return Finding.model_validate({**blank, "verdict": verdict, **facts})
