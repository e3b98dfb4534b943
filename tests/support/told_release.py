"""Runs of two releases, planted, and what a release check makes of them."""

from __future__ import annotations

from typing import Any

from story import Story, tell

from harness.checks import judge
from harness.comparison.model import Comparison, MetricChange, ScenarioChange, Side, Summary
from harness.release.judge import Judged
from harness.report.build import build
from harness.report.model import Report

RUNS = 3
LIMITS = {"failover_time": ["max < 1s"], "duplicates": ["count == 0"]}


def run(number: int = 0, *, back_s: float = 4.3, twice: int = 0, observed: bool = True) -> Report:
    """Return the report of a run: how fast clients were back, how much came twice."""
    story = Story(thresholds=dict(LIMITS)).core(1, 1).fault(proof=observed)
    story.event(
        0.1, "faults.scheduled", steps=[{"name": "stop-seed", "action": "stop"}], drawn=False
    )
    story.failover("hello-publisher-1", 4.1, back_s)
    story.failover("hello-subscriber-1", 4.2, back_s)
    for _ in range(twice):
        story.delivered.append(story.delivered[3])
    history = tell(
        [story], run_id=f"run-{number}", reproduce=f"nats-harness run story --seed {number}"
    )
    return build(history, judge(history))


def sides(
    candidate: list[Report | None] | None = None, baseline: list[Report | None] | None = None
) -> list[Judged]:
    good: list[Report | None] = [run(number) for number in range(RUNS)]
    return [
        *(Judged("candidate", "story", one) for one in candidate or good),
        *(Judged("baseline", "story", one) for one in baseline or good),
    ]


def side() -> Side:
    return Side(
        label="x", servers=[], clients=[], runs=3, iterations=3, verdicts={"pass": 3}, sources=[]
    )


def comparison(
    change: Any = "unchanged", metric: str = "failover_time", shift_high: float | None = None
) -> Comparison:
    same = Summary(n=3, censored=0, min=0.1, p50=0.2, max=0.3, values=[0.1, 0.2, 0.3])
    told = MetricChange(
        metric=metric, unit="s", statistic="p50", baseline=same, candidate=same, change=change,
        runs_needed=12 if change == "too-few-runs" else None, why="it is as it is",
        shift_high=shift_high,
    )  # fmt: skip
    other = told.model_copy(update={"metric": "reconnect_latency", "change": "unchanged"})
    return Comparison(
        nats_harness_version="0", outcome="no-regression", exit_code=0, baseline=side(),
        candidate=side(), missing=[], compared=1, alpha=0.05, reproduce="",
        scenarios=[
            ScenarioChange(
                scenario="story", baseline=side(), candidate=side(), metrics=[told, other]
            )
        ],
    )  # fmt: skip
