"""The history of a run: everything that is judged, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import ReportError, WorkerError
from harness.history.assemble import WorkerColumns, assemble, read_clients
from harness.history.columns import read_columns
from harness.history.damage import told_in_a_line
from harness.history.events import read_events
from harness.history.facts import Columns, Event, Iteration
from harness.history.scenario_file import SCENARIO, find_change, parse_scenario, read_written
from harness.history.subjects import published_subjects
from harness.history.tables import STORED

EVENTS = "events.jsonl"

Stored = Mapping[tuple[str, str], Columns]


@dataclass(frozen=True)
class History:
    """A run as it was recorded.

    Attributes:
        scenario: the resolved scenario, plain: durations and rates are text with units.
        events: all events, in the order they were recorded.
        iterations: one for each that was begun.
        folder: the run folder; None for a history that was made in memory.
        problems: what is wrong with the record itself: events, or the scenario.
    """

    scenario: Mapping[str, Any]
    events: tuple[Event, ...]
    iterations: tuple[Iteration, ...]
    folder: Path | None = None
    problems: tuple[str, ...] = field(default=())

    @classmethod
    def of(
        cls,
        scenario: Mapping[str, Any],
        events: Sequence[Event],
        columns: Mapping[int, Mapping[str, WorkerColumns]],
        stored: Mapping[int, Stored] | None = None,
    ) -> History:
        """Build a history in memory.

        `columns` is by iteration, then by worker name; `stored` by iteration, then by
        (stream, node).
        """
        return cls(scenario, tuple(events), _iterations(scenario, events, columns, stored or {}))

    @classmethod
    def load(cls, run_folder: Path) -> History:
        """Read the history of a run from its folder.

        A record that was cut short is read as far as it goes, and the problem is kept.

        Raises:
            ReportError: the folder holds no run, or one that is damaged beyond reading.
        """
        written = read_written(run_folder / SCENARIO)
        events, problem = read_events(run_folder / EVENTS)
        changed = find_change(written, events)
        problems = tuple(one for one in (problem, changed) if one is not None)
        with told_in_a_line(run_folder, problems):
            scenario = parse_scenario(run_folder / SCENARIO, written)
            columns = {
                index: _read_columns(run_folder / "messages" / str(index), _within(events, index))
                for index in _indices(events)
            }
            stored = {
                index: _read_stored(run_folder / "messages" / str(index), _within(events, index))
                for index in _indices(events)
            }
            iterations = _iterations(scenario, events, columns, stored)
        return cls(scenario, tuple(events), iterations, run_folder, problems)

    def of_kind(self, *kinds: str) -> tuple[Event, ...]:
        """Return the events of these kinds of the whole run."""
        return tuple(event for event in self.events if event["kind"] in kinds)

    @property
    def repeat(self) -> int:
        """Return how many iterations were asked for."""
        return int(self.scenario.get("repeat", 1))

    @property
    def started(self) -> Event:
        """Return the facts of ``run.started``; empty when it was not recorded."""
        return next(iter(self.of_kind("run.started")), {})


def _indices(events: Sequence[Event]) -> list[int]:
    return sorted({event["iteration"] for event in events if event["iteration"] >= 0})


def _within(events: Sequence[Event], index: int) -> list[Event]:
    return [event for event in events if event["iteration"] == index]


def _iterations(
    scenario: Mapping[str, Any],
    events: Sequence[Event],
    columns: Mapping[int, Mapping[str, WorkerColumns]],
    stored: Mapping[int, Stored],
) -> tuple[Iteration, ...]:
    subjects = published_subjects(scenario)
    return tuple(
        assemble(index, _within(events, index), columns.get(index, {}), subjects, stored.get(index))
        for index in _indices(events)
    )


def _read_columns(folder: Path, events: Sequence[Event]) -> dict[str, WorkerColumns]:
    """Read the columns of every planned worker; one that left no file is left out."""
    columns: dict[str, WorkerColumns] = {}
    for worker in sorted({client.worker for client in read_clients(events)}):
        path = folder / f"{worker}.columns"
        if not path.exists():
            continue
        try:
            columns[worker] = read_columns(path)
        except (OSError, WorkerError) as error:
            raise ReportError(f"cannot read {path}: {error}") from error
    return columns


def _read_stored(folder: Path, events: Sequence[Event]) -> dict[tuple[str, str], Columns]:
    """Read what audits found in each replica; one whose file is missing or damaged is left out."""
    stored: dict[tuple[str, str], Columns] = {}
    for event in events:
        if event["kind"] != "audit.read" or not event.get("file"):
            continue
        path = folder / str(event["file"])
        if not path.exists():
            continue  # the check of audits says so
        try:
            columns = read_columns(path)
        except (OSError, WorkerError) as error:
            raise ReportError(f"cannot read {path}: {error}") from error
        if columns.complete:
            stored[event["stream"], event["node"]] = columns.tables[STORED.name]
    return stored
