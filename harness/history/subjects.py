"""What workloads published on, by the scenario that a run left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.scenario.subjects import published_by, taken_by


def published_subjects(scenario: Mapping[str, Any]) -> dict[str, str]:
    """Return the subject of each workload by its name, as it was when the run was made.

    The scenario has none where the user left it out. A workload that uses a stream which the
    scenario does not have is left out: nobody knows what it published on.
    """
    taken = {
        one["name"]: taken_by(one["name"], one.get("subjects") or ())
        for one in scenario.get("streams") or ()
    }
    subjects: dict[str, str] = {}
    for workload in scenario.get("workloads") or ():
        name, subject, stream = (workload.get(key) for key in ("name", "subject", "stream"))
        if stream is None:
            subjects[name] = subject or name
        elif subject or stream in taken:
            subjects[name] = published_by(name, subject, taken.get(stream, ()))
    return subjects


# Keys of a server's configuration that leave to somebody else what it does with subjects.
_ELSEWHERE = frozenset({"include", "operator", "resolver"})
_MAPPINGS = frozenset({"mappings", "maps"})


def is_configured_elsewhere(scenario: Mapping[str, Any]) -> bool:
    """Tell whether servers may do with subjects what the scenario does not say."""
    cluster = scenario.get("cluster") or {}
    by_arguments = (cluster.get("container") or {}).get("arguments") is not None
    by_config = any(str(key).lower() in _ELSEWHERE for key in cluster.get("config") or {})
    return by_arguments or by_config or bool(cluster.get("compose") or cluster.get("attach"))


def rewritten_subjects(scenario: Mapping[str, Any], stream: str) -> list[str]:
    """Return patterns of subjects whose messages a stream may store on others.

    By the server's mappings, of whatever account, and by the stream's own transform.
    """
    cluster = scenario.get("cluster") or {}
    found = list(_mapped(cluster.get("config")))
    for one in scenario.get("streams") or ():
        transform = (one.get("options") or {}).get("subject_transform")
        if one.get("name") == stream and isinstance(transform, Mapping):
            found.append(str(transform.get("src") or ">"))
    return found


def _mapped(config: object) -> Iterator[str]:
    if not isinstance(config, Mapping):
        return
    for key, value in config.items():
        if str(key).lower() in _MAPPINGS and isinstance(value, Mapping):
            yield from map(str, value)
        else:
            yield from _mapped(value)


def fed_streams(scenario: Mapping[str, Any]) -> frozenset[str]:
    """Return the streams that may take what was published to others.

    Those that have sources or mirror another, and all where one republishes what it takes.
    """
    options = {one["name"]: one.get("options") or {} for one in scenario.get("streams") or ()}
    if any(one.get("republish") for one in options.values()):
        return frozenset(options)
    return frozenset(
        name for name, one in options.items() if one.get("sources") or one.get("mirror")
    )
