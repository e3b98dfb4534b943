"""Run a scenario from its start to its report. The only place that composes.

YAML -> Scenario -> run -> History -> checks -> Report
"""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio

from harness import __version__
from harness.clock import now_ns, wall_time
from harness.cluster.protocols import Backend
from harness.errors import ReportError, UsageError, leading_error
from harness.files import write_whole
from harness.history.events import EventLog
from harness.history.scenario_file import SCENARIO, digest_of
from harness.iteration import Iteration
from harness.log import open_log
from harness.report.model import Report
from harness.scenario.dump import dump_yaml
from harness.scenario.model import Scenario
from harness.scenario.schedule import replays
from harness.signals import ENDING, remembered

Narrate = Callable[[str, int, dict[str, Any]], None]
PASSING = frozenset({"worker.stats"})


@dataclass(frozen=True)
class Run:
    """What to run and where to leave it.

    Attributes:
        reports: the folder that run folders are made in.
        reproduce: the command that repeats this run.
        warnings: advice about the scenario, for the report.
        narrate: told of every event as it happens: kind, monotonic ns, facts.
    """

    scenario: Scenario
    backend: Backend
    reports: Path
    reproduce: str
    warnings: tuple[str, ...]
    narrate: Narrate


@dataclass(frozen=True)
class Ended:
    """A finished run: its folder, its report, and why that was not written, if it was not."""

    folder: Path
    report: Report
    trouble: str | None = None


def execute(run: Run) -> Ended:
    """Run a scenario and write its report.

    Raises:
        UsageError: what was asked for cannot be done, found out while setting up.
        ReportError: the run folder cannot be written.
    """
    try:
        return anyio.run(_execute, run)
    except BaseExceptionGroup as group:
        raise leading_error(group) from None


async def _execute(run: Run) -> Ended:
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    scenario = dump_yaml(run.scenario).encode()
    folder = _make_folder(run, run_id, scenario)
    with (
        open_log(folder / "harness.log") as log,
        EventLog(folder / "events.jsonl") as events,
        anyio.open_signal_receiver(*ENDING) as signals,
    ):
        recorder = Recorder(events, run.narrate)
        recorder.record(
            "run.started",
            run_id=run_id,
            started_at=wall_time(),
            nats_harness_version=__version__,
            backend=run.backend.name,
            host=_describe_host(),
            python=platform.python_version(),
            seed=run.scenario.seed,
            reproduce=run.reproduce,
            warnings=list(run.warnings),
            scenario_sha256=digest_of(scenario),
        )
        iterations = [
            Iteration(
                run.scenario, run.backend, folder, index, secrets.randbits(32), recorder.record
            )
            for index in range(run.scenario.repeat)
        ]
        async with anyio.create_task_group() as root:

            def interrupt(by: str) -> None:
                recorder.record("run.interrupted", by=by)
                log.warning("run.interrupted", by=by)
                for iteration in iterations:
                    iteration.abort()

            async def listen() -> None:
                async for number in signals:
                    interrupt(number.name)
                    return

            if (early := remembered()) is not None:
                interrupt(early.name)
            root.start_soon(listen)
            await _iterate(iterations, recorder, log)
            root.cancel_scope.cancel()
        return _judge(folder, log)


async def _iterate(iterations: Sequence[Iteration], recorder: Recorder, log: Any) -> None:
    """Run all iterations; one that breaks off is recorded and is the last.

    Only what keeps the first one from being set up was asked wrongly: once a run has
    begun, whatever ends it is told in its report, beside what was measured.
    """
    for iteration in iterations:
        if iteration.aborted:
            return
        recorder.iteration = iteration.index
        try:
            await iteration.run()
        except (Exception, BaseExceptionGroup) as raised:
            begun = iteration.index > 0 or iteration.phase != "setup"
            error = leading_error(raised, begun=begun)
            if isinstance(error, UsageError) and not begun:
                raise error from None
            recorder.record(
                "run.failed",
                error=type(error).__name__,
                message=str(error),
                phase=iteration.phase,
            )
            log.exception("run.failed", phase=iteration.phase)
            return


@dataclass
class Recorder:
    """Write every event into the history and tell it to whoever follows the run.

    What is only `PASSING` is told and not written: judges have the columns instead.
    """

    events: EventLog
    narrate: Narrate
    iteration: int = -1

    def record(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        """Record one event; its time is now unless given."""
        at_ns = now_ns() if at_ns is None else at_ns
        if kind not in PASSING:
            self.events(kind, at_ns=at_ns, iteration=self.iteration, **facts)
        self.narrate(kind, at_ns, facts)


def _judge(folder: Path, log: Any) -> Ended:
    """Judge the history as it lies on disk, exactly as `check` will.

    A full disk may take no report: what was found is known all the same.
    """
    from harness.judging import judge_folder
    from harness.report.write import write_report

    report = judge_folder(folder)
    log.info("run.judged", verdict=report.verdict)
    try:
        write_report(report, folder / "report.json")
    except ReportError as error:
        return Ended(folder, report, str(error))
    return Ended(folder, report)


def folder_of(reports: Path, name: str, run_id: str) -> Path:
    """Return where the run of a scenario leaves its history."""
    return reports / f"{name}-{run_id}"


def _make_folder(run: Run, run_id: str, scenario: bytes) -> Path:
    folder = folder_of(run.reports, run.scenario.name, run_id)
    try:
        folder.mkdir(parents=True)
        write_whole(folder / SCENARIO, scenario)
        for name, replay in replays(run.scenario).items():
            (folder / name).write_text(dump_yaml(replay), encoding="utf-8")
    except OSError as error:
        raise ReportError(f"cannot write into {run.reports}: {error.strerror}") from error
    return folder


def _describe_host() -> dict[str, Any]:
    uname = platform.uname()
    return {
        "name": uname.node,
        "system": uname.system,
        "kernel": uname.release,
        "machine": uname.machine,
        "cores": os.cpu_count() or 0,
    }
