"""Whose messages a consumer is to deliver, and on which subjects streams keep them."""

from __future__ import annotations

from typing import Any

import pytest
from stream_story import Consumed, Stored, StreamStory

from harness.checks import judge
from harness.checks.base import Verdict
from harness.checks.judgement import Judgement
from harness.stats.labelled import Count, PooledTally

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def counted(judgement: Judgement, metric: str) -> Count:
    tally = judgement.metrics[metric]
    assert isinstance(tally, PooledTally)
    return tally.select({})


class Told(StreamStory):
    """A story whose scenario says more of the cluster."""

    cluster: dict[str, Any] | None = None

    def scenario(self) -> dict[str, Any]:
        return super().scenario() | {"cluster": self.cluster or {}}


def told(consumer: dict[str, Any] | None, cluster: dict[str, Any] | None = None) -> Told:
    story = Told()
    story.cluster = cluster
    story.stream(consumer=consumer, subject="j.x")
    return story


MAPPED = [
    {"config": {"mappings": {"j.x": "j.y"}}},
    {"config": {"mappings": {"j.*": [{"destination": "j.y", "weight": "100%"}]}}},
    {"config": {"accounts": {"A": {"mappings": {"j.>": "j.y"}}}}},
]


@pytest.mark.parametrize("cluster", MAPPED)
@pytest.mark.parametrize("filter_", ["j.x", "j.y"])
def test_loss_behind_a_mapping_is_no_pass_and_no_certain_loss(
    cluster: dict[str, Any], filter_: str
) -> None:
    story = told({"filter_subject": filter_}, cluster)
    assert judge(story.history()).verdict is PASS
    judgement = judge(story.undelivered(range(30, 80)).history())
    assert judgement.verdict is INCONCLUSIVE
    assert counted(judgement, "consumer_lost") == Count(50, 400, 50, 400)


def test_a_mapping_of_other_subjects_changes_nothing() -> None:
    cluster = {"config": {"mappings": {"other.*": "j.x"}}}
    story = told({"filter_subject": "j.x"}, cluster).undelivered([3])
    assert judge(story.history()).verdict is FAIL


def test_what_a_stream_transforms_itself_is_open_to_a_filter_and_not_without_one() -> None:
    for consumer, verdict in (({"filter_subject": "t.x"}, INCONCLUSIVE), ({}, FAIL)):
        story = told(consumer).undelivered([3])
        story.streams[0]["options"] = {"subject_transform": {"src": "j.*", "dest": "t.$1"}}
        assert judge(story.history()).verdict is verdict


@pytest.mark.parametrize("cluster", [{"attach": {"n1": {}}}, {"config": {"include": "x.conf"}}])
def test_what_was_delivered_shows_whom_a_consumer_hears_of_servers_configured_elsewhere(
    cluster: dict[str, Any],
) -> None:
    story = told({"filter_subject": "j.y"}, cluster)
    assert judge(story.history()).verdict is PASS
    judgement = judge(story.undelivered([3]).history())
    assert judgement.verdict is FAIL
    assert counted(judgement, "consumer_lost") == Count(1, 400, 0, 400)
    assert judge(story.undelivered(range(1, 401)).history()).verdict is PASS


def test_what_a_filter_does_not_take_is_unexpected() -> None:
    story = told({"filter_subject": "j.y"}).undelivered(range(10, 401))
    judgement = judge(story.history())
    assert judgement.verdict is FAIL
    assert counted(judgement, "unexpected") == Count(9, 409, 0, 409)
    (found,) = (one for one in judgement.findings if one.check == "stream-integrity")
    assert found.detail.startswith(
        "consumer ORDERS/C1 delivered 9 message(s) on subjects that its filter does not take: "
        "sequences 1-9"
    )


def own(story: StreamStory, client: int, **config: Any) -> StreamStory:
    """Let a consumer be one that its client made itself, as the plan asked for."""
    story.clients[client]["config"] = config
    story.events = [one for one in story.events if one["kind"] != "consumer.created"]
    return story


def test_a_consumer_of_a_clients_own_is_judged_by_the_filter_that_was_asked_for() -> None:
    other = told(None).undelivered(range(1, 401))
    judgement = judge(own(other, 1, filter_subject="o.b", ack_policy="none").history())
    assert judgement.verdict is PASS
    assert counted(judgement, "consumer_lost") == Count(0, 0, 0, 0)
    mine = told(None).undelivered([30])
    judgement = judge(own(mine, 1, filter_subject="j.x", ack_policy="explicit").history())
    assert counted(judgement, "consumer_lost") == Count(1, 400, 0, 400)
    assert judgement.verdict is PASS  # it promises nothing, so that is noted
    assert any("never delivered 1 message(s)" in one for one in judgement.notes)


def test_an_ordered_consumer_settles_what_it_got() -> None:
    story = StreamStory().stream(config={"retention": "interest"}).lose(range(1, 401))
    judgement = judge(own(story, 1, ack_policy="none").history())
    assert judgement.verdict is PASS
    assert counted(judgement, "stream_lost") == Count(0, 400, 0, 400)


def fed(options: dict[str, Any], *, receives: str = "B") -> StreamStory:
    story = StreamStory().stream("A", consumers=()).stream(receives, nodes=("n1",))
    story.streams[0]["options" if "republish" in options else "_"] = options
    story.streams[1]["options" if "republish" not in options else "_"] = options
    at = 401
    story.stored[receives, "n1"].append(Stored(0, 7, at))
    taker = len(story.clients) - 1
    story.consumed.append(Consumed(taker, 0, 7, at, 9.5, number=at))
    return story


@pytest.mark.parametrize(
    "options",
    [{"sources": [{"name": "A"}]}, {"mirror": {"name": "A"}}, {"republish": {"src": ">"}}],
)
def test_what_a_stream_is_fed_from_another_was_sent(options: dict[str, Any]) -> None:
    assert judge(fed(options).history()).verdict is PASS
    assert judge(fed({}).history()).verdict is FAIL
