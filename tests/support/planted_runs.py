"""Runs with planted values, as a comparison sees them: what one release gives, and a worse one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from harness.comparison.runs import Run, RunIteration
from harness.report.model import IterationMetric

CLIENTS = 4
QUANTILES = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}

Metrics = dict[str, IterationMetric]


def times(values: Sequence[float], never: Sequence[float] = (), unit: str = "s") -> IterationMetric:
    """Return a distribution of few values, some of them lower bounds."""
    known, bounds = sorted(values), sorted([*values, *never])
    found: dict[str, Any] = {}
    open_ends = []
    for name, quantile in QUANTILES.items():
        if bounds:
            place = max(1, int(np.ceil(round(quantile * len(bounds), 9)))) - 1
            found[name] = bounds[place]
            if place >= len(known):
                open_ends.append(name)
    return IterationMetric(
        kind="distribution", unit=unit, n=len(bounds), censored=len(never), **found,
        lower_bounds=open_ends, values=known, lower_values=sorted(never),
    )  # fmt: skip


def many(p50: float, p99: float, lost: int = 0) -> IterationMetric:
    """Return a distribution of thousands of values."""
    return IterationMetric(
        kind="distribution", unit="s", n=9000, censored=lost, min=p50 / 4, p50=p50, p90=p50 * 2,
        p95=p50 * 3, p99=p99, max=p99 * 4, lower_bounds=["max"] if lost else [],
    )  # fmt: skip


def count(count: int, n: int = 9000, unit: str = "messages") -> IterationMetric:
    """Return a counter."""
    return IterationMetric(
        kind="counter", unit=unit, n=n, count=count, ratio=count / n if n else None
    )


def iteration(metrics: Metrics, seed: str = "42/0", **facts: Any) -> RunIteration:
    return RunIteration(**{"seed": seed, "trust": "all", "metrics": metrics, **facts})


def run(iterations: Sequence[RunIteration], run_id: str = "r1", **facts: Any) -> Run:
    """Return a run of iterations, with facts that are replaced."""
    known: dict[str, Any] = {
        "source": f"{run_id}/report.json",
        "run_id": run_id,
        "started_at": f"2026-01-01T00:00:00Z {run_id}",
        "nats_harness_version": "0.1.0",
        "verdict": "pass",
        "name": "planted",
        "scenario": {"name": "planted", "faults": [{"name": "kill"}], "cluster": {"servers": 3}},
        "backend": "lab",
        "client": "nats-py 2.16.0",
        "client_options": {"reconnect_time_wait": 0.25},
        "servers": ["2.14.0"],
        "iterations": list(iterations),
    }
    return Run(**{**known, **facts})


def draw(random: np.random.Generator, slower: float = 1.0) -> Metrics:
    """Draw what one iteration measures; failover takes `slower` times as long.

    Half the clients reconnect at once, the others wait 250 ms first. All clients of an
    iteration share a delay. There are ties (attempts), zeros, rare counts, values that were
    not seen to end, and metrics that some iterations have no value of.
    """
    shared = random.gamma(4, 0.001)
    waits = random.random(CLIENTS) < 0.5
    sign = 0.002 + shared + random.gamma(3, 0.001, CLIENTS)
    back = np.where(waits, 0.25 + random.gamma(4, 0.004, CLIENTS), random.gamma(4, 0.001, CLIENTS))
    failover = slower * (sign + back)
    pinged = random.uniform(2, 3, CLIENTS) + shared
    first = float(failover.min()) + random.gamma(2, 0.002, 2)
    never = [6.0] if random.random() < 0.05 else []
    lost = int(random.poisson(6 * (1 + waits.sum())))
    late = random.gamma(4, 0.0001)
    attempts = 1 + waits + (random.random(CLIENTS) < 0.1)
    found = {
        "detection_time": times(pinged.tolist()),
        "reconnect_latency": times(back.tolist()),
        "failover_time": times(failover.tolist()),
        "reconnect_attempts": times(attempts.tolist(), unit="attempts"),
        "time_to_first_delivery": times(first.tolist(), never),
        "outage_window": times((failover + random.gamma(2, 0.003, CLIENTS)).tolist(), never),
        "recovery_time": times([0.0 if random.random() < 0.8 else float(random.gamma(2, 0.2))]),
        "e2e_latency": many(0.001 + random.gamma(4, 0.0001), random.lognormal(-5, 0.4), lost),
        "service_latency": many(random.gamma(16, 0.00005), random.lognormal(-5.5, 0.4), lost),
        "send_lateness": many(late, late * random.gamma(9, 1)),
        "lost": count(lost),
        "lost{phase:steady}": count(0, 2000),
        "duplicates": count(0),
        "out_of_order": count(int(random.random() < 0.1)),
        "redelivered": count(int(random.negative_binomial(1, 0.1))),
        "stream_lost": count(0),
        "consumer_lost": count(int(random.poisson(30)) if random.random() < 0.04 else 0),
        "disconnects": count(CLIENTS, 2 * CLIENTS, "connections"),
        "disconnects{explained:no}": count(0, CLIENTS, "connections"),
    }  # fmt: skip
    if random.random() < 0.8:
        found["leader_election_time"] = times([float(random.uniform(0.3, 4))])
    return found


def draw_run(
    random: np.random.Generator, iterations: int, run_id: str, slower: float = 1.0, **facts: Any
) -> Run:
    """Draw a run of one release."""
    drawn = [
        iteration(draw(random, slower), seed=f"{run_id}/{number}") for number in range(iterations)
    ]
    return run(drawn, run_id, **facts)


def changed(original: Run, run_id: str, change: Callable[[Metrics], Metrics]) -> Run:
    """Return a run whose iterations' metrics are changed."""
    iterations = [
        one.model_copy(update={"metrics": change(one.metrics)}) for one in original.iterations
    ]
    return original.model_copy(update={"run_id": run_id, "iterations": iterations})


def scaled(metric: IterationMetric, factor: float) -> IterationMetric:
    """Return a distribution with all values multiplied."""
    parts: dict[str, Any] = {
        name: getattr(metric, name) * factor
        for name in QUANTILES
        if getattr(metric, name) is not None
    }
    for name in ("values", "lower_values"):
        listed = getattr(metric, name)
        parts[name] = None if listed is None else [value * factor for value in listed]
    return metric.model_copy(update=parts)
