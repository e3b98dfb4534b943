"""Gather what came of each scenario of a session, and hand it to CI as it comes.

A scenario may run in another process than the session, and that may be killed: so it tells
by a file that both have open, and what it did not tell is known to be missing.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from harness.clock import wall_time
from harness.complaints import warn
from harness.errors import UsageError
from harness.report.model import Report
from harness.report.outputs import STEP_SUMMARY, tell_github, write_junit
from harness.report.words import Outcome, Unreported

NOT_RUN = "the session ended before this scenario was run"
NOT_BEGUN = "the session did not begin; it says why"
MAX_TOLD_BYTES = 65_536
NO_WORD = "the run ended without a word; read its log"


class Tell:
    """Tell what came of a scenario: its run folder, or why there is no report.

    Whatever process of the session tells it, all know; the last word counts.
    """

    def __init__(self, file: IO[bytes] | None) -> None:
        """Keep it in an open file; with none, what is told is lost."""
        self._file = file
        self._begun: Path | None = None

    def __call__(self, *, folder: Path | None = None, why: str | None = None) -> None:
        """Take note of it."""
        places = {"folder": folder, "begun": self._begun}
        told = {key: None if path is None else str(path.absolute()) for key, path in places.items()}
        if self._file is not None:
            with suppress(OSError):  # then there is no word of it, which is no pass
                os.ftruncate(self._file.fileno(), 0)
                os.pwrite(self._file.fileno(), json.dumps({**told, "why": why}).encode(), 0)

    def begin(self, folder: Path) -> None:
        """Take note of where the run leaves its history, before it has a report."""
        self._begun = folder
        self()

    def told(self) -> dict[str, Any]:
        """Return what was told last; nothing where it was cut short."""
        if self._file is not None:
            with suppress(OSError, ValueError):
                told = json.loads(os.pread(self._file.fileno(), MAX_TOLD_BYTES, 0))
                return told if isinstance(told, dict) else {}
        return {}


@dataclass
class Results:
    """The outcomes of a session's scenarios, in their order; not run until they were.

    `junit` is written anew with every outcome, so that it is there however the session ends.
    """

    outcomes: list[Outcome]
    junit: Path | None
    summary: Path | None
    _warned: set[str] = field(default_factory=set, init=False)

    @contextmanager
    def of(self, index: int) -> Iterator[Tell]:
        """Let one scenario be run in the body, and take in what came of it."""
        try:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed below
        except OSError as error:
            self._warn_once(f"cannot gather results: {error.strerror}")
            yield Tell(None)
            return
        with file:
            tell = Tell(file)
            name = _name(self.outcomes[index])
            self.outcomes[index] = Unreported(name, NO_WORD, run=True, at=wall_time())
            yield tell
            if self.junit is not None or self.summary is not None:
                self.outcomes[index] = _read(name, tell.told())
        self.write_junit()

    def write_junit(self) -> None:
        """Write the JUnit file, if one is wanted."""
        if self.junit is not None:
            write_junit(self.outcomes, self.junit, self._warn_once)

    def tell_github(self) -> None:
        """Append to the step's summary, if there is a step."""
        if self.summary is not None:
            tell_github(self.outcomes, self.summary, warn)

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warn(message)


def announce(names: Sequence[str], junit: Path | None) -> None:
    """Say in the JUnit file that nothing was run yet: an older one must not pass for this one.

    Raises:
        UsageError: it cannot be written.
    """
    if junit is None:
        return
    told = [Unreported(one, NOT_BEGUN, run=False, at=wall_time()) for one in names]
    problems: list[str] = []
    write_junit(told, junit, problems.append)
    if problems:
        raise UsageError(f"--junit: {problems[0]}")


@contextmanager
def collected(names: Sequence[str], junit: Path | None) -> Iterator[Results]:
    """Gather the outcomes of the scenarios of these names; at the end GitHub is told."""
    summary = os.environ.get(STEP_SUMMARY)
    results = Results(
        [Unreported(one, NOT_RUN, run=False, at=wall_time()) for one in names],
        junit,
        Path(summary) if summary else None,
    )
    results.write_junit()
    try:
        yield results
    finally:
        results.tell_github()


def _name(before: Outcome) -> str:
    return before.scenario if isinstance(before, Unreported) else "unknown"


def _read(name: str, told: Mapping[str, Any]) -> Outcome:
    """Return the report that a scenario left, or why there is none."""
    why = told.get("why") or NO_WORD
    if told.get("folder") is not None:
        try:
            return Report.model_validate_json(Path(told["folder"], "report.json").read_bytes())
        except OSError as error:
            why = f"its report cannot be read: {error.strerror}"
        except ValueError:
            why = "its report cannot be read: it is damaged"
    return Unreported(name, why, run=True, at=wall_time())
