"""One service of a Compose file, read key by key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.scenario.compose.context import Context, is_null, name_of, shown
from harness.scenario.compose.environment import read_environment
from harness.scenario.compose.grants import read_grants
from harness.scenario.compose.images import is_reference
from harness.scenario.compose.keys import HONOURED, KNOWN, NOTED, REFUSED, UNSUPPORTED
from harness.scenario.compose.limits import check_replicas, read_limits, read_ulimits
from harness.scenario.compose.model import Attachment
from harness.scenario.compose.mounts import Placed, Shelves, read_tmpfs, read_volumes
from harness.scenario.compose.quantities import (
    to_bytes,
    to_flag,
    to_seconds,
)
from harness.scenario.problems import KeyPath, Position, suggestion
from harness.scenario.tree import Entries, Entry, Items, Node

DEFAULT_NETWORK = "default"
_OWN_LABELS = "io.nats-harness."
_NOT_PUBLISHED = "nothing is published on this machine; the clients run beside the servers"
_TEXTS: Mapping[str, Callable[[str], Any]] = {
    "user": str,
    "working_dir": str,
    "hostname": str,
    "container_name": str,
    "stop_signal": str,
    "read_only": to_flag,
    "init": to_flag,
    "stop_grace_period": to_seconds,
    "shm_size": to_bytes,
}
_FIELDS = {"stop_grace_period": "stop_grace_s", "shm_size": "shm_bytes"}
_LISTS = ("cap_add", "cap_drop", "security_opt", "group_add")


@dataclass(frozen=True)
class Draft:
    """A service as far as the file alone tells: the fields of `Service`, and its ports."""

    name: str
    position: Position
    command_position: Position
    fields: dict[str, Any]
    listed_ports: tuple[int, ...]
    mounts: tuple[Placed, ...]


def read_service(
    context: Context, name: str, entry: Entry, shelves: Shelves, names: tuple[str, ...]
) -> Draft:
    """Return what a service's keys say; what is wrong is in the context's problems.

    Args:
        context: the file.
        name: the service's name.
        entry: its mapping, variables replaced.
        shelves: what the file defines beside services.
        names: the names of all services of the file.
    """
    path: KeyPath = ("services", name)
    entries = context.mapping(entry.value, path)
    _check_keys(context, entries, path)
    fields: dict[str, Any] = {}
    for key, found in _read_simple(context, entries, path):
        fields[_FIELDS.get(key, key)] = found
    if (image := _read_image(context, entries, entry.key_position, path)) is not None:
        fields["image"] = image
    for key in ("command", "entrypoint"):
        if key in entries:
            fields[key] = context.words(entries[key].value, (*path, key))
    fields["environment"] = read_environment(context, entries, path)
    fields["networks"] = _read_networks(context, entries, path, shelves)
    fields["depends_on"] = _read_dependencies(context, entries, path, names)
    fields["limits"] = read_limits(context, entries, path)
    fields["ulimits"] = tuple(read_ulimits(context, entries, path))
    fields["labels"] = _read_labels(context, entries, path)
    if "sysctls" in entries:
        pairs = context.pairs(entries["sysctls"].value, (*path, "sysctls"))
        fields["sysctls"] = {key: value or "" for key, value in pairs.items()}
    mounts = tuple(_read_mounts(context, entries, path, shelves))
    ports = tuple(_read_ports(context, entries, path))
    said = entries.get("command") or entries.get("entrypoint")
    command_position = entry.key_position if said is None else said.value.position
    return Draft(name, entry.key_position, command_position, fields, ports, mounts)


def _check_keys(context: Context, entries: Mapping[str, Entry], path: KeyPath) -> None:
    for key, entry in entries.items():
        place = (*path, key)
        if key in NOTED:
            context.note(entry.key_position, place, f"not used: {NOTED[key]}")
        elif key in UNSUPPORTED:
            message = f"this key is not supported: {UNSUPPORTED[key]}"
            context.refuse(entry.key_position, place, message)
        elif key not in HONOURED | REFUSED:
            context.refuse(entry.key_position, place, f"unknown key{suggestion(key, KNOWN)}")
    refused = {
        "build": "the harness builds no images; build it, name it with `image` and remove this key",
        "extends": "this key is not supported: write the service out in one file",
    }
    for key, message in refused.items():
        if key in entries:
            context.refuse(entries[key].key_position, (*path, key), message)
    if "privileged" in entries:
        place = (*path, "privileged")
        if context.convert(entries["privileged"].value, place, to_flag):
            message = "not supported: the harness gives servers no further privileges"
            context.refuse(entries["privileged"].key_position, place, message)
    if "scale" in entries:
        check_replicas(context, entries["scale"].value, (*path, "scale"))


def _read_simple(
    context: Context, entries: Mapping[str, Entry], path: KeyPath
) -> Iterator[tuple[str, Any]]:
    for key, read in _TEXTS.items():
        if key in entries and not is_null(entries[key].value):
            value = context.convert(entries[key].value, (*path, key), read)
            if value is not None:
                yield key, value
    for key in _LISTS:
        if key in entries and not is_null(entries[key].value):
            yield key, context.texts(entries[key].value, (*path, key))


def _read_image(
    context: Context, entries: Mapping[str, Entry], position: Position, path: KeyPath
) -> str | None:
    place = (*path, "image")
    if "image" not in entries:
        if "build" not in entries:
            context.refuse(position, place, "this key is missing; name the server's image")
        return None
    image = context.text(entries["image"].value, place)
    if image is not None and not is_reference(image):
        message = f"expected an image such as nats:2.12, found {shown(image)}"
        context.refuse(entries["image"].value, place, message)
        return None
    return image


def _read_networks(
    context: Context, entries: Mapping[str, Entry], path: KeyPath, shelves: Shelves
) -> tuple[Attachment, ...]:
    if "networks" not in entries or is_null(entries["networks"].value):
        return (Attachment(network=DEFAULT_NETWORK),)
    node, place = entries["networks"].value, (*path, "networks")
    known = shelves.sections["networks"]
    found: list[Attachment] = []
    if isinstance(node, Entries):
        named = [(key, (*place, key), entry.value) for key, entry in node.entries.items()]
    else:
        items = context.items(node, place)
        named = [
            (text, below, item) for below, item in items if (text := context.text(item, below))
        ]
    for name, below, item in named:
        if name not in known and name != DEFAULT_NETWORK:
            shelves.find(context, "networks", name, item, below)
            continue
        aliases: tuple[str, ...] = ()
        if isinstance(node, Entries):
            options = context.mapping(item, below)
            if "aliases" in options and not is_null(options["aliases"].value):
                aliases = context.texts(options["aliases"].value, (*below, "aliases"))
            for key in options:
                if key != "aliases":
                    message = "not used: the harness gives addresses on a network of its own"
                    context.note(options[key].key_position, (*below, key), message)
        found.append(Attachment(network=name, aliases=aliases))
    return tuple(found)


def _read_dependencies(
    context: Context, entries: Mapping[str, Entry], path: KeyPath, names: tuple[str, ...]
) -> tuple[str, ...]:
    if "depends_on" not in entries:
        return ()
    node, place = entries["depends_on"].value, (*path, "depends_on")
    if isinstance(node, Entries):
        found = [(key, (*place, key), entry.key_position) for key, entry in node.entries.items()]
    else:
        items = list(context.items(node, place))
        found = [
            (text, below, item.position)
            for below, item in items
            if (text := context.text(item, below)) is not None
        ]
    for name, below, position in found:
        if name not in names:
            message = f"there is no service {shown(name)}{suggestion(name, names)}"
            context.refuse(position, below, message)
    return tuple(name for name, _, _ in found if name in names)


def _read_labels(context: Context, entries: Mapping[str, Entry], path: KeyPath) -> dict[str, str]:
    if "labels" not in entries or is_null(entries["labels"].value):
        return {}
    place = (*path, "labels")
    pairs = context.pairs(entries["labels"].value, place)
    for name in pairs:
        if name.startswith(_OWN_LABELS):
            message = f"labels that begin with {_OWN_LABELS} are the harness's own"
            context.refuse(entries["labels"].value, (*place, name), message)
    return {name: value or "" for name, value in pairs.items()}


def _read_mounts(
    context: Context, entries: Mapping[str, Entry], path: KeyPath, shelves: Shelves
) -> Iterator[Placed]:
    if "volumes" in entries:
        yield from read_volumes(context, entries["volumes"].value, (*path, "volumes"), shelves)
    if "tmpfs" in entries and not is_null(entries["tmpfs"].value):
        yield from read_tmpfs(context, entries["tmpfs"].value, (*path, "tmpfs"))
    for section in ("configs", "secrets"):
        if section in entries:
            node = entries[section].value
            yield from read_grants(context, section, node, (*path, section), shelves)


def _read_ports(context: Context, entries: Mapping[str, Entry], path: KeyPath) -> Iterator[int]:
    """Yield the container's ports that ``ports`` and ``expose`` name."""
    if "ports" in entries and not is_null(entries["ports"].value):
        context.note(entries["ports"].key_position, (*path, "ports"), _NOT_PUBLISHED)
    for key in ("ports", "expose"):
        if key not in entries:
            continue
        for place, item in context.items(entries[key].value, (*path, key)):
            node: Node = item
            if isinstance(item, Entries):
                below = context.mapping(item, place)
                if "target" not in below:
                    context.refuse(item, (*place, "target"), "this key is missing")
                    continue
                node, place = below["target"].value, (*place, "target")  # noqa: PLW2901 - what is looked at moves down
            if isinstance(node, Items) or is_null(node):
                context.refuse(node, place, f"expected a port, found {name_of(node)}")
                continue
            yield from context.convert(node, place, _to_ports) or ()


def _to_ports(text: str) -> tuple[int, ...]:
    """Return the container's ports of ``[[address:]port:]port[-port][/protocol]``."""
    inside = text.rpartition("/")[0] or text
    first, _, last = inside.rpartition(":")[2].partition("-")
    last = last or first
    if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        raise ValueError("expected a port such as 4222 or 4222:4222")
    low, high = int(first), int(last)
    if not 0 < low <= high <= 65535:  # noqa: PLR2004 - the highest port
        raise ValueError("expected ports from 1 to 65535")
    return (low, high) if low != high else (low,)
