"""Every counter of streams against one that is made message by message."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from naive_streams import count_streams
from stream_story import NODES, Stored, StreamStory

from harness.checks import judge
from harness.checks.base import Verdict
from harness.history.tables import Integrity, Outcome
from harness.stats.labelled import PooledTally

LABELS = {
    "stream_lost": ("phase", "workload", "part"),
    "replica_lost": ("server", "stream"),
    "sequence_conflicts": ("stream",),
    "corrupted": ("workload",),
    "unexpected": ("workload",),
    "recovered": ("phase", "workload"),
    "duplicates": ("phase", "workload"),
    "out_of_order": ("phase", "workload"),
    "consumer_lost": ("phase", "workload"),
    "redelivered": ("phase", "workload"),
}
STORED_SPOILS = (
    "drop", "run", "copy", "swap", "corrupt", "foreign", "stray", "move", "replace",
)  # fmt: skip
OTHER_SPOILS = (
    "refuse", "unknown", "unknown-gone", "ack-elsewhere", "ack-twice", "slow",
    "undelivered", "again", "unflagged", "overtaken", "damaged", "strange", "restart",
)  # fmt: skip


def spoil_stored(draw: st.DrawFn, story: StreamStory, what: str) -> None:
    node = draw(st.sampled_from([node for _, node in story.stored]))
    rows = story.stored["ORDERS", node]
    if len(rows) < 2:
        return
    at = draw(st.integers(0, len(rows) - 2))
    one, other = rows[at], rows[at + 1]
    if what == "drop":
        rows.remove(one)
    elif what == "run":
        begin = draw(st.sampled_from([0, at, len(rows) - 5]))
        del rows[max(0, begin) : begin + 5]
    elif what == "copy":
        rows.append(replace(one, place=draw(st.integers(200, 205))))
    elif what == "swap":
        one.place, other.place = other.place, one.place
    elif what == "corrupt":
        one.integrity = Integrity.CORRUPTED
    elif what == "foreign":
        one.integrity = Integrity.FOREIGN
    elif what == "stray":
        rows.append(Stored(draw(st.sampled_from([0, 99])), draw(st.integers(500, 2**64 - 1)), 300))
    elif what == "move":
        one.place = draw(st.integers(1, 220))
    else:
        one.sender, one.sequence = other.sender, other.sequence


def spoil(draw: st.DrawFn, story: StreamStory, what: str) -> None:
    attempt = draw(st.sampled_from(story.sent))
    key = {"sender": attempt.client}
    if what in ("refuse", "unknown", "unknown-gone"):
        outcome = Outcome.REFUSED if what == "refuse" else Outcome.UNKNOWN
        story.become([attempt.sequence], outcome, **key)
        if what == "unknown-gone":
            for rows in story.stored.values():
                rows[:] = [
                    one for one in rows
                    if (one.sender, one.sequence) != (attempt.client, attempt.sequence)
                ]  # fmt: skip
    elif what in ("ack-elsewhere", "ack-twice"):
        ack = draw(st.sampled_from(story.acks))
        ack.place = draw(st.integers(1, 230)) if what == "ack-elsewhere" else story.acks[0].place
    elif what == "slow":
        attempt.finished = attempt.attempted + draw(st.sampled_from([0.0, 0.5, 3.0]))
    elif story.consumed:
        spoil_consumed(draw, story, what)


def spoil_consumed(draw: st.DrawFn, story: StreamStory, what: str) -> None:
    delivery = draw(st.sampled_from(story.consumed))
    if what == "undelivered":
        story.consumed.remove(delivery)
    elif what in ("again", "unflagged"):
        later = delivery.received + draw(st.sampled_from([0.0, 0.5, 2.0]))
        times = 2 if what == "again" else 1
        story.consumed.append(replace(delivery, received=later, delivery=times))
    elif what == "overtaken":
        delivery.received += draw(st.sampled_from([0.1, 0.3, 1.5]))
    elif what == "restart":  # the stream begins again with place 1
        gone = delivery.place - 1
        for one in story.consumed:
            if one.received >= delivery.received:
                one.place = max(1, one.place - gone)
    elif what == "damaged":
        delivery.integrity = draw(st.sampled_from([Integrity.CORRUPTED, Integrity.FOREIGN]))
    else:
        delivery.sequence = draw(st.integers(400, 2**64 - 1))


@st.composite
def stories(draw: st.DrawFn) -> StreamStory:
    story = StreamStory().stream(
        publishers=draw(st.integers(1, 3)),
        nodes=NODES[: draw(st.sampled_from([1, 3]))],
        rate=12,
        consumers=draw(st.sampled_from([(), ("C1",), ("C1", "C2")])),
        clients=draw(st.integers(1, 2)),
    )
    for what in draw(st.lists(st.sampled_from(STORED_SPOILS + OTHER_SPOILS), max_size=25)):
        (spoil_stored if what in STORED_SPOILS else spoil)(draw, story, what)
    return story


@settings(max_examples=150, deadline=None)
@given(stories())
def test_every_count_equals_the_one_made_message_by_message(story: StreamStory) -> None:
    metrics = judge(story.history()).metrics
    expected = count_streams(story)
    for metric, labels in LABELS.items():
        tally = metrics[metric]
        assert isinstance(tally, PooledTally)
        found = {
            values: tally.select(dict(zip(labels, values, strict=True))).count
            for values in expected[metric]
        }
        assert found == dict(expected[metric]), metric
        assert tally.select({}).count == sum(expected[metric].values()), metric


@st.composite
def clean_stories(draw: st.DrawFn) -> StreamStory:
    """Draw runs in which nothing is wrong, whatever clients had to go through."""
    story = StreamStory().stream(
        publishers=draw(st.integers(1, 3)),
        nodes=NODES[: draw(st.sampled_from([1, 3]))],
        rate=20,
        clients=draw(st.integers(1, 3)),
        retry={"max": 3, "msg_id": draw(st.booleans())},
    )
    last = len(story.sent)
    for one in draw(st.lists(st.sampled_from(story.sent), max_size=20, unique_by=id)):
        _, what = one, draw(st.sampled_from(["unknown", "unknown-gone", "retried", "again"]))
        place = next(
            kept.place for kept in story.stored["ORDERS", "n1"]
            if (kept.sender, kept.sequence) == (one.client, one.sequence)
        )  # fmt: skip
        if what == "again":
            given = next(taken for taken in story.consumed if taken.place == place)
            story.consumed.append(replace(given, delivery=2, received=given.received + 1))
        elif what == "retried":
            ack = next(
                ack for ack in story.acks
                if (ack.client, ack.sequence) == (one.client, one.sequence)
            )  # fmt: skip
            one.finished = one.attempted + 1.0
            ack.attempts, ack.duplicate = 2, 1
            if not story.workloads[0]["retry"]["msg_id"]:
                last += 1
                ack.duplicate = 0
                for rows in story.stored.values():
                    rows.append(Stored(one.client, one.sequence, last))
                story.consumed.append(
                    replace(story.consumed[0], sender=one.client, sequence=one.sequence,
                            place=last, received=9.2 + last / 1e4)
                )  # fmt: skip
        elif one.outcome == Outcome.ACKED:
            story.become([one.sequence], Outcome.UNKNOWN, sender=one.client)
            if what == "unknown-gone":
                story.lose([place]).undelivered([place])
    return story


@settings(max_examples=60, deadline=None)
@given(clean_stories())
def test_a_run_in_which_nothing_is_wrong_gives_no_finding(story: StreamStory) -> None:
    history = story.history()
    found = [one for one in judge(history).findings if one.verdict is not Verdict.PASS]
    # A publisher that got too little through is another matter.
    assert [one for one in found if one.check != "traffic"] == []
