from __future__ import annotations

from itertools import pairwise

import pytest
from story import PHASES, Delivered, Sent, Story, ns

from harness.history.connections import attached, trace
from harness.history.destinations import FOREVER_NS, find_destinations
from harness.history.facts import Hit, Iteration
from harness.history.ledger import open_ledger, phase_spans
from harness.scenario.metrics import PHASES as NAMES


def told(story: Story) -> Iteration:
    return story.history().iterations[0]


def test_a_message_belongs_to_the_phase_in_which_it_was_due() -> None:
    story = Story().core(rate=10)
    ledger = open_ledger(told(story))
    for one, place in zip(story.sent, ledger.phase, strict=True):
        expected = [name for name, at in PHASES.items() if ns(one.intended) >= ns(at)][-1]
        assert NAMES[place] == expected


def test_phases_leave_no_hole_and_drain_begins_with_the_stop() -> None:
    spans = phase_spans(told(Story().core()))
    assert [name for name, _, _ in spans] == list(NAMES)
    assert all(one[2] == other[1] for one, other in pairwise(spans))
    assert spans[-1][1:] == (ns(9.0), FOREVER_NS)


def test_an_iteration_without_load_has_an_empty_ledger() -> None:
    story = Story()
    ledger = open_ledger(told(story))
    assert (ledger.attempts, ledger.by_sender, ledger.by_destination) == (0, (), ())


def test_deliveries_find_their_attempts_and_strangers_find_none() -> None:
    story = Story().core(2, 1)
    story.delivered.append(Delivered(2, 0, 400, 5.0))
    ledger = open_ledger(told(story))
    for one, row in zip(story.delivered[:-1], ledger.row[:-1], strict=True):
        assert (story.sent[row].client, story.sent[row].sequence) == (one.sender, one.sequence)
    assert ledger.row[-1] == -1


def test_gaps_and_repeats_are_counted_by_sender() -> None:
    story = Story().core(2, 1)
    story.sent = [one for one in story.sent if (one.client, one.sequence) != (1, 7)]
    story.sent.append(Sent(0, 3, 2.0, 2.0, 2.0))
    ledger = open_ledger(told(story))
    assert ledger.gaps == {"hello-publisher-2": 1}
    assert ledger.repeated == 1


def test_what_was_due_and_never_attempted_is_known_by_its_time() -> None:
    story = Story().core()
    del story.sent[600:]
    ledger = open_ledger(told(story))
    missing = ledger.unattempted_ns(0)
    assert missing[0] == ns(7.0)
    assert missing[-1] == ns(8.89)
    assert ledger.due_by_phase(ledger.senders[0]) == {
        "warmup": 100, "steady": 200, "fault": 200, "recovery": 300, "drain": 0,
    }  # fmt: skip


def test_a_cut_iteration_ends_with_its_last_attempt() -> None:
    story = Story(collected=False).core()
    del story.phases["recovery"], story.phases["drain"]
    story.sent = story.sent[:321]
    story.event(12.0, "server.exited", node="n1", returncode=0, expected=True)
    iteration = told(story)
    assert iteration.load_stop_ns == ns(story.sent[-1].attempted) + 1
    assert iteration.end_ns == iteration.load_stop_ns


def test_a_queue_group_is_one_destination_and_single_subscriptions_are_their_own() -> None:
    story = Story().core(1, 2).core(1, 3, queue="jobs", workload="work")
    found = find_destinations(told(story))
    assert [(one.name, len(one.members)) for one in found] == [
        ("hello-subscriber-1", 1),
        ("hello-subscriber-2", 1),
        ("work/jobs", 3),
    ]
    assert found[2].grouped
    assert found[0].confirmed_ns == {0: ns(0.9)}
    assert found[0].closed_ns == FOREVER_NS


def test_confirmation_is_the_first_one_told_for_each_sender() -> None:
    story = Story().core(2, 1)
    story.unconfirmed.add(("hello-subscriber-1", "hello-publisher-2"))
    for at in (2.0, 3.0):
        story.event(at, "subscription.confirmed", client="hello-subscriber-1",
                    senders=["hello-publisher-1", "hello-publisher-2"])  # fmt: skip
    (found,) = find_destinations(told(story))
    assert found.confirmed_ns == {0: ns(0.9), 1: ns(2.0)}


def test_the_connections_of_a_client_follow_its_events() -> None:
    story = Story().core().failover("hello-publisher-1", 4.0, 5.0, attempts=2, server="n3")
    story.failover("hello-publisher-1", 6.0, None, sign="StaleConnectionError", attempts=1)
    iteration = told(story)
    first, second = trace(iteration, iteration.clients[0])
    assert (first.server, first.since_ns, first.broke_ns) == ("n1", ns(0.5), ns(4.0))
    assert (first.sign, first.back_ns, first.back_to, first.attempts) == (
        "UnexpectedEOF", ns(5.0), "n3", 2,
    )  # fmt: skip
    assert (second.server, second.sign, second.back_ns) == ("n3", "StaleConnectionError", None)


@pytest.mark.parametrize(
    ("at", "node", "found"),
    [(3.0, "n1", True), (4.0, "n1", True), (4.5, "n1", False), (3.0, "n3", False),
     (5.5, "n3", True), (0.1, "n1", False)],
)  # fmt: skip
def test_a_client_is_attached_to_a_node_until_it_notices(at: float, node: str, found: bool) -> None:
    story = Story().core().failover("hello-publisher-1", 4.0, 5.0, server="n3")
    iteration = told(story)
    connection = attached(trace(iteration, iteration.clients[0]), Hit(ns(at), node, ""))
    assert (connection is not None) == found
