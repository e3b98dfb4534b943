"""Run scenarios one after the other, each on the backend that fits, and tell how it went."""

from __future__ import annotations

import shlex
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from harness import signals
from harness.backends.attach.commands import missing
from harness.backends.choose import Choice, choose, fitted, name_backend
from harness.cluster.protocols import Backend, Capability
from harness.complaints import complain, explain, warn
from harness.errors import (
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_PASS,
    EXIT_REGRESSION,
    EXIT_USAGE,
    UsageError,
)
from harness.faults.base import Fault
from harness.faults.command import Command
from harness.live.view import followed, restore, wanted
from harness.load.libraries import library_of
from harness.preparation import prepare_releases, require_faults
from harness.progress import Narrator
from harness.report.model import Report
from harness.results import Tell, announce, collected
from harness.scenario.attached import host_and_port
from harness.scenario.client_options import option_of_text
from harness.scenario.compose.images import is_placeholder, is_reference
from harness.scenario.compose.model import ComposeProject
from harness.scenario.compose.redaction import left_out
from harness.scenario.load import Loaded, load
from harness.scenario.model import ClientSpec, Scenario
from harness.scenario.problems import REDACTED
from harness.scenario.schedule import possible_steps
from harness.scratch import lies_in_scratch, sweep
from harness.shipped import find_scenario
from harness.vocabulary import VOCABULARY

EXIT_SIGNALLED = 128
WORST_FIRST = (
    EXIT_INTERRUPTED,
    EXIT_FAIL,
    EXIT_REGRESSION,
    EXIT_USAGE,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
)


@dataclass(frozen=True)
class Options:
    """What the command line may change about every scenario of a session."""

    backend: str = "auto"
    server: str | None = None
    image: str | None = None
    seed: int | None = None
    repeat: int | None = None
    reports: Path = Path("reports")
    quiet: bool = False
    allow_attached: bool = False
    client: str | None = None
    client_options: tuple[str, ...] = ()
    junit: Path | None = None
    page: str = "always"

    def apply(self, scenario: Scenario) -> Scenario:
        """Return the scenario with what the command line replaces.

        Raises:
            UsageError: it replaces what servers are that run already, or what the servers of
                a Compose file do not have; or a client option is unknown or has no usable value.
        """
        changes: dict[str, object] = {}
        for option in ("server", "image"):
            if scenario.cluster.attach is not None and getattr(self, option) is not None:
                raise UsageError(f"--{option}: the servers of cluster.attach are what they are")
        cluster: dict[str, object] = {}
        if (compose := scenario.cluster.compose) is not None:
            cluster["compose"] = self._replace_images(compose)
        else:
            if self.server is not None:
                cluster["version"] = self.server
            if self.image is not None:
                cluster["image"] = self.image
        if cluster:
            changes["cluster"] = scenario.cluster.model_copy(update=cluster)
        if self.client is not None or self.client_options:
            changes["client"] = self._change_client(scenario.client)
        if self.seed is not None:
            changes["seed"] = self.seed
        if self.repeat is not None:
            changes["repeat"] = self.repeat
        return scenario.model_copy(update=changes)

    def wants_page(self, exit_code: int) -> bool:
        """Tell whether a run that ends with this code is to have a page."""
        return self.page == "always" or (self.page == "unless-passed" and exit_code != EXIT_PASS)

    def _change_client(self, client: ClientSpec) -> ClientSpec:
        given = dict(option_of_text(client.adapter, text) for text in self.client_options)
        changes: dict[str, object] = {"options": {**client.options, **given}}
        if self.client is not None:
            changes["version"] = self.client
        try:
            return ClientSpec.model_validate({**client.model_dump(), **changes})
        except ValidationError as error:
            raise UsageError(
                f"--client: expected installed or a release such as 2.16.0, found {self.client!r}"
            ) from error

    def _replace_images(self, compose: ComposeProject) -> ComposeProject:
        if self.server is not None:
            raise UsageError("the servers of a Compose file run from images: --image, not --server")
        if self.image is None:
            return compose
        if not is_reference(self.image) or is_placeholder(self.image):
            raise UsageError(f"--image: expected an image's name, found {self.image!r}")
        return compose.with_image(self.image)

    def reproduce(self, source: str, backend: str, seed: int) -> str:
        """Return the command that runs a scenario as it is run now.

        A scenario that was handed over in a scratch folder is kept in the run folder only.
        """
        if lies_in_scratch(Path(source)):
            source = "scenario.yaml"
        words = ["nats-harness", "run", source, "--backend", backend, "--seed", str(seed)]
        return shlex.join([*words, *self.changes()])

    def changes(self) -> list[str]:
        """Return the words of the command line that make a scenario what `apply` makes of it.

        All but the seed, which a command that reproduces a run always names.
        """
        words: list[str] = []
        if self.server is not None:
            words += ["--server", self.server]
        if self.image is not None:
            words += ["--image", self.image]
        if self.client is not None:
            words += ["--client", self.client]
        for text in self.client_options:
            words += ["--client-option", text]
        if self.repeat is not None:
            words += ["--repeat", str(self.repeat)]
        if self.allow_attached:
            words += ["--allow-attached"]
        return words


@dataclass(frozen=True)
class Session:
    """Scenarios that were found valid, and how they are to be run."""

    loaded: Sequence[Loaded]
    options: Options
    choice: Choice
    console: Console

    def run(self) -> int:
        """Run all and return the worst exit code; an interrupt ends the session."""
        codes: list[int] = []
        names = [one.scenario.name for one in self.loaded]
        with collected(names, self.options.junit) as results:
            for index, one in enumerate(self.loaded):
                with results.of(index) as tell:
                    backend = fitted(self.choice.backend, _needed(one.scenario))
                    codes.append(backend.host(partial(self._run_one, one, backend, tell)))
                    if codes[-1] > EXIT_SIGNALLED and codes[-1] != EXIT_INTERRUPTED:
                        _tell_of_signal(one.scenario.name, codes[-1] - EXIT_SIGNALLED, tell)
                if codes[-1] == EXIT_INTERRUPTED:
                    break
                if codes[-1] > EXIT_SIGNALLED and not self.options.quiet and wanted(self.console):
                    restore(self.console)  # who drew on it was killed
        return worst_exit_code(codes)

    def _run_one(self, loaded: Loaded, backend: Backend, tell: Tell) -> int:
        """Run one scenario to its report; called where the backend wants it to run."""
        from harness.pages.write import write_page_or_warn
        from harness.report.outputs import write_outputs
        from harness.report.terminal import print_findings, print_places
        from harness.runner import Run, execute, folder_of

        signals.remember()
        scenario = self.options.apply(loaded.scenario)
        narrator = Narrator(scenario, self.console, quiet=self.options.quiet)
        try:
            with followed(narrator) as follow:

                def narrate(kind: str, at_ns: int, facts: dict[str, Any]) -> None:
                    if kind == "run.started":
                        tell.begin(folder_of(self.options.reports, scenario.name, facts["run_id"]))
                    follow(kind, at_ns, facts)

                ended = execute(
                    Run(
                        scenario=scenario,
                        backend=backend,
                        reports=self.options.reports,
                        reproduce=self.options.reproduce(
                            loaded.source, backend.name, scenario.seed
                        ),
                        warnings=(*loaded.warnings, *loaded.notes),
                        narrate=narrate,
                    )
                )
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not pass for a verdict
            why, code = explain(error)
            tell(why=why)
            complain(why)
            return code
        signals.remember()
        if ended.trouble is not None:
            return self._show_unwritten(ended.report, ended.folder, ended.trouble, tell)
        tell(folder=ended.folder)
        write_outputs(ended.report, ended.folder, warn)
        try:
            print_findings(ended.report, ended.folder, self.console)
            page = None
            if self.options.wants_page(ended.report.exit_code):
                page = write_page_or_warn(ended.report, ended.folder, warn)
            print_places(ended.folder, self.console, page)
        except OSError as error:
            why, code = explain(error)
            complain(why)
            return code
        return ended.report.exit_code

    def _show_unwritten(self, report: Report, folder: Path, trouble: str, tell: Tell) -> int:
        """Print a report that could not be written; only a failed run keeps its exit code."""
        from harness.report.terminal import print_findings

        tell(why=trouble)
        complain(trouble)
        with suppress(OSError):
            print_findings(report, folder, self.console)
        return worst_exit_code([report.exit_code, EXIT_USAGE])


def _tell_of_signal(name: str, number: int, tell: Tell) -> None:
    """Say that the process that carried a run out was killed, and how to judge what it left."""
    by = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    begun = tell.told().get("begun")
    why = f"the process that ran it was ended by {by}, so that the run has no verdict"
    tell(why=why)
    left = "" if begun is None else f"; judge what it left: nats-harness check {shlex.quote(begun)}"
    complain(f"{name}: {why}{left}")


def worst_exit_code(codes: Sequence[int]) -> int:
    """Return the exit code that says most about several runs.

    A process that ended in another way, such as by a signal, has proven nothing.
    """
    known = {code if code in WORST_FIRST else EXIT_INCONCLUSIVE for code in codes}
    return next((code for code in WORST_FIRST if code in known), EXIT_INCONCLUSIVE)


def run_all(names: Sequence[str], options: Options, console: Console) -> int:
    """Run every scenario and return the worst exit code; nothing starts unless all are valid.

    Raises:
        UsageError: a scenario is wrong, or the backend cannot do what it needs.
    """
    from harness.campaign.homecoming import bring_home_the_abandoned

    announce(names, options.junit)
    bring_home_the_abandoned(options.reports)
    return prepare_all(names, options, console).run()


def prepare_all(names: Sequence[str], options: Options, console: Console) -> Session:
    """Return what is to be run; all of it can be, as far as that can be known beforehand.

    Raises:
        UsageError: a scenario is wrong, or the backend cannot do what it needs.
    """
    sweep()
    loaded = [load(find_scenario(name), VOCABULARY) for name in names]
    applied = [options.apply(one.scenario) for one in loaded]
    clusters = [one.cluster for one in applied]
    choice = choose(name_backend(options.backend, clusters))
    for cluster in clusters:
        if cluster.compose is not None:
            _require_images(cluster.compose)
            _require_secrets(cluster.compose)
    if choice.backend.name == "attach":
        _require_leave(loaded, options)
    for one in loaded:
        require_faults(one, choice.backend)
    for scenario in applied:
        library_of(scenario.client)
    if choice.backend.name == "attach":
        _prepare_attached(loaded)
    elif choice.backend.name != "docker":
        for one, cluster in zip(loaded, clusters, strict=True):
            prepare_releases(one, cluster)
    if not options.quiet:
        console.print(Text(choice.sentence, "dim"), soft_wrap=True)
        _print_warnings(loaded, console)
    return Session(loaded, options, choice, console)


def _require_leave(loaded: Sequence[Loaded], options: Options) -> None:
    """Raise UsageError unless the user says that servers that run already may be tested."""
    if options.allow_attached:
        return
    urls = [
        url
        for one in loaded
        for server in (one.scenario.cluster.attach or {}).values()
        for url in (server.client, server.monitor)
    ]
    hosts = ", ".join(dict.fromkeys(host_and_port(url)[0] for url in urls))
    raise UsageError(
        f"cluster.attach: this puts load on servers that run already, at {hosts}, and does to "
        "them what its commands do; if that is meant, say --allow-attached"
    )


def _prepare_attached(loaded: Sequence[Loaded]) -> None:
    """Raise UsageError where a command has no program, or a server is not there or not NATS."""
    from harness.backends.attach.examine import meet_all

    for one in loaded:
        for step in possible_steps(one.scenario):
            commands = step.commands if isinstance(step, Command) else {}
            for key, argv in commands.items():
                if shutil.which(argv[0]) is None:
                    raise UsageError(f"{one.source}: {step.name}: {key}: {missing(argv[0])}")
        meet_all(one.scenario.cluster)


def _needed(scenario: Scenario) -> frozenset[Capability]:
    """Return what the backend must be able to do for all faults of a scenario."""
    steps = (step for step in possible_steps(scenario) if isinstance(step, Fault))
    return frozenset().union(*(step.needed_among(scenario.cluster.sites) for step in steps))


def _require_images(project: ComposeProject) -> None:
    """Raise UsageError where an image is only a placeholder."""
    if (why := _placeholder(project)) is not None:
        raise UsageError(why)


def _placeholder(project: ComposeProject) -> str | None:
    if not project.placeholders:
        return None
    first, *others = project.placeholders
    also = f" (also {', '.join(one.name for one in others)})" if others else ""
    return (
        f"{first.place}: services.{first.name}.image{also}: {first.image!r} has a "
        "placeholder in it; give the image by --image IMAGE"
    )


def _require_secrets(project: ComposeProject) -> None:
    """Raise UsageError where a resolved project lacks what was left out of it as secret."""
    for service in project.services:
        if left_out(service):
            raise UsageError(
                f"{service.place}: services.{service.name}: its secrets were left out here "
                f"({REDACTED}); run the scenario that names the Compose file"
            )


def validate_all(names: Sequence[str], console: Console) -> int:
    """Check scenarios and say so, with what is doubtful in them; errors are raised."""
    loaded = [load(find_scenario(name), VOCABULARY) for name in names]
    _print_warnings(loaded, console)
    for one in loaded:
        compose = one.scenario.cluster.compose
        if compose is not None and (why := _placeholder(compose)) is not None:
            console.print(Text(f"note: {why}", "dim"), soft_wrap=True)
        console.print(Text(f"{one.source}: valid"), soft_wrap=True)
    return EXIT_PASS


def _print_warnings(loaded: Sequence[Loaded], console: Console) -> None:
    for one in loaded:
        for warning in one.warnings:
            console.print(Text(f"warning: {warning}", "yellow"), soft_wrap=True)
        for note in one.notes:
            console.print(Text(f"note: {note}", "dim"), soft_wrap=True)
