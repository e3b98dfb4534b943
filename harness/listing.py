"""What there is and what works here, for `list`, `schema` and `doctor`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.errors import EXIT_PASS
from harness.shipped import is_regression, shipped_scenarios
from harness.vocabulary import VOCABULARY

Rows = Iterator[tuple[str, str]]


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _scenarios() -> Rows:
    from harness.scenario.load import load

    for name, path in shipped_scenarios().items():
        mark = "[published finding] " if is_regression(path) else ""
        yield name, mark + load(path, VOCABULARY).scenario.description


def _faults() -> Rows:
    for action, kind in VOCABULARY.steps.items():
        yield action, _first_line(kind)


def _workloads() -> Rows:
    for name, kind in VOCABULARY.workloads.items():
        yield name, _first_line(kind)


def _checks() -> Rows:
    from harness.checks import CHECKS

    for check in CHECKS:
        yield check.__name__.rpartition(".")[2], _first_line(check)


def _backends() -> Rows:
    from harness.backends.choose import BACKENDS

    yield from BACKENDS.items()


LISTINGS: Mapping[str, Callable[[], Rows]] = MappingProxyType(
    {
        "scenarios": _scenarios,
        "faults": _faults,
        "workloads": _workloads,
        "checks": _checks,
        "backends": _backends,
    }
)


def find_schema(which: str) -> dict[str, Any]:
    """Return the JSON Schema called ``scenario`` or ``report``."""
    if which == "report":
        from harness.report.schema import report_schema

        return report_schema()
    from harness.scenario.schema import scenario_schema

    return scenario_schema(VOCABULARY)


def print_examination(console: Console) -> None:
    """Print what this machine can do, each finding with the command that mends it."""
    from harness.backends.doctor import examine

    for finding in examine():
        mark = Text("ok  ", "green") if finding.ok else Text("no  ", "yellow")
        console.print(mark + Text(f"{finding.topic}: {finding.detail}"), soft_wrap=True)
        if finding.fix:
            console.print(Text(f"      to mend it: {finding.fix}", "dim"), soft_wrap=True)


def sweep_engine(console: Console) -> int:
    """Remove what dead runs left on the Docker Engine, and say what that was."""
    from harness.engine.connection import engine
    from harness.engine.sweep import sweep

    with engine() as found:
        swept = sweep(found)
    for one in swept.removed:
        console.print(Text(f"removed {one}"), soft_wrap=True)
    for one in swept.kept:
        console.print(Text(f"kept    {one}: its owner lives, or cannot be asked"), soft_wrap=True)
    if not swept.removed:
        console.print(Text("nothing of dead runs is left"))
    return EXIT_PASS
