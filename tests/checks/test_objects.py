from __future__ import annotations

from collections.abc import Callable

import pytest
from store_story import AuditedStory, StoreStory, without

from harness.checks import judge
from harness.checks.base import Case, Finding, Verdict
from harness.checks.judgement import Judgement
from harness.checks.linearizability.recorded import FINAL
from harness.checks.objects import METRICS, judge_objects
from harness.history.tables import Answer, Integrity, Operation
from harness.load.ledger import OperationRow
from harness.stats.labelled import Count


def count(story: StoreStory, metric: str) -> Count:
    history = story.history()
    result = judge_objects(Case(history.iterations[0], history.scenario))
    return result.tallies[metric].select({})


def judged(story: StoreStory, **thresholds: list[str]) -> Judgement:
    story.thresholds = dict(thresholds)
    return judge(story.history())


def own(judgement: Judgement) -> list[Finding]:
    return [one for one in judgement.findings if one.check == "objects"]


def is_final(row: OperationRow) -> bool:
    return row.sequence == FINAL


def is_get(row: OperationRow) -> bool:
    return row.operation is Operation.GET and row.sequence != FINAL


def test_objects_that_are_all_there_pass() -> None:
    story = StoreStory().objects()
    judgement = judged(story, **{metric: ["count == 0"] for metric in METRICS})
    assert judgement.verdict is Verdict.PASS, judgement.findings
    assert count(story, "object_lost").of == 40
    assert count(story, "object_corrupted").of == 40
    assert count(story, "object_misread").of == 80


def test_an_object_that_is_gone_in_the_end_is_lost() -> None:
    story = StoreStory().objects()
    story.spoil(is_final, answer=Answer.ABSENT)
    assert count(story, "object_lost").count == 1
    (finding,) = own(judged(story))
    assert finding.verdict is Verdict.FAIL
    assert finding.detail == (
        "blobs: 1 of 40 object(s) that were put could not be got in the end; "
        "the first is object-0-0"
    )
    assert judged(story, object_lost=["count <= 1"]).verdict is Verdict.PASS
    assert judged(story, object_lost=["count == 0"]).verdict is Verdict.FAIL


def test_an_object_whose_put_is_open_is_not_lost() -> None:
    story = StoreStory().objects()
    story.spoil(lambda row: row.operation is Operation.PUT, answer=Answer.UNKNOWN)
    story.spoil(is_final, answer=Answer.ABSENT)
    assert count(story, "object_lost").count == 0
    assert judged(story).verdict is Verdict.PASS


@pytest.mark.parametrize("which", [is_final, is_get])
@pytest.mark.parametrize("integrity", [Integrity.CORRUPTED, Integrity.FOREIGN])
def test_another_content_fails_the_run(
    which: Callable[[OperationRow], bool], integrity: Integrity
) -> None:
    story = StoreStory().objects()
    story.spoil(which, integrity=integrity)
    assert count(story, "object_corrupted").count == 1
    assert judged(story).verdict is Verdict.FAIL


def test_a_digest_that_does_not_hold_in_the_end_is_a_damaged_object() -> None:
    story = StoreStory().objects()
    story.spoil(is_final, answer=Answer.REFUSED, integrity=Integrity.CORRUPTED)
    assert count(story, "object_corrupted").count == 1
    assert count(story, "object_misread").count == 1
    assert judged(story).verdict is Verdict.FAIL
    assert judged(story, object_corrupted=["count <= 1"]).verdict is Verdict.PASS


def test_a_digest_that_did_not_hold_for_a_while_is_told() -> None:
    story = StoreStory().objects()
    story.spoil(is_get, answer=Answer.REFUSED, integrity=Integrity.CORRUPTED)
    assert count(story, "object_corrupted").count == 0
    judgement = judged(story)
    assert judgement.verdict is Verdict.PASS
    assert any("1 get(s) ended because the digest" in note for note in judgement.notes)
    assert judged(story, object_misread=["count == 0"]).verdict is Verdict.FAIL


def test_an_object_that_was_not_found_for_a_while_is_told() -> None:
    story = StoreStory().objects()
    story.spoil(is_get, answer=Answer.ABSENT)
    judgement = judged(story)
    assert judgement.verdict is Verdict.PASS
    assert any("1 get(s) found no object though" in note for note in judgement.notes)


def test_an_object_that_could_not_be_looked_at_leaves_it_open() -> None:
    story = StoreStory().objects()
    story.rows.remove(next(row for row in story.rows if is_final(row)))
    assert count(story, "object_lost").at_least
    assert {one.verdict for one in own(judged(story))} == {Verdict.INCONCLUSIVE}
    assert judged(story, object_lost=["count == 0"]).verdict is Verdict.INCONCLUSIVE


def test_rows_that_are_missing_leave_it_open() -> None:
    story = StoreStory().objects()
    story.spoil(is_final, answer=Answer.ABSENT)
    story.broken_columns["blobs-users"] = "the file ends at byte 7"
    assert {one.verdict for one in own(judged(story))} == {Verdict.INCONCLUSIVE}


def test_a_threshold_decides_only_about_the_stores_that_it_selects() -> None:
    story = StoreStory().objects()
    story.spoil(is_final, answer=Answer.ABSENT)
    other = {"object_lost{workload:other}": ["count == 0"]}
    assert [one.verdict for one in own(judged(story, **other))] == [Verdict.FAIL]
    mine = {"object_lost{workload:blobs}": ["count <= 1"]}
    assert judged(story, **mine).verdict is Verdict.PASS


def test_objects_of_a_store_that_is_gone_are_lost() -> None:
    story = AuditedStory()
    story.objects()
    story.gone = [("OBJ_blobs", None)]
    unlooked = without(story, is_final)
    assert (count(unlooked, "object_lost").count, count(unlooked, "object_lost").at_least) == (
        40,
        False,
    )
    assert {one.verdict for one in own(judged(unlooked))} == {Verdict.FAIL}
    # As long as nobody knows what became of the stream, it is open.
    unlooked = without(StoreStory().objects(), is_final)
    assert count(unlooked, "object_lost").count == 0
    assert {one.verdict for one in own(judged(unlooked))} == {Verdict.INCONCLUSIVE}
