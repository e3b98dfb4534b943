"""`matrix`: scenarios by server releases by clients, as one table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import __version__
from harness.campaign.conduct import WORDS, conduct, lay_out
from harness.campaign.model import Cell, Outcome, disturbed
from harness.errors import EXIT_INTERRUPTED
from harness.report.write import write_json
from harness.session import Options, worst_exit_code


class MatrixRun(BaseModel):
    """One run of a matrix; `report` is relative to the folder, null where there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenario: str
    server: str | None
    client: str | None
    client_options: tuple[str, ...]
    seed: int
    exit_code: int
    disturbed: bool
    report: str | None
    trouble: str
    reproduce: str


class Matrix(BaseModel):
    """What matrix.json holds; `whole` is false until all has run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal["1"] = "1"
    nats_harness_version: str = __version__
    columns: tuple[str, ...]
    whole: bool
    runs: tuple[MatrixRun, ...]


def lay_columns(
    options: Options,
    servers: Sequence[str],
    clients: Sequence[str],
    variants: Sequence[str],
) -> Mapping[str, Options]:
    """Return the columns: every server with every client and every set of client options.

    A variant is a list such as ``ping_interval=1s,no_echo=true``, or empty for the scenario's
    own. What is not given is the scenario's own, and not named.
    """
    columns = {}
    every: tuple[list[str | None], list[str | None]] = ([*servers] or [None], [*clients] or [None])
    for server, client, variant in product(*every, variants or [""]):
        names = [server, None if client is None else f"client {client}", variant]
        columns["  ".join(filter(None, names))] = replace(
            options,
            server=server,
            client=client,
            client_options=tuple(filter(None, variant.split(","))),
        )
    return columns


def matrix_command(
    names: Sequence[str],
    columns: Mapping[str, Options],
    *,
    repeat: int,
    jobs: int,
    folder: Path,
    console: Console,
) -> int:
    """Run every scenario in every column `repeat` times; print and write the table.

    Run again with the same folder, it goes on where it was interrupted. The exit code is the
    worst of all runs.

    Raises:
        UsageError: a scenario is wrong, or cannot be run as a column says.
    """
    cells = lay_out(names, columns, range(repeat), console)

    def write(runs: tuple[MatrixRun, ...], *, whole: bool) -> None:
        write_json(Matrix(columns=tuple(columns), whole=whole, runs=runs), folder / "matrix.json")

    begin = partial(write, (), whole=False)  # an older table must not pass for this one's
    done = conduct(cells, folder, jobs, console, on_begin=begin)
    runs = tuple(_describe(one, folder) for one in done.outcomes)
    console.print(_table(cells, done.outcomes, [one.exit_code for one in runs]))
    write(runs, whole=len(runs) == len(cells))
    console.print(Text(str(folder / "matrix.json")), soft_wrap=True)
    if done.interrupted:
        return EXIT_INTERRUPTED
    return worst_exit_code([one.exit_code for one in runs])


def _describe(outcome: Outcome, folder: Path) -> MatrixRun:
    cell, report = outcome.cell, outcome.load()
    options = cell.options
    return MatrixRun(
        scenario=cell.scenario.name,
        server=options.server,
        client=options.client,
        client_options=options.client_options,
        seed=cell.scenario.seed,
        exit_code=outcome.code_of(report),
        disturbed=report is not None and disturbed(report),
        report=None if outcome.report is None else str(outcome.report.relative_to(folder)),
        trouble=outcome.trouble,
        reproduce=options.reproduce(cell.source, options.backend, cell.scenario.seed),
    )


def _table(cells: Sequence[Cell], outcomes: Sequence[Outcome], codes: Sequence[int]) -> Table:
    """Return the table; each outcome has its code beside it."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one, code in zip(outcomes, codes, strict=True):
        found[one.cell.scenario.name, one.cell.column].append(code)
    columns = list(dict.fromkeys(cell.column for cell in cells))
    table = Table(box=None, pad_edge=False)
    table.add_column("scenario")
    for column in columns:
        table.add_column(Text(column.replace("  ", "\n") or "as it is"), justify="right")
    for name in dict.fromkeys(cell.scenario.name for cell in cells):
        table.add_row(name, *(_summary(found[name, column]) for column in columns))
    return table


def _summary(codes: Sequence[int]) -> Text:
    """Return how often which verdict came, the worst first: ``1 FAIL, 4 pass``."""
    left = Counter(codes)
    text = Text()
    while left:
        code = worst_exit_code(list(left))
        word, style = WORDS[code]
        text.append(", " if text else "").append(f"{left.pop(code)} {word}", style)
    return text or Text("-", "dim")
