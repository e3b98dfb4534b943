"""What a shell would have been used for: kept in the run folder, since there is none.

Of every container: its log, what the Engine knows of it (with exit code and whether it ran
out of memory), and what its monitoring port says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from harness.backends.docker.node import ContainerNode
from harness.errors import HarnessError, ServerError
from harness.scenario.compose.redaction import redact_command, redact_text
from harness.scenario.problems import REDACTED

READ_LIMIT_S = 1.0
PAGES = ("varz", "jsz", "healthz", "connz", "routez", "stacksz")


async def keep_diagnostics(nodes: Sequence[ContainerNode], folder: Path) -> None:
    """Write what can be learned of all nodes into `folder`, a subfolder for each.

    What cannot be learned is named in ``missing.json`` there: a container that is gone
    has no monitoring port any more.

    Raises:
        ServerError: the folder cannot be written.
    """
    async with anyio.create_task_group() as looking:
        for node in nodes:
            looking.start_soon(_keep, node, folder / node.name)


async def _keep(node: ContainerNode, folder: Path) -> None:
    missing: dict[str, str] = {}
    pages: dict[str, Any] = {}
    try:
        pages["inspect"] = without_secrets(await node.container.inspect())
    except HarnessError as error:
        missing["inspect"] = str(error)
    if node.serving:
        for page in PAGES:
            try:
                reply = await node.monitor.get(f"/{page}", READ_LIMIT_S)
                pages[page] = reply.body or {"status": reply.status, "text": reply.text}
            except HarnessError as error:
                missing[page] = str(error)
    else:
        missing |= dict.fromkeys(PAGES, "the server does not run")
    try:
        await node.keep_log()
    except HarnessError as error:
        missing["log"] = str(error)
    if missing:
        pages["missing"] = missing
    try:
        await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in pages.items():
            text = json.dumps(content, indent=2, sort_keys=True)
            await anyio.Path(folder / f"{name}.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise ServerError(f"{folder} cannot be written: {error.strerror or error}") from error


def without_secrets(inspected: dict[str, Any]) -> dict[str, Any]:
    """Return what the Engine knows of a container without the values of its variables."""
    config = dict(inspected.get("Config") or {})
    config["Env"] = [
        f"{line.partition('=')[0]}={REDACTED}" for line in config.get("Env") or () if "=" in line
    ]
    for key in ("Cmd", "Entrypoint"):
        config[key] = redact_command(config.get(key) or ())
    config["Labels"] = {
        name: redact_text(str(value)) for name, value in (config.get("Labels") or {}).items()
    }
    return {**inspected, "Config": config, "Args": redact_command(inspected.get("Args") or ())}
