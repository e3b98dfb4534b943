"""The commands. No logic here: each hands over and returns an exit code."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness import __version__, signals
from harness.errors import EXIT_INTERRUPTED, EXIT_PASS, EXIT_USAGE, HarnessError

app = typer.Typer(
    name="nats-harness",
    help="Run resilience scenarios against real NATS servers and judge what happened.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class BackendName(StrEnum):
    """The backends a user may name."""

    auto = "auto"
    lab = "lab"
    local = "local"


class Listing(StrEnum):
    """What `list` can list."""

    scenarios = "scenarios"
    faults = "faults"
    workloads = "workloads"
    checks = "checks"
    backends = "backends"


class SchemaName(StrEnum):
    """What `schema` can print."""

    scenario = "scenario"
    report = "report"


Scenarios = Annotated[
    list[str], typer.Argument(help="Paths, or names of shipped scenarios.", metavar="SCENARIO...")
]


def command() -> int:
    """Run the command line and return its exit code; errors become one clear message."""
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        code = app(standalone_mode=False)
    except HarnessError as error:
        errors.print(f"nats-harness: {error}")
        return error.exit_code
    except typer.TyperException as error:
        errors.print(f"nats-harness: {error.format_message()}")
        return EXIT_USAGE
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except OSError as error:
        errors.print(f"nats-harness: cannot print: {error.strerror}")
        return EXIT_USAGE
    return code if isinstance(code, int) else EXIT_PASS


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nats-harness {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    del version


@app.command()
def run(
    scenarios: Scenarios,
    backend: Annotated[BackendName, typer.Option(help="Where to run.")] = BackendName.auto,
    server: Annotated[
        str | None, typer.Option(help="Server for all nodes: bundled, a release or a path.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replace the scenario's seed.")] = None,
    repeat: Annotated[int | None, typer.Option(min=1, help="Replace the repetitions.")] = None,
    reports: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("reports"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Only the verdict.")] = False,
) -> int:
    """Run scenarios and judge them: exit 0 pass, 1 fail, 3 inconclusive."""
    from harness.session import Options, run_all

    options = Options(backend.value, server, seed, repeat, reports, quiet)
    return run_all(scenarios, options, _console())


@app.command()
def validate(scenarios: Scenarios) -> int:
    """Check scenarios without running anything."""
    from harness.session import validate_all

    signals.act()
    return validate_all(scenarios, _console())


@app.command()
def check(
    run_folder: Annotated[Path, typer.Argument(help="A folder that a run left behind.")],
) -> int:
    """Judge a stored run again from its history."""
    from harness.judging import judge_folder
    from harness.report.terminal import print_report

    signals.act()
    report = judge_folder(run_folder)
    print_report(report, run_folder, _console())
    return report.exit_code


@app.command("list")
def list_(
    what: Annotated[Listing, typer.Argument(help="What to list.")] = Listing.scenarios,
) -> int:
    """List what there is: scenarios, faults, workloads, checks or backends."""
    from harness.listing import LISTINGS

    signals.act()
    for name, summary in LISTINGS[what.value]():
        typer.echo(f"{name:26}{summary}")
    return EXIT_PASS


@app.command()
def doctor() -> int:
    """Tell what this machine can do, and what to do about what it cannot."""
    from harness.listing import print_examination

    signals.act()
    print_examination(_console())
    return EXIT_PASS


@app.command()
def schema(
    which: Annotated[SchemaName, typer.Argument(help="Which schema.")] = SchemaName.scenario,
) -> int:
    """Print the JSON Schema of scenarios (for editors) or of report.json."""
    from harness.listing import find_schema

    signals.act()
    typer.echo(json.dumps(find_schema(which.value), indent=2))
    return EXIT_PASS


class _Output(Console):
    """Print for as long as somebody reads: `| head` must not change the exit code."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _console() -> Console:
    return _Output(highlight=False)
