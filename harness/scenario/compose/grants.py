"""Files that ``configs`` and ``secrets`` put into the container."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from pydantic import SecretStr

from harness.scenario.compose.context import Context, shown
from harness.scenario.compose.model import Mount
from harness.scenario.compose.mounts import Placed, Shelves, check_keys
from harness.scenario.problems import KeyPath
from harness.scenario.tree import Entries, Node, Scalar

_KEYS = ("source", "target", "uid", "gid", "mode")


def read_grants(
    context: Context, section: str, node: Node, path: KeyPath, shelves: Shelves
) -> Iterator[Placed]:
    """Yield the files that ``configs`` or ``secrets`` of a service name."""
    folder = "/run/secrets/" if section == "secrets" else "/"
    for place, item in context.items(node, path):
        name, target = _read_names(context, item, place)
        if name is None:
            continue
        defined = shelves.find(context, section, name, item, place)
        if defined is None:
            continue
        inside = posixpath.normpath(posixpath.join(folder, target or name))
        mount = _read_grant(context, defined, (section, name), inside)
        if mount is not None:
            yield Placed(mount, item, place)


def _read_names(context: Context, item: Node, path: KeyPath) -> tuple[str | None, str | None]:
    """Return what is granted, and where it is put if that is said."""
    if not isinstance(item, Entries):
        return context.text(item, path), None
    entries = context.mapping(item, path)
    check_keys(context, entries, path, _KEYS)
    for key in ("uid", "gid", "mode"):
        if key in entries:
            message = "not used: the file is readable for all"
            context.note(entries[key].key_position, (*path, key), message)
    if "source" not in entries:
        context.refuse(item, (*path, "source"), "this key is missing")
    return (
        context.text(entries["source"].value, (*path, "source")) if "source" in entries else None,
        context.text(entries["target"].value, (*path, "target")) if "target" in entries else None,
    )


def _read_grant(context: Context, node: Node, path: KeyPath, target: str) -> Mount | None:
    entries = context.mapping(node, path)
    for key in ("file", "content", "environment"):
        if key not in entries:
            continue
        value = entries[key].value
        text = value.text if key == "content" and isinstance(value, Scalar) else None
        text = context.text(value, (*path, key)) if text is None else text
        if text is None:
            return None
        if key == "file":
            place = context.file(value, (*path, key), text)
            if place is None:
                return None
            return Mount(kind="bind", source=str(place), target=target, read_only=True)
        if key == "environment":
            if text not in context.variables:
                context.refuse(value, (*path, key), f"the variable {shown(text)} is not set")
                return None
            text = context.variables[text]
        return Mount(kind="content", content=SecretStr(text), target=target, read_only=True)
    if "external" in entries:
        message = "it is kept outside of this file, where the harness has no access; use `file`"
        context.refuse(entries["external"].key_position, (*path, "external"), message)
    else:
        context.refuse(node, path, "expected one of the keys file, content, environment")
    return None
