"""What a service mounts: volumes, binds, tmpfs, configs and secrets.

Named volumes become fresh ones, and what the server could write to on this machine is
never mounted writable: a harness that kills servers has no business with anybody's data.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.scenario.compose.context import Context, is_null, shown
from harness.scenario.compose.model import Mount
from harness.scenario.compose.quantities import to_bytes, to_flag
from harness.scenario.problems import KeyPath, suggestion
from harness.scenario.tree import Entries, Entry, Node

_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_MODES = frozenset({"ro", "rw", "z", "Z", "nocopy", "cached", "delegated", "consistent"})
_TYPES = ("bind", "volume", "tmpfs")
_LONG_KEYS = ("type", "source", "target", "read_only", "bind", "volume", "tmpfs", "consistency")


@dataclass(frozen=True)
class Placed:
    """A mount, and where it was written."""

    mount: Mount
    node: Node
    path: KeyPath


@dataclass(frozen=True)
class Shelves:
    """What the file defines beside its services, variables replaced, by section and name."""

    sections: Mapping[str, Mapping[str, Entry]]

    def find(
        self, context: Context, section: str, name: str, node: Node, path: KeyPath
    ) -> Node | None:
        """Return what is defined under a name; None, and a problem, where nothing is."""
        known = self.sections[section]
        if name in known:
            return known[name].value
        hint = suggestion(name, known)
        context.refuse(node, path, f"{shown(name)} is not defined under {section}{hint}")
        return None


def read_volumes(context: Context, node: Node, path: KeyPath, shelves: Shelves) -> Iterator[Placed]:
    """Yield the mounts under ``volumes``."""
    for place, item in context.items(node, path):
        if isinstance(item, Entries):
            mount = _read_long(context, item, place, shelves)
        else:
            text = context.text(item, place)
            mount = None if text is None else _read_short(context, item, text, place, shelves)
        if mount is not None:
            yield Placed(mount, item, place)


def _read_short(
    context: Context, node: Node, text: str, path: KeyPath, shelves: Shelves
) -> Mount | None:
    parts = text.split(":")
    modes = parts.pop().split(",") if len(parts) > 1 and not _is_path(parts[-1]) else []
    if not 1 <= len(parts) <= 2 or not set(modes) <= _MODES:  # noqa: PLR2004 - source, target
        message = f"expected source:target or source:target:ro, found {shown(text)}"
        context.refuse(node, path, message)
        return None
    read_only = "ro" in modes
    source = parts[0] if len(parts) > 1 else None
    if source is None:
        return _at(context, node, path, Mount(kind="volume", target=parts[-1]))
    mount = Mount(
        kind="bind" if _is_path(source) else "volume",
        source=source,
        target=parts[-1],
        read_only=read_only,
    )
    return _resolve(context, node, path, mount, shelves)


def _is_path(text: str) -> bool:
    return text.startswith(("/", ".", "~"))


def _read_long(context: Context, node: Entries, path: KeyPath, shelves: Shelves) -> Mount | None:
    entries = context.mapping(node, path)
    check_keys(context, entries, path, _LONG_KEYS)
    kind, source, target = (
        context.text(entries[key].value, (*path, key)) if key in entries else None
        for key in ("type", "source", "target")
    )
    place = entries["type"].value if "type" in entries else node
    if kind not in _TYPES:
        context.refuse(place, (*path, "type"), f"expected one of {', '.join(_TYPES)}")
        return None
    if target is None or (kind == "bind" and source is None):
        missing = "target" if target is None else "source"
        if missing not in entries:
            context.refuse(node, (*path, missing), "this key is missing")
        return None
    read_only = None
    if "read_only" in entries:
        flag = entries["read_only"].value
        read_only = context.convert(flag, (*path, "read_only"), to_flag)
    options = entries[kind].value if kind in entries else None
    if kind == "tmpfs":
        size = _read_size(context, options, (*path, kind))
        return _at(context, node, path, Mount(kind="tmpfs", target=target, size_bytes=size))
    if options is not None and not is_null(options):
        context.note(options, (*path, kind), "the harness mounts it plainly")
    if source is None:
        return _at(context, node, path, Mount(kind="volume", target=target))
    mount = Mount(
        kind="bind" if kind == "bind" else "volume",
        source=source,
        target=target,
        read_only=read_only is True,
    )
    return _resolve(context, node, path, mount, shelves)


def _read_size(context: Context, options: Node | None, path: KeyPath) -> int | None:
    if options is None:
        return None
    below = context.mapping(options, path)
    if "size" not in below:
        return None
    return context.convert(below["size"].value, (*path, "size"), to_bytes)


def check_keys(
    context: Context, entries: Mapping[str, Entry], path: KeyPath, known: tuple[str, ...]
) -> None:
    """Refuse keys that are not known."""
    for key, entry in entries.items():
        if key not in known:
            context.refuse(entry.key_position, (*path, key), f"unknown key{suggestion(key, known)}")


def _resolve(
    context: Context, node: Node, path: KeyPath, mount: Mount, shelves: Shelves
) -> Mount | None:
    """Return a mount with an absolute source, or of a volume that the file defines."""
    source = str(mount.source)
    if mount.kind == "bind":
        place = context.file(node, path, source)
        if place is None:
            return None
        return _at(context, node, path, mount.model_copy(update={"source": str(place)}))
    if _VOLUME_NAME.fullmatch(source) is None:
        message = f"expected a volume's name or a path with './' before it, found {shown(source)}"
        context.refuse(node, path, message)
        return None
    defined = shelves.find(context, "volumes", source, node, path)
    if defined is None:
        return None
    options = context.mapping(defined, ("volumes", source))
    driver = options.get("driver")
    if driver is not None and context.text(driver.value, ("volumes", source)) != "local":
        context.refuse(
            driver.value, ("volumes", source, "driver"), "only local volumes can be made fresh"
        )
    if rest := set(options) - {"driver"}:
        message = f"the harness makes a fresh, plain volume; yours is not touched ({_list(rest)})"
        context.note(defined, ("volumes", source), message)
    return _at(context, node, path, mount)


def _list(keys: set[str]) -> str:
    return ", ".join(sorted(keys))


def _at(context: Context, node: Node, path: KeyPath, mount: Mount) -> Mount | None:
    if not mount.target.startswith("/"):
        message = f"expected an absolute path in the container, found {shown(mount.target)}"
        context.refuse(node, path, message)
        return None
    return mount.model_copy(update={"target": posixpath.normpath(mount.target)})


def read_tmpfs(context: Context, node: Node, path: KeyPath) -> Iterator[Placed]:
    """Yield the mounts under ``tmpfs``: one path or a list of them, options after a colon."""
    for text in context.texts(node, path):
        target, _, options = text.partition(":")
        size = mode = None
        for option in filter(None, options.split(",")):
            key, _, value = option.partition("=")
            try:
                if key == "size":
                    size = to_bytes(value)
                elif key == "mode":
                    mode = int(value, 8)
            except ValueError:
                context.refuse(node, path, f"cannot read the option {shown(option)}")
            if key not in ("size", "mode"):
                context.note(node, path, f"the option {shown(key)} is left to the Engine")
        mount = _at(
            context, node, path, Mount(kind="tmpfs", target=target, size_bytes=size, mode=mode)
        )
        if mount is not None:
            yield Placed(mount, node, path)
