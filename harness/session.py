"""Run scenarios one after the other, each on the backend that fits, and tell how it went."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness import signals
from harness.backends.choose import Choice, choose, require
from harness.cluster.binaries import resolve_all
from harness.errors import (
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_PASS,
    EXIT_USAGE,
    HarnessError,
)
from harness.faults.base import Fault
from harness.progress import Narrator
from harness.scenario.load import Loaded, load
from harness.scenario.model import Scenario
from harness.shipped import find_scenario
from harness.vocabulary import VOCABULARY

WORST_FIRST = (EXIT_INTERRUPTED, EXIT_FAIL, EXIT_USAGE, EXIT_INCONCLUSIVE, EXIT_PASS)


@dataclass(frozen=True)
class Options:
    """What the command line may change about every scenario of a session."""

    backend: str
    server: str | None
    seed: int | None
    repeat: int | None
    reports: Path
    quiet: bool

    def apply(self, scenario: Scenario) -> Scenario:
        """Return the scenario with what the command line replaces."""
        changes: dict[str, object] = {}
        if self.server is not None:
            changes["cluster"] = scenario.cluster.model_copy(update={"version": self.server})
        if self.seed is not None:
            changes["seed"] = self.seed
        if self.repeat is not None:
            changes["repeat"] = self.repeat
        return scenario.model_copy(update=changes)

    def reproduce(self, source: str, backend: str, seed: int) -> str:
        """Return the command that runs a scenario as it is run now."""
        words = ["nats-harness", "run", source, "--backend", backend, "--seed", str(seed)]
        if self.server is not None:
            words += ["--server", self.server]
        if self.repeat is not None:
            words += ["--repeat", str(self.repeat)]
        return shlex.join(words)


@dataclass(frozen=True)
class Session:
    """Scenarios that were found valid, and how they are to be run."""

    loaded: Sequence[Loaded]
    options: Options
    choice: Choice
    console: Console

    def run(self) -> int:
        """Run all and return the worst exit code; an interrupt ends the session."""
        codes = []
        for one in self.loaded:
            codes.append(self.choice.backend.host(lambda one=one: self._run_one(one)))  # type: ignore[misc]  # called in this turn
            if codes[-1] == EXIT_INTERRUPTED:
                break
        return next((code for code in WORST_FIRST if code in codes), max(codes))

    def _run_one(self, loaded: Loaded) -> int:
        """Run one scenario to its report; called where the backend wants it to run."""
        from harness.report.terminal import print_report
        from harness.runner import Run, execute

        signals.remember()
        scenario, backend = self.options.apply(loaded.scenario), self.choice.backend
        run = Run(
            scenario=scenario,
            backend=backend,
            reports=self.options.reports,
            reproduce=self.options.reproduce(loaded.source, backend.name, scenario.seed),
            warnings=loaded.warnings,
            narrate=Narrator(scenario, self.console, quiet=self.options.quiet),
        )
        try:
            ended = execute(run)
            signals.remember()
            print_report(ended.report, ended.folder, self.console)
        except HarnessError as error:
            _complain(str(error))
            return error.exit_code
        except OSError as error:
            _complain(f"cannot print: {error.strerror}")
            return EXIT_USAGE
        return ended.report.exit_code


def run_all(names: Sequence[str], options: Options, console: Console) -> int:
    """Run every scenario and return the worst exit code; nothing starts unless all are valid.

    Raises:
        UsageError: a scenario is wrong, or the backend cannot do what it needs.
    """
    loaded = [load(find_scenario(name), VOCABULARY) for name in names]
    choice = choose(options.backend)
    for one in loaded:
        for step in one.scenario.faults:
            assert isinstance(step, Fault)
            require(step.needs, choice.backend)
        resolve_all(options.apply(one.scenario).cluster)  # fetched now: a lab has no way out
    if not options.quiet:
        console.print(Text(choice.sentence, "dim"), soft_wrap=True)
        _print_warnings(loaded, console)
    return Session(loaded, options, choice, console).run()


def validate_all(names: Sequence[str], console: Console) -> int:
    """Check scenarios and say so, with what is doubtful in them; errors are raised."""
    loaded = [load(find_scenario(name), VOCABULARY) for name in names]
    _print_warnings(loaded, console)
    for one in loaded:
        console.print(Text(f"{one.source}: valid"), soft_wrap=True)
    return EXIT_PASS


def _print_warnings(loaded: Sequence[Loaded], console: Console) -> None:
    for one in loaded:
        for warning in one.warnings:
            console.print(Text(f"warning: {warning}", "yellow"), soft_wrap=True)


def _complain(message: str) -> None:
    Console(stderr=True, highlight=False, markup=False).print(
        f"nats-harness: {message}", soft_wrap=True
    )
