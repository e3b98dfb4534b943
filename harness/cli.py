"""The commands. No logic here: each hands over and returns an exit code."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness import __version__, cli_releases, signals
from harness.cli_options import BackendName, Page, Scenarios, make_console
from harness.complaints import complain, explain
from harness.errors import EXIT_INTERRUPTED, EXIT_PASS, EXIT_USAGE
from harness.scenario.quantities import MAX_INDEX, MAX_REPEAT

app = typer.Typer(
    name="nats-harness",
    help="Run resilience scenarios against real NATS servers and judge what happened.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


_OUR_WORDS = (  # for those of pydantic, which typer reads values with
    ("Value error, ", ""),
    ("Input should be greater than or equal to", "expected at least"),
    ("Input should be less than or equal to", "expected at most"),
    ("Input should be a valid integer", "expected a whole number"),
    (", unable to parse string as an integer", ""),
)


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


def command() -> int:
    """Run the command line and return its exit code; errors become one clear message."""
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as error:
        complain(_word(error.format_message()))
        return EXIT_USAGE
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not pass for a verdict
        why, code = explain(error)
        complain(why)
        return code
    return code if isinstance(code, int) else EXIT_PASS


def _word(message: str) -> str:
    """Return what the command line's parser says in words of our own."""
    for theirs, ours in _OUR_WORDS:
        message = message.replace(theirs, ours)
    return message


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
    image: Annotated[
        str | None, typer.Option(help="Image for all nodes, by tag or digest; runs them in Docker.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_INDEX, help="Replace the scenario's seed.")
    ] = None,
    repeat: Annotated[
        int | None, typer.Option(min=1, max=MAX_REPEAT, help="Replace the repetitions.")
    ] = None,
    reports: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("reports"),
    quiet: Annotated[
        bool, typer.Option("--quiet", help="No progress: only the report at the end.")
    ] = False,
    allow_attached: Annotated[
        bool,
        typer.Option("--allow-attached", help="Test servers that run already (cluster.attach)."),
    ] = False,
    client: Annotated[
        str | None, typer.Option(help="Client library: installed, or a release of it.")
    ] = None,
    client_option: Annotated[
        list[str] | None,
        typer.Option(help="Set an option of the client; may be repeated.", metavar="NAME=VALUE"),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="How many scenarios to run side by side, each in a lab.")
    ] = 1,
    junit: Annotated[
        Path | None,
        typer.Option(help="Write all scenarios' results into one JUnit file.", metavar="FILE"),
    ] = None,
    page: Annotated[
        Page, typer.Option(help="Whether to make report.html, of 5 MB, beside report.json.")
    ] = Page.always,
) -> int:
    """Run scenarios and judge them: exit 0 pass, 1 fail, 3 inconclusive."""
    from harness.session import Options, run_all

    options = Options(
        backend.value,
        server,
        image,
        seed,
        repeat,
        reports,
        quiet,
        allow_attached,
        client,
        tuple(client_option or ()),
        junit,
        page.value,
    )
    if jobs > 1 and len(scenarios) > 1:
        from harness.campaign.side_by_side import run_side_by_side

        return run_side_by_side(scenarios, options, jobs, make_console())
    return run_all(scenarios, options, make_console())


@app.command()
def validate(scenarios: Scenarios) -> int:
    """Check scenarios without running anything."""
    from harness.session import validate_all

    signals.act()
    return validate_all(scenarios, make_console())


@app.command()
def check(
    run_folder: Annotated[Path, typer.Argument(help="A folder that a run left behind.")],
) -> int:
    """Judge a stored run again from its history, and make its page anew."""
    from harness.viewing import check_again

    signals.act()
    return check_again(run_folder, make_console())


@app.command()
def html(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Run folders, or folders of run folders.", metavar="RUN_FOLDER..."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the page is written: by default report.html in the run's folder; of "
            "several runs runs.html in the folder that holds them, or else in the current one."
        ),
    ] = None,
) -> int:
    """Make the page of a stored run, or one page of several."""
    from harness.viewing import make_page

    signals.act()
    return make_page(folders, out, make_console())


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
def doctor(
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Remove what dead runs left on the Docker Engine.")
    ] = False,
) -> int:
    """Tell what this machine can do, and what to do about what it cannot."""
    from harness.listing import print_examination, sweep_engine

    signals.act()
    if sweep:
        return sweep_engine(make_console())
    print_examination(make_console())
    return EXIT_PASS


@app.command()
def inspect(
    image: Annotated[str, typer.Argument(help="An image by tag or digest.", metavar="IMAGE")],
    against: Annotated[
        str | None, typer.Option(help="Another image, to compare point by point.", metavar="IMAGE2")
    ] = None,
    json_to: Annotated[
        str | None,
        typer.Option("--json", help="Write JSON there; - is standard output.", metavar="FILE"),
    ] = None,
) -> int:
    """Validate an image of NATS, without a shell in it: exit 0 pass, 1 fail, 2 not inspected."""
    from harness.inspection.command import inspect_command

    signals.interrupt()
    return inspect_command(image, against, json_to, make_console())


@app.command()
def schema(
    which: Annotated[SchemaName, typer.Argument(help="Which schema.")] = SchemaName.scenario,
) -> int:
    """Print the JSON Schema of scenarios (for editors) or of report.json."""
    from harness.listing import find_schema

    signals.act()
    typer.echo(json.dumps(find_schema(which.value), indent=2))
    return EXIT_PASS


cli_releases.register(app)
