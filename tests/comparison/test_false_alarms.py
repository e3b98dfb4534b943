"""What a comparison is worth: it does not cry without cause, and it finds what is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from planted_runs import CLIENTS, changed, draw_run, run, scaled, times

from harness.comparison.compare import compare_runs
from harness.comparison.model import Comparison
from harness.comparison.runs import Run, RunIteration
from harness.comparison.sources import read_runs

RECORDED = Path(__file__).parent / "recorded" / "baseline.json"
SIDE = 20
SLOWER = 1.2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.no_cover]


def regressed(comparison: Comparison, *metrics: str) -> list[str]:
    return [
        one.why
        for scenario in comparison.scenarios
        for one in scenario.metrics
        if one.change == "regressed" and (not metrics or one.metric in metrics)
    ]


def recorded(name: str) -> tuple[Run, list[RunIteration]]:
    """Return the iterations of real runs of one scenario and one release."""
    runs = [one for one in read_runs([RECORDED]) if one.name == name]
    return runs[0], [one for each in runs for one in each.iterations]


def resampled(name: str, random: np.random.Generator) -> tuple[Run, Run]:
    """Return two runs whose iterations are drawn from the same real ones."""
    first, pool = recorded(name)
    sides = (
        first.model_copy(
            update={
                "run_id": side,
                "iterations": [pool[place] for place in random.integers(len(pool), size=SIDE)],
            }
        )
        for side in ("a", "b")
    )
    return next(sides), next(sides)


def pairs_of_one_release() -> Iterator[tuple[Run, Run]]:
    random = np.random.default_rng(20)
    for _ in range(100):
        yield draw_run(random, SIDE, "a"), draw_run(random, SIDE, "b")
    for name in ("seed-pause", "seed-failover"):
        for _ in range(50):
            yield resampled(name, random)


def test_two_hundred_pairs_of_one_release_raise_at_most_two_false_alarms() -> None:
    alarms = [
        found
        for baseline, candidate in pairs_of_one_release()
        if (found := regressed(compare_runs([baseline], [candidate])))
    ]
    assert len(alarms) <= 2, alarms


def test_a_fifth_slower_failover_is_found_where_clients_wait_or_do_not() -> None:
    random = np.random.default_rng(21)
    found = sum(
        bool(
            regressed(
                compare_runs([draw_run(random, SIDE, "a")], [draw_run(random, SIDE, "b", SLOWER)]),
                "failover_time",
            )
        )
        for _ in range(100)
    )
    assert found >= 95


def test_a_fifth_slower_failover_is_found_in_what_real_runs_measured() -> None:
    random = np.random.default_rng(22)
    found = 0
    for _ in range(100):
        baseline, candidate = resampled("seed-pause", random)
        slower = changed(
            candidate,
            "b",
            lambda metrics: {
                **metrics,
                "failover_time": scaled(metrics["failover_time"], SLOWER),
            },
        )
        found += bool(regressed(compare_runs([baseline], [slower]), "failover_time"))
    assert found >= 95


def test_a_fifth_slower_failover_is_found_where_detection_spreads_over_a_ping_interval() -> None:
    random = np.random.default_rng(23)

    def drawn(run_id: str, slower: float) -> Run:
        iterations = []
        for number in range(SIDE):
            waits = random.random(CLIENTS) < 0.5
            values = slower * (random.uniform(2, 3, CLIENTS) + 0.25 * waits)
            metrics = {"failover_time": times((values + random.gamma(2, 0.02)).tolist())}
            iterations.append(RunIteration(seed=f"{run_id}/{number}", trust="all", metrics=metrics))
        return run(iterations, run_id)

    found = sum(
        bool(regressed(compare_runs([drawn("a", 1.0)], [drawn("b", SLOWER)]))) for _ in range(100)
    )
    assert found >= 95


@pytest.mark.parametrize("side", [10, 40])
def test_more_waiting_clients_are_found_though_nothing_got_slower(side: int) -> None:
    """The share of clients in the slow mode tells, and the modes' own means do not change."""
    random = np.random.default_rng(24)

    def drawn(run_id: str, waiting: float) -> Run:
        iterations = []
        for number in range(side):
            waits = random.random(8) < waiting
            values = np.where(waits, 0.255, 0.005) + random.gamma(2, 0.001, 8)
            iterations.append(
                RunIteration(
                    seed=f"{run_id}/{number}",
                    trust="all",
                    metrics={"reconnect_latency": times(values.tolist())},
                )
            )
        return run(iterations, run_id)

    (scenario,) = compare_runs([drawn("a", 0.3)], [drawn("b", 0.8)]).scenarios
    changes = {one.statistic: one.change for one in scenario.metrics}
    assert changes["share beyond mode 1"] == "regressed"
    assert set(changes.values()) == {"regressed", "unchanged"}
    assert [round(mode.candidate, 1) for mode in scenario.metrics[0].modes] == [0.2, 0.8]
