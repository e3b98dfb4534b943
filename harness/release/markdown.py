"""release.md: a release check for a pull request, in GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.release.model import ReleaseCheck
from harness.release.terminal import DECISIONS
from harness.report.markdown import code_block, escape, points, table


def render_summary(check: ReleaseCheck) -> str:
    """Return the check in short: the decision, why, limits that were missed, changes."""
    return "\n".join(_lines(check)) + "\n"


def render_undecided(releases: Sequence[str], why: str) -> str:
    """Return what there is to say of a check that decided nothing: of which releases, and why."""
    pair = " against ".join(releases)
    return f"### Not decided: nats-server {escape(pair)}\n\n{escape(why)}; nothing was decided.\n"


def _lines(check: ReleaseCheck) -> Iterator[str]:
    word, _ = DECISIONS[check.decision]
    pair = f"{check.candidate.label} against {check.baseline.label}"
    yield f"### {word}: nats-server {escape(pair)}"
    yield ""
    yield from points(map(escape, check.reasons))
    yield ""
    missed = [one for one in check.thresholds if one.worst.verdict != "pass"]
    if missed:
        rows = [
            (
                escape(one.scenario),
                escape(f"{one.metric} {one.condition}"),
                f"{one.broken} of {one.runs}",
                f"{one.baseline_broken} of {one.baseline_runs}",
            )
            for one in missed
        ]
        yield from table(("scenario", "threshold", "missed", "baseline"), rows)
        yield ""
    changed = [
        (escape(scenario.scenario), metric.change, escape(metric.why))
        for scenario in (check.comparison.scenarios if check.comparison is not None else ())
        for metric in scenario.metrics
        if metric.change in ("regressed", "improved")
    ]
    if changed:
        yield from table(("scenario", "change", "how"), changed)
        yield ""
    proven = sum(one.proven for one in check.proofs)
    intended = sum(one.intended for one in check.proofs)
    kept = len(check.thresholds) - len(missed)
    yield (
        f"{len(check.suite)} scenarios, {check.runs_each} runs of each on each release; "
        f"{kept} of {len(check.thresholds)} thresholds kept in every run; "
        f"{proven} of {intended} faults proven."
    )
    yield ""
    yield from code_block(check.reproduce)
