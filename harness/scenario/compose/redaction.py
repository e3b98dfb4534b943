"""What people may see of a project: nothing that a login could be made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harness.scenario.compose.model import ComposeProject, Service
from harness.scenario.problems import REDACTED

# up to the last @ of each URL; a comma ends one only where another begins
_USER_IN_URL = re.compile(r"(?<=://)(?:(?!,\s*[a-z-]+://)\S)*@")
_FLAG = re.compile(r"--?(user|pass|auth)(=|$)")
_FLAGS_IN_TEXT = re.compile(r"(?<![\w-])(--?(?:user|pass|auth)(?:=|\s+))(\"[^\"]*\"|'[^']*'|\S+)")
# Any other variable may hold a password, whatever it is called.
_SHOWN_VARIABLES = re.compile(r"GO[A-Z]+|TZ|LANG|LC_[A-Z]+|PATH|HOME|SSL_CERT_(?:FILE|DIR)")


def redact_text(text: str) -> str:
    """Return a text without the users and passwords of its URLs."""
    return _USER_IN_URL.sub(f"{REDACTED}@", text)


def redact_command(words: Sequence[str]) -> tuple[str, ...]:
    """Return a command without the users, passwords and tokens in its flags and URLs."""
    shown = []
    hide = False
    for word in words:
        if hide:
            shown.append(REDACTED)
            hide = False
        elif (flag := _FLAG.match(word)) is not None:
            hide = not flag[2]
            shown.append(f"{flag[0]}{REDACTED}" if flag[2] else word)
        else:
            shown.append(_FLAGS_IN_TEXT.sub(rf"\g<1>{REDACTED}", redact_text(word)))
    return tuple(shown)


def redact_environment(environment: dict[str, str]) -> dict[str, str]:
    """Return the variables with their values where the name says that these are harmless."""
    return {
        name: redact_text(value) if _SHOWN_VARIABLES.fullmatch(name) else REDACTED
        for name, value in environment.items()
    }


def redact_service(service: Service) -> Service:
    """Return the service as reports may show it."""
    changes: dict[str, Any] = {"environment": redact_environment(service.environment)}
    for key in ("command", "entrypoint"):
        if (words := getattr(service, key)) is not None:
            changes[key] = redact_command(words)
    changes["labels"] = {name: redact_text(value) for name, value in service.labels.items()}
    return service.model_copy(update=changes)


def left_out(service: Service) -> bool:
    """Tell whether secrets of a service were replaced; it cannot be run as it is then."""
    contents = (one.content.get_secret_value() for one in service.mounts if one.content is not None)
    words = (*(service.command or ()), *(service.entrypoint or ()), *service.environment.values())
    return any(REDACTED in text for text in (*words, *contents))


def plain_service(service: Service) -> dict[str, Any]:
    """Return the service as JSON could hold it, without its secrets and what is not set."""
    shown: dict[str, Any] = redact_service(service).model_dump(mode="json", exclude_defaults=True)
    for mount in shown.get("mounts", ()):
        if "content" in mount:
            mount["content"] = REDACTED
    return shown


def plain_project(project: ComposeProject) -> dict[str, Any]:
    """Return the project as JSON could hold it, without its secrets and what is not set."""
    data: dict[str, Any] = project.model_dump(
        mode="json", exclude_defaults=True, exclude={"services"}
    )
    data["services"] = [plain_service(service) for service in project.services]
    if "login" in data:
        data["login"] = {"user": REDACTED, "password": REDACTED}
    return data


def whole_project(project: ComposeProject) -> dict[str, Any]:
    """Return the project as JSON could hold it, secrets and all: for another process only."""
    data: dict[str, Any] = project.model_dump(mode="json", exclude_defaults=True)
    if project.login is not None:
        data["login"]["password"] = project.login.password.get_secret_value()
    for service, plain in zip(project.services, data["services"], strict=True):
        for mount, shown in zip(service.mounts, plain.get("mounts", ()), strict=True):
            if mount.content is not None:
                shown["content"] = mount.content.get_secret_value()
    return data
