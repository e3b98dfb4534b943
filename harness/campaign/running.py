"""Run cells side by side, each in a process of its own that dies with this one.

One starts at a time: that is when a run takes most of a core, and would disturb those that
measure. No more go on together than the machine bears; one that takes more than that runs
alone. A run whose pacing or clock suffered all the same is marked; where it is inconclusive,
it is run once more, alone. What failed or passed stays so.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import anyio

import harness
from harness.backends.process import ChildProcess, spawn, tied
from harness.campaign.cost import bearable_cores, cores_of
from harness.campaign.ledger import Ledger
from harness.campaign.model import Cell, Outcome, disturbed
from harness.errors import EXIT_INCONCLUSIVE, HarnessError, ReportError
from harness.report.outputs import STEP_SUMMARY
from harness.scopes import bounded_cleanup
from harness.shipped import find_scenario

POLL_S = 0.05
ALONE = "-alone"
START_LIMIT_S = 60.0
END_LIMIT_S = 60.0  # a run that is stopped still collects, judges and cleans up
STARTED = '"kind":"load.started"'
OUTPUT = "output.txt"
ROOT = str(Path(harness.__file__).parents[1])
MAIN = (
    f"import sys; sys.path.insert(0, {ROOT!r}); sys.argv[:1] = ['nats-harness', 'run']; "
    "from harness.__main__ import main; main()"
)
TROUBLE_CHARS = 2000

Tell = Callable[[Outcome, int, int, bool], None]


@dataclass
class Campaign:
    """Cells that are run into a folder, `jobs` at a time at most.

    Attributes:
        tell: told of every outcome as it comes: it, how many there are, of how many, and whether
            it was run once more.
        again: run a cell that is disturbed and inconclusive once more, alone, at the end; the
            later outcome counts.
        outcomes: by the cells' keys, as far as there are any yet.
    """

    ledger: Ledger
    jobs: int
    tell: Tell
    again: bool = True
    outcomes: dict[str, Outcome] = field(default_factory=dict, init=False)
    _busy_cores: float = field(default=0.0, init=False)
    _running: int = field(default=0, init=False)
    _changed: anyio.Event = field(default_factory=anyio.Event, init=False)
    _starting: anyio.Lock = field(default_factory=anyio.Lock, init=False)

    async def run(self, cells: Sequence[Cell]) -> list[Outcome]:
        """Run what the ledger does not have yet; return the outcomes of all, in their order."""
        for cell in cells:
            if (known := self.ledger.outcome(cell)) is not None:
                self.outcomes[cell.key] = known
        left = [cell for cell in cells if cell.key not in self.outcomes]

        async def carry_out(cell: Cell) -> None:
            self._enter(await self._run_one(cell), len(cells))

        async with anyio.create_task_group() as group:
            for cell in left:
                await self._take_room(cell)
                group.start_soon(carry_out, cell)
        for cell in cells if self.again and self.jobs > 1 else ():
            outcome = self.outcomes[cell.key]
            report = outcome.load()
            if report is None or report.verdict != "inconclusive" or not disturbed(report):
                continue
            if not _is_alone(outcome):
                await self._take_room(cell)
                self._enter(await self._run_one(cell, ALONE), len(cells), again=True)
        return [self.outcomes[cell.key] for cell in cells]

    def _enter(self, outcome: Outcome, total: int, *, again: bool = False) -> None:
        key = outcome.cell.key
        if outcome.report is not None or key not in self.outcomes:
            self.outcomes[key] = outcome
            self.ledger.enter(outcome)
        self.tell(outcome, len(self.outcomes), total, again)

    async def _take_room(self, cell: Cell) -> None:
        """Wait until the cell may run beside the others, and take its room."""
        cores = cores_of(cell.scenario)
        while self._running and (
            self._running >= self.jobs or self._busy_cores + cores > bearable_cores()
        ):
            await self._changed.wait()
        self._running += 1
        self._busy_cores += cores

    def _leave(self, cell: Cell) -> None:
        self._running -= 1
        self._busy_cores -= cores_of(cell.scenario)
        self._changed.set()
        self._changed = anyio.Event()

    async def _run_one(self, cell: Cell, suffix: str = "") -> Outcome:
        folder = self.ledger.folder / "runs" / f"{cell.scenario.name}-{cell.key}{suffix}"
        began_s = monotonic()
        try:
            async with self._starting:
                process = _start(cell, folder)
                async with _stopped(process):
                    await self._until_under_load(process, folder)
            async with _stopped(process):
                await process.wait()
        finally:
            self._leave(cell)
        report = next(iter(sorted(folder.glob("*/report.json"), reverse=True)), None)
        code = process.exit.returncode if process.exit is not None else EXIT_INCONCLUSIVE
        trouble = "" if report is not None else _read_trouble(folder, code)
        return Outcome(cell, report, code, monotonic() - began_s, trouble)

    async def _until_under_load(self, process: ChildProcess, folder: Path) -> None:
        """Return once the run's load has started, or it ended, or takes too long for that."""
        with anyio.move_on_after(START_LIMIT_S):
            while process.returncode is None and not _under_load(folder):
                await anyio.sleep(POLL_S)


def _is_alone(outcome: Outcome) -> bool:
    """Tell whether this is already the run that went on alone."""
    return outcome.report is not None and outcome.report.parents[1].name.endswith(ALONE)


def _start(cell: Cell, folder: Path) -> ChildProcess:
    """Start the run of a cell in a new folder; what an interrupted one left there goes.

    Raises:
        ReportError: the folder cannot be made.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # The scenario's file is read where the user has it, since it may name others.
        # The same code as here, whatever lies in the current folder.
        argv = [sys.executable, "-P", "-c", MAIN, str(find_scenario(cell.source))]
        argv += ["--quiet", "--backend", cell.options.backend, "--reports", str(folder)]
        argv += ["--seed", str(cell.scenario.seed), *cell.options.changes()]
        argv += ["--page", cell.options.page]
        with (folder / OUTPUT).open("wb") as output:
            return spawn(
                tied(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={name: text for name, text in os.environ.items() if name != STEP_SUMMARY},
            )
    except OSError as error:
        raise ReportError(f"cannot write into {folder}: {error.strerror}") from error


def _under_load(folder: Path) -> bool:
    """Tell whether the events of the run in a folder say that its load has started."""
    return any(
        STARTED in path.read_text(encoding="utf-8", errors="replace")
        for path in folder.glob("*/events.jsonl")
    )


@asynccontextmanager
async def _stopped(process: ChildProcess) -> AsyncIterator[None]:
    """Have the process stop and report, or else kill it, when the body is cancelled."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        process.send_signal(signal.SIGINT)
        try:
            with bounded_cleanup(END_LIMIT_S, "a run that was told to stop"):
                await process.wait()
        except HarnessError:
            process.send_signal(signal.SIGKILL)
            with bounded_cleanup(END_LIMIT_S, "a run that was killed"):
                await process.wait()
        raise


def _read_trouble(folder: Path, code: int) -> str:
    """Return what a run that left no report complained of."""
    try:
        said = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        said = ""
    lines = [line.removeprefix("nats-harness: ") for line in said.splitlines() if line.strip()]
    return "\n".join(lines)[-TROUBLE_CHARS:] or f"it ended with status {code} and said nothing"
