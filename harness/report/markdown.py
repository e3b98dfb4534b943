"""summary.md: the report for a pull request, in GitHub's Markdown, short enough to be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from harness.report.model import Finding, Iteration, Report
from harness.report.words import (
    THRESHOLDS,
    Outcome,
    Unreported,
    describe_proof,
    duration_s,
    name_messages,
    name_scenario,
    show,
    telling,
    told_apart,
    worst_first,
    worst_iteration,
)
from harness.units import human_duration

MAX_ROWS = 40
MAX_POINTS = 10
MAX_CELL = 240
# What begins something in Markdown wherever it stands, and what does at the start of a line.
_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_LEADING = re.compile(r"^(\d*)([-+#=.)]+)(?=\s|$)")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def render_markdown(outcomes: Sequence[Outcome], limit_bytes: int | None = None) -> str:
    """Return the Markdown of all outcomes: a table of them where there are several, then each.

    With `limit_bytes` whole sections are left out at the end, and that is said; the result
    is empty where not even the table fits.
    """
    head = "\n".join(_overview(outcomes)) + "\n" if len(outcomes) > 1 else ""
    sections = ["\n".join(_section(one)) + "\n" for one in outcomes]
    for kept in range(len(sections), -1, -1):
        left = len(sections) - kept
        tail = [f"{left} section(s) left out for their size: see the reports.\n"] if left else []
        text = "\n".join([*([head] if head else []), *sections[:kept], *tail])
        if limit_bytes is None or len(text.encode()) <= limit_bytes:
            return text
    return ""


def _overview(outcomes: Sequence[Outcome]) -> Iterator[str]:
    passed = sum(_verdict(one) == "pass" for one in outcomes)
    yield f"### nats-harness: {passed} of {len(outcomes)} scenarios pass"
    yield ""
    rows = []
    for one in outcomes:
        if isinstance(one, Unreported):
            rows.append((_strong(_verdict(one)), escape(one.scenario), escape(one.why), ""))
            continue
        held = [finding for finding in one.findings if finding.check == THRESHOLDS]
        good = sum(finding.verdict == "pass" for finding in held)
        ratio = f"{good} of {len(held)}" if held else "none"
        words = escape("; ".join(told_apart(one)))
        rows.append((_strong(_verdict(one)), escape(name_scenario(one)), words, ratio))
    yield from table(("", "scenario", "run", "thresholds held"), rows)


def _section(outcome: Outcome) -> Iterator[str]:
    yield f"### {_verdict(outcome).upper()}: {escape(name_scenario(outcome))}"
    yield ""
    if isinstance(outcome, Unreported):
        yield escape(outcome.why)
        return
    took = human_duration(duration_s(outcome))
    yield escape("; ".join([*told_apart(outcome), f"took {took}"]))
    yield ""
    yield from _thresholds(outcome)
    yield from _findings(outcome)
    if outcome.iterations:
        shown = worst_iteration(outcome)
        if len(outcome.iterations) > 1:
            bad = sum(one.verdict != "pass" for one in outcome.iterations)
            count = len(outcome.iterations)
            yield f"{count} iterations, {bad} not passed; iteration {shown.index} in detail:"
            yield ""
        yield from _faults(shown)
        yield from _messages(shown)
    yield from points(f"note: {escape(one)}" for one in outcome.warnings)
    yield "Run it again:"
    yield ""
    yield from code_block(outcome.reproduce)


def _thresholds(report: Report) -> Iterator[str]:
    """Yield the table of thresholds, the worst first; where there are too many, it is cut."""
    findings = [one for one in report.findings if one.check == THRESHOLDS]
    if not findings:
        yield "No thresholds: only what must always hold was judged."
        yield ""
        return
    rows = [_threshold(one) for one in worst_first(findings)[:MAX_ROWS]]
    yield from table(("", "threshold", "condition", "value", "margin", "n"), rows)
    yield from _rest(len(findings) - len(rows))


def _threshold(one: Finding) -> tuple[str, ...]:
    return (
        _strong(one.verdict),
        escape(one.metric or ""),
        escape(one.condition or one.detail),
        escape(show(one, one.value, bound=one.at_least)),
        escape(show(one, one.margin, bound=False)),
        "-" if one.n is None else str(one.n),
    )


def _findings(report: Report) -> Iterator[str]:
    several = len(report.iterations) > 1
    told = []
    for one in worst_first(telling(report)):
        where = f" in iteration {one.iteration}" if several and one.iteration is not None else ""
        advice = f" ({escape(one.advice)})" if one.advice else ""
        told.append(
            f"{_strong(one.verdict)} {escape(one.check)}{where}: {escape(one.detail)}{advice}"
        )
    yield from points(told)


def _faults(iteration: Iteration) -> Iterator[str]:
    if not iteration.faults:
        return
    rows = [
        (
            escape(f"{one.name} ({one.action})"),
            escape(", ".join(one.targets)),
            _at(one.inject_start),
            _at(one.heal_done),
            escape("; ".join(describe_proof(one)) or "none"),
        )
        for one in iteration.faults[:MAX_ROWS]
    ]
    yield from table(("fault", "on", "from", "to", "proof"), rows)
    yield from _rest(len(iteration.faults) - len(rows))


def _messages(iteration: Iteration) -> Iterator[str]:
    messages = iteration.messages
    if messages is None:
        return
    names = name_messages(messages)
    counts = [*messages.by_phase.items(), ("all", messages)]
    rows = [(escape(phase), *(str(getattr(one, name)) for name in names)) for phase, one in counts]
    yield from table(("messages", *(name.replace("_", " ") for name in names)), rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; cells are Markdown already."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def points(told: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a list, cut where it gets long; points are Markdown already."""
    listed = list(told)
    yield from (f"- {one}" for one in listed[:MAX_POINTS])
    if len(listed) > MAX_POINTS:
        yield f"- and {len(listed) - MAX_POINTS} more in report.json"
    if listed:
        yield ""


def _rest(left: int) -> Iterator[str]:
    if left > 0:
        yield f"and {left} more in report.json"
        yield ""


def code_block(text: str) -> Iterator[str]:
    """Yield a block that holds the text as it is, whatever back-ticks are in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield fence
    yield _UNSEEN.sub(" ", text)
    yield fence


def _verdict(outcome: Outcome) -> str:
    if isinstance(outcome, Unreported):
        return "no report" if outcome.run else "not run"
    return f"{outcome.verdict} (interrupted)" if outcome.interrupted else outcome.verdict


def _strong(verdict: str) -> str:
    return verdict if verdict == "pass" else f"**{verdict.upper()}**"


def _at(at: float | None) -> str:
    return "never" if at is None else f"{at:.2f} s"


def escape(text: str) -> str:
    """Return text that GitHub shows as it is: no markup, no HTML, no mention, on one line.

    What is longer than a cell is cut. A zero-width space after ``@`` keeps it from calling
    people, and one before ``://`` or ``www.`` keeps addresses from becoming links.
    """
    text = _UNSEEN.sub(" ", text).strip()
    if len(text) > MAX_CELL:
        text = f"{text[: MAX_CELL - 3]}..."
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _LEADING.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", text))
    text = text.replace("@", "@\u200b")
    return re.sub(r"(://|www\.)", "\u200b\\1", text, flags=re.IGNORECASE)
