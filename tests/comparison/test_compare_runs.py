from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from planted_reports import finding, report, store
from planted_runs import count, many, times
from rich.console import Console

from harness.comparison.command import baseline_command
from harness.comparison.compare import compare_runs
from harness.comparison.model import Comparison
from harness.errors import HarnessError, ReportError, UsageError
from harness.report.model import Report

SIDE = 12


def measured(run_id: str = "a", failover_s: float = 0.3, n: int = SIDE, **facts: Any) -> Report:
    metrics = [
        {
            "failover_time": times([failover_s * (1 + one / 200)] * 2),
            "stream_lost": count(0),
            "send_lateness{phase:steady}": many(0.0005, 0.002 + one / 1e6),
        }
        for one in range(n)
    ]
    return report(metrics, run_id, **facts)


def notes_of(comparison: Comparison) -> str:
    return "\n".join(note for one in comparison.scenarios for note in one.notes)


def test_reports_folders_and_stored_baselines_are_all_the_same(tmp_path: Path, capsys: Any) -> None:
    baseline, slower = measured("a"), measured("b", 0.4, server="2.15.0")
    folder, other = store(tmp_path / "old", baseline), store(tmp_path / "new", slower)
    stored = tmp_path / "baseline.json"
    assert baseline_command([str(tmp_path / "old")], stored, Console()) == 0
    assert "planted: 12 iterations" in capsys.readouterr().out
    found = [
        compare_runs([source], [candidate])
        for source in (baseline, folder, folder / "report.json", tmp_path / "old", stored)
        for candidate in (slower, other, str(tmp_path / "new"))
    ]
    assert {one.outcome for one in found} == {"regression"}
    assert len({str([s.metrics for s in one.scenarios]) for one in found}) == 1
    assert (found[0].baseline.label, found[0].candidate.label) == ("2.14.0", "2.15.0")
    assert stored.stat().st_size < (folder / "report.json").stat().st_size


def test_reports_of_one_scenario_are_pooled_by_iterations() -> None:
    singles = [measured(f"a{one}", n=1) for one in range(SIDE)]
    comparison = compare_runs(singles, [measured("b")])
    assert (comparison.baseline.runs, comparison.baseline.iterations) == (SIDE, SIDE)
    (scenario,) = comparison.scenarios
    assert scenario.metrics[0].baseline.n == SIDE
    assert "baseline: all 12 iterations threw the same dice" in notes_of(comparison)


def test_a_run_that_is_given_twice_counts_once(tmp_path: Path) -> None:
    folder = store(tmp_path, measured("a"))
    comparison = compare_runs([folder, folder / "report.json"], [measured("b")])
    assert comparison.baseline.iterations == SIDE


def test_iterations_that_did_not_run_to_their_end_do_not_count() -> None:
    cut = measured("b", findings=[finding("completion", "inconclusive", 3, "the run broke off")])
    comparison = compare_runs([measured("a")], [cut])
    assert comparison.candidate.iterations == SIDE - 1
    assert "candidate: 1 of 12 iterations did not run to their end" in notes_of(comparison)
    interrupted = measured("c", interrupted=True)
    assert compare_runs([measured("a")], [interrupted]).candidate.iterations == SIDE - 1


def test_of_an_inconclusive_iteration_only_a_broken_guarantee_counts() -> None:
    doubtful = measured("b", findings=[finding("traffic", "inconclusive", 3, "too little of it")])
    comparison = compare_runs([measured("a")], [doubtful])
    n = {one.metric: one.candidate.n for one in comparison.scenarios[0].metrics}
    assert n == {"failover_time": SIDE - 1, "stream_lost": SIDE}
    assert "1 of 12 iterations were inconclusive" in notes_of(comparison)
    assert "too little of it" in notes_of(comparison)


def test_what_only_a_threshold_doubts_or_what_fails_counts() -> None:
    judged = [finding("thresholds", "inconclusive", 3), finding("stream-loss", "fail", 4)]
    comparison = compare_runs([measured("a")], [measured("b", findings=judged)])
    assert {one.candidate.n for one in comparison.scenarios[0].metrics} == {SIDE}


def test_a_side_that_often_has_no_proof_is_not_without_regression() -> None:
    unproven = [finding("proof", "inconclusive", one) for one in range(8)]
    baseline = measured("a", n=30)
    assert compare_runs([baseline], [measured("b", n=30)]).outcome == "no-regression"
    comparison = compare_runs([baseline], [measured("b", n=30, findings=unproven)])
    assert comparison.outcome == "too-few-runs"
    assert "the sides differ in how many iterations do not count" in notes_of(comparison)


def test_sides_without_a_conclusive_iteration_are_not_without_regression() -> None:
    unproven = [finding("proof", "inconclusive", one) for one in range(SIDE)]
    comparison = compare_runs(
        [measured("a", findings=unproven)], [measured("b", findings=unproven)]
    )
    (guarantee,) = comparison.scenarios[0].metrics
    assert (guarantee.metric, guarantee.change) == ("stream_lost", "unchanged")
    assert (comparison.outcome, comparison.exit_code) == ("too-few-runs", 3)


def test_what_differs_beside_the_release_is_noted() -> None:
    other = measured(
        "b",
        nats_harness_version="0.2.0",
        seed=7,
        options={"ping_interval": 2.0},
        scenario={"cluster": {"servers": 5}, "thresholds": {"lost": ["count == 0"]}},
    )
    notes = notes_of(compare_runs([measured("a")], [other]))
    for told in (
        "the thresholds differ",
        "the clusters differ in more than their release",
        "the client options differ in ping_interval",
        "the versions of nats-harness differ (0.1.0 in the baseline, 0.2.0 in the candidate)",
        "the seeds differ",
        "the sides ran one after the other",
    ):
        assert told in notes
    same = notes_of(compare_runs([measured("a")], [measured("b", server="2.15.0")]))
    assert "differ" not in same
    assert "both sides threw the same dice" in same


def test_scenarios_of_one_name_with_other_faults_are_not_compared() -> None:
    other = measured("b", 0.9, scenario={"faults": [{"name": "kill", "action": "pause"}]})
    comparison = compare_runs([measured("a")], [other])
    assert comparison.outcome == "too-few-runs"
    assert {one.change for one in comparison.scenarios[0].metrics} == {"not-comparable"}
    assert "the scenarios differ in faults" in notes_of(comparison)


def test_a_busier_machine_is_noted_and_is_no_regression() -> None:
    quiet, busy = measured("a", 0.02), measured("b", 0.06)
    late = {"send_lateness{phase:steady}": many(0.003, 0.02)}
    busy = busy.model_copy(
        update={
            "iterations": [
                one.model_copy(update={"metrics": {**one.metrics, **late}})
                for one in busy.iterations
            ]
        }
    )
    assert compare_runs([quiet], [measured("b", 0.06)]).outcome == "regression"
    comparison = compare_runs([quiet], [busy])
    assert comparison.outcome == "too-few-runs"
    assert "the harness itself was later on one side" in notes_of(comparison)


def test_what_the_candidate_no_longer_measures_is_not_without_regression() -> None:
    none = report([{"stream_lost": count(0)} for _ in range(SIDE)], "b")
    comparison = compare_runs([measured("a")], [none])
    assert comparison.outcome == "too-few-runs"
    change = comparison.scenarios[0].metrics[0]
    assert change.why == (
        "failover_time mean cannot be compared: no iteration of the candidate has a value"
    )


@pytest.mark.parametrize(
    ("seen", "outcome"), [(2, "no-regression"), (6, "too-few-runs"), (SIDE, "too-few-runs")]
)
def test_what_the_baseline_measures_now_and_then_may_not_be_there(seen: int, outcome: str) -> None:
    """By chance 2 of 24 iterations are all of the baseline's 12 one time in 4, 6 one in 146."""

    def some(run_id: str, recovered: int) -> Report:
        one = {"failover_time": times([0.3] * 2)}
        now_and_then = {**one, "consumer_stalls": times([0.2])}
        every = [now_and_then] * recovered + [one] * (SIDE - recovered)
        return report([{**it, "stream_lost": count(0)} for it in every], run_id)

    assert compare_runs([some("a", seen)], [some("b", 0)]).outcome == outcome


def test_scenarios_of_one_side_are_named() -> None:
    other = measured("c", scenario={"name": "other"})
    comparison = compare_runs([measured("a"), other], [measured("b")])
    assert comparison.missing == ["other: only in the baseline"]
    with pytest.raises(UsageError, match="no scenario is on both sides: other in the baseline"):
        compare_runs([other], [measured("b")])


def test_a_report_without_metrics_of_each_iteration_is_refused_in_one_line(tmp_path: Path) -> None:
    old = report([{} for _ in range(3)], "old")
    folder = store(tmp_path, old)
    with pytest.raises(ReportError, match="did not keep the metrics of each iteration") as raised:
        compare_runs([folder], [measured("b")])
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is no JSON"),
        ("[]", "is no report"),
        ('{"run_id": 3}', "is no report that this version can read"),
        ('{"kind": "nats-harness baseline", "runs": 3}', "is no baseline"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "some.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(HarnessError, match=told) as raised:
        compare_runs([path], [measured("b")])
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


def test_paths_that_hold_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="there is no such report"):
        compare_runs([tmp_path / "nowhere"], [measured("b")])
    with pytest.raises(ReportError, match=r"no report\.json in it"):
        compare_runs([tmp_path], [measured("b")])


def test_a_run_that_is_on_both_sides_is_refused() -> None:
    with pytest.raises(UsageError, match="run a is on both sides"):
        compare_runs([measured("a")], [measured("a"), measured("b")])


def test_a_scenario_that_the_candidate_lacks_is_not_without_regression() -> None:
    both = [measured("a"), measured("b", scenario={"name": "other"})]
    assert (
        compare_runs(both, [measured("c"), measured("d", scenario={"name": "other"})]).exit_code
        == 0
    )
    comparison = compare_runs(both, [measured("c")])
    assert (comparison.outcome, comparison.exit_code) == ("too-few-runs", 3)


def test_a_folder_with_a_run_that_left_no_report_is_refused(tmp_path: Path) -> None:
    store(tmp_path, measured("a"))
    killed = tmp_path / "planted-killed"
    killed.mkdir()
    (killed / "events.jsonl").write_text("{}\n")
    with pytest.raises(ReportError, match=r"planted-killed: a run without report\.json"):
        compare_runs([tmp_path], [measured("b")])


@pytest.mark.parametrize("damaged", ["planted-b", "planted-b/report.json"])
def test_a_run_of_a_set_that_cannot_be_read_is_named_and_not_left_out(
    tmp_path: Path, damaged: str
) -> None:
    """Links in a circle are refused to root as well, unlike folders without permissions."""
    for run_id in "ab":
        store(tmp_path / "set", measured(run_id))
    place = tmp_path / "set" / damaged
    place.rename(tmp_path / "aside")
    place.symlink_to(place)
    for read in (
        lambda: compare_runs([tmp_path / "set"], [measured("c")]),
        lambda: baseline_command([str(tmp_path / "set")], tmp_path / "out.json", Console()),
    ):
        with pytest.raises(ReportError, match=r"planted-b/report\.json cannot be read: Too many"):
            read()
    assert not (tmp_path / "out.json").exists()


def test_a_folder_without_permissions_is_named_and_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in "ab":
        store(tmp_path / "set", measured(run_id))
    see = Path.stat

    def stat(path: Path, **options: Any) -> Any:
        if path.parent.name == "planted-b":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return see(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(ReportError, match=r"planted-b/report\.json cannot be read: Permission"):
        compare_runs([tmp_path / "set"], [measured("c")])


@pytest.mark.parametrize("content", ["[" * 200_000, '{"kind": 3}', "3"])
def test_a_file_that_is_no_report_is_one_clear_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(ReportError) as raised:
        compare_runs([path], [measured("b")])
    assert "\n" not in str(raised.value)
