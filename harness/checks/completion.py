"""Completion: did the iteration go through all its phases, and did the servers live?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.facts import Iteration

NAME = "completion"


def judge_completion(case: Case) -> Result:
    """Judge how an iteration ended.

    A server that exited without being asked, or otherwise than a server does when it is asked
    to, fails the run, whenever it was; so does one that ran already and restarted while no
    fault held on it. One of these that did not answer any more at the end makes it
    inconclusive, since nobody knows what became of it; so does what could not be taken away
    at the end: the next run may meet it. Anything else that broke the iteration off (a
    worker's death, trouble of the harness, a crash that left no trace but the missing end)
    makes it inconclusive.
    """
    iteration = case.iteration
    findings = [
        Finding(
            NAME,
            Verdict.FAIL,
            f"server {event.get('node')} exited unasked with code {event.get('returncode')} "
            f"after {iteration.relative_s(event['at_ns']):.3f} s{_unlike(event)}",
            f"read the end of servers/{iteration.index}/{event.get('node')}.log",
        )
        for event in iteration.of_kind("server.exited")
        if not event.get("expected")
    ]
    findings += [
        Finding(
            NAME,
            Verdict.FAIL,
            f"server {event.get('node')} restarted, though no fault held on it, before "
            f"{iteration.relative_s(event['at_ns']):.3f} s",
            "ask whoever runs it; read its log",
        )
        for event in iteration.of_kind("server.replaced")
        if not event.get("expected")
    ]
    findings += _judge_silence(iteration)
    findings += [
        Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"something was left behind: {event.get('message')}",
            "see why the Engine refuses; nats-harness doctor --sweep then takes it away",
        )
        for event in iteration.of_kind("run.left_behind")
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


def _unlike(event: Mapping[str, Any]) -> str:
    """Say what the server had been asked by, if it was."""
    asked = " or ".join(event.get("asked") or ())
    return f", as no server does on {asked}" if asked else ""


def _judge_silence(iteration: Iteration) -> Iterator[Finding]:
    """Yield a finding for each attached server that was last seen to be silent."""
    last = {
        event.get("node"): event
        for event in iteration.of_kind("server.unreachable", "server.reachable")
    }
    for node, event in last.items():
        if event["kind"] == "server.unreachable":
            since_s = iteration.relative_s(event.get("from_ns", event["at_ns"]))
            yield Finding(
                NAME,
                Verdict.INCONCLUSIVE,
                f"server {node} did not answer from {since_s:.3f} s to the end: {event.get('why')}",
                "see whether it runs, and whether its monitoring URL still leads to it",
            )


CHECK = Check(NAME, judge_completion)
