"""What a report says, in plain words and a few numbers, for the first screen of a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from harness.report.model import Fault, Finding, Messages, Metric, Proof, Report
from harness.report.words import THRESHOLDS, telling, told_apart, worst_first
from harness.scenario.metrics import METRICS
from harness.scenario.thresholds import format_value, parse_selector, parse_threshold
from harness.units import human_duration

MOST_NAMED = 3
_DOES = MappingProxyType(
    {
        "stop": "be stopped",
        "kill": "be killed",
        "pause": "be frozen",
        "restart": "be restarted",
        "rolling-restart": "be restarted one after the other",
        "lame-duck": "be put into lame duck mode",
        "reload": "reload its configuration",
        "upgrade": "be upgraded",
        "partition": "be cut off",
        "delay": "get slow links",
        "loss": "lose packets",
        "bandwidth": "get narrow links",
        "reset": "have its connections reset",
        "refuse": "refuse new clients",
        "disconnect": "be disconnected",
        "slow-disk": "get a slow disk",
        "disk-full": "run out of disk",
        "corrupt": "have its files damaged",
        "power-loss": "lose power",
        "rollback": "be set back to an earlier state",
        "clock-skew": "have its clock moved",
        "cpu-limit": "be short of CPU time",
        "step-down": "give up leading",
        "peer-remove": "be removed from its group",
    }
)
_PAST = MappingProxyType(
    {
        "get": "got",
        "give": "gave",
        "have": "had",
        "lose": "lost",
        "refuse": "refused",
        "reload": "reloaded",
        "run": "ran",
    }
)


@dataclass(frozen=True)
class Cost:
    """One number of what the faults cost: `bad` says that it deserves a second look."""

    name: str
    value: str
    note: str
    bad: bool = False


@dataclass(frozen=True)
class ThresholdRow:
    """A threshold as a page shows it; `used` is the share of the limit, None if there is none.

    `exact` says that the limit is the one value that is right, so that none of it is used up.
    """

    finding: Finding
    about: str
    value: str
    limit: str
    margin: str
    used: float | None
    exact: bool = False

    @property
    def width(self) -> float:
        """Return the length of the bar in percent, where the limit lies at 80."""
        return 0.0 if self.used is None else round(min(100.0, 80.0 * self.used), 2)

    @property
    def use(self) -> str:
        """Return how much of the limit is used, in words."""
        if self.used is None:
            return "no value"
        if self.exact:
            return "exactly so" if self.used == 0 else "not so"
        if self.finding.verdict == "fail":
            return f"limit {self.limit}"
        share = f"{self.used * 100:.2g}" if self.used < 1 else f"{self.used * 100:.0f}"
        return f"{share}% of {self.limit}"


def conclude(report: Report) -> str:
    """Return what the verdict rests on, in one or two sentences."""
    judged = [one for one in report.findings if one.check == THRESHOLDS]
    missed = [one for one in judged if one.verdict == "fail"]
    causes = [one for one in report.findings if one.check != THRESHOLDS and one.verdict != "pass"]
    failed = [one for one in causes if one.verdict == "fail"]
    if report.verdict == "fail":
        cut = " The run was interrupted before its end." if report.interrupted else ""
        parts = [f"{len(missed)} of {_count(len(judged), 'threshold')} missed"] if missed else []
        parts += [f"{_count(len(failed), 'check')} failed"] if failed else []
        named = [f"{one.metric} {one.condition}" for one in missed]
        named += dict.fromkeys(one.check for one in failed)
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        return f"{' and '.join(parts)}: {'; '.join(named[:MOST_NAMED])}{more}.{cut}"
    if report.interrupted:
        return "The run was interrupted before its end, so it proves nothing."
    if report.verdict == "pass":
        met = f"All {len(judged)} thresholds were met" if judged else "There were no thresholds"
        return f"{met}, and nothing was found that must not be."
    doubtful = sum(one.verdict == "inconclusive" for one in judged)
    why = causes[0].detail if causes else f"{doubtful} of {len(judged)} thresholds cannot be judged"
    return f"The run proves nothing either way: {why.rstrip('.')}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def describe_fault(fault: Fault) -> str:
    """Return what a fault did, or only set out to do, as one sentence."""
    who = ", ".join(fault.targets) or "the cluster"
    does = _DOES.get(fault.action, f"be under {fault.action}")
    was = "was"
    if len(fault.targets) > 1:
        was, does = "were", does.replace(" its ", " their ")
    if fault.inject_start is None:
        return f"{who}: {fault.action} was planned and never came."
    if fault.inject_done is None:
        partly = any(one.kind == "effect" for one in fault.proof)
        seen = "was seen only in part" if partly else "was never seen"
        return f"At {fault.inject_start:.2f} s {who} {was} to {does}; its effect {seen}."
    verb, rest = does.split(" ", 1)
    past = was if verb == "be" else _PAST[verb]
    begin = f"At {fault.inject_start:.2f} s {who} {past} {rest}"
    if fault.heal_done is None:
        return f"{begin}; its undo was never seen."
    lasted = human_duration(fault.heal_done - fault.inject_start)
    return f"{begin}; all was undone by {fault.heal_done:.2f} s, {lasted} later."


def order_proof(fault: Fault) -> list[Proof]:
    """Return what was seen of a fault, failures first: they come last in time."""
    return sorted(fault.proof, key=lambda one: one.kind != "failure")


def list_costs(report: Report) -> Iterator[Cost]:
    """Yield what is worth a look on the first screen, most important first."""
    metrics = report.metrics
    for name, label in (
        ("lost", "Messages lost"),
        ("stream_lost", "Lost from streams"),
        ("consumer_lost", "Never delivered by consumers"),
        ("kv_lost", "Lost from buckets"),
    ):
        if (one := metrics.get(name)) is not None and one.n:
            share = f" ({one.ratio * 100:.2g}%)" if one.count and one.ratio else ""
            yield Cost(label, f"{one.count or 0:,}", f"of {one.n:,}{share}", bool(one.count))
    for name, label, statistic in (
        ("failover_time", "Slowest failover", "max"),
        ("outage_window", "Longest outage", "max"),
        ("leader_election_time", "Longest without leader", "max"),
        ("recovery_time", "Back to normal after heal", "max"),
        ("e2e_latency", "Latency, p99", "p99"),
    ):
        if (metric := metrics.get(name)) is not None and metric.n:
            yield _cost(name, label, statistic, metric)
    clients = [one for it in report.iterations for one in it.clients]
    if clients and report.iterations:
        hit = sum(bool(one.disconnects) for one in clients)
        yield Cost("Clients disconnected", f"{hit:,}", f"of {len(clients):,}")


def _cost(name: str, label: str, statistic: str, metric: Metric) -> Cost:
    value = getattr(metric, statistic)
    if value is None:
        return Cost(label, "-", "no values")

    def show(number: float, name_of_it: str) -> str:
        sign = "≥ " if name_of_it in metric.lower_bounds else ""
        return sign + format_value(number, name_of_it, METRICS[name])

    note = "" if metric.p50 is None else f"median {show(metric.p50, 'p50')}; "
    note += f"{metric.n:,} value{'' if metric.n == 1 else 's'}"
    if metric.censored:
        note += f"; {metric.censored:,} without an end"
    return Cost(label, show(value, statistic), note, statistic in metric.lower_bounds)


def sum_up_messages(messages: Messages) -> str:
    """Return the counts of an iteration in one line."""
    if messages.expected:
        return f"{messages.lost:,} lost of {messages.expected:,} expected arrivals"
    return f"{messages.acked:,} acknowledged of {messages.attempted:,} attempted"


def list_thresholds(report: Report) -> Iterator[ThresholdRow]:
    """Yield the thresholds, the worst first."""
    judged = [one for one in report.findings if one.check == THRESHOLDS]
    yield from map(read_threshold, worst_first(judged))


def read_threshold(finding: Finding) -> ThresholdRow:
    """Return a finding of the check of thresholds as a page shows it."""
    about = finding.metric or ""
    try:
        selector = parse_selector(about)
        metric = METRICS[selector.metric]
        threshold = parse_threshold(selector, finding.condition or "", metric)
    except (ValueError, KeyError):
        return ThresholdRow(finding, about, "-", "-", "-", None)

    def show(value: float | None, *, bound: bool = False) -> str:
        if value is None:
            return "-"
        return ("≥ " if bound else "") + format_value(value, threshold.statistic, metric)

    return ThresholdRow(
        finding=finding,
        about=metric.summary,
        value=show(finding.value, bound=finding.at_least),
        limit=show(finding.limit),
        margin=show(finding.margin),
        used=_used(threshold.operator, finding.value, finding.limit),
        exact=threshold.operator == "==",
    )


def _used(operator: str, value: float | None, limit: float | None) -> float | None:
    """Return how much of a limit is used up: 1 is all of it, more is beyond."""
    if value is None or limit is None:
        return None
    if operator == "==":
        return 0.0 if value == limit else 1.25
    part, whole = (limit, value) if operator in (">", ">=") else (value, limit)
    if whole == 0:
        return 0.0 if part == 0 else 1.25
    return max(0.0, part / whole)


def list_worries(report: Report) -> list[Finding]:
    """Return what was found and is no pass, the worst first; of thresholds only the doubtful."""
    return worst_first(telling(report))


def list_facts(report: Report) -> list[str]:
    """Return where and with what it ran, as short phrases."""
    return [report.started_at, *told_apart(report)]
