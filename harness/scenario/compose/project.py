"""Read a Compose file and find the NATS cluster in it.

Source: Compose Specification. Every key of a NATS service is honoured, noted as without
meaning here, or refused with its place; nothing is passed over in silence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.scenario.compose.context import Context, is_null, name_of, shown
from harness.scenario.compose.environment import UnreadableError, read_text, read_variables
from harness.scenario.compose.flags import read_flags, runs_server
from harness.scenario.compose.images import is_server
from harness.scenario.compose.keys import TOP_LEVEL, TOP_LEVEL_NOTED
from harness.scenario.compose.model import SERVICE_PATTERN, ComposeProject
from harness.scenario.compose.mounts import Shelves
from harness.scenario.compose.server import common_login, wire
from harness.scenario.compose.service import read_service
from harness.scenario.compose.wiring import Places, check_networks, find_seed
from harness.scenario.problems import Position, Problem, suggestion
from harness.scenario.reading import read_tree
from harness.scenario.tree import Entries, Entry

MAX_SERVICES = 25
_SECTIONS = ("networks", "volumes", "configs", "secrets")
_BUILT_SERVER = re.compile(r"nats(?:-server)?(?:[-_.]?[0-9]+)?")
_START = Position(1, 1)


@dataclass(frozen=True)
class Outcome:
    """A project, or None where the problems allow none."""

    project: ComposeProject | None
    problems: tuple[Problem, ...]


def read_file(
    path: Path,
    source: str,
    only: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Return the NATS cluster of a Compose file.

    Args:
        path: the file.
        source: what messages call it.
        only: the services that are NATS servers; None to find them.
        environment: what variables stand for, before the ``.env`` file; the process's own.
    """
    try:
        text = read_text(path)
    except UnreadableError as error:
        return Outcome(None, (Problem((), str(error), position=error.position, source=source),))
    return read_compose(text, source, path.parent, only, environment)


def read_compose(
    text: str,
    source: str,
    folder: Path,
    only: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Return the NATS cluster that a Compose file's text describes; `folder` is the file's."""
    reading = read_tree(text, "Compose file")
    problems = [
        replace(problem, source=source, position=problem.position or _START)
        for problem in reading.problems
    ]
    if not isinstance(reading.root, Entries):
        if reading.root is not None:
            message = f"expected a mapping with the key services, found {name_of(reading.root)}"
            problems.append(Problem((), message, position=reading.root.position, source=source))
        return Outcome(None, tuple(problems))
    outcome = read_entries(reading.root, source, folder, only, environment)
    if problems:
        return Outcome(None, (*problems, *outcome.problems))
    return outcome


def read_entries(
    root: Entries,
    source: str,
    folder: Path,
    only: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Return the NATS cluster of a Compose file that is already a tree."""
    problems: list[Problem] = []
    known = os.environ if environment is None else environment
    context = Context(source, folder, read_variables(folder, known, problems), problems)
    _check_top_level(context, root)
    services = _find_services(context, root)
    if not services:
        return Outcome(None, tuple(context.problems))
    shelves = _read_shelves(context, root)
    chosen = _choose(context, services, only)
    names = tuple(services)
    drafts = []
    for name in chosen:
        value = context.substitute(services[name].value, ("services", name))
        entry = Entry(services[name].key_position, value)
        drafts.append(read_service(context, name, entry, shelves, names))
    wired = [one for one in (wire(context, draft) for draft in drafts) if one is not None]
    if len(wired) < len(chosen) or not wired or context.problems:
        return Outcome(None, tuple(context.problems))
    places = {draft.name: Places(draft.position, draft.command_position) for draft in drafts}
    check_networks(context, wired, shelves, places)
    seed = find_seed(context, wired, places)
    if context.problems:
        return Outcome(None, tuple(context.problems))
    project = ComposeProject(
        source=source,
        seed=seed,
        services=tuple(one.service for one in wired),
        login=common_login(wired),
        notes=context.told(),
    )
    return Outcome(project, ())


def _check_top_level(context: Context, root: Entries) -> None:
    for key, entry in root.entries.items():
        if key.startswith("x-"):
            continue
        if key in TOP_LEVEL_NOTED:
            context.note(entry.key_position, (key,), f"not used: {TOP_LEVEL_NOTED[key]}")
        elif key == "include":
            message = "this key is not supported: write the services out in one file"
            context.refuse(entry.key_position, (key,), message)
        elif key not in TOP_LEVEL:
            context.refuse(entry.key_position, (key,), f"unknown key{suggestion(key, TOP_LEVEL)}")


def _find_services(context: Context, root: Entries) -> Mapping[str, Entry]:
    entry = root.entries.get("services")
    if entry is None:
        context.refuse(root, ("services",), "this key is missing")
        return {}
    services = context.mapping(entry.value, ("services",))
    if not services and (isinstance(entry.value, Entries) or is_null(entry.value)):
        context.refuse(entry.value, ("services",), "there are no services")
    sound: dict[str, Entry] = {}
    for name, service in services.items():
        if re.fullmatch(SERVICE_PATTERN, name) is None or len(name) > 63:  # noqa: PLR2004 - DNS
            message = "expected a service's name of letters, digits, '.', '_' and '-', at most 63"
            context.refuse(service.key_position, ("services", name), message)
        elif not isinstance(service.value, Entries):
            message = f"expected a mapping, found {name_of(service.value)}"
            context.refuse(service.key_position, ("services", name), message)
        else:
            sound[name] = service
    return sound


def _read_shelves(context: Context, root: Entries) -> Shelves:
    sections: dict[str, Mapping[str, Entry]] = {}
    for section in _SECTIONS:
        entry = root.entries.get(section)
        sections[section] = (
            {}
            if entry is None
            else context.mapping(context.substitute(entry.value, (section,)), (section,))
        )
    return Shelves(sections)


def _choose(
    context: Context, services: Mapping[str, Entry], only: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the names of the NATS services, in the file's order; say which others are there."""
    if only is not None:
        for index, name in enumerate(only):
            if name not in services:
                message = f"{context.source} has no service {shown(name)}"
                hint = suggestion(name, services)
                context.problems.append(Problem(("cluster", "services", index), message + hint))
        chosen = tuple(name for name in services if name in only)
    else:
        chosen = tuple(name for name, entry in services.items() if _is_nats(context, name, entry))
        if not chosen:
            names = ", ".join(services)
            message = f"none looks like a NATS server ({names}); name them by cluster.services"
            context.refuse(next(iter(services.values())).key_position, ("services",), message)
    if len(chosen) > MAX_SERVICES:
        message = f"expected at most {MAX_SERVICES} NATS services, found {len(chosen)}"
        context.refuse(services[chosen[0]].key_position, ("services",), message)
    for name, entry in services.items():
        if name not in chosen:
            why = (
                "its profiles are not active; name it by cluster.services to have it"
                if only is None and _is_nats(context, name, entry, with_profile=True)
                else "it is no NATS server that the scenario asks for"
            )
            context.note(entry.key_position, ("services", name), f"not started: {why}")
            _check_source(context, name, entry)
    return chosen


def _check_source(context: Context, name: str, entry: Entry) -> None:
    """Refuse a service that even Compose could not start."""
    keys = entry.value.entries if isinstance(entry.value, Entries) else {}
    if not {"image", "build", "extends", "provider"} & set(keys):
        context.refuse(entry.key_position, ("services", name, "image"), "this key is missing")


def _is_nats(context: Context, name: str, entry: Entry, *, with_profile: bool = False) -> bool:
    quiet = Context(context.source, context.folder, context.variables)
    keys = quiet.substitute(entry.value, ())
    assert isinstance(keys, Entries)
    profiles = (
        set(quiet.texts(keys.entries["profiles"].value, ()))
        if "profiles" in keys.entries
        else set()
    )
    wanted = {one.strip() for one in context.variables.get("COMPOSE_PROFILES", "").split(",")}
    if profiles and not with_profile and not (profiles & wanted or "*" in wanted):
        return False
    words = {
        key: quiet.words(keys.entries[key].value, ()) if key in keys.entries else None
        for key in ("entrypoint", "command")
    }
    if runs_server([*(words["entrypoint"] or ()), *(words["command"] or ())]):
        return True
    image = keys.entries.get("image")
    if image is not None:
        named = quiet.text(image.value, ())
        if named is not None and is_server(named):
            return True
    elif _BUILT_SERVER.fullmatch(name.lower()) is not None:
        return True
    flags = read_flags(words["entrypoint"], words["command"])
    return flags is not None and flags.telling
