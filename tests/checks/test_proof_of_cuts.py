"""Probes before the judge: a cut is proven, or the run is inconclusive."""

from __future__ import annotations

from typing import Any

import pytest
from story import Story, ns

from harness.checks import judge
from harness.checks.base import Case, Verdict
from harness.checks.failover import judge_failover
from harness.checks.proof import judge_proof
from harness.report.build import build

PUBLISHER = "hello-publisher-1"
WHEN = {
    "before": "before the cut",
    "during": "during the cut",
    "held": "right before the heal",
    "after": "after the cut",
}


def verdict(story: Story) -> tuple[Verdict, str]:
    history = story.history()
    findings = judge_proof(Case(history.iterations[0], history.scenario)).findings
    worst = max(findings, key=lambda one: list(Verdict).index(one.verdict))
    return worst.verdict, worst.detail


def look(story: Story, edge: str) -> list[dict[str, Any]]:
    (event,) = [
        one for one in story.events if one["kind"] == "fault.probed" and one["edge"] == edge
    ]
    links: list[dict[str, Any]] = event["links"]
    return links


def test_a_cut_with_all_its_probes_is_proven() -> None:
    assert verdict(Story().core().partition())[0] is Verdict.PASS


@pytest.mark.parametrize("edge", WHEN)
def test_a_cut_without_one_of_its_looks_is_not_proven(edge: str) -> None:
    story = Story().core().partition()
    story.events = [
        one for one in story.events if (one["kind"], one.get("edge")) != ("fault.probed", edge)
    ]
    assert verdict(story) == (
        Verdict.INCONCLUSIVE,
        f"fault cut is not proven: no probes were sent {WHEN[edge]}",
    )


def test_an_effect_that_was_not_seen_again_before_the_heal_is_not_proven() -> None:
    for story in (Story().core().partition(), Story().core().fault(watched=True)):
        assert verdict(story)[0] is Verdict.PASS
        held = [one for one in story.events if one.get("edge") == "held" and "node" in one]
        for told in held:
            at_ns = told["at_ns"]
            for wrong_ns in (ns(3.9), ns(7.0)):
                told["at_ns"] = wrong_ns
                found, detail = verdict(story)
                assert found is Verdict.INCONCLUSIVE
                assert f"not observed again right before the heal at {told['node']}" in detail
            told["at_ns"] = at_ns
        story.events = [one for one in story.events if one not in held]
        assert verdict(story)[0] is Verdict.INCONCLUSIVE


def test_an_effect_that_had_gone_before_the_heal_is_said_to_be_so() -> None:
    story = Story().core().partition()
    facts = {"fault": "cut", "message": "the cut let something through", "edge": "held"}
    story.event(5.8, "fault.failed", **facts)
    found, detail = verdict(story)
    assert found is Verdict.INCONCLUSIVE
    assert "holding failed: the cut let something through" in detail


def test_a_cut_without_any_look_is_not_proven() -> None:
    story = Story().core().partition()
    story.events = [one for one in story.events if one["kind"] != "fault.probed"]
    assert verdict(story)[0] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("edge", ["during", "held"])
def test_a_cut_that_let_one_probe_through_is_not_proven(edge: str) -> None:
    story = Story().core().partition()
    next(one for one in look(story, edge) if one["cut"])["received"] = 1
    found, detail = verdict(story)
    assert found is Verdict.INCONCLUSIVE
    assert f"{WHEN[edge]}, something passed over n1->n2" in detail


@pytest.mark.parametrize("edge", WHEN)
def test_an_other_link_that_lost_a_probe_is_against_the_cut(edge: str) -> None:
    story = Story().core().partition()
    link = next(one for one in look(story, edge) if not one["cut"])
    link["received"] = 2
    found, detail = verdict(story)
    assert found is Verdict.INCONCLUSIVE
    assert f"{WHEN[edge]}, not every probe passed over {link['from']}->{link['to']}" in detail


def test_a_look_at_no_cut_link_or_without_probes_proves_nothing() -> None:
    story = Story().core().partition()
    for link in look(story, "during"):
        link["cut"] = False
        link["received"] = 3
    assert "no cut link was probed" in verdict(story)[1]
    story = Story().core().partition()
    for link in look(story, "during"):
        link["sent"] = link["received"] = 0
    assert "during the cut, no probe was sent over" in verdict(story)[1]


def test_after_the_heal_a_link_may_be_closed_only_by_another_cut_that_still_holds() -> None:
    def healed_under(other_heals: float | None) -> tuple[Verdict, str]:
        story = Story().core().partition("cut", heal=6.0)
        for link in look(story, "after"):
            link["cut"], link["received"] = True, 0
        if other_heals is not None:
            story.partition("other", at=4.5, heal=other_heals)
        return verdict(story)

    assert healed_under(7.0)[0] is Verdict.PASS
    for other_heals in (None, 5.5):
        found, detail = healed_under(other_heals)
        assert found is Verdict.INCONCLUSIVE
        assert "after the cut, nothing passed over n1->n2, n2->n1" in detail


def measured(story: Story) -> int:
    history = story.history()
    result = judge_failover(Case(history.iterations[0], history.scenario))
    return result.samples["detection_time"].select({}).n


def test_a_hit_strikes_only_clients_of_its_groups() -> None:
    def cut(groups: list[str]) -> Story:
        return Story().core().partition(groups=groups)

    assert measured(cut([])) == 0
    assert measured(cut(["hello-publishers"])) == 1
    assert measured(cut(["hello-publishers", "hello-subscribers"])) == 2


def test_a_client_that_a_cut_did_not_strike_lost_its_connection_unexplained() -> None:
    story = Story().core().partition(groups=["hello-subscribers"]).failover(PUBLISHER, 4.5, 4.6)
    history = story.history()
    result = judge_failover(Case(history.iterations[0], history.scenario))
    assert any("though no fault had struck that server" in note for note in result.notes)


def test_a_client_that_did_not_notice_a_cut_before_its_heal_has_a_bound() -> None:
    history = Story().core().partition(groups=["hello-publishers"]).history()
    result = judge_failover(Case(history.iterations[0], history.scenario))
    found = result.samples["detection_time"].select({})
    assert (found.n, found.censored) == (1, 1)
    assert found.bounds[0] == pytest.approx(1.99)  # from the cut to the undo that was seen


def test_old_histories_without_the_new_facts_judge_as_before() -> None:
    def bound(action: str) -> float:
        history = Story().core().fault("old", action).history()
        hit = history.iterations[0].faults[0].hits[0]
        assert hit.groups is None
        assert hit.silent == (action == "pause")
        result = judge_failover(Case(history.iterations[0], history.scenario))
        return float(result.samples["detection_time"].select({}).bounds[0])

    assert bound("pause") == pytest.approx(2.0)
    assert bound("kill") == 0.0


def test_the_report_shows_the_probes_of_each_link() -> None:
    history = Story().core().partition().history()
    (fault,) = build(history, judge(history)).iterations[0].faults
    looks = [one for one in fault.proof if one.kind == "probes"]
    assert [one.what.partition(":")[0] for one in looks] == ["before", "during", "held", "after"]
    assert looks[1].links is not None
    assert [(one.cut, one.received) for one in looks[1].links] == [
        (False, 3),
        (True, 0),
        (True, 0),
    ]
