from __future__ import annotations

from dataclasses import replace

import pytest
from told_release import RUNS, comparison, run, sides

from harness.comparison.model import Comparison, Summary
from harness.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS, EXIT_REGRESSION
from harness.release.decide import decide
from harness.release.judge import (
    SIDES,
    Judged,
    find_broken,
    settings_of,
    sum_proofs,
    sum_thresholds,
)
from harness.release.model import SideName
from harness.report.model import Report


def decided(
    runs: list[Judged], compared: Comparison | None = None, expected: int = RUNS
) -> tuple[str, int, list[str]]:
    wanted: dict[SideName, int] = dict.fromkeys(SIDES, expected)
    return decide(
        find_broken(runs),
        sum_thresholds(runs),
        compared or comparison(),
        sum_proofs(runs),
        runs=runs,
        expected=wanted,
    )


def test_nothing_broken_and_nothing_worse_is_go() -> None:
    decision, code, (reason,) = decided(sides())
    assert (decision, code) == ("go", EXIT_PASS)
    assert reason.endswith("none of 2 metrics (of 2) of which the runs tell got worse")


def test_one_broken_promise_in_one_run_is_no_go_whatever_the_others_say() -> None:
    runs = sides(candidate=[run(0), run(1, twice=2), run(2)])
    (broken,) = find_broken(runs)
    assert (broken.what, broken.runs, broken.of) == ("duplicates", 1, 3)
    assert (broken.baseline_runs, broken.baseline_of) == (0, 3)
    assert broken.reproduce == "nats-harness run story --seed 1"
    decision, code, reasons = decided(runs, comparison("improved"))
    assert (decision, code) == ("no-go", EXIT_FAIL)
    assert reasons[0].startswith("story: duplicates is broken in 1 of 3 runs: ")


def test_a_promise_that_the_baseline_broke_as_well_is_still_no_go_and_said() -> None:
    both: list[Report | None] = [run(0, twice=1), run(1), run(2)]
    decision, _, reasons = decided(sides(both, both))
    assert decision == "no-go"
    assert "; the baseline in 1 of 3: " in reasons[0]


def test_a_promise_that_only_the_baseline_broke_is_not_held_against_the_candidate() -> None:
    assert decided(sides(baseline=[run(0, twice=1), run(1), run(2)]))[0] == "go"


def test_a_limit_that_was_missed_once_is_no_go_with_the_worst_run() -> None:
    runs = sides(candidate=[run(0), run(1, back_s=5.6), run(2, back_s=5.2)])
    line = next(one for one in sum_thresholds(runs) if one.metric == "failover_time")
    assert (line.broken, line.runs, line.baseline_broken) == (2, 3, 0)
    assert (line.worst.verdict, line.worst.limit) == ("fail", 1.0)
    assert line.worst.value == pytest.approx(1.6)
    assert line.worst.margin == pytest.approx(-0.6)
    assert line.reproduce.endswith("--seed 1")
    decision, code, reasons = decided(runs)
    assert (decision, code) == ("no-go", EXIT_FAIL)
    assert reasons == ["story: failover_time max < 1s was missed in 2 of 3 runs"]


def test_a_regression_alone_is_no_go_with_a_code_of_its_own() -> None:
    decision, code, reasons = decided(sides(), comparison("regressed"))
    assert (decision, code) == ("no-go", EXIT_REGRESSION)
    assert reasons == ["story: failover_time got worse: it is as it is"]


def test_too_few_runs_matter_where_the_scenario_has_a_limit() -> None:
    decision, code, reasons = decided(sides(), comparison("too-few-runs"))
    assert (decision, code) == ("not-enough-evidence", EXIT_INCONCLUSIVE)
    assert "about 12 would do" in reasons[0]
    assert decided(sides(), comparison("too-few-runs", "reconnect_attempts"))[0] == "go"


def test_too_few_runs_do_not_matter_where_the_worst_that_they_allow_keeps_the_limit() -> None:
    """The baseline's median is 0.2 s and the limit 1 s."""
    assert decided(sides(), comparison("too-few-runs", shift_high=0.7))[0] == "go"
    assert decided(sides(), comparison("too-few-runs", shift_high=0.8))[0] == "not-enough-evidence"
    assert decided(sides(), comparison("not-comparable", shift_high=0.9))[0] != "go"


def test_runs_that_tell_nothing_of_any_metric_are_not_enough_evidence() -> None:
    told = comparison("too-few-runs", shift_high=0.1)
    (scenario,) = told.scenarios
    alone = scenario.model_copy(update={"metrics": scenario.metrics[:1]})
    decision, _, reasons = decided(sides(), told.model_copy(update={"scenarios": [alone]}))
    assert decision == "not-enough-evidence"
    assert reasons == ["story: too few runs to tell of any of 1 metrics whether it got worse"]


def changed(**changes: object) -> Comparison:
    told = comparison("too-few-runs", shift_high=0.9)
    (scenario,) = told.scenarios
    first = scenario.metrics[0].model_copy(update=changes)
    metrics = [first, *scenario.metrics[1:]]
    return told.model_copy(update={"scenarios": [scenario.model_copy(update={"metrics": metrics})]})


def test_a_share_is_not_held_against_a_limit_in_seconds() -> None:
    assert decided(sides(), changed(statistic="mean"))[0] == "not-enough-evidence"
    assert decided(sides(), changed(statistic="share beyond mode 1"))[0] == "go"


def test_a_metric_that_the_candidate_no_longer_has_is_not_enough_evidence() -> None:
    empty = Summary(n=0, censored=0, min=None, p50=None, max=None, values=[])
    gone = changed(change="not-comparable", metric="recovery_time", candidate=empty)
    decision, _, reasons = decided(sides(), gone)
    assert decision == "not-enough-evidence"
    assert reasons == ["story: no run of the candidate has recovery_time"]


def test_a_metric_that_the_baseline_has_now_and_then_only_may_not_be_there() -> None:
    empty = Summary(n=0, censored=0, min=None, p50=None, max=None, values=[])
    rare = Summary(n=1, censored=0, min=0.1, p50=0.1, max=0.1, values=[0.1])
    gone = changed(change="not-comparable", metric="recovered", baseline=rare, candidate=empty)
    assert decided(sides(), gone)[0] == "go"


def test_a_metric_that_only_the_candidate_has_is_not_enough_evidence() -> None:
    empty = Summary(n=0, censored=0, min=None, p50=None, max=None, values=[])
    all_ = Summary(n=6, censored=0, min=30.0, p50=30.0, max=30.0, values=[30.0] * 6)
    told = changed(
        change="not-comparable", metric="leader_election_time", baseline=empty, candidate=all_
    )
    assert decided(sides(), told)[0] == "go"  # 3 of 3 against none of 3 may be chance
    (scenario,) = told.scenarios
    six = scenario.baseline.model_copy(update={"iterations": 6})
    more = scenario.model_copy(update={"baseline": six, "candidate": six})
    decision, _, reasons = decided(sides(), told.model_copy(update={"scenarios": [more]}))
    assert decision == "not-enough-evidence"
    assert reasons == ["story: no run of the baseline has leader_election_time"]


def test_a_scenario_that_only_the_baseline_has_is_not_enough_evidence() -> None:
    told = comparison().model_copy(update={"missing": ["other: only in the baseline"]})
    assert decided(sides(), told)[2] == ["not compared: other: only in the baseline"]


def test_one_report_three_times_is_one_run() -> None:
    decision, _, reasons = decided(sides(candidate=[run(0)] * 3))
    assert decision == "not-enough-evidence"
    assert reasons == ["2 of 3 runs of the candidate left no report"]


def test_an_unproven_fault_is_not_enough_evidence() -> None:
    runs = sides(candidate=[run(0), run(1), run(2, observed=False)])
    proofs = {one.side: one for one in sum_proofs(runs)}
    assert (proofs["candidate"].intended, proofs["candidate"].proven) == (3, 2)
    assert proofs["candidate"].reproduce.endswith("--seed 2")
    assert (proofs["baseline"].intended, proofs["baseline"].proven) == (3, 3)
    decision, code, reasons = decided(runs)
    assert (decision, code) == ("not-enough-evidence", EXIT_INCONCLUSIVE)
    assert any("is not proven in 1 of 3 runs of the candidate" in one for one in reasons)
    assert any("1 run(s) of the candidate are inconclusive" in one for one in reasons)


def test_a_run_without_a_report_is_missing_and_never_a_pass() -> None:
    decision, code, reasons = decided(sides(candidate=[run(0), run(1), None]))
    assert (decision, code) == ("not-enough-evidence", EXIT_INCONCLUSIVE)
    assert reasons == ["1 of 3 runs of the candidate left no report"]


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "fail", "exit_code": 1},
        {"exit_code": 1},
        {"interrupted": True, "exit_code": 130},
    ],
)
def test_a_run_that_did_not_pass_is_never_go_though_nothing_in_it_says_why(
    changes: dict[str, object],
) -> None:
    odd = run(1).model_copy(update=changes)
    decision, code, reasons = decided(sides(candidate=[run(0), odd, run(2)]))
    assert (decision, code) == ("not-enough-evidence", EXIT_INCONCLUSIVE)
    assert reasons == [
        "story: 1 run(s) of the candidate did not pass, and nothing that was found in them says why"
    ]
    assert decided(sides(baseline=[run(0), odd, run(2)]))[0] == "go"


def test_no_runs_at_all_are_not_enough_evidence() -> None:
    decision, _, reasons = decide(
        [], [], None, [], runs=[], expected={"candidate": 3, "baseline": 3}
    )
    assert decision == "not-enough-evidence"
    assert "the two releases were not compared" in reasons


def test_what_is_broken_comes_before_what_changed_before_what_is_missing() -> None:
    runs = sides(candidate=[run(0, twice=1, back_s=5.6), run(1), None])
    reasons = decided(runs, comparison("regressed"))[2]
    order = ["duplicates is broken", "was missed", "got worse", "left no report"]
    assert [next(i for i, one in enumerate(reasons) if part in one) for part in order] == [
        0,
        1,
        2,
        3,
    ]


def test_settings_are_those_of_each_side() -> None:
    found = settings_of(sides())
    assert set(found) == {"candidate", "baseline"}
    assert "story" in found["candidate"]["scenarios"]
    assert settings_of([replace(one, report=None) for one in sides()]) == {}
