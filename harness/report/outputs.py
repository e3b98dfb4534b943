"""Leave what machines read beside report.json, and tell GitHub; trouble here is only a warning."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from harness.errors import ReportError
from harness.files import write_whole
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.model import Report
from harness.report.prometheus import render_prometheus
from harness.report.words import Outcome
from harness.report.write import render_json

Warn = Callable[[str], None]
REPORT = "report.json"
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
STEP_LIMIT_BYTES = 1024 * 1024  # GitHub shows nothing at all of what is longer

OUTPUTS: Mapping[str, Callable[[Report], bytes]] = MappingProxyType(
    {
        "junit.xml": lambda report: render_junit([report]),
        "summary.md": lambda report: render_markdown([report]).encode(),
        "metrics.prom": render_prometheus,
    }
)


def renew_report(report: Report, folder: Path, warn: Warn) -> Path | None:
    """Replace the folder's report.json where it says something else.

    Returns:
        Where the one before is kept; None where there was none, or none that differs. What
        cannot be written is told to `warn`; without a copy of the one before, it stays.
    """
    path = folder / REPORT
    kept = path.with_name(f"{path.name}.before")
    renewed: list[Path] = []

    def renew() -> None:
        content = render_json(report)
        before = path.read_bytes() if path.exists() else None
        if before == content:
            return
        if before is not None:
            write_whole(kept, before)
        write_whole(path, content)
        if before is not None:
            renewed.append(kept)

    _attempt(renew, path, warn)
    return next(iter(renewed), None)


def write_outputs(report: Report, folder: Path, warn: Warn) -> None:
    """Write every output of a run into its folder; what cannot be written is told to `warn`."""
    for name, render in OUTPUTS.items():
        path = folder / name
        _attempt(lambda path=path, render=render: write_whole(path, render(report)), path, warn)  # type: ignore[misc]  # called in this turn


def write_junit(outcomes: Sequence[Outcome], path: Path, warn: Warn) -> None:
    """Write what came of a session into one file, so far as it has come; make its folder."""

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, render_junit(outcomes))

    _attempt(write, path, warn)


def tell_github(outcomes: Sequence[Outcome], path: Path, warn: Warn) -> None:
    """Append the summary of a session to a step's, and leave out what GitHub would not take."""
    append_to_step(lambda room_bytes: render_markdown(outcomes, room_bytes), path, warn)


def append_to_step(render: Callable[[int], str], path: Path, warn: Warn) -> None:
    """Append Markdown to a step's summary: what `render` makes for so many bytes, if anything."""

    def append() -> None:
        with path.open("ab") as file:
            text = render(STEP_LIMIT_BYTES - os.fstat(file.fileno()).st_size - 1)
            if not text:
                raise ReportError(f"{path} has no room for the summary: GitHub takes 1 MiB")
            file.write(b"\n" + text.encode())

    _attempt(append, path, warn)


def _attempt(act: Callable[[], None], path: Path, warn: Warn) -> None:
    try:
        act()
    except ReportError as error:
        warn(str(error))
    except OSError as error:
        warn(f"cannot write {path}: {error.strerror or error}")
    except Exception as error:  # noqa: BLE001 - a defect here must not cost a verdict that stands
        warn(f"cannot write {path}: {type(error).__name__}: {error}")
