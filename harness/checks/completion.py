"""Completion: did the iteration go through all its phases, and did the servers live?"""

from __future__ import annotations

from harness.checks.base import Case, Check, Finding, Result, Verdict

NAME = "completion"


def judge_completion(case: Case) -> Result:
    """Judge how an iteration ended.

    A server that exited without being asked fails the run, whenever it was. Anything
    else that broke the iteration off (a worker's death, trouble of the harness, a crash
    that left no trace but the missing end) makes it inconclusive.
    """
    iteration = case.iteration
    findings = [
        Finding(
            NAME,
            Verdict.FAIL,
            f"server {event.get('node')} exited unasked with code {event.get('returncode')} "
            f"after {iteration.relative_s(event['at_ns']):.3f} s",
            f"read the end of servers/{iteration.index}/{event.get('node')}.log",
        )
        for event in iteration.of_kind("server.exited")
        if not event.get("expected")
    ]
    failures = iteration.of_kind("run.failed")
    findings += [
        Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"the run broke off in {event.get('phase')}: {event.get('error')}: "
            f"{event.get('message')}",
            "read harness.log, and the logs in workers/ and servers/",
        )
        for event in failures
    ]
    if not iteration.collected and not failures and not iteration.of_kind("run.interrupted"):
        last = iteration.phases[-1].name if iteration.phases else "setup"
        findings.append(
            Finding(
                NAME,
                Verdict.INCONCLUSIVE,
                f"the record ends in {last}: the harness itself was ended there",
                "run it again; look for an out-of-memory kill if it happens twice",
            )
        )
    if not findings and iteration.collected:
        findings.append(Finding(NAME, Verdict.PASS, "every phase ran to its end"))
    return Result(findings=tuple(findings))


CHECK = Check(NAME, judge_completion)
