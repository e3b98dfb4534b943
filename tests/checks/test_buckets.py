"""Replicas of buckets' streams, compared with one another."""

from __future__ import annotations

import pytest
from store_story import AuditedStory

from harness.checks import judge
from harness.checks.base import Finding, Verdict
from harness.checks.judgement import Judgement
from harness.history.tables import Integrity

NODES = ("n1", "n2", "n3")
HISTORY = 6


def audited(nodes: tuple[str, ...] = NODES) -> AuditedStory:
    story = AuditedStory()
    story.kv(replicas=3, history=HISTORY)
    story.hold("KV_cfg", *nodes, history=HISTORY)
    return story


def trouble(judgement: Judgement) -> list[Finding]:
    return [one for one in judgement.findings if one.verdict is not Verdict.PASS]


def test_replicas_that_are_the_same_pass() -> None:
    judgement = judge(audited().history())
    assert judgement.verdict is Verdict.PASS, trouble(judgement)
    (finding,) = [one for one in judgement.findings if one.check == "buckets"]
    assert finding.detail == "KV_cfg: 14 message(s), the same on n1, n2, n3"


@pytest.mark.parametrize("spoilt", ["absent", "other writer", "other message", "damaged", "extra"])
def test_a_replica_that_differs_fails_the_run_though_the_leader_is_fine(spoilt: str) -> None:
    story = audited()
    rows = story.audited["KV_cfg", "n3"]
    at, place = 4, rows[4][2]
    if spoilt == "absent":
        del rows[at]
    elif spoilt == "other writer":
        rows[at] = (1 - rows[at][0], *rows[at][1:])
    elif spoilt == "other message":
        rows[at] = (0, 999, place, 0)
    elif spoilt == "damaged":
        rows[at] = (*rows[at][:3], int(Integrity.CORRUPTED))
    else:
        rows.append((0, 0, 1, 0))
        place = 1
    found = trouble(judge(story.history()))
    # What nobody wrote there is a matter of the bucket's history, too.
    unwritten = spoilt in {"other writer", "other message", "damaged"}
    assert [one.check for one in found] == (["kv"] if unwritten else []) + ["buckets"]
    finding = found[-1]
    assert finding.verdict is Verdict.FAIL
    assert finding.detail.startswith(f"KV_cfg: replicas differ at 1 sequence(s): {place}; ")


def test_a_threshold_on_conflicts_decides() -> None:
    story = audited()
    del story.audited["KV_cfg", "n2"][3]
    story.thresholds = {"sequence_conflicts{stream:KV_cfg}": ["count <= 1"]}
    assert judge(story.history()).verdict is Verdict.PASS
    story.thresholds = {"sequence_conflicts{stream:KV_cfg}": ["count == 0"]}
    assert judge(story.history()).verdict is Verdict.FAIL
    story.thresholds = {"sequence_conflicts{stream:OTHER}": ["count <= 1"]}
    assert [one.check for one in trouble(judge(story.history()))][-1] == "buckets"


def test_a_replica_that_was_not_read_is_no_pass() -> None:
    (finding,) = trouble(judge(audited(("n1", "n2")).history()))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.detail == "KV_cfg: the audit failed: 2 of 3 replicas were read"


def test_a_bucket_that_the_audit_left_out_is_no_pass() -> None:
    story = audited(())
    story.phases["audit"] = 10.0
    (finding,) = trouble(judge(story.history()))
    assert (finding.check, finding.detail) == ("buckets", "KV_cfg: no replica of it was read")


def test_a_history_of_before_buckets_were_audited_is_judged_without() -> None:
    assert judge(audited(()).history()).verdict is Verdict.PASS


def test_an_object_store_has_its_replicas_compared_too() -> None:
    story = AuditedStory()
    story.objects()
    story.workloads[-1] |= {"bucket": "files", "replicas": 3}
    story.hold("OBJ_files", *NODES)
    assert judge(story.history()).verdict is Verdict.PASS
    del story.audited["OBJ_files", "n1"][0]
    assert [one.check for one in trouble(judge(story.history()))] == ["buckets"]


def test_a_chunk_with_another_content_is_a_difference() -> None:
    story = AuditedStory()
    story.objects()
    story.workloads[-1] |= {"replicas": 3}
    story.hold("OBJ_blobs", *NODES)
    for (_, node), rows in story.audited.items():
        checksum = 7 if node == "n2" else 5
        rows.append((checksum, 0, 900, int(Integrity.FOREIGN)))
    (finding,) = trouble(judge(story.history()))
    assert finding.detail.startswith("OBJ_blobs: replicas differ at 1 sequence(s): 900; ")


def test_a_replica_that_is_gone_lacks_everything() -> None:
    story = audited(("n1", "n2"))
    story.gone = [("KV_cfg", "n3")]
    (finding,) = trouble(judge(story.history()))
    assert (finding.check, finding.verdict) == ("buckets", Verdict.FAIL)
    assert "replicas differ at 14 sequence(s)" in finding.detail
    assert finding.detail.endswith("of these hold: n1 14, n2 14, n3 0")


def test_a_bucket_whose_stream_is_gone_altogether_is_told_as_gone() -> None:
    story = audited(())
    story.phases["audit"] = 10.0
    story.gone = [("KV_cfg", None)]
    found = trouble(judge(story.history()))
    assert {one.verdict for one in found} == {Verdict.FAIL}
    (finding,) = [one for one in found if one.check == "buckets"]
    assert finding.detail.startswith("KV_cfg: JetStream has no such stream any more")
    story.thresholds = {"kv_lost": ["count > 0"]}
    judgement = judge(story.history())
    assert judgement.verdict is Verdict.PASS
    assert any("KV_cfg: JetStream has no such stream" in note for note in judgement.notes)
