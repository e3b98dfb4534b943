from __future__ import annotations

import pytest
from story import Story, ns

from harness.checks.base import Case, Finding, Verdict
from harness.checks.expectation import judge_expectations
from harness.checks.leadership import judge_leadership
from harness.checks.stalls import judge_stalls
from harness.stats.distribution import Distribution

NAMES = ("n1", "n2", "n3")


class Led(Story):
    def says(self, at: float, node: str, leader: str | None, group: str = "stream:S") -> Led:
        facts = {"group": group, "leader": leader, "node": node, "from_ns": ns(at - 0.002)}
        self.event(at, "jetstream.leader", **facts)
        return self

    def all_say(self, at: float, leader: str | None) -> Led:
        for node in NAMES:
            self.says(at, node, leader)
        return self

    def created(self, replicas: int = 3) -> Led:
        config = {"name": "S", "num_replicas": replicas}
        self.event(0.5, "stream.created", stream="S", config=config, leader="n1", replicas=[])
        return self

    def lag(self, at: float, node: str, **lags: int | None) -> Led:
        streams = {"S": {"messages": 1, "first_seq": 1, "last_seq": 1, "lag": lags}}
        facts = {"node": node, "from_ns": ns(at - 0.002), "streams": streams, "consumers": {}}
        self.event(at, "jetstream.sampled", **facts)
        return self

    def reads(self, at: float, consumed: int, pending: int, node: str = "n1") -> Led:
        told = {"consumer_seq": consumed, "ack_floor": consumed, "pending": pending}
        consumers = {"S/C": told | {"ack_pending": 0, "delivered": consumed, "redelivered": 0}}
        facts = {"node": node, "from_ns": ns(at - 0.002), "streams": {}, "consumers": consumers}
        self.event(at, "jetstream.sampled", **facts)
        return self

    def case(self, **expect: bool) -> Case:
        history = self.history()
        scenario = dict(history.scenario)
        if expect:
            scenario["faults"] = [one | {"expect": expect} for one in scenario["faults"]]
        return Case(history.iterations[0], scenario)


def story() -> Led:
    told = Led()
    told.core()
    told.created()
    return told.all_say(1.0, "n1")


def measured(told: Led, name: str) -> Distribution:
    return judge_leadership(told.case()).samples[name].select({})


def elections(told: Led) -> tuple[list[float], int]:
    found = measured(told, "leader_election_time")
    return [round(float(one), 3) for one in found.bounds], found.censored


def stalls(told: Led) -> tuple[list[float], int]:
    found = judge_stalls(told.case()).samples["consumer_stalls"].select({})
    return [round(float(one), 3) for one in found.bounds], found.censored


def test_an_election_counts_from_the_hit_that_took_the_leader_away() -> None:
    told = story()
    told.fault("k", "kill", ["n1"], at=4.0, heal=6.0)
    assert elections(told.says(4.2, "n2", None).says(5.5, "n2", "n2")) == ([1.5], 0)


def test_an_advisory_tells_of_a_leader_before_the_next_look_does() -> None:
    told = story()
    told.fault("k", "kill", ["n1"], at=4.0, heal=6.0)
    told.event(
        4.7,
        "jetstream.advisory",
        node="n3",
        advisory="stream_leader_elected",
        stream="S",
        leader="n3",
    )
    assert elections(told.says(4.9, "n3", "n3")) == ([0.7], 0)


def test_a_leader_that_is_gone_for_good_is_a_lower_bound() -> None:
    told = story()
    told.fault("k", "kill", ["n1"], at=4.0, heal=6.0)
    (value,), censored = elections(told.says(4.2, "n2", None).says(4.2, "n3", None))
    assert value == pytest.approx(6.0, abs=0.1)
    assert censored == 1


def test_a_hit_that_leaves_the_leader_alone_is_no_election() -> None:
    told = story()
    told.fault("k", "kill", ["n2"], at=4.0, heal=6.0)
    assert elections(told.says(6.1, "n2", "n1")) == ([], 0)


def test_a_leader_that_comes_back_after_its_process_ended_is_a_new_one() -> None:
    told = story()
    told.fault("k", "kill", ["n1"], at=4.0, heal=6.0)
    told.event(4.0, "server.exited", node="n1", returncode=-9, expected=True)
    assert elections(told.says(6.2, "n1", "n1")) == ([2.2], 0)


def test_without_a_fault_it_counts_from_when_nobody_was_seen_to_lead() -> None:
    told = story().says(5.0, "n3", None).says(5.2, "n2", None).says(5.6, "n2", "n2")
    assert elections(told) == ([0.6], 0)
    (row,) = judge_leadership(told.case()).samples["leader_election_time"].labels["fault"].names
    assert row == "none"


def test_who_had_only_lost_sight_of_the_leader_does_not_date_a_later_hand_over() -> None:
    told = story().says(3.0, "n3", None).says(4.0, "n3", "n1").says(7.0, "n2", "n2")
    assert elections(told) == ([], 0)


def test_what_the_audit_does_to_leaders_is_not_judged() -> None:
    told = story()
    told.phases["audit"] = 9.5
    assert elections(told.says(9.6, "n3", None).says(9.7, "n2", "n2")) == ([], 0)


def test_catching_up_ends_when_the_leader_calls_all_replicas_current() -> None:
    told = story()
    told.fault("k", "kill", ["n2"], at=4.0, heal=6.0)
    told.lag(6.25, "n1", n2=None, n3=0).lag(6.5, "n1", n2=40, n3=0).lag(6.75, "n1", n2=0, n3=0)
    found = measured(told, "replica_catchup_time")
    assert list(found.bounds) == pytest.approx([0.75])
    assert found.censored == 0


def test_what_a_deposed_leader_says_of_replicas_counts_for_nothing() -> None:
    told = story().says(4.5, "n2", "n2")
    told.fault("cut", "kill", ["n1"], at=4.0, heal=6.0)
    told.lag(6.1, "n1", n2=0, n3=0).lag(7.0, "n2", n1=0, n3=0)
    assert list(measured(told, "replica_catchup_time").bounds) == pytest.approx([1.0])


def elected(told: Led, at: float, leader: str) -> Led:
    facts = {"advisory": "stream_leader_elected", "stream": "S", "leader": leader}
    told.event(at, "jetstream.advisory", node="n3", **facts)
    return told


def test_a_server_that_just_started_and_calls_itself_the_leader_does_not_lead() -> None:
    told = story()
    told.fault("k", "kill", ["n1"], at=4.0, heal=6.0)
    told.event(4.0, "server.exited", node="n1", returncode=-9, expected=True)
    elected(told, 5.0, "n2").says(5.1, "n2", "n2").says(5.1, "n3", "n2")
    told.says(6.1, "n1", "n1").says(6.4, "n1", "n2").lag(6.5, "n2", n1=0, n3=0)
    assert elections(told) == ([1.0], 0)
    assert list(measured(told, "replica_catchup_time").bounds) == pytest.approx([0.5])


def test_a_leader_that_comes_back_before_an_election_leads_only_once_it_is_elected() -> None:
    told = story()
    told.fault("k", "kill", ["n1"], at=4.0, heal=4.5)
    told.event(4.0, "server.exited", node="n1", returncode=-9, expected=True)
    told.says(4.6, "n1", "n1").says(4.9, "n1", None)
    assert elections(elected(told, 9.0, "n1").says(9.1, "n1", "n1")) == ([5.0], 0)


@pytest.mark.parametrize("supported", ["an advisory", "another node"])
def test_a_short_lead_that_somebody_else_knows_of_counts(supported: str) -> None:
    told = story()
    told.fault("k", "kill", ["n1"], at=4.0, heal=9.0)
    told.says(5.0, "n2", "n2")
    _ = elected(told, 5.1, "n2") if supported == "an advisory" else told.says(5.1, "n3", "n2")
    assert elections(told.says(5.5, "n2", None)) == ([1.0], 0)


def test_a_leader_that_others_named_before_it_was_looked_at_led() -> None:
    told = Led()
    told.core()
    told.created().says(1.0, "n1", "n3").says(1.1, "n2", "n3").says(1.2, "n3", "n3")
    told.fault("cut", "kill", ["n3"], at=4.0, heal=9.0)
    told.says(6.0, "n3", None).says(6.5, "n1", "n1").says(6.6, "n2", "n1")
    assert elections(told) == ([2.5], 0)


def test_what_others_said_before_a_process_ended_does_not_support_its_claim() -> None:
    told = story()
    told.fault("k", "kill", ["n1"], at=4.0, heal=4.5)
    told.event(4.0, "server.exited", node="n1", returncode=-9, expected=True)
    told.says(4.6, "n1", "n1").says(4.9, "n1", None).says(5.0, "n2", None).says(5.0, "n3", None)
    assert elections(elected(told, 9.0, "n2").says(9.1, "n2", "n2")) == ([5.0], 0)


def test_a_claim_that_nobody_supports_changes_no_leader() -> None:
    told = story()
    told.fault("k", "kill", ["n1"], at=4.0, heal=6.0)
    told.says(5.0, "n2", "n2").says(5.3, "n2", "n1")
    assert judged(told, leader_changed=True).verdict is Verdict.INCONCLUSIVE


def test_a_replica_that_never_catches_up_is_a_lower_bound() -> None:
    told = story()
    told.fault("k", "kill", ["n2"], at=4.0, heal=6.0)
    found = measured(told.lag(6.5, "n1", n2=None, n3=0), "replica_catchup_time")
    assert found.censored == 1
    assert found.bounds[0] == pytest.approx(4.0, abs=0.1)


def test_a_consumer_without_progress_while_messages_wait_has_stalled() -> None:
    told = story().reads(4.0, 10, 5).reads(4.25, 10, 9).reads(5.0, 10, 20).reads(5.25, 25, 0)
    assert stalls(told) == ([0.998], 0)


def test_a_stall_that_lasts_to_the_end_is_a_lower_bound() -> None:
    assert stalls(story().reads(4.0, 10, 5).reads(6.0, 10, 5)) == ([1.998], 1)


def test_looks_that_come_late_make_no_stall() -> None:
    told = story().reads(4.0, 10, 5).reads(8.0, 900, 3).reads(8.25, 950, 0)
    assert stalls(told) == ([0.0], 0)


def test_a_consumer_for_which_nothing_waits_stands_still_for_good_reason() -> None:
    assert stalls(story().reads(4.0, 10, 0).reads(8.0, 10, 0)) == ([0.0], 0)


def judged(told: Led, **expect: bool) -> Finding:
    (finding,) = judge_expectations(told.case(**expect)).findings
    return finding


def test_an_expectation_that_is_met_passes() -> None:
    told = story()
    told.fault("k", "kill", ["n1"], at=4.0, heal=6.0)
    found = judged(told.says(5.0, "n2", "n2"), leader_changed=True)
    assert found.verdict is Verdict.PASS
    assert "stream:S went from n1 to n2" in found.detail


@pytest.mark.parametrize(("node", "why"), [("n1", "the same leader"), ("n2", "led anything")])
def test_an_expectation_that_is_not_met_is_inconclusive(node: str, why: str) -> None:
    told = story()
    told.fault("k", "pause", [node], at=4.0, heal=6.0)
    found = judged(told, leader_changed=True)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert why in found.detail


def test_a_leader_that_was_to_stay_and_went_is_inconclusive() -> None:
    told = story()
    told.fault("k", "pause", ["n1"], at=4.0, heal=6.0)
    assert judged(told, leader_changed=False).verdict is Verdict.PASS
    told.says(5.0, "n2", "n2")
    assert judged(told, leader_changed=False).verdict is Verdict.INCONCLUSIVE


def test_an_expectation_of_a_fault_that_never_was_is_judged_by_its_proof() -> None:
    told = story()
    told.faults.append({"name": "k", "action": "kill"})
    assert judge_expectations(told.case(leader_changed=True)).findings == ()


def test_who_is_cut_off_does_not_date_the_leaders_own_fall() -> None:
    told = story().says(3.0, "n3", None).says(6.0, "n1", None).says(7.0, "n2", "n2")
    assert elections(told) == ([1.0], 0)


def cut_apart(told: Led, node: str, peers: list[str]) -> Led:
    told.fault("c", "partition", [node], at=4.0, heal=6.0)
    for place, name in enumerate([node, *peers]):
        others = peers if place == 0 else [node]
        told.event(4.0, "fault.hit", fault="c", action="partition", node=name, peers=others)
    return told


def test_a_leader_that_loses_one_of_two_peers_is_not_struck_by_that() -> None:
    told = story()
    told.event(0.5, "stream.created", stream="S", leader="n1", replicas=["n1", "n2", "n3"])
    told = cut_apart(told, "n3", ["n1", "n2"]).says(7.0, "n1", None).says(7.5, "n2", "n2")
    found = judge_leadership(told.case()).samples["leader_election_time"]
    assert elections(told) == ([0.5], 0)
    assert found.labels["fault"].names == ("none",)
