"""What every output says of a report in the same words: values, proof, versions, lengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.report.model import (
    SEVERITY,
    Disconnect,
    Environment,
    Fault,
    Finding,
    Iteration,
    Messages,
    Report,
)
from harness.scenario.metrics import METRICS
from harness.scenario.thresholds import format_value, parse_selector
from harness.units import human_duration

THRESHOLDS = "thresholds"
CUTTING = ("completion", "interrupted")
ALWAYS = ("intended", "accepted", "delivered", "lost", "duplicates", "out_of_order")
WHEN_ANY = ("acked", "refused", "unknown", "recovered")


@dataclass(frozen=True)
class Unreported:
    """A scenario of which there is no report, and why; nothing is known, so it is no pass.

    `run` says whether it was begun at all; `at` is when that became known, ISO 8601 in UTC.
    """

    scenario: str
    why: str
    run: bool
    at: str


Outcome = Report | Unreported


def name_scenario(outcome: Outcome) -> str:
    """Return the name of the scenario, whatever came of it."""
    if isinstance(outcome, Unreported):
        return outcome.scenario
    return str(outcome.scenario.get("name") or "unknown")


def server_versions(environment: Environment) -> str:
    """Return the releases that the servers were, such as ``2.10.29 -> 2.11.4, 2.11.4``."""
    versions = (
        " -> ".join(server.versions or [server.version or ""]) for server in environment.servers
    )
    return ", ".join(one for one in dict.fromkeys(versions) if one)


def told_apart(report: Report) -> list[str]:
    """Return what tells this run from others of its scenario, in a few words each."""
    environment = report.environment
    via = environment.clients_via
    versions = server_versions(environment)
    client = environment.client
    facts = [
        f"seed {report.seed}",
        (environment.backend or "") + (f", clients via {via}" if via else ""),
        f"nats-server {versions}" if versions else "",
        f"{client.adapter} {client.version or ''}".strip() if client.adapter else "",
    ]
    return [fact for fact in facts if fact]


def duration_s(report: Report) -> float:
    """Return how long all iterations took, as far as the report tells, in seconds."""
    return sum(_length_s(one) for one in report.iterations)


def _length_s(iteration: Iteration) -> float:
    rate = iteration.rate
    ends = [0.0, rate.start + rate.width * len(rate.delivered)]
    ends += [one.at for one in iteration.timeline]
    ends += [one.heal_done for one in iteration.faults if one.heal_done is not None]
    return max(ends)


def worst_iteration(report: Report) -> Iteration:
    """Return the iteration to show: the first of the worst; there must be one."""
    return max(report.iterations, key=lambda one: SEVERITY.index(one.verdict))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by their verdicts, else in their order."""
    return sorted(findings, key=lambda one: -SEVERITY.index(one.verdict))


def telling(report: Report) -> Iterator[Finding]:
    """Yield what is not a pass beside the table of thresholds, causes first.

    Of thresholds, their table says all but why one is inconclusive; in a run that was
    cut short the reason is the same for all, and has been told.
    """
    cut = any(one.check in CUTTING and one.verdict != "pass" for one in report.findings)
    for one in without_consequences(report):
        if one.check != THRESHOLDS and one.verdict != "pass":
            yield one
    for one in report.findings:
        if one.check == THRESHOLDS and one.verdict == "inconclusive" and not cut:
            yield one


def without_consequences(report: Report) -> Iterator[Finding]:
    """Yield the findings but those that only follow from a break before any message was sent.

    That nothing was sent, heard, written or struck then is no news; a failure always is.
    """
    broken = {
        one.iteration for one in report.findings if one.check in CUTTING and one.verdict != "pass"
    } & {
        one.index for one in report.iterations if one.messages is None or not one.messages.attempted
    }
    for one in report.findings:
        if one.iteration not in broken or one.check in CUTTING or one.verdict != "inconclusive":
            yield one


def show(finding: Finding, value: float | None, *, bound: bool) -> str:
    """Return a value of a threshold as thresholds are written, ``-`` where there is none."""
    if value is None or finding.metric is None or finding.statistic is None:
        return "-"
    metric = METRICS[parse_selector(finding.metric).metric]
    return (">= " if bound else "") + format_value(value, finding.statistic, metric)


def describe_sign(one: Disconnect) -> str:
    """Return how a client noticed, or what was seen of one that kept its connection."""
    return "only silence" if one.sign == "silence" else one.sign or "none"


def describe_unnoticed(one: Disconnect) -> str:
    """Return for how long a client that never disconnected could have noticed, and did not."""
    return f"not in {human_duration(one.detection_time)}" if one.detection_time else "no"


def describe_proof(fault: Fault) -> list[str]:
    """Return what was seen of a fault, each thing once; no hits and no probes."""
    seen = (
        f"FAILED: {one.what}" if one.kind == "failure" else one.what
        for one in fault.proof
        if one.kind not in ("hit", "probes")
    )
    return list(dict.fromkeys(seen))


def name_messages(messages: Messages) -> list[str]:
    """Return the counts worth showing: some always, others where there are any."""
    return [*ALWAYS, *(name for name in WHEN_ANY if getattr(messages, name))]
