"""metrics.prom: the metrics of a run in Prometheus' text format.

It is meant for the textfile collector of node_exporter. Everything is a gauge: what is counted
here is counted for one run and starts anew with the next, and a counter, which may only grow,
would make two runs that lose five messages each look like no loss at all to ``increase()``.
Hence no name ends in ``_total``, which is for counters (Prometheus: "Metric and label naming";
"Instrumentation", batch jobs). Times are seconds, shares are from 0 to 1. There are no
timestamps, since that collector refuses them.

A family's help is the same in every file, whatever the run: the collector merges files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from harness.report.model import SEVERITY, Metric, Report
from harness.report.words import duration_s, name_scenario, server_versions
from harness.scenario.metrics import DISTRIBUTION_STATISTICS, METRICS
from harness.scenario.thresholds import parse_selector

PREFIX = "nats_harness"
STATISTICS = tuple(one for one in DISTRIBUTION_STATISTICS if one not in ("n", "censored"))
Labels = Mapping[str, str]


class _Families:
    """Samples by family, in the order in which families were first seen."""

    def __init__(self, common: Labels) -> None:
        self._common = common
        self._helps: dict[str, str] = {}
        self._samples: dict[str, dict[str, float]] = {}

    def add(self, name: str, summary: str, value: float | None, **labels: str) -> None:
        """Add a sample; a value that is not known is none. The same one is not added twice."""
        if value is None:
            return
        self._helps.setdefault(name, summary)
        pairs = ",".join(
            f'{key}="{_quote(one)}"' for key, one in {**self._common, **labels}.items()
        )
        self._samples.setdefault(name, {})[f"{{{pairs}}}"] = value

    def render(self) -> Iterator[str]:
        for name, samples in self._samples.items():
            yield f"# HELP {PREFIX}_{name} {_escape_help(self._helps[name])}"
            yield f"# TYPE {PREFIX}_{name} gauge"
            yield from (f"{PREFIX}_{name}{labels} {value!r}" for labels, value in samples.items())


def render_prometheus(report: Report) -> bytes:
    """Return the metrics of a run as text in UTF-8."""
    families = _Families(
        {
            "scenario": name_scenario(report),
            "backend": report.environment.backend or "unknown",
            "server_version": server_versions(report.environment) or "unknown",
            "verdict": report.verdict,
        }
    )
    _add_run(families, report)
    for text, metric in report.metrics.items():
        try:
            selector = parse_selector(text)
        except ValueError:
            continue  # no name that a scenario could have
        _add_metric(families, selector.metric, selector.labels, metric)
    return "".join(f"{line}\n" for line in families.render()).encode()


def _add_run(families: _Families, report: Report) -> None:
    client = report.environment.client
    families.add(
        "run_info",
        "Always 1; says what was run.",
        1,
        nats_harness_version=report.nats_harness_version,
        client_adapter=client.adapter or "unknown",
        client_version=client.version or "unknown",
    )
    families.add("run_start_time_seconds", "When the run began, in Unix time.", _unix_time(report))
    families.add("run_duration_seconds", "How long all iterations took.", duration_s(report))
    families.add("run_exit_code", "The exit code of the run.", report.exit_code)
    families.add("run_interrupted", "1 if somebody stopped the run.", int(report.interrupted))
    for verdict in SEVERITY:
        count = sum(one.verdict == verdict for one in report.iterations)
        families.add("run_iterations", "Iterations by their verdict.", count, result=verdict)
    for verdict in SEVERITY:
        count = sum(one.verdict == verdict for one in report.findings)
        summary = "Findings of checks and thresholds by their verdict."
        families.add("run_findings", summary, count, result=verdict)


def _add_metric(families: _Families, name: str, labels: Labels, metric: Metric) -> None:
    known = METRICS.get(name)
    what = name if known is None else known.summary
    if metric.kind == "counter":
        families.add(name, f"How many {metric.unit}: {what}.", metric.count, **labels)
        families.add(f"{name}_possible", f"Of how many {metric.unit}: {what}.", metric.n, **labels)
        families.add(f"{name}_ratio", f"Share of {metric.unit}: {what}.", metric.ratio, **labels)
        return
    seconds = metric.unit == "s"
    family = f"{name}_seconds" if seconds else name
    unit = "Seconds" if seconds else metric.unit.capitalize()
    for statistic in STATISTICS:
        # What is only known to be at least so much must not look like a measurement.
        bound = "lower" if statistic in metric.lower_bounds else "exact"
        value: float | None = getattr(metric, statistic)
        families.add(family, f"{unit}: {what}.", value, **labels, statistic=statistic, bound=bound)
    families.add(f"{name}_observations", f"Values there are of: {what}.", metric.n, **labels)
    summary = f"Values known only as lower bounds of: {what}."
    families.add(f"{name}_censored_observations", summary, metric.censored, **labels)


def _unix_time(report: Report) -> float | None:
    try:
        return datetime.fromisoformat(report.started_at).timestamp()
    except ValueError:
        return None


def _quote(text: str) -> str:
    """Return a label's value, escaped; what is no character, such as half of one, is replaced."""
    text = text.encode(errors="replace").decode()
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
