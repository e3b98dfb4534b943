"""From `cluster.compose` in a scenario to the project it stands for."""

from __future__ import annotations

from pathlib import Path

from harness.scenario.compose.project import Outcome, read_entries, read_file
from harness.scenario.problems import KeyPath, Problem, shorten
from harness.scenario.tree import Entries, Items, Node, Scalar, find

_PATH: KeyPath = ("cluster", "compose")


def read_project(root: Entries, source: str, folder: Path) -> Outcome | None:
    """Return the project of a scenario's Compose file, or every problem in it.

    None where there is nothing to read: no such key, or a project that was resolved
    before, as a run folder keeps it (its services are a list).

    Args:
        root: the scenario.
        source: what messages call the scenario.
        folder: what the file's path starts from.
    """
    node = find(root, _PATH)
    only = _named(find(root, ("cluster", "services")))
    if isinstance(node, Entries):
        if isinstance(find(node, ("services",)), Items):
            return None
        return read_entries(node, source, folder, only)
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return _read_path(node.value, folder, only)
    if node is None or (isinstance(node, Scalar) and node.value is None):
        return None
    found = "a list" if isinstance(node, Items) else f"{node.text} (quote it)"
    return Outcome(None, (Problem(_PATH, f"expected a path, found {found}"),))


def _read_path(text: str, folder: Path, only: tuple[str, ...] | None) -> Outcome:
    path = folder / text
    try:
        path.open("rb").close()  # the scenario is at fault where this cannot be read at all
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"{shorten(repr(text))} cannot be read: {reason}"
        return Outcome(None, (Problem(_PATH, message),))
    return read_file(path, str(path), only)


def _named(node: Node | None) -> tuple[str, ...] | None:
    """Return the services that are named; what is no text there is the model's to refuse."""
    if not isinstance(node, Items) or not node.items:
        return None
    return tuple(
        item.value
        for item in node.items
        if isinstance(item, Scalar) and isinstance(item.value, str)
    )
