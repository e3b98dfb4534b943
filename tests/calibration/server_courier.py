"""How a scripted server carries messages: to whom, and what the rules do to them on the way."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from server_script import Rule
from server_wire import Connection, Ids, Message, Subscription, forge, ids_of, matches

REPLY_PREFIX = "_INBOX."
AT_ROUTING = ("spread", "no_responders")  # these choose receivers, they do not touch messages
FAR_AHEAD = 1_000_000  # added to a sequence, it is one that no plan ever sends


@dataclass
class State:
    """What the server is doing at the moment beyond passing messages on."""

    silent: bool = False
    mute: bool = False
    blackhole: bool = False


@dataclass
class Ledger:
    """What was done, in the order it was done; becomes a `Truth`."""

    applied: list[tuple[str, int, int, str]] = field(default_factory=list)
    acts: list[tuple[str, int, int]] = field(default_factory=list)
    connections: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[tuple[str, int, int, int]] = field(default_factory=list)
    arrivals: list[tuple[int, int, int]] = field(default_factory=list)

    def note(self, verb: str, ids: Ids, receiver: str) -> None:
        """Keep that `verb` was done to one delivery."""
        self.applied.append((verb, ids.sender, ids.sequence, receiver))


class Courier:
    """Carry each published message to its receivers as the rules say."""

    def __init__(self, rules: Sequence[Rule], latency_s: float, state: State) -> None:
        self.ledger = Ledger()
        self.connections: set[Connection] = set()
        self._state = state
        self._latency_s = latency_s
        self._turn: dict[str, int] = defaultdict(int)
        self._loop = asyncio.get_running_loop()
        self._rules: dict[tuple[bool, int, int], list[Rule]] = defaultdict(list)
        for rule in rules:
            for sequence in rule.sequences:
                self._rules[rule.replies, rule.sender, sequence].append(rule)

    def carry(self, origin: Connection, message: Message) -> None:
        """Pass `message` on to every plain subscription and to one member of each queue."""
        if self._state.silent or self._state.blackhole:
            return
        ids = ids_of(message)
        reply = message.subject.startswith(REPLY_PREFIX)
        rules = self._rules.get((reply, ids.sender, ids.sequence), []) if ids else []
        verbs = {rule.do for rule in rules}
        receivers = self._receivers(message.subject, spread="spread" in verbs)
        if ids is not None and "no_responders" in verbs:
            self.ledger.note("no_responders", ids, origin.name)
            receivers = []
        if message.reply and not receivers:
            origin.send_no_responders(message.reply)
            return
        if ids is not None and "spread" in verbs and len(receivers) > 1:
            self.ledger.note("spread", ids, receivers[-1].connection.name)
        for subscription in receivers:
            if ids is None:
                self._send_later(subscription, message, self._latency_s)
            else:
                self._deliver(subscription, message, ids, rules)

    def _receivers(self, subject: str, *, spread: bool) -> list[Subscription]:
        receivers: list[Subscription] = []
        groups: dict[str, list[Subscription]] = defaultdict(list)
        for connection in sorted(self.connections, key=lambda one: one.number):
            for subscription in connection.subscriptions.values():
                if matches(subscription.subject, subject):
                    queue = subscription.queue
                    (groups[queue] if queue else receivers).append(subscription)
        for queue, members in groups.items():
            self._turn[queue] += 1
            chosen = self._turn[queue] % len(members)
            receivers.append(members[chosen])
            if spread and len(members) > 1:
                receivers.append(members[(chosen + 1) % len(members)])
        return receivers

    def _deliver(
        self, subscription: Subscription, message: Message, ids: Ids, rules: Sequence[Rule]
    ) -> None:
        name = subscription.connection.name
        delay_s = self._latency_s
        outgoing = [message]
        for rule in rules:
            if rule.receiver not in (None, name) or rule.do in AT_ROUTING:
                continue
            self.ledger.note(rule.do, ids, name)
            delay_s += rule.delay_s
            if rule.do == "drop":
                return
            if rule.do == "hold":
                subscription.held.append([rule.by, ids.sender, message])
                return
            if rule.do == "echo":
                # The message itself goes out below and counts down the first step.
                subscription.held.append([rule.by + 1, ids.sender, message])
            outgoing = altered(outgoing, rule, ids)
        for one in outgoing:
            self._send_later(subscription, one, delay_s)
        self._release(subscription, ids.sender)

    def _release(self, subscription: Subscription, sender: int) -> None:
        for entry in list(subscription.held):
            if entry[1] == sender:
                entry[0] -= 1
                if entry[0] == 0:
                    subscription.held.remove(entry)
                    self._send(subscription, entry[2])

    def _send_later(self, subscription: Subscription, message: Message, delay_s: float) -> None:
        if delay_s:
            self._loop.call_later(delay_s, self._send, subscription, message)
        else:
            self._send(subscription, message)

    def _send(self, subscription: Subscription, message: Message) -> None:
        if self._state.silent or self._state.blackhole:
            return
        ids = ids_of(message)
        written_ns = subscription.connection.send_message(subscription, message)
        if ids is not None and written_ns and not message.subject.startswith(REPLY_PREFIX):
            name = subscription.connection.name
            self.ledger.deliveries.append((name, ids.sender, ids.sequence, written_ns))

    def arrived(self, message: Message) -> Ids | None:
        """Keep when a message arrived; return its ids, None for replies and for strangers."""
        ids = ids_of(message)
        if ids is None or message.subject.startswith(REPLY_PREFIX):
            return None
        self.ledger.arrivals.append((ids.sender, ids.sequence, time.monotonic_ns()))
        return ids


def altered(outgoing: list[Message], rule: Rule, ids: Ids) -> list[Message]:
    """Return what goes out in place of `outgoing` under one rule."""
    message = outgoing[0]
    if rule.do == "duplicate":
        outgoing = outgoing + [message] * rule.copies
    elif rule.do == "corrupt":
        outgoing = [message.flipped(rule.offset)]
    elif rule.do == "misanswer":
        outgoing = [forge(message, sequence=ids.sequence + FAR_AHEAD)]
    elif rule.do == "forge_unsent":
        outgoing = [*outgoing, forge(message, sequence=ids.sequence + FAR_AHEAD)]
    elif rule.do == "forge_foreign":
        outgoing = [*outgoing, forge(message, run=ids.run ^ 0x5A5A5A5A)]
    return outgoing
