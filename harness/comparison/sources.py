"""Where runs are read from: reports, run folders, folders of those, and stored baselines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from harness import __version__
from harness.comparison.runs import Run, see_run
from harness.errors import ReportError
from harness.report.model import Part, Report

REPORT = "report.json"
EVENTS = "events.jsonl"
KIND = "nats-harness baseline"

Source = Path | str | Report | Run


class Baseline(Part):
    """A stored baseline: the runs, without all that a comparison does not need."""

    kind: Literal["nats-harness baseline"] = "nats-harness baseline"
    schema_version: Literal["1"] = "1"
    nats_harness_version: str = __version__
    runs: list[Run]


def read_runs(sources: Iterable[Source]) -> list[Run]:
    """Return the runs of all sources, by when they were started; each run once.

    Raises:
        ReportError: a source cannot be read, is none, or holds no run.
    """
    found: dict[tuple[str, str], Run] = {}
    for source in sources:
        for run in _read(source):
            found.setdefault((run.run_id, run.name), run)
    return sorted(found.values(), key=lambda run: (run.started_at, run.run_id))


def _read(source: Source) -> Iterator[Run]:
    if isinstance(source, Run):
        yield source
    elif isinstance(source, Report):
        yield see_run(source, source.run_id)
    else:
        for path in _find_files(Path(source)):
            yield from _read_file(path)


def _find_files(path: Path) -> list[Path]:
    try:
        return _list_files(path)
    except OSError as error:
        raise ReportError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def _list_files(path: Path) -> list[Path]:
    """Return the files that a path stands for; OSError where a folder in it cannot be seen."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ReportError(f"{path}: there is no such report, run folder or baseline")
    if _is_there(path / REPORT):
        return [path / REPORT]
    folders = sorted(path.iterdir())
    found = [one / REPORT for one in folders if _is_there(one / REPORT)]
    if not found:
        raise ReportError(f"{path}: no {REPORT} in it, nor in a folder in it")
    unjudged = [one for one in folders if _is_there(one / EVENTS) and one / REPORT not in found]
    if unjudged:
        raise ReportError(
            f"{unjudged[0]}: a run without {REPORT}, as one that was killed leaves it; judge it "
            "(nats-harness check), or move it away"
        )
    return found


def _is_there(path: Path) -> bool:
    """Tell whether there is such a file; OSError, which Path.glob swallows, where nobody can."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _read_file(path: Path) -> Iterator[Run]:
    try:
        content: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path} is no JSON: {error}") from error
    kind = content.get("kind") if isinstance(content, dict) else None
    try:
        if kind == KIND:
            yield from Baseline.model_validate(content).runs
        else:
            yield see_run(Report.model_validate(content), str(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        what = "baseline" if kind == KIND else "report"
        raise ReportError(
            f"{path} is no {what} that this version can read: {where}: {first['msg']}"
        ) from error
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ReportError(f"{path} is no report that can be compared: {error}") from error
