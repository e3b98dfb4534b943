"""Runs that never were, told so that their pages have something of everything."""

from __future__ import annotations

import random
from pathlib import Path

from story import Story, tell

from harness.checks import judge
from harness.comparison.model import Comparison, MetricChange, ScenarioChange, Side, Summary
from harness.history.model import History
from harness.report.build import build
from harness.report.model import Report


def eventful(index: int = 0) -> Story:
    """Return a story of a stopped seed: three lost messages, clients that come back and do not."""
    story = Story(
        index=index,
        thresholds={
            "lost": ["count == 0", "ratio < 5%"],
            "failover_time": ["p99 < 3s", "max < 100ms"],
        },
    )
    story.core(1, 2).fault()
    for node in ("n1", "n2"):
        story.event(0.2, "server.started", node=node, version="2.15.1")
        config = {"server_name": node}
        story.event(0.3, "server.described", name=node, version="2.15.1", config=config)
    story.event(4.01, "server.exited", node="n1", returncode=0, expected=True)
    story.event(5.9, "server.started", node="n1", version="2.15.1")
    story.drop((310, 311, 330), at=1)
    story.failover("hello-publisher-1", 4.1, 4.3)
    story.failover("hello-subscriber-1", 4.2, 4.25, server="n2")
    return story.failover("hello-subscriber-2", 4.2, None, attempts=9)


def judged(*stories: Story, **started: object) -> tuple[Report, History]:
    history = tell(list(stories), seed=1, backend="lab", run_id="told-1", **started)
    return build(history, judge(history)), history


def write_told(page: str, path: Path) -> Path:
    path.write_text(page, encoding="utf-8")
    return path


def compared() -> Comparison:
    """Return a comparison in which one metric got worse, one better, and one has gaps."""
    drawn = random.Random(4)

    def around(middle: float) -> list[float | None]:
        return [round(drawn.gauss(middle, middle / 20), 4) for _ in range(20)]

    def side(label: str) -> Side:
        return Side(
            label=label, servers=[label], clients=["nats-py 2.16.0"], runs=2, iterations=20,
            verdicts={"pass": 2}, sources=["a/report.json"],
        )  # fmt: skip

    old, new = side("2.14.0"), side("2.15.1")
    gaps: list[float | None] = [None, None]
    metrics = [
        _change("outage_window", "max", around(0.5), around(0.5), "unchanged", shift=0.01),
        _change("e2e_latency", "p99", around(0.02), around(0.01), "improved", shift=-0.01),
        _change("failover_time", "max", around(0.3), around(0.7), "regressed", shift=0.4),
        _change("recovery_time", "max", gaps + around(1), around(1), "too-few-runs", shift=None),
    ]
    scenario = ScenarioChange(
        scenario="seed-kill", baseline=old, candidate=new, metrics=metrics, notes=["other machine"]
    )
    return Comparison(
        nats_harness_version="0.1.0", outcome="regression", exit_code=4, baseline=old,
        candidate=new, scenarios=[scenario], missing=["halves: only in the baseline"],
        compared=4, alpha=0.05, reproduce="nats-harness compare old new",
    )  # fmt: skip


def _change(
    metric: str,
    statistic: str,
    before: list[float | None],
    after: list[float | None],
    change: str,
    *,
    shift: float | None,
) -> MetricChange:
    around = {} if shift is None else {"shift_low": shift - 0.002, "shift_high": shift + 0.002}
    return MetricChange.model_validate(
        {
            "metric": metric, "unit": "s", "statistic": statistic,
            "baseline": _summarise(before), "candidate": _summarise(after),
            "change": change, "shift": shift, "practical_limit": 0.05, "p_adjusted": 0.01,
            "why": f"{metric} is {change}", **around,
        }
    )  # fmt: skip


def _summarise(values: list[float | None]) -> Summary:
    known = sorted(one for one in values if one is not None)
    return Summary(
        n=len(values), censored=len(values) - len(known), min=known[0],
        p50=known[len(values) // 2], max=known[-1], values=values,
    )  # fmt: skip
