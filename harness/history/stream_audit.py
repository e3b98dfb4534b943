"""What was recorded of a stream beside messages: its settings, and its audit.

An audit reads every replica of a stream after the cluster was quiet. Only a replica that
was led by its own node for the whole reading, and whose rows are all there, says anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from harness.history.facts import Event, Iteration
from harness.scenario.streams import StreamSpec

HEALTHY = 200
NEVER = "it was never read"
DEFAULT_WINDOW_NS = 120_000_000_000  # the server's own duplicate window


@dataclass(frozen=True)
class Reading:
    """A replica that was read whole.

    Attributes:
        at_ns: when the reading ended; where the whole stream is gone, when one of its leaders
            last listed it: until then it may have removed messages by itself, and not after.
        first, last: the stream sequences between which it says it holds messages.
        held_bytes: how much it says it holds; None where it was not asked.
        gone: its node is fine and does not know of it, or most servers say that there is no
            such stream; so it holds nothing.
    """

    node: str
    at_ns: int
    first: int
    last: int
    held_bytes: int | None = None
    gone: bool = False


@dataclass(frozen=True)
class Audit:
    """The audit of one stream.

    Attributes:
        readings: of the replicas that were read whole, or are gone for sure, by node.
        unread: why a replica was not, by node.
        failed: why the audit as a whole is not to be relied on.
        healthy: whether the node's health endpoint called it fine, where it was asked.
        down: why a node does not run, where a fault let it refuse its data: what it holds is
            neither there nor lost, and the others are judged without it.
    """

    readings: Mapping[str, Reading]
    unread: Mapping[str, str]
    failed: tuple[str, ...] = ()
    healthy: Mapping[str, bool] = field(default_factory=lambda: MappingProxyType({}))
    down: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def whole(self) -> bool:
        """Tell whether every replica was read that is not known to be down."""
        return bool(self.readings) and not self.unread and not self.failed


@dataclass(frozen=True)
class Settings:
    """What a stream may remove by itself; a limit that is not set is None."""

    retention: str = "limits"
    discard: str = "old"
    max_msgs: int | None = None
    max_bytes: int | None = None
    max_age_ns: int | None = None
    max_msgs_per_subject: int | None = None
    duplicate_window_ns: int = DEFAULT_WINDOW_NS

    @property
    def keeps_all(self) -> bool:
        """Tell whether it removes nothing by itself."""
        limits = (self.max_msgs, self.max_bytes, self.max_age_ns, self.max_msgs_per_subject)
        return self.retention == "limits" and not any(limits)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """Read a stream's configuration, as the server spells it; -1 and 0 are no limit."""
        return cls(
            retention=str(config.get("retention") or "limits"),
            discard=str(config.get("discard") or "old"),
            max_msgs=_limit(config.get("max_msgs")),
            max_bytes=_limit(config.get("max_bytes")),
            max_age_ns=_limit(config.get("max_age")),
            max_msgs_per_subject=_limit(config.get("max_msgs_per_subject")),
            duplicate_window_ns=_limit(config.get("duplicate_window")) or DEFAULT_WINDOW_NS,
        )


def _limit(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def read_settings(iteration: Iteration, scenario: Mapping[str, Any], stream: str) -> Settings:
    """Return a stream's settings: as it was created, or else as the scenario asks for it."""
    for event in reversed(_about(iteration, "stream.created", stream)):
        return Settings.of(event.get("config") or {})
    for asked in scenario.get("streams") or ():
        if asked.get("name") == stream:
            try:
                return Settings.of(StreamSpec(**asked).config())
            except (ValidationError, TypeError):
                break
    return Settings()


def read_audit(iteration: Iteration, scenario: Mapping[str, Any], stream: str) -> Audit:
    """Return what was recorded of a stream's audit; the last reading of a replica counts.

    As many replicas as the stream is to have must have been tried, and each node that had
    one when it was made, unless it has none any more: another one took its place.
    """
    states = {one["node"]: one for one in _about(iteration, "audit.state", stream)}
    created: Sequence[str] = ()
    for event in _about(iteration, "stream.created", stream):
        created = event.get("replicas") or ()
    down = {one["node"]: str(one["why"]) for one in _about(iteration, "audit.down", stream)}
    unread = dict.fromkeys(created, NEVER)
    failed = []
    for event in _about(iteration, "audit.failed", stream):
        why = str(event.get("why") or "no reason was given")
        if event.get("node") is None:
            failed.append(why)
        else:
            unread[event["node"]] = why
    readings, problems = _read_replicas(iteration, stream, states)
    unread |= problems
    gone, asked = _gone(iteration, stream, created, down)
    readings |= gone
    unread = {node: why for node, why in unread.items() if node not in {*readings, *down}}
    tried = {*readings, *down, *(one for one, why in unread.items() if why != NEVER)}
    wanted = _count_replicas(iteration, scenario, stream)
    if tried and len(tried) >= wanted:
        unread = {node: why for node, why in unread.items() if node in tried or node in states}
    elif tried and len(tried | unread.keys()) < wanted:
        failed.append(f"{len(tried)} of {wanted} replicas were read")
    asked = {node: one.get("healthz") for node, one in states.items()} | asked
    healthy = {
        node: health.get("code") == HEALTHY for node, health in asked.items() if health is not None
    }
    return Audit(readings, unread, tuple(failed), healthy, down)


def _read_replicas(
    iteration: Iteration, stream: str, states: Mapping[str, Event]
) -> tuple[dict[str, Reading], dict[str, str]]:
    """Return the last reading of each replica, or why it says nothing, by node."""
    readings: dict[str, Reading] = {}
    problems: dict[str, str] = {}
    for event in _about(iteration, "audit.read", stream):
        node = event["node"]
        readings.pop(node, None)
        problems.pop(node, None)
        problem = _find_problem(iteration, event)
        if problem is None:
            readings[node] = _read(event, states.get(node, {}))
        else:
            problems[node] = problem
    return readings, problems


def _gone(
    iteration: Iteration, stream: str, created: Sequence[str], down: Mapping[str, str]
) -> tuple[dict[str, Reading], dict[str, Any]]:
    """Return the replicas that are gone for sure, and what /healthz said there, by node."""
    at_ns: dict[str, int] = {}
    asked: dict[str, Any] = {}
    for event in _about(iteration, "audit.gone", stream):
        node = event.get("node")
        for one in created if node is None else (node,):
            if one not in down:
                at_ns[one] = event["at_ns"]
        asked |= event.get("healthz") or {}
    if at_ns.keys() >= set(created) - down.keys():
        at_ns = dict.fromkeys(at_ns, _last_listed(iteration, stream))
    return {node: Reading(node, at, 0, 0, 0, gone=True) for node, at in at_ns.items()}, asked


def _last_listed(iteration: Iteration, stream: str) -> int:
    """Return when a leader of the stream last listed it; 0 when none was heard to."""
    samples = iteration.of_kind("jetstream.sampled")
    return max((one["at_ns"] for one in samples if stream in one["streams"]), default=0)


def _count_replicas(iteration: Iteration, scenario: Mapping[str, Any], stream: str) -> int:
    """Return how many replicas a stream is to have, as it was made or as was asked for."""
    asked = {one.get("name"): one for one in scenario.get("streams") or ()}
    count = (asked.get(stream) or {}).get("replicas")
    for event in _about(iteration, "stream.created", stream):
        made = (event.get("config") or {}).get("num_replicas")
        count = made or count or len(event.get("replicas") or ())
    return count if isinstance(count, int) else 1


def _about(iteration: Iteration, kind: str, stream: str) -> list[Event]:
    return [one for one in iteration.of_kind(kind) if one.get("stream") == stream]


def _read(event: Event, state: Mapping[str, Any]) -> Reading:
    return Reading(
        event["node"],
        event["at_ns"],
        int(event.get("first_seq") or 0),
        int(event.get("last_seq") or 0),
        state.get("bytes"),
    )


def _find_problem(iteration: Iteration, event: Event) -> str | None:
    """Return why a reading says nothing of its replica; None when it does."""
    columns = iteration.stored.get((event["stream"], event["node"]))
    if columns is None:
        return "what was read of it is missing or damaged"
    if event.get("led") is not True:
        return "its node did not lead the stream while it was read"
    if event.get("refused"):
        return f"its node would not say whether it has some messages: {event['refused']}"
    rows = len(columns["stream_sequence"])
    if rows != event.get("rows"):
        return f"{event.get('rows')} message(s) were read of it, and {rows} are on record"
    first, last = event.get("sought") or (event.get("first_seq") or 0, event.get("last_seq") or 0)
    span = max(0, last - first + 1) if last else 0
    if rows + int(event.get("absent_count") or 0) < span:
        return f"{rows} message(s) were read of {span} sequence(s), and not all others are absent"
    return None


def created_consumers(iteration: Iteration, stream: str) -> Iterator[tuple[str, Event]]:
    """Yield the name and the event of every consumer of a stream that was made for the run."""
    for event in _about(iteration, "consumer.created", stream):
        yield str(event["consumer"]), event


def read_given_out(iteration: Iteration, stream: str) -> dict[str, int]:
    """Return up to which sequence each consumer's leader said, at the end, that it delivered."""
    states = _about(iteration, "consumer.state", stream)
    return {str(one["consumer"]): int(one.get("delivered") or 0) for one in states}
