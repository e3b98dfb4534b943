"""Write models such as the report as JSON."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from harness.files import write_whole
from harness.report.model import Report


def write_report(report: Report, path: Path) -> None:
    """Replace `path` by the report; see `write_json`."""
    write_json(report, path)


def write_json(model: BaseModel, path: Path, *, compact: bool = False) -> None:
    """Replace `path` by a model's JSON; see `write_whole`.

    Args:
        model: what to write.
        path: the file.
        compact: without indentation, and without what is null.
    """
    write_whole(path, render_json(model, compact=compact))


def render_json(model: BaseModel, *, compact: bool = False) -> bytes:
    """Return a model's JSON as `write_json` writes it."""
    indent = None if compact else 2
    return (model.model_dump_json(indent=indent, exclude_none=compact) + "\n").encode()
