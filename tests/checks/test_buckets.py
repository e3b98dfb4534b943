"""Replicas of buckets' streams, compared with one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from store_story import StoreStory
from story import ns, table

from harness.checks import judge
from harness.checks.base import Finding, Verdict
from harness.checks.judgement import Judgement
from harness.history.model import History
from harness.history.tables import STORED, Integrity

NODES = ("n1", "n2", "n3")
Row = tuple[int, ...]  # client, sequence, place and integrity, as in STORED


def whole(count: int = 20) -> list[Row]:
    """Return rows of a replica: of sender 0, messages one after the other, every third gone."""
    return [(0, k, k + 1, int(Integrity.INTACT)) for k in range(count) if k % 3]


@dataclass
class AuditedStory(StoreStory):
    """`audited` are the rows of each replica by (stream, node)."""

    audited: dict[tuple[str, str], list[Row]] = field(default_factory=dict)

    def history(self) -> History:
        events: list[dict[str, Any]] = [
            {"at_ns": ns(0) - 1, "kind": "run.started", "iteration": -1},
            *self.all_events(),
        ]
        for (stream, node), rows in self.audited.items():
            facts = {"rows": len(rows), "led": True, "sought": [1, 20], "refused": None}
            facts |= {"first_seq": 1, "last_seq": 20, "absent_count": 20 - len(rows)}
            event = {"at_ns": ns(10.05), "kind": "audit.read", "iteration": self.index}
            events.append(event | facts | {"stream": stream, "node": node, "file": "f"})
        events.sort(key=lambda one: one["at_ns"])
        stored = {key: table(STORED, rows) for key, rows in self.audited.items()}
        told = {self.index: self.columns()}
        return History.of(self.scenario(), events, told, {self.index: stored})


def audited(nodes: tuple[str, ...] = NODES) -> AuditedStory:
    story = AuditedStory()
    story.kv(replicas=3)
    story.audited = {("KV_cfg", node): whole() for node in nodes}
    return story


def trouble(judgement: Judgement) -> list[Finding]:
    return [one for one in judgement.findings if one.verdict is not Verdict.PASS]


def test_replicas_that_are_the_same_pass() -> None:
    judgement = judge(audited().history())
    assert judgement.verdict is Verdict.PASS, trouble(judgement)
    (finding,) = [one for one in judgement.findings if one.check == "buckets"]
    assert finding.detail == "KV_cfg: 13 message(s), the same on n1, n2, n3"


@pytest.mark.parametrize("spoilt", ["absent", "other writer", "other message", "damaged", "extra"])
def test_a_replica_that_differs_fails_the_run_though_the_leader_is_fine(spoilt: str) -> None:
    story = audited()
    rows = story.audited["KV_cfg", "n3"]
    at, place = 4, rows[4][2]
    if spoilt == "absent":
        del rows[at]
    elif spoilt == "other writer":
        rows[at] = (1, *rows[at][1:])
    elif spoilt == "other message":
        rows[at] = (0, 999, place, 0)
    elif spoilt == "damaged":
        rows[at] = (*rows[at][:3], int(Integrity.CORRUPTED))
    else:
        rows.append((0, 0, 1, 0))
        place = 1
    (finding,) = trouble(judge(story.history()))
    assert (finding.check, finding.verdict) == ("buckets", Verdict.FAIL)
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
    story.audited = {("OBJ_files", node): whole() for node in NODES}
    assert judge(story.history()).verdict is Verdict.PASS
    del story.audited["OBJ_files", "n1"][0]
    assert [one.check for one in trouble(judge(story.history()))] == ["buckets"]
