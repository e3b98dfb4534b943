"""The command `inspect`: one image or two, as a table and as JSON."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness.engine.connection import engine
from harness.engine.sweep import sweep
from harness.errors import ReportError
from harness.files import write_whole
from harness.inspection.inspect import inspect_image
from harness.inspection.report import as_json, build_report
from harness.inspection.table import print_table

STANDARD_OUTPUT = "-"


def inspect_command(image: str, against: str | None, json_to: str | None, console: Console) -> int:
    """Inspect an image, and another to compare it with; return the first one's exit code.

    With JSON on standard output nothing else is printed there.

    Raises:
        EngineError: no Engine, no image, or one that cannot be inspected.
        ReportError: the JSON cannot be written.
    """
    target = None if json_to in (None, STANDARD_OUTPUT) else Path(str(json_to))
    if target is not None and not target.parent.is_dir():
        raise ReportError(f"{target} cannot be written: there is no folder {target.parent}")
    progress = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    def tell(line: str) -> None:
        progress.print(line, style="dim")

    with engine() as found:
        sweep(found)
        first = inspect_image(found, image, tell)
        second = None if against is None else inspect_image(found, against, tell)
        report = build_report(found, first, second)
    if json_to == STANDARD_OUTPUT:
        console.out(as_json(report), end="", highlight=False)
        return first.exit_code
    if target is not None:
        write_whole(target, as_json(report).encode())
    print_table(console, first, second)
    return first.exit_code
