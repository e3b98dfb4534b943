"""junit.xml: what CI systems read, valid by Jenkins' schema and by that of Ant's JUnit task.

A run is a test suite. Its test cases are `verdict`, which says what the run as a whole says,
one for each condition of a threshold, and one for each check that said something of an
iteration. What is broken is a failure. What is inconclusive is an error, since nobody may
take it for a pass: its type is ``infrastructure`` where the run itself or a check broke,
``inconclusive`` where all worked and the question stays open, ``no-report`` and ``not-run``
where there is nothing to judge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from harness.report.model import SEVERITY, Finding, Report
from harness.report.words import (
    CUTTING,
    THRESHOLDS,
    Outcome,
    Unreported,
    duration_s,
    name_scenario,
    server_versions,
    show,
)

PACKAGE = "nats-harness"
NO_HOST = "localhost"  # what Ant's schema asks for where the name is not known
NO_TIME = "1970-01-01T00:00:00"  # likewise required
BROKEN = "infrastructure"
OPEN = "inconclusive"
CRASHED = "the check itself crashed"
# What XML 1.0 cannot hold, not even escaped (its production Char).
_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@dataclass(frozen=True)
class _Case:
    """A test case; `outcome` is None for a pass, else ``failure`` or ``error``."""

    group: str
    name: str
    outcome: str | None = None
    kind: str = ""
    message: str = ""
    text: str = ""
    took_s: float = 0.0


def render_junit(outcomes: Sequence[Outcome]) -> bytes:
    """Return the XML of all outcomes, a suite each, in their order."""
    root = ET.Element("testsuites")
    for index, outcome in enumerate(outcomes):
        _add_suite(root, index, outcome)
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'.encode()


def _add_suite(root: ET.Element, index: int, outcome: Outcome) -> None:
    cases = list(_cases(outcome))
    began = outcome.started_at if isinstance(outcome, Report) else outcome.at
    attributes = {
        "name": name_scenario(outcome),
        "tests": str(len(cases)),
        "failures": str(sum(case.outcome == "failure" for case in cases)),
        "errors": str(sum(case.outcome == "error" for case in cases)),
        "skipped": "0",
        "time": _seconds(sum(case.took_s for case in cases)),
        "timestamp": began[:19] if _TIME.match(began) else NO_TIME,
        "hostname": _host(outcome),
        "id": str(index),
        "package": PACKAGE,
    }
    suite = ET.SubElement(root, "testsuite", _fit(attributes))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(outcome):
        ET.SubElement(properties, "property", {"name": name, "value": fit_xml(value)})
    for case in cases:
        _add_case(suite, case)
    notes = "\n".join(outcome.warnings) if isinstance(outcome, Report) else ""
    ET.SubElement(suite, "system-out").text = fit_xml(notes)
    ET.SubElement(suite, "system-err")


def _add_case(suite: ET.Element, case: _Case) -> None:
    attributes = {"name": case.name, "classname": case.group, "time": _seconds(case.took_s)}
    element = ET.SubElement(suite, "testcase", _fit(attributes))
    if case.outcome is not None:
        said = {"message": fit_xml(case.message), "type": case.kind}
        ET.SubElement(element, case.outcome, said).text = fit_xml(case.text)


def _cases(outcome: Outcome) -> Iterator[_Case]:
    group = name_scenario(outcome)
    if isinstance(outcome, Unreported):
        kind = "no-report" if outcome.run else "not-run"
        yield _Case(group, "verdict", "error", kind, outcome.why, outcome.why)
        return
    yield from _unique([_judge_run(group, outcome), *_thresholds(group, outcome)])
    yield from _checks(group, outcome)


def _judge_run(group: str, report: Report) -> _Case:
    took_s = duration_s(report)
    if report.verdict == "pass" and report.exit_code == 0:
        return _Case(group, "verdict", took_s=took_s)
    causes = [one for one in report.findings if one.verdict != "pass"]
    worst = [one for one in causes if one.verdict == report.verdict] or causes
    text = "\n".join(_describe(one) for one in causes) or "no finding says why"
    message = f"{report.verdict}: {worst[0].detail}" if worst else report.verdict
    if report.verdict == "fail":
        return _Case(group, "verdict", "failure", "fail", message, text, took_s)
    kind = BROKEN if any(map(_infrastructural, worst)) else OPEN
    return _Case(group, "verdict", "error", kind, message, text, took_s)


def _thresholds(group: str, report: Report) -> Iterator[_Case]:
    for one in report.findings:
        if one.check == THRESHOLDS:
            name = f"{one.metric or 'threshold'}: {one.condition or one.detail}"
            yield _tell(f"{group}.thresholds", name, [one])


def _checks(group: str, report: Report) -> Iterator[_Case]:
    """Yield a case for each check in each iteration, from the worst of what it found there."""
    found: dict[tuple[int | None, str], list[Finding]] = {}
    for one in report.findings:
        if one.check != THRESHOLDS:
            found.setdefault((one.iteration, one.check), []).append(one)
    for (iteration, check), findings in found.items():
        several = iteration is not None and len(report.iterations) > 1
        name = f"{check} (iteration {iteration})" if several else check
        if iteration is None:
            name = f"{check} (run)"
        yield _tell(f"{group}.checks", name, findings)


def _tell(group: str, name: str, findings: Sequence[Finding]) -> _Case:
    verdict = max((one.verdict for one in findings), key=SEVERITY.index)
    if verdict == "pass":
        return _Case(group, name)
    worst = [one for one in findings if one.verdict == verdict]
    text = "\n".join(_describe(one) for one in findings if one.verdict != "pass")
    if verdict == "fail":
        return _Case(group, name, "failure", "fail", worst[0].detail, text)
    kind = BROKEN if any(map(_infrastructural, worst)) else OPEN
    return _Case(group, name, "error", kind, worst[0].detail, text)


def _infrastructural(finding: Finding) -> bool:
    """Tell whether the run or the judging broke, rather than that a question stays open."""
    return finding.check in CUTTING or finding.detail.startswith(CRASHED)


def _describe(finding: Finding) -> str:
    where = "" if finding.iteration is None else f" [iteration {finding.iteration}]"
    parts = [f"{finding.verdict}: {finding.check}{where}: {finding.detail}"]
    if finding.value is not None and finding.limit is not None:
        value = show(finding, finding.value, bound=finding.at_least)
        limit = show(finding, finding.limit, bound=False)
        margin = show(finding, finding.margin, bound=False)
        parts.append(f"  value {value}, limit {limit}, margin {margin}")
    if finding.advice:
        parts.append(f"  what to do: {finding.advice}")
    return "\n".join(parts)


def _unique(cases: Iterable[_Case]) -> Iterator[_Case]:
    """Yield the cases under names that tell them apart: readers keep one of each name."""
    seen: Counter[tuple[str, str]] = Counter()
    for case in cases:
        seen[case.group, case.name] += 1
        number = seen[case.group, case.name]
        name = case.name if number == 1 else f"{case.name} ({number})"
        yield _Case(case.group, name, case.outcome, case.kind, case.message, case.text, case.took_s)


def _properties(outcome: Outcome) -> Iterator[tuple[str, str]]:
    if isinstance(outcome, Unreported):
        return
    environment = outcome.environment
    client = environment.client
    yield "verdict", outcome.verdict
    yield "exit_code", str(outcome.exit_code)
    yield "run_id", outcome.run_id
    yield "seed", str(outcome.seed)
    yield "backend", environment.backend or "unknown"
    yield "server_version", server_versions(environment) or "unknown"
    yield "client", f"{client.adapter or 'unknown'} {client.version or 'unknown'}"
    yield "python", environment.python or "unknown"
    yield "nats_harness_version", outcome.nats_harness_version
    yield "reproduce", outcome.reproduce


def _host(outcome: Outcome) -> str:
    host = outcome.environment.host if isinstance(outcome, Report) else None
    name = host.get("name") if isinstance(host, Mapping) else None
    return str(name or NO_HOST)


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _fit(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return attributes that are tokens by the schema: no white space but single spaces."""
    return {key: " ".join(fit_xml(value).split()) for key, value in attributes.items()}


def fit_xml(text: str) -> str:
    """Return the text with what XML cannot hold spelled out, as Python would."""
    return _UNFIT.sub(lambda match: ascii(match[0])[1:-1], text)
