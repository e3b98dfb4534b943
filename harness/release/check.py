"""`release-check`: run a suite on a candidate and on a baseline, and decide."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

from harness import __version__
from harness.campaign.conduct import WORDS, conduct, lay_out
from harness.campaign.model import Cell, Outcome, disturbed
from harness.comparison.compare import compare_runs
from harness.comparison.model import Comparison, Side
from harness.complaints import warn
from harness.errors import EXIT_INTERRUPTED, HarnessError, ReportError, UsageError
from harness.files import write_whole
from harness.pages.write import PAGE as RUN_PAGE
from harness.release.decide import decide
from harness.release.judge import (
    SIDES,
    Judged,
    find_broken,
    settings_of,
    sum_proofs,
    sum_thresholds,
)
from harness.release.markdown import render_summary, render_undecided
from harness.release.model import ReleaseCheck, RunLine, SideName
from harness.release.page import render_check
from harness.release.terminal import print_check
from harness.report.model import VerdictName
from harness.report.outputs import STEP_SUMMARY, append_to_step
from harness.report.write import write_json
from harness.session import Options
from harness.shipped import find_scenario, shipped_scenarios
from harness.units import human_duration

JSON = "release.json"
PAGE = "release.html"
SUMMARY = "release.md"
OVERHEAD_S = 6.0  # of a run beside its phases: it starts, drains, audits and is judged


@dataclass(frozen=True)
class Plan:
    """What is checked: two releases, a suite, and how often each runs.

    Attributes:
        releases: the server release of each side.
        suite: the scenarios as a user names them.
        runs: of each scenario on each side.
        words: the command that does it again.
    """

    releases: dict[SideName, str]
    suite: tuple[str, ...]
    runs: int
    options: Options
    jobs: int
    folder: Path
    words: str


def name_folder(candidate: str, baseline: str) -> str:
    """Return what the folder of a check is called, of releases that may be paths."""
    return f"release-{candidate}-against-{baseline}".replace("/", "_")


def name_suite(wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the scenarios of suites, which are folders of the shipped ones, or named themselves.

    Raises:
        UsageError: nothing is called that.
    """
    shipped = shipped_scenarios()
    suites = sorted({path.parent.name for path in shipped.values()})
    found: list[str] = []
    for name in wanted:
        inside = [one for one, path in shipped.items() if path.parent.name == name]
        if not inside and name not in shipped and not (name and Path(name).is_file()):
            raise UsageError(
                f"--suite {name}: neither a suite ({', '.join(suites)}) nor a scenario"
            )
        found += inside or [name]
    return tuple({find_scenario(name).resolve(): name for name in reversed(found)}.values())[::-1]


def release_command(plan: Plan, console: Console) -> int:
    """Run the suite on both releases, write and print what comes of it; return its exit code.

    Run again with the same folder, it goes on where it was interrupted.

    Raises:
        UsageError: a release cannot be had, or a scenario not be run.
    """
    columns = {
        f"{side} {plan.releases[side]}": replace(plan.options, server=plan.releases[side])
        for side in SIDES
    }
    cells = lay_out(plan.suite, columns, range(plan.runs), console)
    console.print(Text(_announce(plan, cells), "dim"), soft_wrap=True)
    done = conduct(cells, plan.folder, plan.jobs, console, on_begin=partial(_forget, plan.folder))
    if done.interrupted:
        so_far = f"{len(done.outcomes)} of {len(cells)} runs{_count(done.outcomes)}"
        ended = f"interrupted after {so_far}"
        console.print(f"{ended}; run it again to go on", soft_wrap=True)
        _tell_step(render_undecided(tuple(plan.releases[side] for side in SIDES), ended))
        return EXIT_INTERRUPTED
    check = conclude(plan, done.outcomes)
    print_check(check, console)
    write_json(check, plan.folder / JSON)
    page = plan.folder / PAGE
    write_whole(page, render_check(check, dict(_find_pages(check, plan.folder))).encode())
    summary = render_summary(check)
    write_whole(plan.folder / SUMMARY, summary.encode())
    _tell_step(summary)
    console.print(Text(f"{page}\n{plan.folder / JSON}"), soft_wrap=True)
    return check.exit_code


def _count(outcomes: Sequence[Outcome]) -> str:
    """Return in brackets how runs went: `` (2 pass, 1 FAIL)``."""
    counts = Counter(WORDS[one.code][0] for one in outcomes)
    told = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    return f" ({told})" if told else ""


def _forget(folder: Path) -> None:
    """Remove what an earlier check in this folder decided: it is not what this one will."""
    for name in (JSON, PAGE, SUMMARY):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise ReportError(f"cannot remove {folder / name}: {error.strerror}") from error


def _tell_step(summary: str) -> None:
    """Append to the summary of GitHub's step, if there is one."""
    if step := os.environ.get(STEP_SUMMARY):
        append_to_step(lambda room: summary if len(summary) <= room else "", Path(step), warn)


def conclude(plan: Plan, outcomes: Sequence[Outcome]) -> ReleaseCheck:
    """Return the check of runs that have ended; reads their reports."""
    runs = [Judged(_side_of(one.cell), one.cell.scenario.name, one.load()) for one in outcomes]
    comparison = _compare(plan, runs)
    broken, thresholds, proofs = find_broken(runs), sum_thresholds(runs), sum_proofs(runs)
    each = len(plan.suite) * plan.runs
    decision, exit_code, reasons = decide(
        broken,
        thresholds,
        comparison,
        proofs,
        runs=runs,
        expected=dict.fromkeys(SIDES, each),
    )
    return ReleaseCheck(
        nats_harness_version=__version__,
        decision=decision,
        exit_code=exit_code,
        reasons=reasons,
        candidate=_describe("candidate", plan, runs),
        baseline=_describe("baseline", plan, runs),
        suite=list(dict.fromkeys(one.scenario for one in runs)),
        runs_each=plan.runs,
        broken=broken,
        thresholds=thresholds,
        comparison=comparison,
        proofs=proofs,
        runs=[_line(plan, one, run) for one, run in zip(outcomes, runs, strict=True)],
        settings=settings_of(runs),
        started_at=min((one.report.started_at for one in runs if one.report), default=""),
        took_s=sum(one.took_s for one in outcomes),
        reproduce=plan.words,
    )


def _find_pages(check: ReleaseCheck, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield for each run that has a page its report and the page, relative to `folder`."""
    for run in check.runs:
        if run.report is not None:
            page = Path(run.report).parent / RUN_PAGE
            if (folder / page).is_file():
                yield run.report, quote(page.as_posix())


def _announce(plan: Plan, cells: Sequence[Cell]) -> str:
    """Say what will be done, and roughly how long it takes."""
    seconds = sum(_length_s(cell) for cell in cells) / min(plan.jobs, max(1, len(cells)))
    return (
        f"{len(plan.suite)} scenarios, {plan.runs} times on {plan.releases['candidate']} and on "
        f"{plan.releases['baseline']}: {len(cells)} runs, {plan.jobs} side by side, about "
        f"{human_duration(seconds)}. Runs are kept in {plan.folder}."
    )


def _length_s(cell: Cell) -> float:
    phases = cell.scenario.phases
    faults_s = phases.fault or max(
        (step.at + (getattr(step, "duration", None) or 3.0) for step in cell.scenario.faults),
        default=0.0,
    )
    return OVERHEAD_S + phases.warmup + phases.steady + faults_s + phases.recovery


def _side_of(cell: Cell) -> SideName:
    return "candidate" if cell.column.startswith("candidate ") else "baseline"


def _compare(plan: Plan, runs: Sequence[Judged]) -> Comparison | None:
    """Return both sides compared; None where one has no report at all."""
    reports = {
        side: [run.report for run in runs if run.side == side and run.report is not None]
        for side in SIDES
    }
    if not all(reports.values()):
        return None
    try:
        return compare_runs(
            reports["baseline"],
            reports["candidate"],
            labels=(plan.releases["baseline"], plan.releases["candidate"]),
            reproduce=plan.words,
        )
    except HarnessError:
        return None


def _describe(side: SideName, plan: Plan, runs: Sequence[Judged]) -> Side:
    reports = [run.report for run in runs if run.side == side and run.report is not None]
    verdicts: dict[VerdictName, int] = {}
    for report in reports:
        verdicts[report.verdict] = verdicts.get(report.verdict, 0) + 1
    servers = {
        version
        for report in reports
        for server in report.environment.servers
        for version in server.versions
    }
    clients = {
        f"{client.adapter} {client.version}"
        for client in (report.environment.client for report in reports)
    }
    return Side(
        label=plan.releases[side],
        servers=sorted(servers),
        clients=sorted(clients),
        runs=len(reports),
        iterations=sum(len(report.iterations) for report in reports),
        verdicts=verdicts,
        sources=[],
    )


def _line(plan: Plan, outcome: Outcome, run: Judged) -> RunLine:
    cell = outcome.cell
    return RunLine(
        scenario=run.scenario,
        side=run.side,
        seed=cell.scenario.seed,
        verdict="none" if run.report is None else run.report.verdict,
        disturbed=run.report is not None and disturbed(run.report),
        report=None if outcome.report is None else str(outcome.report.relative_to(plan.folder)),
        trouble=outcome.trouble,
        reproduce=cell.options.reproduce(cell.source, cell.options.backend, cell.scenario.seed),
    )


def command_of(
    releases: dict[SideName, str], suites: Sequence[str], runs: int, backend: str
) -> str:
    """Return the command that does a check again."""
    words = ["nats-harness", "release-check"]
    for side in SIDES:
        words += [f"--{side}", releases[side]]
    for suite in suites:
        words += ["--suite", suite]
    return shlex.join([*words, "--runs", str(runs), "--backend", backend])
