"""Plans whose every count is known beforehand, and the comparison with what was judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measured import COUNTERS, Measured, difference, run_scripted
from server_script import Act, Rule, Script, Verb

from harness.scenario.model import ClusterSpec, Phases, Scenario
from harness.workloads.core import Core
from harness.workloads.request import Request

# Two senders at 250/s each: sequences 0-49 are due in warmup, 50-149 in steady, then recovery.
SUBSCRIBERS = 2
PHASES = Phases(warmup="200ms", steady="400ms", recovery="400ms", drain="1s")
LATE_S = 0.5
INTEGRITY_OFFSETS = {
    "checksum": 4,
    "sender": 12,
    "sequence": 16,
    "intended": 24,
    "kind": 3,
    "body": 40,
}


@dataclass(frozen=True)
class CountPlan:
    """Rules for the server and the counts that follow from them; what is not named is zero.

    Attributes:
        expected: judged counts by selector, such as ``lost{phase:steady}``.
        verbs: how often the server must say that it applied each verb.
        verdict: of the whole run.
        acts: what the server does as a whole. How many messages that hits is its own
            account to give, and so is the loss then.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    expected: Mapping[str, int] = field(default_factory=dict)
    verbs: Mapping[str, int] = field(default_factory=dict)
    kind: str = "core"
    queue: str | None = None
    verdict: str = "pass"
    acts: tuple[Act, ...] = ()

    @property
    def counts(self) -> Mapping[str, int]:
        """Return every count that is compared."""
        counts = {**dict.fromkeys(COUNTERS, 0), **self.expected}
        if self.kind == "request" or self.acts:
            del counts["lost"]  # the metric speaks of core traffic; or nobody knows beforehand
        return counts

    def scenario(self) -> Scenario:
        """Return the scenario, with a threshold for each count: it must hold, and only it."""
        return Scenario(
            name=self.name,
            cluster=ClusterSpec(servers=1),
            workloads=(self._workload(),),
            phases=PHASES,
            thresholds={name: (f"count == {count}",) for name, count in self.counts.items()},
        )

    def _workload(self) -> Core | Request:
        shared: dict[str, Any] = {"name": "hello", "rate": "500/s", "payload": "64B"}
        if self.kind == "core":
            return Core(
                kind="core", publishers=2, subscribers=SUBSCRIBERS, queue=self.queue, **shared
            )
        return Request(kind="request", requesters=2, responders=2, timeout="300ms", **shared)

    def run(self, reports: Path) -> Measured:
        """Run the plan."""
        return run_scripted(
            self.scenario(), {"n1": Script(rules=self.rules, acts=self.acts)}, reports
        )


def rule(do: Verb, first: int, count: int = 1, *, step: int = 1, **more: Any) -> Rule:
    """Return a rule for `count` messages of sender 0 or `sender`, every `step` from `first`."""
    return Rule(
        do,
        more.pop("sender", 0),
        tuple(range(first, first + count * step, step)),
        **more,
    )


ONE = "hello-subscriber-1"
OTHER = "hello-subscriber-2"
PLANS = (
    CountPlan("nothing"),
    CountPlan(
        "drops",
        (rule("drop", 60, 7), rule("drop", 80, 3, step=5, sender=1)),
        {"lost": 20, "lost{phase:steady}": 20, "lost{state:connected}": 20},
        {"drop": 20},
    ),
    CountPlan(
        "drops-by-phase",
        (
            rule("drop", 10, 4),
            rule("drop", 60, 5),
            rule("drop", 170, 6, receiver=OTHER),
        ),
        {
            "lost": 24,
            "lost{phase:warmup}": 8,
            "lost{phase:steady}": 10,
            "lost{phase:recovery}": 6,
            "lost{phase:fault}": 0,
        },
        {"drop": 24},
    ),
    CountPlan(
        "drops-on-one-subscriber", (rule("drop", 60, 9, receiver=ONE),), {"lost": 9}, {"drop": 9}
    ),
    CountPlan("first-and-second-message-dropped", (rule("drop", 0, 2),), {"lost": 4}, {"drop": 4}),
    CountPlan(
        "duplicates",
        (rule("duplicate", 60, 5), rule("duplicate", 80, 3, copies=3, receiver=ONE)),
        {"duplicates": 19, "duplicates{phase:steady}": 19},
        {"duplicate": 13},
    ),
    CountPlan(
        "late-duplicates",
        (rule("echo", 60, 4, step=8, by=3, receiver=ONE),),
        {"duplicates": 4},
        {"echo": 4},
    ),
    CountPlan(
        "swaps",
        (rule("hold", 60, 6, step=4), rule("hold", 90, 2, step=4, sender=1, receiver=ONE)),
        {"out_of_order": 14, "out_of_order{phase:steady}": 14},
        {"hold": 14},
    ),
    CountPlan(
        "held-back", (rule("hold", 60, 3, step=20, by=12),), {"out_of_order": 6}, {"hold": 6}
    ),
    CountPlan("delayed", (rule("delay", 60, 1, delay_s=0.1),), {"out_of_order": 2}, {"delay": 2}),
    *(
        CountPlan(
            f"corrupted-{where}",
            (rule("corrupt", 60, 5, step=3, offset=offset, receiver=ONE),),
            {"corrupted": 5, "lost": 5},
            {"corrupt": 5},
            verdict="fail",
        )
        for where, offset in INTEGRITY_OFFSETS.items()
    ),
    CountPlan(
        "corrupted-mark",
        (rule("corrupt", 60, 5, step=3, offset=0, receiver=ONE),),
        {"unexpected": 5, "lost": 5},
        {"corrupt": 5},
        verdict="fail",
    ),
    CountPlan(
        "never-sent",
        (rule("forge_unsent", 60, 4, receiver=ONE),),
        {"unexpected": 4},
        {"forge_unsent": 4},
        verdict="fail",
    ),
    CountPlan(
        "of-another-run",
        (rule("forge_foreign", 60, 3, receiver=ONE),),
        {"unexpected": 3},
        {"forge_foreign": 3},
        verdict="fail",
    ),
    CountPlan(
        "mixture",
        (
            rule("drop", 60, 3),
            rule("duplicate", 70, 2, copies=2, receiver=ONE),
            rule("hold", 80, 4, step=3, by=2, receiver=OTHER),
            rule("corrupt", 100, 2, receiver=ONE),
            rule("forge_unsent", 110, 1, sender=1, receiver=OTHER),
        ),
        {"lost": 8, "duplicates": 4, "out_of_order": 4, "corrupted": 2, "unexpected": 1},
        {"drop": 6, "duplicate": 2, "hold": 4, "corrupt": 2, "forge_unsent": 1},
        verdict="fail",
    ),
    CountPlan(
        "group-drops",
        (rule("drop", 60, 6), rule("drop", 90, 2, sender=1)),
        {"lost": 8},
        {"drop": 8},
        queue="workers",
    ),
    CountPlan(
        "group-corruptions",
        (rule("corrupt", 60, 3),),
        {"lost": 3, "corrupted": 3},
        {"corrupt": 3},
        queue="workers",
        verdict="fail",
    ),
    CountPlan(
        "group-duplicates-to-two-members",
        (rule("spread", 60, 5),),
        {"duplicates": 5},
        {"spread": 5},
        queue="workers",
    ),
    CountPlan(
        "accepts-and-never-delivers", acts=(Act("blackhole", on=(0, 80)),), verdict="inconclusive"
    ),
    CountPlan("requests", kind="request"),
    CountPlan(
        "requests-delivered-twice",
        (rule("duplicate", 60, 3), rule("spread", 90, 2)),
        {"duplicates": 5},
        {"duplicate": 3, "spread": 2},
        kind="request",
    ),
    CountPlan(
        "replies-delivered-twice",
        (rule("duplicate", 60, 3, replies=True),),
        verbs={"duplicate": 3},
        kind="request",
    ),
    CountPlan(
        "requests-without-reply",
        (rule("drop", 60, 5, replies=True),),
        {"unknown": 5, "recovered": 5},
        {"drop": 5},
        kind="request",
    ),
    CountPlan(
        "requests-that-never-arrive",
        (rule("drop", 60, 5),),
        {"unknown": 5, "recovered": 0},
        {"drop": 5},
        kind="request",
    ),
    CountPlan(
        "late-replies",
        (rule("delay", 60, 4, replies=True, delay_s=LATE_S),),
        {"unknown": 4, "recovered": 4},
        {"delay": 4},
        kind="request",
    ),
    CountPlan(
        "requests-nobody-hears",
        (rule("no_responders", 60, 6, step=2),),
        {"refused": 6, "refused{phase:steady}": 6},
        {"no_responders": 6},
        kind="request",
    ),
    CountPlan(
        "wrong-replies",
        (rule("misanswer", 60, 3, replies=True),),
        {"unknown": 3, "recovered": 3, "corrupted": 3},
        {"misanswer": 3},
        kind="request",
        verdict="fail",
    ),
)


def judged_counts(report: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the counts that the thresholds of a plan were held against, by selector."""
    return {
        finding["metric"]: finding["value"]
        for finding in report["findings"]
        if finding["check"] == "thresholds"
    }


def compare(plan: CountPlan, measured: Measured) -> list[str]:
    """Return each way in which what was judged differs from what was planted, one line each.

    The judge is held against the plan and the plan against the server's own account.
    """
    found = judged_counts(measured.report)
    problems = []
    for selector, count in plan.counts.items():
        problems += difference(selector, count, found.get(selector))
    for verb, times in plan.verbs.items():
        problems += difference(f"server's {verb}", times, measured.truth.count(verb))
    messages = measured.iteration["messages"]
    if plan.acts:
        lost = SUBSCRIBERS * len(measured.truth.arrivals) - len(measured.truth.deliveries)
        problems += difference("lost", lost, messages["lost"])
    problems += difference("attempted", len(measured.truth.arrivals), messages["attempted"])
    return problems + difference("verdict", plan.verdict, measured.report["verdict"])
