"""Put a story before one check, and see what it finds and what that makes of the run."""

from __future__ import annotations

from story import Story

from harness.checks import ITERATION_CHECKS, judge
from harness.checks.base import Case, Finding, Verdict

CHECKS = {check.name: check for check in ITERATION_CHECKS}


def findings(check: str, story: Story) -> list[Finding]:
    history = story.history()
    return list(CHECKS[check].run(Case(history.iterations[0], history.scenario)).findings)


def only(check: str, story: Story) -> tuple[Verdict, str]:
    (finding,) = findings(check, story)
    return finding.verdict, finding.detail


def assert_inconclusive(check: str, story: Story, words: str) -> None:
    found = findings(check, story)
    assert {one.verdict for one in found} == {Verdict.INCONCLUSIVE}
    assert any(words in one.detail for one in found), [one.detail for one in found]
    assert judge(story.history()).verdict is Verdict.INCONCLUSIVE
