"""The public functions: what the command line does, from Python."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.lowlevel
from anyio.streams.text import TextReceiveStream

from harness.backends.process import tied
from harness.errors import (
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_PASS,
    EXIT_USAGE,
    HarnessError,
    ReportError,
    UsageError,
)
from harness.judging import judge_folder
from harness.plain import plain
from harness.report.model import Report
from harness.scenario.dump import dump_yaml, plain_scenario
from harness.scenario.load import load as load_path
from harness.scenario.load import load_data
from harness.scenario.model import Scenario
from harness.scopes import in_thread
from harness.scratch import scratch
from harness.shipped import find_scenario
from harness.vocabulary import VOCABULARY

BackendName = Literal["auto", "lab", "local", "docker", "attach"]
ScenarioSource = Scenario | Mapping[str, Any] | str | Path

JUDGED = (EXIT_PASS, EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED)
PREFIX = "nats-harness: "
END_LIMIT_S = 60.0  # from the request to end until the report of what was measured is written


@dataclass(frozen=True)
class RunOptions:
    """What may be said about a run; each is an option of `nats-harness run`."""

    backend: BackendName
    server: str | None
    image: str | None
    seed: int | None
    repeat: int | None
    reports: str | Path
    allow_attached: bool
    quiet: bool

    def argv(self, path: Path) -> list[str]:
        """Return the command that runs the scenario in a file; it dies with this process.

        Raises:
            UsageError: the run could not tell in a line where its report is.
        """
        reports = str(Path(self.reports).absolute())
        if plain(reports, keep="") != reports:
            raise UsageError(f"reports: expected a path that can be printed, found {reports!r}")
        named = {
            "--backend": self.backend,
            "--server": self.server,
            "--image": self.image,
            "--seed": self.seed,
            "--repeat": self.repeat,
            "--reports": self.reports,
        }
        words = [f"{option}={value}" for option, value in named.items() if value is not None]
        words += ["--allow-attached"] * self.allow_attached + ["--quiet"] * self.quiet
        # -P: a script's own folder may hold another `harness`.
        return tied([sys.executable, "-P", "-m", "harness", "run", *words, "--", str(path)])


def load(source: ScenarioSource) -> Scenario:
    """Return the scenario at a path, the shipped one of that name, or the one in plain data.

    Args:
        source: a path, a name, a mapping as YAML would hold it, or a scenario that was built
            from models, which is checked as if it had been read.

    Raises:
        UsageError: there is none; ScenarioError: it is wrong, one problem a line.
    """
    if isinstance(source, Scenario):
        return load_data(
            plain_scenario(source, reveal=True), VOCABULARY, source="scenario"
        ).scenario
    if isinstance(source, Mapping):
        return load_data(source, VOCABULARY, source="scenario").scenario
    return load_path(find_scenario(str(source)), VOCABULARY).scenario


def check(run_folder: str | Path) -> Report:
    """Judge a stored run again from its history; ReportError when there is none."""
    return judge_folder(Path(run_folder)).found_in(Path(run_folder).absolute())


def run(scenario: ScenarioSource, options: RunOptions) -> Report:
    """Run a scenario in a process of its own, wait for it, and return its report.

    A process of its own, because the lab must be entered before any thread exists. When the
    wait is interrupted (KeyboardInterrupt, or any exception from a signal handler), the run is
    asked to end, and has ended before the exception goes on; a second interrupt kills it.

    Raises:
        ScenarioError: the scenario is wrong. UsageError: what was asked for cannot be done.
        HarnessError: no report came of it.
    """
    with _prepared(scenario, options) as order, order.errors.open("wb") as errors:
        child = subprocess.Popen(
            order.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            start_new_session=True,  # a terminal's Ctrl-C comes to us, and from us to it, once
        )
        said = _Said(echo=not options.quiet)
        assert child.stdout is not None  # a pipe was asked for
        with child.stdout:
            try:
                for line in child.stdout:
                    said.take(line)
                child.wait()
            except BaseException:
                _end(child)
                raise
        return order.read(child.returncode, said.last)


async def arun(scenario: ScenarioSource, options: RunOptions) -> Report:
    """Do what `run` does without blocking the event loop; asyncio's and trio's will both do.

    Cancellation asks the run to end, and it has ended when the cancellation goes on.
    """
    async with AsyncExitStack() as held:
        order = await _enter(held, lambda: _prepared(scenario, options))
        errors = held.enter_context(order.errors.open("wb"))
        child = await held.enter_async_context(
            await anyio.open_process(
                order.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        )
        assert child.stdout is not None  # a pipe was asked for
        said = _Said(echo=not options.quiet)
        output = TextReceiveStream(child.stdout, errors="replace")
        try:
            async for text in output:
                said.take(text)
            await child.wait()
        except BaseException:
            with anyio.move_on_after(END_LIMIT_S, shield=True):
                with suppress(ProcessLookupError):
                    child.send_signal(signal.SIGINT)
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    async for _ in output:
                        continue
                await child.wait()
            raise  # and what has not ended is killed on the way out
        assert child.returncode is not None  # it was waited for
        return order.read(child.returncode, said.last)


@dataclass(frozen=True)
class _Order:
    """A command to carry out, and the file that takes its stderr."""

    argv: list[str]
    errors: Path

    def read(self, code: int, last: str) -> Report:
        """Return the report of the command that ended with `code` and said `last`."""
        why = self.errors.read_text(encoding="utf-8", errors="replace").strip()
        why = why.removeprefix(PREFIX)
        if code == EXIT_USAGE:
            raise UsageError(why)
        if code not in JUDGED or not last.endswith("report.json"):
            ended = f"the run ended with status {code} and left no report"
            raise HarnessError(why if why and code == EXIT_INCONCLUSIVE else _join(ended, why))
        folder = Path(last).parent
        try:
            report = Report.model_validate_json((folder / "report.json").read_bytes())
        except OSError as error:
            raise ReportError(f"{folder / 'report.json'}: {error.strerror}") from error
        return report.found_in(folder.absolute())


def _join(what: str, why: str) -> str:
    return f"{what}: {why}" if why else what


class _Said:
    """What a run prints: passed on where that is wanted, and its last line."""

    def __init__(self, *, echo: bool) -> None:
        self._echo = echo
        self._rest = ""
        self._last = ""

    @property
    def last(self) -> str:
        """Return the last line that was not empty."""
        return self._rest.strip() or self._last

    def take(self, text: str) -> None:
        """Take in more of it."""
        if self._echo:
            sys.stdout.write(text)
            sys.stdout.flush()
        *lines, self._rest = (self._rest + text).split("\n")
        self._last = next((line.strip() for line in reversed(lines) if line.strip()), self._last)


@contextmanager
def _prepared(scenario: ScenarioSource, options: RunOptions) -> Iterator[_Order]:
    """Check the scenario and put it where another process can read it."""
    found = load(scenario)
    with scratch() as folder:
        if isinstance(scenario, Scenario | Mapping):
            path = folder / f"{found.name}.yaml"
            path.write_text(dump_yaml(found, reveal=True), encoding="utf-8")
        else:
            path = find_scenario(str(scenario))
        yield _Order(options.argv(path), folder / "errors")


async def _enter(held: AsyncExitStack, make: Callable[[], Any]) -> _Order:
    """Enter a context in a thread, since to read a scenario takes a while."""
    await anyio.lowlevel.checkpoint_if_cancelled()
    stack = held.enter_context(ExitStack())
    order: _Order = await in_thread(lambda: stack.enter_context(make()))
    return order


def _end(child: subprocess.Popen[str]) -> None:
    """Ask a run to end and wait until it has; kill it when asked again, or when it takes long."""
    try:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=END_LIMIT_S)
    except BaseException:  # noqa: BLE001 - whatever it is, the first exception goes on
        child.kill()
        child.wait()
