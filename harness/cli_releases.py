"""The commands that run or compare many runs. No logic here, as in `harness.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness import signals
from harness.cli_options import BackendName, Page, Scenarios, make_console
from harness.scenario.quantities import MAX_INDEX, MAX_REPEAT


def matrix(
    scenarios: Scenarios,
    server: Annotated[
        list[str] | None, typer.Option(help="A server release, bundled or a path; repeatable.")
    ] = None,
    client: Annotated[
        list[str] | None, typer.Option(help="A client release, or installed; repeatable.")
    ] = None,
    client_options: Annotated[
        list[str] | None,
        typer.Option(
            help="A set of client options; repeatable. Empty: the scenario's own.",
            metavar="NAME=VALUE,...",
        ),
    ] = None,
    backend: Annotated[BackendName, typer.Option(help="Where to run.")] = BackendName.auto,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_INDEX, help="Replace the scenarios' seeds.")
    ] = None,
    repeat: Annotated[
        int, typer.Option(min=1, max=MAX_REPEAT, help="Runs of each, with seeds that follow.")
    ] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="How many runs go on side by side.")] = 1,
    out: Annotated[
        Path, typer.Option(help="The matrix's folder; one that was interrupted goes on.")
    ] = Path("reports/matrix"),
) -> int:
    """Run scenarios on releases and with clients, as one table: exits with the worst code."""
    from harness.campaign.matrix import lay_columns, matrix_command
    from harness.session import Options

    options = Options(backend.value, seed=seed, page=Page.unless_passed)
    columns = lay_columns(options, server or [], client or [], client_options or [])
    return matrix_command(
        scenarios, columns, repeat=repeat, jobs=jobs, folder=out, console=make_console()
    )


def bisect(
    scenario: Annotated[str, typer.Argument(help="Path, or name of a shipped scenario.")],
    good: Annotated[str, typer.Option(help="A server release that passes.")],
    bad: Annotated[str, typer.Option(help="A server release that fails.")],
    backend: Annotated[BackendName, typer.Option(help="Where to run.")] = BackendName.auto,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_INDEX, help="Replace the scenario's seed.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="How many runs go on side by side.")] = 1,
    most_runs: Annotated[
        int, typer.Option(min=5, help="How often one release is run at most.")
    ] = 40,
    out: Annotated[
        Path | None, typer.Option(help="Where runs are kept; an interrupted search goes on there.")
    ] = None,
) -> int:
    """Find the first server release that fails a scenario: exit 0 found, 3 cannot be told."""
    from harness.campaign.bisect import bisect_command
    from harness.session import Options

    options = Options(backend.value, seed=seed, page=Page.unless_passed)
    return bisect_command(
        scenario,
        good=good,
        bad=bad,
        options=options,
        jobs=jobs,
        most_runs=most_runs,
        folder=out,
        console=make_console(),
    )


def release_check(
    candidate: Annotated[str, typer.Option(help="The server release in question.")],
    baseline: Annotated[str, typer.Option(help="The server release to compare it with.")],
    suite: Annotated[
        list[str] | None,
        typer.Option(help="A suite (release, failover, ...) or a scenario; repeatable."),
    ] = None,
    runs: Annotated[
        int, typer.Option(min=1, max=MAX_REPEAT, help="Runs of each scenario on each release.")
    ] = 10,
    backend: Annotated[BackendName, typer.Option(help="Where to run.")] = BackendName.auto,
    jobs: Annotated[int, typer.Option(min=1, help="How many runs go on side by side.")] = 4,
    out: Annotated[
        Path | None, typer.Option(help="The check's folder; one that was interrupted goes on.")
    ] = None,
) -> int:
    """Decide on a release: exit 0 go, 1 no-go, 4 no-go for a regression, 3 not enough evidence."""
    from harness.release.check import Plan, command_of, name_folder, name_suite, release_command
    from harness.session import Options

    suites = suite or ["release"]
    plan = Plan(
        releases={"candidate": candidate, "baseline": baseline},
        suite=name_suite(suites),
        runs=runs,
        options=Options(backend.value, page=Page.unless_passed),
        jobs=jobs,
        folder=out or Path("reports") / name_folder(candidate, baseline),
        words=command_of(
            {"candidate": candidate, "baseline": baseline}, suites, runs, backend.value
        ),
    )
    return release_command(plan, make_console())


def compare(
    baseline: Annotated[
        str, typer.Argument(help="A report, run folder, folder of them, or stored baseline.")
    ],
    candidate: Annotated[str, typer.Argument(help="The same, of what is to be judged.")],
    practical: Annotated[
        list[str] | None,
        typer.Option(help="What does not matter: 10%, or of one metric, failover_time=20%."),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Chance of a false change in the whole comparison.")
    ] = 0.01,
    everything: Annotated[bool, typer.Option("--all", help="Also what did not change.")] = False,
    json_to: Annotated[
        str | None,
        typer.Option("--json", help="Write JSON there; - is standard output.", metavar="FILE"),
    ] = None,
) -> int:
    """Compare two sets of runs: exit 0 no regression, 4 regression, 3 too few runs to tell."""
    from harness.comparison.command import compare_command

    signals.act()
    return compare_command(
        baseline,
        candidate,
        make_console(),
        practical=practical or [],
        alpha=alpha,
        everything=everything,
        json_to=json_to,
    )


def baseline(
    runs: Annotated[
        list[str], typer.Argument(help="Reports, run folders or folders of them.", metavar="RUN...")
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write.", metavar="FILE")],
) -> int:
    """Store what `compare` needs of runs in one small file, to be kept with the code."""
    from harness.comparison.command import baseline_command

    signals.act()
    return baseline_command(runs, out, make_console())


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(matrix)
    app.command()(bisect)
    app.command("release-check")(release_check)
    app.command()(compare)
    app.command()(baseline)
