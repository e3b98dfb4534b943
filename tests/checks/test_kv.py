from __future__ import annotations

from typing import Any

import pytest
from store_story import CYCLE, AuditedStory, StoreStory, without
from story import ns

from harness.checks import judge
from harness.checks.base import Case, Finding, Result, Verdict
from harness.checks.judgement import Judgement
from harness.checks.kv import METRICS, judge_kv
from harness.checks.linearizability.recorded import FINAL
from harness.history.tables import Answer, Integrity, Operation
from harness.load.ledger import OperationRow
from harness.stats.labelled import Count


def result(story: StoreStory) -> Result:
    history = story.history()
    return judge_kv(Case(history.iterations[0], history.scenario))


def count(story: StoreStory, metric: str, **labels: str) -> Count:
    return result(story).tallies[metric].select(labels)


def judged(story: StoreStory, **thresholds: list[str]) -> Judgement:
    story.thresholds = dict(thresholds)
    return judge(story.history())


def own(judgement: Judgement) -> list[Finding]:
    return [one for one in judgement.findings if one.check == "kv"]


def is_final(row: OperationRow) -> bool:
    return row.sequence == FINAL


def is_get(row: OperationRow) -> bool:
    return row.operation is Operation.GET and row.sequence != FINAL


def lose(story: StoreStory, key: int = 0) -> StoreStory:
    """Let the last look see the write before the last."""
    older = story.writes_of(key)[-2]
    story.spoil(
        lambda row: is_final(row) and row.key == key,
        writer=older.client,
        written=older.sequence,
        revision=older.revision,
    )
    return story


def make_stale(story: StoreStory) -> StoreStory:
    """Let a late get see the first write of its key."""
    first = story.writes_of(0)[0]
    story.spoil(
        lambda row: is_get(row) and row.key == 0 and row.invoked_ns > ns(5.0),
        writer=first.client,
        written=first.sequence,
        revision=first.revision,
    )
    return story


def test_a_bucket_that_behaves_passes_with_nothing_of_everything() -> None:
    story = StoreStory().kv(users=2, watchers=2)
    judgement = judged(story, **{metric: ["count == 0"] for metric in METRICS})
    assert judgement.verdict is Verdict.PASS, judgement.findings
    for metric in METRICS:
        assert count(story, metric).count == 0
    writes = sum(operation is not Operation.GET for operation in CYCLE) / len(CYCLE)
    assert count(story, "kv_lost").of == 800 * writes
    assert count(story, "kv_conflicts").of == 160
    assert count(story, "kv_violations").of == 2
    assert count(story, "kv_violations", guarantee="writes").of == 2
    assert count(story, "watch_gaps").of == 4


def test_without_a_kv_workload_it_says_nothing() -> None:
    found = result(StoreStory().objects())
    assert (found.findings, found.notes) == ((), ())
    assert {tally.cells for tally in found.tallies.values()} == {()}


def test_an_acknowledged_write_that_is_gone_in_the_end_fails_the_run() -> None:
    story = lose(StoreStory().kv())
    assert count(story, "kv_lost").count == 1
    assert count(story, "kv_violations", guarantee="writes").count == 1
    assert count(story, "kv_violations").count == 1
    judgement = judged(story)
    assert judgement.verdict is Verdict.FAIL
    (finding,) = own(judgement)
    assert finding.detail.startswith("cfg: a write that had succeeded is gone: on key-0:\n #1 ")
    assert "get (at the end)" in finding.detail
    assert len(finding.detail.splitlines()) == 4


def test_a_threshold_decides_how_much_may_be_lost() -> None:
    judgement = judged(lose(StoreStory().kv()), kv_lost=["count <= 1"])
    assert judgement.verdict is Verdict.PASS
    assert any("a write that had succeeded is gone" in note for note in judgement.notes)
    assert judged(lose(StoreStory().kv()), kv_lost=["count == 0"]).verdict is Verdict.FAIL
    # One that speaks of something else does not.
    assert judged(lose(StoreStory().kv()), kv_conflicts=["count == 0"]).verdict is Verdict.FAIL


def test_a_write_that_may_not_have_happened_is_not_lost() -> None:
    story = lose(StoreStory().kv())
    last = story.writes_of(0)[-1]
    story.spoil(lambda row: row is last, answer=Answer.UNKNOWN, revision=0)
    story = without(
        story, lambda row: is_get(row) and row.revision == last.revision and row.key == 0
    )
    assert count(story, "kv_lost").count == 0
    assert judged(story).verdict is Verdict.PASS


def test_an_old_get_of_the_leader_is_told_and_fails_only_by_a_threshold() -> None:
    story = make_stale(StoreStory().kv(replicas=3))
    assert count(story, "kv_stale_reads", read="leader").count == 1
    assert count(story, "kv_violations", guarantee="reads").count == 1
    assert count(story, "kv_violations", guarantee="writes").count == 0
    judgement = judged(story)
    assert judgement.verdict is Verdict.PASS
    assert any("NATS promises no more" in note for note in judgement.notes)
    assert judged(story, kv_stale_reads=["count == 0"]).verdict is Verdict.FAIL
    assert judged(story, kv_violations=["count == 0"]).verdict is Verdict.FAIL
    assert judged(story, **{"kv_violations{guarantee:writes}": ["count == 0"]}).verdict is (
        Verdict.PASS
    )


def test_an_old_get_of_any_replica_is_legal_and_counted_by_itself() -> None:
    story = make_stale(StoreStory().kv(direct=True))
    assert count(story, "kv_stale_reads", read="replica").count == 1
    assert count(story, "kv_stale_reads", read="leader").count == 0
    assert count(story, "kv_violations").count == 0
    assert judged(story, kv_violations=["count == 0"]).verdict is Verdict.PASS


def test_two_updates_on_one_revision_fail_the_run() -> None:
    story = StoreStory().kv()
    updates = [row for row in story.rows if row.operation is Operation.UPDATE and row.key == 0]
    story.spoil(lambda row: row is updates[1], expected=updates[0].expected)
    assert count(story, "kv_conflicts").count == 1
    (finding,) = own(judged(story))
    assert finding.verdict is Verdict.FAIL
    assert f"update if revision {updates[0].expected}" in finding.detail


def test_an_update_that_was_answered_with_a_conflict_is_a_success_of_the_load() -> None:
    story = StoreStory().kv()
    last = story.writes_of(0)[-1]
    assert last.operation is Operation.DELETE
    story = without(story, lambda row: row == last)
    story.rows.append(
        last._replace(operation=Operation.UPDATE, answer=Answer.CONFLICT, expected=1, revision=0)
    )
    older = story.writes_of(0)[-2]
    told = {"writer": older.client, "written": older.sequence, "revision": older.revision}
    story.spoil(lambda row: is_final(row) and row.key == 0, **told)
    judgement = judged(story, refused=["count == 0"], kv_violations=["count == 0"])
    assert judgement.verdict is Verdict.PASS


@pytest.mark.parametrize("answer", [Answer.CONFLICT, Answer.REFUSED])
def test_a_refused_write_that_was_seen_fails_the_run(answer: Answer) -> None:
    story = StoreStory().kv()
    update = story.spoil(lambda row: row.operation is Operation.UPDATE, answer=answer, revision=0)
    assert (count(story, "kv_denied").count, count(story, "kv_denied").of) == (1, 1)
    assert count(story, "kv_lost").count == 0
    (finding,) = own(judged(story))
    assert finding.verdict is Verdict.FAIL
    assert f"update if revision {update.expected} -> {answer.name.lower()}" in finding.detail
    assert judged(story, kv_denied=["count <= 1"]).verdict is Verdict.PASS
    assert judged(story, kv_denied=["count == 0"]).verdict is Verdict.FAIL


@pytest.mark.parametrize("integrity", [Integrity.CORRUPTED, Integrity.FOREIGN])
def test_a_damaged_value_is_nobodys(integrity: Integrity) -> None:
    story = StoreStory().kv()
    story.spoil(is_get, integrity=integrity, answer=Answer.DONE, revision=1)
    (finding,) = own(judged(story))
    assert finding.verdict is Verdict.FAIL
    assert "a get saw what nobody had written" in finding.detail


def test_two_keys_with_one_revision_are_a_lost_write() -> None:
    story = StoreStory().kv()
    other = story.writes_of(1)[0]
    wanted = story.writes_of(0)[0]
    story.rows = [
        row._replace(revision=other.revision)
        if row.key == 0 and row.revision == wanted.revision
        else row
        for row in story.rows
    ]
    assert count(story, "kv_lost").count >= 1
    assert judged(story).verdict is Verdict.FAIL


def test_rows_that_are_missing_leave_it_open() -> None:
    story = lose(StoreStory().kv())
    story.broken_columns["cfg-users"] = "the file ends at byte 7"
    assert {one.verdict for one in own(judged(story))} == {Verdict.INCONCLUSIVE}
    judgement = judged(story, kv_lost=["count == 0"])
    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_a_key_that_could_not_be_looked_at_leaves_it_open() -> None:
    story = without(StoreStory().kv(), lambda row: is_final(row) and row.key == 1)
    assert count(story, "kv_lost").at_least
    judgement = judged(story, kv_lost=["count == 0"])
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert any("the last state of 1 key(s)" in one.detail for one in own(judgement))


def test_a_watcher_that_is_told_nothing_any_more_has_gaps() -> None:
    def told_later(row: OperationRow) -> bool:
        return row.operation is Operation.WATCH and row.returned_ns > ns(6.0)

    story = without(StoreStory().kv(watchers=1), told_later)
    assert (count(story, "watch_gaps").count, count(story, "watch_gaps").of) == (2, 2)
    judgement = judged(story)
    assert judgement.verdict is Verdict.PASS
    assert any("2 gap(s) in what watchers were told" in note for note in judgement.notes)
    assert judged(story, watch_gaps=["count == 0"]).verdict is Verdict.FAIL


def test_a_watcher_that_is_told_an_older_revision_later_has_a_gap() -> None:
    story = StoreStory().kv(watchers=1)
    told = [row for row in story.rows if row.operation is Operation.WATCH and row.key == 0]
    story.rows.append(told[3]._replace(returned_ns=ns(9.2), invoked_ns=ns(9.2)))
    assert count(story, "watch_gaps").count == 1
    # To be told what it was told just now is no going back.
    story.rows[-1] = told[-1]._replace(returned_ns=ns(9.2), invoked_ns=ns(9.2))
    assert count(story, "watch_gaps").count == 0


def test_what_a_watcher_was_told_shows_that_a_write_was_there() -> None:
    story = lose(StoreStory().kv(watchers=1))
    last = story.writes_of(0)[-1]
    story.spoil(lambda row: row is last, answer=Answer.UNKNOWN, revision=0)
    assert count(story, "kv_lost").count == 1


def test_a_run_without_revisions_is_searched_and_may_stay_undecided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = StoreStory().kv()
    story.rows = [row._replace(revision=0) if not row.expected else row for row in story.rows]
    story.rows = [
        row._replace(operation=Operation.PUT, expected=0, revision=0) if row.expected else row
        for row in story.rows
    ]
    assert judged(story, kv_violations=["count == 0"]).verdict is Verdict.PASS
    monkeypatch.setattr("harness.checks.linearizability.registers.LIMIT", 10)
    monkeypatch.setattr("harness.checks.kv.judge_bucket", _given_up)
    judgement = judged(story, kv_violations=["count == 0"])
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert any("the search was given up" in one.detail for one in own(judgement))


def _given_up(operations: Any, **facts: Any) -> object:
    from harness.checks.linearizability.registers import judge_bucket

    return judge_bucket(operations, limit=10, **facts)


def test_answers_of_the_servers_are_arrivals_in_the_report() -> None:
    judgement = judge(StoreStory().kv().history())
    assert sum(judgement.iterations[0].rate[2]) == 800


@pytest.mark.parametrize(
    "text",
    ["kv_lost{workload:other}", "kv_violations{guarantee:reads}", "kv_violations{workload:o}"],
)
def test_a_threshold_decides_only_about_what_it_selects(text: str) -> None:
    judgement = judged(lose(StoreStory().kv()), **{text: ["count == 0"]})
    assert [one.verdict for one in own(judgement)] == [Verdict.FAIL]
    for chosen in ("kv_lost{workload:cfg}", "kv_violations{guarantee:writes}"):
        judgement = judged(lose(StoreStory().kv()), **{chosen: ["count <= 1"]})
        assert judgement.verdict is Verdict.PASS


def forget(story: StoreStory) -> None:
    """Let a late get of the first key find it empty, which is written again after it."""
    late = [row for row in story.rows if is_get(row) and row.key == 0 and row.invoked_ns > ns(5.0)]
    nothing = {"writer": 0, "written": 0, "revision": 0}
    story.spoil(lambda row: row is late[0], answer=Answer.ABSENT, **nothing)


def test_a_value_that_vanished_from_the_only_replica_is_lost_though_it_is_written_again() -> None:
    story = StoreStory().kv()
    forget(story)
    last = [row for row in story.writes_of(0) if row.returned_ns < ns(5.0)][-1]
    # Whoever saw it after that did not see it again, but what had been written anew.
    story = without(story, lambda row: is_get(row) and row.revision >= last.revision)
    assert count(story, "kv_lost").count >= 1
    assert count(story, "kv_stale_reads", read="leader").count == 0
    judgement = judged(story)
    assert judgement.verdict is Verdict.FAIL
    (finding,) = own(judgement)
    assert finding.detail.startswith("cfg: a write that had succeeded is gone: ")
    assert "get -> never written" in finding.detail
    assert judged(story, kv_lost=["ratio < 100%"]).verdict is Verdict.PASS
    assert not any("NATS promises" in note for note in judgement.notes)


def test_of_several_replicas_a_deposed_leader_may_have_answered() -> None:
    story = StoreStory().kv(replicas=3)
    forget(story)
    assert count(story, "kv_lost").count == 0
    assert judged(story).verdict is Verdict.PASS


def test_the_only_replica_that_answers_too_old_is_broken_though_nothing_is_lost() -> None:
    story = AuditedStory()
    story.kv(history=64)
    story.hold("KV_cfg", "n1", history=64)
    older = story.writes_of(0)[-3]
    told = {"writer": older.client, "written": older.sequence, "revision": older.revision}
    story.spoil(lambda row: is_final(row) and row.key == 0, **told)
    assert count(story, "kv_lost").count == 0
    assert count(story, "kv_stale_reads", read="leader").count == 1
    assert count(story, "kv_violations", guarantee="writes").count == 1
    assert count(story, "kv_violations", guarantee="reads").count == 0
    (finding,) = own(judged(story))
    assert finding.verdict is Verdict.FAIL
    assert f"get (at the end) -> revision {older.revision}" in finding.detail
    assert judged(story, **{"kv_stale_reads{read:leader}": ["count <= 1"]}).verdict is Verdict.PASS
    assert judged(story, **{"kv_stale_reads{read:replica}": ["count <= 1"]}).verdict is (
        Verdict.FAIL
    )


def test_an_old_get_that_any_replica_may_answer_is_legal_with_one_replica_too() -> None:
    story = StoreStory().kv(direct=True)
    forget(story)
    assert judged(story).verdict is Verdict.PASS


HISTORY = 64


def audited(*nodes: str, history: int = HISTORY, **facts: Any) -> AuditedStory:
    story = AuditedStory()
    story.kv(history=history, **facts)
    story.hold("KV_cfg", *(nodes or ("n1",)), history=history)
    return story


@pytest.mark.parametrize("history", [1, 3, HISTORY])
def test_replicas_that_hold_what_clients_were_told_pass(history: int) -> None:
    story = audited("n1", "n2", "n3", history=history, replicas=3, watchers=1)
    judgement = judged(story, **{metric: ["count == 0"] for metric in METRICS})
    assert judgement.verdict is Verdict.PASS, judgement.findings
    assert count(story, "kv_violations").of == 2
    assert count(story, "kv_lost").of == 480


def drop(story: AuditedStory, at: int) -> tuple[int, ...]:
    """Take a message out of every replica, counted from the oldest."""
    return [rows.pop(at) for rows in story.audited.values()][-1]


def test_acknowledged_revisions_that_the_history_lacks_are_lost() -> None:
    story = audited(history=6)
    gone = [drop(story, 2) for _ in range(3)]
    assert (count(story, "kv_lost").count, count(story, "kv_lost").at_least) == (3, False)
    assert count(story, "kv_violations", guarantee="writes").count >= 1
    (finding,) = own(judged(story))
    assert finding.verdict is Verdict.FAIL
    assert "a write that the history of its key should hold is in no replica" in finding.detail
    assert f"revision {gone[0][2]}" in finding.detail
    assert judged(story, kv_lost=["count <= 3"]).verdict is Verdict.PASS
    assert judged(story, kv_lost=["count <= 2"]).verdict is Verdict.FAIL


def test_what_one_of_several_replicas_lacks_is_not_lost() -> None:
    story = audited("n1", "n2", "n3", replicas=3)
    story.audited["KV_cfg", "n3"].pop(3)
    assert count(story, "kv_lost").count == 0


def test_what_no_replica_holds_is_not_known_unless_all_were_read() -> None:
    story = audited("n1", "n2", replicas=3)
    drop(story, 3)
    assert count(story, "kv_lost").count == 0
    assert judged(story).verdict is Verdict.INCONCLUSIVE


def test_what_later_messages_pushed_out_is_not_lost() -> None:
    story = audited(history=3)
    rows = story.audited["KV_cfg", "n1"]
    # A write of an open outcome came last, and the oldest of that key went for it.
    key = story.writes_of(0)
    story.spoil(lambda row: row == key[-1], answer=Answer.UNKNOWN, revision=0)
    late = key[-1]
    assert (late.client, late.sequence) in {row[:2] for row in rows}
    assert count(story, "kv_lost").count == 0
    assert judged(story).verdict is Verdict.PASS
    # Nobody knows of which key a foreign message is: it may be what pushed one out.
    drop(story, 0)
    rows.append((0, 0, max(row[2] for row in rows) + 1, int(Integrity.FOREIGN)))
    assert count(story, "kv_lost").count == 0
    assert judged(story).verdict is Verdict.FAIL


def test_a_write_is_counted_once_as_lost() -> None:
    story = audited()
    lose(story)
    last = story.writes_of(0)[-1]
    rows = story.audited["KV_cfg", "n1"]
    rows[:] = [row for row in rows if row[2] != last.revision]
    assert count(story, "kv_lost").count == 1


def test_a_bucket_that_is_gone_has_lost_every_write() -> None:
    story = audited(history=3)
    story.audited.clear()
    story.gone = [("KV_cfg", None)]
    gone: Any = without(story, is_final)
    for told in (gone, story):  # also of what the last look had still seen
        assert (count(told, "kv_lost").count, count(told, "kv_lost").at_least) == (480, False)
        (finding,) = own(judged(told))
        assert finding.verdict is Verdict.FAIL
        assert "audit  get (at the end) -> never written" in finding.detail


@pytest.mark.parametrize("integrity", [Integrity.CORRUPTED, Integrity.FOREIGN])
def test_a_stored_value_that_nobody_wrote_fails_the_run(integrity: Integrity) -> None:
    story = audited()
    rows = story.audited["KV_cfg", "n1"]
    rows.append((12345, 6, max(row[2] for row in rows) + 1, int(integrity)))
    assert count(story, "kv_violations", guarantee="writes").count == 1
    (finding,) = own(judged(story))
    assert finding.verdict is Verdict.FAIL
    assert finding.detail.startswith("cfg: a get saw what nobody had written: on an unknown key:\n")
    assert "replica n1  holds (at the end) -> revision" in finding.detail
    # What is damaged where a client had written is of that client's key.
    story = audited()
    rows = story.audited["KV_cfg", "n1"]
    rows[2] = (*rows[2][:3], int(integrity))
    (finding,) = own(judged(story))
    assert "nobody had written: on key-" in finding.detail
    assert count(story, "kv_lost").count == 0


def test_a_write_that_is_stored_twice_fails_the_run() -> None:
    story = audited()
    rows = story.audited["KV_cfg", "n1"]
    rows.append((*rows[4][:2], max(row[2] for row in rows) + 1, 0))
    (finding,) = own(judged(story))
    assert finding.verdict is Verdict.FAIL
    assert "one write has two revisions" in finding.detail


def test_a_refused_write_that_is_stored_is_counted_and_fails_the_run() -> None:
    story = audited(mix={"put": 1})
    last = story.writes_of(0)[-1]
    story.spoil(lambda row: row == last, answer=Answer.REFUSED, revision=0)
    older = story.writes_of(0)[-2]
    told = {"writer": older.client, "written": older.sequence, "revision": older.revision}
    story.spoil(lambda row: is_final(row) and row.key == 0, **told)
    story = without(story, lambda row: is_get(row) and row.revision == last.revision)  # type: ignore[assignment]
    assert (count(story, "kv_denied").count, count(story, "kv_denied").of) == (1, 1)
    (finding,) = own(judged(story))
    assert finding.verdict is Verdict.FAIL
    assert judged(story, kv_denied=["count == 0"]).verdict is Verdict.FAIL
    assert judged(story, kv_denied=["count <= 1"]).verdict is Verdict.PASS


def test_two_writes_with_one_revision_fail_the_run() -> None:
    story = audited("n1", "n2", "n3", replicas=3)
    rows = story.audited["KV_cfg", "n3"]
    other = story.writes_of(0)[-1]
    place = story.writes_of(0)[-3].revision
    at = next(n for n, row in enumerate(rows) if row[2] == place)
    story.spoil(lambda row: row == other, answer=Answer.UNKNOWN, revision=0)
    for held in story.audited.values():
        held[:] = [row for row in held if row[:2] != (other.client, other.sequence)]
    rows[at] = (other.client, other.sequence, place, 0)
    story = without(story, lambda row: row.revision == other.revision)  # type: ignore[assignment]
    assert any("two writes have one revision" in one.detail for one in own(judged(story)))
