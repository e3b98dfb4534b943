"""Carry out a campaign from the command line: in the foreground, told line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import anyio
from rich.console import Console
from rich.text import Text

from harness import signals
from harness.campaign.identity import programs_of
from harness.campaign.ledger import open_ledger
from harness.campaign.model import Cell, Outcome, disturbed
from harness.campaign.running import Campaign
from harness.errors import (
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_PASS,
    EXIT_USAGE,
    UsageError,
    leading_error,
)
from harness.scenario.quantities import MAX_INDEX
from harness.session import Options, prepare_all
from harness.signals import ENDING
from harness.units import human_duration

WORDS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        EXIT_PASS: ("pass", "green"),
        EXIT_FAIL: ("FAIL", "bold red"),
        EXIT_USAGE: ("error", "bold red"),
        EXIT_INCONCLUSIVE: ("inconclusive", "yellow"),
        EXIT_INTERRUPTED: ("interrupted", "yellow"),
    }
)


@dataclass(frozen=True)
class Conducted:
    """What came of a campaign; `outcomes` lacks what an interrupt left undone."""

    outcomes: tuple[Outcome, ...]
    interrupted: bool


def lay_out(
    names: Sequence[str],
    columns: Mapping[str, Options],
    turns: Iterable[int],
    console: Console,
) -> list[Cell]:
    """Return the cells of scenarios by columns, turn by turn; all can be run.

    Turns come outermost, so that whatever changes about the machine meets all columns alike.
    A turn has the same seed in every column.

    Raises:
        UsageError: a scenario is wrong, or cannot be run as a column says.
    """
    cells: list[Cell] = []
    seen: Counter[str] = Counter()
    prepared = {
        column: prepare_all(names, replace(options, quiet=True), console)
        for column, options in columns.items()
    }
    if any(session.choice.backend.name == "attach" for session in prepared.values()):
        raise UsageError("servers that run already are tested by one run at a time")
    for turn in turns:
        for index, name in enumerate(names):
            for column, session in prepared.items():
                options = replace(session.options, backend=session.choice.backend.name)
                scenario = options.apply(session.loaded[index].scenario)
                if (seed := scenario.seed + turn) > MAX_INDEX:
                    raise UsageError(
                        f"{name}: the seed of run {turn + 1} would be {seed}; at most {MAX_INDEX}"
                    )
                scenario = scenario.model_copy(update={"seed": seed})
                programs = programs_of(scenario, options.backend)
                cell = Cell(name, scenario, options, column, turn, 0, programs)
                seen[cell.key] += 1
                cells.append(replace(cell, repetition=seen[cell.key] - 1))
    return cells


def conduct(
    cells: Sequence[Cell],
    folder: Path,
    jobs: int,
    console: Console,
    *,
    quiet: bool = False,
    again: bool = True,
    on_begin: Callable[[], None] | None = None,
    on_end: Callable[[Outcome], None] | None = None,
) -> Conducted:
    """Run what the ledger in `folder` does not have yet, `jobs` at a time at most.

    An ending signal stops what runs, which still reports.

    Args:
        cells: what is to be run.
        folder: where the ledger and the run folders are.
        jobs: how many runs go on side by side at most.
        console: told of every outcome.
        quiet: tell nothing.
        again: run cells that are disturbed and inconclusive once more, alone.
        on_begin: called when the folder is ours, before anything runs: what was said there of
            an earlier campaign is to go.
        on_end: called with every outcome as it comes.

    Raises:
        ReportError: the folder cannot be written, or another process is at work there.
    """
    signals.remember()

    def tell(outcome: Outcome, done: int, total: int, once_more: bool) -> None:  # noqa: FBT001 - as Tell is
        if not quiet:
            before = "again, alone" if once_more else f"{done:>{len(str(total))}}/{total}"
            console.print(_line(outcome, before), soft_wrap=True)
        if on_end is not None:
            on_end(outcome)

    with open_ledger(folder) as ledger:
        if on_begin is not None:
            on_begin()
        known = len(cells) - len(ledger.missing(cells))
        if known and not quiet:
            console.print(Text(f"{known} of {len(cells)} runs were done before", "dim"))
        campaign = Campaign(ledger, jobs, tell, again=again)
        try:
            interrupted = anyio.run(_attend, campaign, cells)
        except BaseExceptionGroup as group:
            raise leading_error(group) from None
    signals.remember()
    found = (campaign.outcomes.get(cell.key) for cell in cells)
    return Conducted(tuple(one for one in found if one is not None), interrupted)


async def _attend(campaign: Campaign, cells: Sequence[Cell]) -> bool:
    """Run the campaign; return whether a signal ended it early."""
    with anyio.open_signal_receiver(*ENDING) as received:
        async with anyio.create_task_group() as root:
            interrupted = signals.remembered() is not None

            async def listen() -> None:
                nonlocal interrupted
                async for _ in received:
                    interrupted = True
                    root.cancel_scope.cancel()
                    return

            if interrupted:
                return True
            root.start_soon(listen)
            await campaign.run(cells)
            root.cancel_scope.cancel()
    return interrupted


def _line(outcome: Outcome, before: str) -> Text:
    report = outcome.load()
    word, style = WORDS[outcome.code_of(report)]
    line = Text(f"{before}  ", "dim").append(f"{word:12}  ", style)
    line.append(f"{outcome.cell.name}  {human_duration(outcome.took_s)}")
    if report is None:
        line.append(f"\n  no report: {outcome.trouble}", "bold red")
    elif disturbed(report):
        line.append("  disturbed", "yellow")
    return line
