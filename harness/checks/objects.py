"""Objects: is every object that was put still there, and what it was?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from harness.checks.base import Case, Check, Finding, Result, Verdict
from harness.history.bucket_audit import read_bucket_audit
from harness.history.facts import Iteration
from harness.history.tables import Answer, Integrity, Operation
from harness.stats.labelled import Count, Tally

NAME = "objects"
FINAL = np.uint64(2**64 - 1)  # the sequence of a last look, which stands in no schedule
METRICS = ("object_lost", "object_corrupted", "object_misread")
_WHAT = {
    "object_lost": "object(s) that were put could not be got in the end",
    "object_corrupted": "object(s) have another content or digest than what was put",
}
_ADVICE = "keep the run folder: the servers' logs of that time are in servers/"
Identity = tuple[int, int]


def judge_objects(case: Case) -> Result:
    """Judge the objects of each store. Each was put once, under a name of its own.

    - `object_lost`: objects whose put succeeded and that are not there at the last look,
      or whose chunks are not all there; where the store's stream is gone by the audit, also
      those that could not be looked at. Of: objects whose put succeeded. A lower bound
      where an object could not be looked at: then the run is inconclusive as well.
    - `object_corrupted`: objects whose digest does not hold at the last look, in none of
      several attempts, or of which any get returned something else than what was put
      without the digest showing it. Of: objects whose put succeeded.
    - `object_misread`: gets that ended because the digest did not hold. The library had
      not read the whole object, or the object is damaged. Of: gets that ended so or
      returned an object.

    Lost and corrupted objects fail the run, unless a threshold on them decides. Misread
    ones, and gets before the end that did not find an object though its put had
    succeeded, are told in the notes. Where columns are not whole nothing is judged.
    """
    cells: dict[str, list[tuple[Mapping[str, str], Count]]] = {name: [] for name in METRICS}
    findings: list[Finding] = []
    notes: list[str] = []
    for workload in case.scenario.get("workloads") or ():
        if workload.get("kind") != "object":
            continue
        gone = read_bucket_audit(case.iteration, workload).gone
        store = _read(case.iteration, str(workload["name"]), gone=gone)
        for name, count in store.counts().items():
            cells[name].append(({"workload": store.workload}, count))
        findings += _find(case, store)
        if store.misread:
            notes.append(
                f"{store.workload}: {store.misread} get(s) ended because the digest did not hold; "
                "the object itself is whole unless object_corrupted counts it"
            )
        if store.early:
            notes.append(
                f"{store.workload}: {store.early} get(s) found no object though it had been put; "
                "it was there in the end unless object_lost counts it"
            )
    return Result(
        tallies={name: Tally(tuple(rows)) for name, rows in cells.items()},
        findings=tuple(findings),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Store:
    """What became of the objects of a workload.

    Attributes:
        put: those whose put succeeded.
        gone, unlooked: of these, those that the last look missed, or that it never reached.
        corrupted: those that are something else than what was put.
        got, misread: gets that returned something, and whose digest did not hold.
        early: gets before the end that found nothing where a put had succeeded.
    """

    workload: str
    whole: bool
    put: frozenset[Identity]
    gone: frozenset[Identity]
    unlooked: frozenset[Identity]
    corrupted: frozenset[Identity]
    got: int
    misread: int
    early: int
    seen: int

    def counts(self) -> dict[str, Count]:
        missing = bool(self.unlooked) or not self.whole
        return {
            "object_lost": Count(len(self.gone), len(self.put), 0, self.seen, at_least=missing),
            "object_corrupted": Count(
                len(self.corrupted), len(self.put), 0, self.seen, at_least=missing
            ),
            "object_misread": Count(
                self.misread, self.got + self.misread, 0, self.seen, at_least=not self.whole
            ),
        }


def _read(iteration: Iteration, workload: str, *, gone: bool) -> _Store:
    members = [one for one in iteration.clients if one.workload == workload]
    whole = all(iteration.trusts(one) for one in members)
    columns = iteration.operations
    ids = np.array([one.id for one in members if whole], dtype=np.uint32)
    rows = {name: column[np.isin(columns["client"], ids)] for name, column in columns.items()}
    done, absent = rows["answer"] == Answer.DONE, rows["answer"] == Answer.ABSENT
    gets, last = rows["operation"] == Operation.GET, rows["sequence"] == FINAL
    intact = rows["integrity"] == Integrity.INTACT
    misread = gets & (rows["answer"] == Answer.REFUSED) & ~intact

    def named(flags: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> frozenset[Identity]:
        writer, written = rows["writer"][flags].tolist(), rows["written"][flags].tolist()
        return frozenset(zip(writer, written, strict=True))

    put = named(done & ~gets)
    unlooked = put - named(gets & last)
    lost = named(gets & last & absent) & put
    return _Store(
        workload=workload,
        whole=whole,
        put=put,
        gone=lost | unlooked if gone else lost,
        unlooked=frozenset() if gone else unlooked,
        corrupted=named((gets & done & ~intact) | (last & misread)),
        got=int(np.count_nonzero(gets & done)),
        misread=int(np.count_nonzero(misread)),
        early=int(np.count_nonzero(gets & ~last & absent)),
        seen=len(rows["client"]),
    )


def _find(case: Case, store: _Store) -> Iterator[Finding]:
    if not store.whole:
        yield Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"{store.workload}: rows of its workers are missing, so its objects were not judged",
            "run it again, and read the logs in workers/",
        )
        return
    counts = store.counts()
    for name, count in counts.items():
        decided = case.decides(name, {"workload": store.workload})
        if count.count and name in _WHAT and not decided:
            yield Finding(
                NAME,
                Verdict.FAIL,
                f"{store.workload}: {count.count} of {count.of} {_WHAT[name]}{_first(store, name)}",
                _ADVICE,
                value=count.count,
                limit=0,
                margin=-count.count,
                n=count.of,
            )
    if store.unlooked:
        yield Finding(
            NAME,
            Verdict.INCONCLUSIVE,
            f"{store.workload}: {len(store.unlooked)} of {len(store.put)} object(s) could not be "
            "looked at in the end, so it is not known whether they are there",
            "give drain more time, or see why the store has no leader",
            n=len(store.unlooked),
        )
    if not any(counts[name].count for name in _WHAT) and not store.unlooked:
        yield Finding(
            NAME,
            Verdict.PASS,
            f"{store.workload}: each of {len(store.put)} objects that were put is there, with its "
            "digest",
            n=store.got,
        )


def _first(store: _Store, name: str) -> str:
    writer, written = min(store.gone if name == "object_lost" else store.corrupted)
    return f"; the first is object-{writer}-{written}"


CHECK = Check(NAME, judge_objects, METRICS)
