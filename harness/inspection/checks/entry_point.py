"""The entry point: the server's own file, which comes up as the image is shipped."""

from __future__ import annotations

from harness.inspection.content import Kind
from harness.inspection.facts import Facts
from harness.inspection.filesystem import File
from harness.inspection.model import Finding, failed, passed, shown

NAME = "entry_point"


def check(facts: Facts) -> Finding:
    """Fail when no server comes up as shipped, or only through a shell or a script."""
    image = facts.image
    evidence = [f"entry point: {shown(image.entrypoint)}", f"command: {shown(image.command)}"]
    program = entry_program(facts)
    evidence.append(f"program: {_describe(program)}")
    evidence += [f"runs: {shown(one.command.split())}" for one in facts.shipped.processes]
    if not facts.shipped.started:
        why = facts.shipped.why_not
        return failed(NAME, f"no server comes up as shipped: {why}", *evidence)
    if program is not None and program.interpreter is not None:
        return failed(NAME, f"it is a script and needs {program.interpreter}", *evidence)
    if program is not None and program.kinds & {Kind.shell, Kind.busybox}:
        return failed(NAME, "it starts through a shell", *evidence)
    words = shown((*image.entrypoint, *image.command))
    return passed(NAME, f"a server comes up as shipped: {words}", *evidence)


def entry_program(facts: Facts) -> File | None:
    """Return the file that the image starts."""
    image = facts.image
    words = (*image.entrypoint, *image.command)
    path = image.environment.get("PATH")
    return facts.files.find_program(words[0], path, image.working_directory) if words else None


def _describe(program: File | None) -> str:
    if program is None:
        return "not found in the image"
    if program.interpreter is not None:
        return f"{program.path}, a script for {program.interpreter}"
    kinds = ", ".join(sorted(program.kinds)) or ("an unknown program" if program.program else "?")
    return f"{program.path}, {kinds}"
