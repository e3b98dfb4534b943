from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from story import Story, ToldColumns, ns, tell
from told_pages import eventful, judged

from harness.history.facts import Iteration
from harness.history.tables import DELIVERED, SENT, Outcome
from harness.pages.tracks import Tracks, measure_tracks

BINS = 200


def tracks_of(story: Story, bins: int = BINS) -> Tracks:
    history = story.history()
    return measure_tracks(history.iterations[0], history.scenario, bins)


def many(
    count: int, *, late: dict[int, float] | None = None, lost: tuple[int, ...] = ()
) -> tuple[Iteration, dict[str, Any]]:
    """Return an iteration with so many messages in 8 s, without a Python object for each."""
    story = Story().core(1, 1, rate=count / 8, traffic=False)
    due = ns(1.0) + (np.arange(count) * (8e9 / count)).astype(np.int64)
    took = np.full(count, 1_000_000, dtype=np.int64)
    for place, took_s in (late or {}).items():
        took[place] = round(took_s * 1e9)
    kept = np.setdiff1d(np.arange(count), lost)
    sent = {
        "client": np.zeros(count), "sequence": np.arange(count), "intended_ns": due,
        "attempted_ns": due, "finished_ns": due, "outcome": np.full(count, Outcome.ACCEPTED),
        "connected": np.ones(count),
    }  # fmt: skip
    delivered = {
        "client": np.ones(len(kept)), "sender": np.zeros(len(kept)), "sequence": kept,
        "received_ns": (due + took)[kept], "integrity": np.zeros(len(kept)),
    }  # fmt: skip
    columns = {
        "hello-publishers": ToldColumns(_typed(SENT, sent), _empty(DELIVERED)),
        "hello-subscribers": ToldColumns(_empty(SENT), _typed(DELIVERED, delivered)),
    }
    story.columns = lambda: columns  # type: ignore[method-assign]  # it has these and no others
    history = tell([story])
    return history.iterations[0], dict(history.scenario)


def _typed(table: Any, columns: dict[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(columns[name]).astype(kind) for name, kind in table.columns}


def _empty(table: Any) -> dict[str, Any]:
    return {name: np.empty(0, kind) for name, kind in table.columns}


def test_every_lost_message_is_marked_at_the_time_it_was_sent() -> None:
    report, history = judged(eventful())
    tracks = measure_tracks(history.iterations[0], history.scenario, BINS)
    marks = tracks.marks["lost"]
    assert [one.at_s for one in marks] == pytest.approx([4.1, 4.11, 4.3])
    messages = report.iterations[0].messages
    assert messages is not None
    assert sum(one.count for one in marks) == messages.lost == 3
    assert "hello-publisher-1 #310" in marks[0].what
    assert "hello-subscriber-1" in marks[0].what


def test_without_a_lost_message_nothing_is_marked() -> None:
    assert tracks_of(Story().core()).marks == {}


def test_one_late_message_among_very_many_is_shown_at_its_own_time() -> None:
    iteration, scenario = many(300_000, late={123_456: 2.5})
    latencies = measure_tracks(iteration, scenario, BINS).latencies
    assert len(latencies.at_s) <= BINS
    assert max(latencies.slowest) == 2.5
    at = latencies.slowest_at_s[latencies.slowest.index(2.5)]
    assert at == pytest.approx(1.0 + 123_456 * 8 / 300_000)
    assert max(latencies.p99) == pytest.approx(0.001)


def test_one_lost_message_among_very_many_is_marked() -> None:
    iteration, scenario = many(300_000, lost=(77_777,))
    (mark,) = measure_tracks(iteration, scenario, BINS).marks["lost"]
    assert mark.count == 1
    assert mark.at_s == pytest.approx(1.0 + 77_777 * 8 / 300_000)
    assert "#77777" in mark.what


def test_of_very_many_lost_messages_each_is_counted_in_a_mark() -> None:
    lost = tuple(range(100_000, 160_000))
    iteration, scenario = many(300_000, lost=lost)
    tracks = measure_tracks(iteration, scenario, BINS)
    for marks in (tracks.marks["lost"], tracks.unfinished):
        assert len(marks) <= BINS
        assert sum(one.count for one in marks) == len(lost)
    assert tracks.marks["lost"][0].at_s == pytest.approx(1.0 + 100_000 * 8 / 300_000)
    assert tracks.marks["lost"][-1].to_s == pytest.approx(1.0 + 159_999 * 8 / 300_000)


def test_a_short_outage_stays_visible_where_bins_are_wide() -> None:
    iteration, scenario = many(80_000, lost=tuple(range(40_000, 42_000)))
    sent, delivered = measure_tracks(iteration, scenario, 10).rates
    assert len(delivered.mean) <= 10
    assert min(delivered.low) == 0
    assert min(delivered.mean[:-1]) > 0  # the last one is drain
    assert min(sent.low[:-2]) > 0
    assert max(sent.high) == pytest.approx(10_000, rel=0.02)


def test_rates_count_every_message_once() -> None:
    sent, delivered = tracks_of(Story().core(1, 2)).rates
    for one, count in ((sent, 800), (delivered, 1600)):
        assert sum(one.mean) * one.width_s == pytest.approx(count)
        assert one.low == one.mean == one.high


def test_unknown_and_refused_messages_have_marks_of_their_own() -> None:
    story = Story().request()
    story.outcome([10, 11], Outcome.UNKNOWN).outcome([20], Outcome.REFUSED)
    marks = tracks_of(story).marks
    assert {name: len(found) for name, found in marks.items()} == {"unknown": 2, "refused": 1}


def test_an_iteration_without_any_load_has_empty_tracks() -> None:
    tracks = tracks_of(Story())
    assert tracks.marks == {}
    assert tracks.latencies.at_s == []
