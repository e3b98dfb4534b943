"""What a service may use of the machine: memory, processors, processes, files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.scenario.compose.context import Context, is_null
from harness.scenario.compose.model import Limits, Ulimit
from harness.scenario.compose.quantities import to_bytes, to_cpus, to_whole
from harness.scenario.problems import KeyPath, suggestion
from harness.scenario.tree import Entries, Entry, Node

_OF_SERVICE = {"mem_limit": "memory_bytes", "cpus": "cpus", "pids_limit": "pids"}
_OF_DEPLOY = {"memory": "memory_bytes", "cpus": "cpus", "pids": "pids"}
_READERS: Mapping[str, Callable[[str], float | int]] = {
    "memory_bytes": to_bytes,
    "cpus": to_cpus,
    "pids": to_whole,
}
_DEPLOY_NOTED = frozenset(
    (
        "mode",
        "restart_policy",
        "placement",
        "update_config",
        "rollback_config",
        "endpoint_mode",
        "labels",
    )
)


def read_limits(context: Context, entries: Mapping[str, Entry], path: KeyPath) -> Limits:
    """Return the limits of a service, by its own keys or those under ``deploy``."""
    values = _read_amounts(context, entries, path, _OF_SERVICE)
    if "deploy" not in entries:
        return Limits(**values)
    place = (*path, "deploy")
    for key, entry in context.mapping(entries["deploy"].value, place).items():
        below = (*place, key)
        if key == "replicas":
            check_replicas(context, entry.value, below)
        elif key == "resources":
            values.update(_read_resources(context, entry.value, below))
        elif key in _DEPLOY_NOTED:
            context.note(entry.key_position, below, "not used: it is for a swarm")
        else:
            known = ("replicas", "resources", *_DEPLOY_NOTED)
            context.refuse(entry.key_position, below, f"unknown key{suggestion(key, known)}")
    return Limits(**values)


def _read_resources(context: Context, node: Node, path: KeyPath) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, entry in context.mapping(node, path).items():
        below = (*path, key)
        if key != "limits":
            context.note(entry.key_position, below, "not used: only limits are")
            continue
        limits = context.mapping(entry.value, below)
        values.update(_read_amounts(context, limits, below, _OF_DEPLOY))
        for other in limits:
            if other not in _OF_DEPLOY:
                message = f"unknown key{suggestion(other, _OF_DEPLOY)}"
                context.refuse(limits[other].key_position, (*below, other), message)
    return values


def _read_amounts(
    context: Context, entries: Mapping[str, Entry], path: KeyPath, names: Mapping[str, str]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, name in names.items():
        if key in entries and not is_null(entries[key].value):
            value = context.convert(entries[key].value, (*path, key), _READERS[name])
            if value is not None:
                values[name] = value
    return values


def check_replicas(context: Context, node: Node, path: KeyPath) -> None:
    """Refuse a service that would be several containers."""
    if (count := context.convert(node, path, to_whole)) not in (1, None):
        message = f"expected 1, found {count}: a node is one container; write a service for each"
        context.refuse(node, path, message)


def read_ulimits(context: Context, entries: Mapping[str, Entry], path: KeyPath) -> Iterator[Ulimit]:
    """Yield the resource limits under ``ulimits``."""
    if "ulimits" not in entries:
        return
    place = (*path, "ulimits")
    for name, entry in context.mapping(entries["ulimits"].value, place).items():
        below = (*place, name)
        if isinstance(entry.value, Entries):
            both = context.mapping(entry.value, below)
            if set(both) != {"soft", "hard"}:
                context.refuse(entry.value, below, "expected a number, or the keys soft and hard")
                continue
            soft = context.convert(both["soft"].value, (*below, "soft"), to_whole)
            hard = context.convert(both["hard"].value, (*below, "hard"), to_whole)
        else:
            soft = hard = context.convert(entry.value, below, to_whole)
        if soft is not None and hard is not None:
            yield Ulimit(name=name, soft=soft, hard=hard)
