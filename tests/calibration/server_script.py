"""What a scripted server is told to do, as data: rules for messages and acts in time.

A script travels to the server's process as JSON. `Rule` speaks of single messages by the
ids in their payload; `Act` speaks of connections and of the listening port.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verb = Literal[
    "drop",  # deliver nothing
    "duplicate",  # deliver `copies` more copies right behind the first
    "hold",  # deliver once `by` later messages of the same sender have gone out
    "echo",  # deliver at once, and a second time behind `by` later messages
    "corrupt",  # flip one bit of the byte at `offset`, the checksum stays as it was
    "delay",  # deliver `delay_s` later, whatever goes out meanwhile
    "forge_unsent",  # deliver also a sound message of this run that nobody ever sent
    "forge_foreign",  # deliver also a sound message of another run
    "spread",  # queue group: deliver to one more member of the group
    "misanswer",  # deliver a reply that carries another request's ids
    "no_responders",  # requests: answer status 503 as if nobody listened
]
Deed = Literal[
    "close",  # FIN to every connection, then read on until the peer closes
    "reset",  # RST to every connection
    "silent",  # read on, but answer and deliver nothing; accept nothing
    "deaf",  # read nothing, accept nothing: what SIGSTOP looks like
    "refuse",  # close the listening socket: connection refused
    "mute",  # accept new connections, never send INFO
    "blackhole",  # go on answering PING, deliver nothing
    "error",  # send -ERR with `text`
    "return",  # undo all of these; listen again
]


@dataclass(frozen=True)
class Rule:
    """What happens to chosen messages of one sender on their way out.

    `receiver` is the CONNECT name of the client that it concerns; None concerns every
    receiver. `replies` selects replies that carry these ids instead of the messages.
    """

    do: Verb
    sender: int
    sequences: tuple[int, ...]
    receiver: str | None = None
    replies: bool = False
    copies: int = 1
    by: int = 1
    offset: int = 40
    delay_s: float = 0.0


@dataclass(frozen=True)
class Act:
    """A deed at a monotonic time, or as soon as message `on` = (sender, sequence) arrives.

    `listening` False closes the listening port in the same instant, so that nobody comes
    back before ``return``.
    """

    do: Deed
    at_ns: int = 0
    on: tuple[int, int] | None = None
    listening: bool = True
    text: str = ""


@dataclass(frozen=True)
class Script:
    """Everything a scripted server does beyond passing messages on.

    `latency_s` delays every message alike and keeps their order.
    """

    rules: tuple[Rule, ...] = ()
    acts: tuple[Act, ...] = ()
    latency_s: float = 0.0
    connect_urls: tuple[str, ...] = field(default=())

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Script:
        """Return the script that `to_json` wrote."""
        raw = json.loads(text)
        rules = tuple(
            Rule(**{**rule, "sequences": tuple(rule["sequences"])}) for rule in raw["rules"]
        )
        acts = tuple(read_act(act) for act in raw["acts"])
        return Script(rules, acts, raw["latency_s"], tuple(raw["connect_urls"]))


def read_act(raw: dict[str, Any]) -> Act:
    """Return the act that a JSON object describes."""
    return Act(**{**raw, "on": tuple(raw["on"]) if raw["on"] else None})


@dataclass(frozen=True)
class Truth:
    """What a scripted server did, on its own clock (monotonic ns).

    `applied`: one (verb, sender, sequence, receiver) for each effect on one delivery.
    `acts`: (deed, just before, just after). `connections`: one dict a connection with
    name and the times accepted_ns, info_ns, connect_ns, pong_ns (first), eof_ns (0: never).
    `deliveries`: (receiver, sender, sequence, written_ns), handed to the kernel.
    `arrivals`: (sender, sequence, read_ns), messages only, replies left out.
    """

    applied: tuple[tuple[str, int, int, str], ...]
    acts: tuple[tuple[str, int, int], ...]
    connections: tuple[dict[str, Any], ...]
    deliveries: tuple[tuple[str, int, int, int], ...]
    arrivals: tuple[tuple[int, int, int], ...]

    def count(self, verb: str) -> int:
        """Return how often `verb` was applied to a delivery."""
        return sum(applied[0] == verb for applied in self.applied)

    @staticmethod
    def read(text: str) -> Truth:
        """Return the truth that a server wrote as JSON."""
        raw = json.loads(text)
        return Truth(
            _tuples(raw["applied"]),
            _tuples(raw["acts"]),
            tuple(raw["connections"]),
            _tuples(raw["deliveries"]),
            _tuples(raw["arrivals"]),
        )


def _tuples(rows: Iterable[list[Any]]) -> tuple[Any, ...]:
    return tuple(tuple(row) for row in rows)
