"""The user: not root, in the configuration and in every running process."""

from __future__ import annotations

from harness.inspection.facts import Facts
from harness.inspection.model import Finding, failed, passed, unknown

NAME = "user"


def check(facts: Facts) -> Finding:
    """Fail when the configuration or any process is root; unknown when either is not seen."""
    configured = configured_user(facts)
    said = facts.image.user or "(empty)"
    evidence = [f"config: user {said}" + ("" if configured is None else f", id {configured}")]
    evidence += [
        f"{one.source}: {one.command.partition(' ')[0]} runs as {_ids(one.users)}"
        for one in facts.shipped.processes
    ]
    if configured == 0:
        return failed(NAME, "the configuration starts it as root", *evidence)
    if any(0 in one.users for one in facts.shipped.processes):
        return failed(NAME, "a process runs as root", *evidence)
    if configured is None:
        return unknown(NAME, "the image's passwd file does not tell who that is", *evidence)
    if not facts.shipped.processes:
        return unknown(NAME, "who the running process is cannot be seen here", *evidence)
    return passed(NAME, f"not root: uid {configured}", *evidence)


def configured_user(facts: Facts) -> int | None:
    """Return the user id that the configuration asks for, by the image's own passwd file.

    A number is taken as one, so that ``00`` is root too; None when a name is in no file.
    """
    name = facts.image.user.partition(":")[0].strip()
    if not name:
        return 0
    if name.lstrip("+").isdecimal():
        return int(name)
    passwd = facts.files.resolve("/etc/passwd")
    for line in (passwd.text if passwd and passwd.text else "").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2 and fields[2].isdecimal():  # noqa: PLR2004  # name:password:id
            return int(fields[2])
    return 0 if name == "root" else None


def _ids(users: tuple[int, ...]) -> str:
    return "uid " + "/".join(map(str, dict.fromkeys(users)))
