from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from planted_reports import report, store
from planted_runs import count, times

from harness.comparison.model import Comparison


def runs(folder: Path, name: str, failover_s: float, n: int = 12, spread: float = 0.001) -> Path:
    metrics = [
        {"failover_time": times([failover_s * (1 + spread * one)]), "lost": count(0)}
        for one in range(n)
    ]
    return store(folder / name, report(metrics, name))


def nats_harness(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_regression_is_told_in_a_sentence_and_by_the_exit_code(tmp_path: Path) -> None:
    old, new = runs(tmp_path, "old", 0.3), runs(tmp_path, "new", 0.4)
    done = nats_harness("compare", old, new, "--json", tmp_path / "out.json")
    assert done.returncode == 4
    assert done.stdout.startswith("REGRESSION  ")
    told = " ".join(done.stdout.split())
    assert "failover_time mean regressed: 302 ms (300 ms to 303 ms) -> 402 ms" in told
    assert "1 regressed, 1 unchanged" in told
    assert "lost ratio" not in told
    written = Comparison.model_validate_json((tmp_path / "out.json").read_bytes())
    assert (written.outcome, written.exit_code) == ("regression", 4)
    assert written.reproduce.startswith(f"nats-harness compare {old} {new}")


def test_no_regression_and_too_few_runs_have_their_exit_codes(tmp_path: Path) -> None:
    old, same = runs(tmp_path, "old", 0.3), runs(tmp_path, "same", 0.3)
    done = nats_harness("compare", old, same, "--all")
    assert done.returncode == 0
    assert "failover_time mean unchanged" in done.stdout
    few = runs(tmp_path, "few", 0.3, n=2)
    done = nats_harness("compare", old, few)
    assert done.returncode == 3
    assert done.stdout.startswith("TOO FEW RUNS")


def test_json_on_standard_output_is_all_that_is_printed(tmp_path: Path) -> None:
    old, new = runs(tmp_path, "old", 0.3), runs(tmp_path, "new", 0.3)
    done = nats_harness("compare", old, new, "--json", "-")
    assert json.loads(done.stdout)["outcome"] == "no-regression"


def test_a_practical_limit_can_be_set_for_all_metrics_or_one(tmp_path: Path) -> None:
    old, new = runs(tmp_path, "old", 0.3), runs(tmp_path, "new", 0.34)
    assert nats_harness("compare", old, new).returncode == 4
    assert nats_harness("compare", old, new, "--practical", "20%").returncode == 0
    limits = ("--practical", "1%", "--practical", "failover_time=20%")
    assert nats_harness("compare", old, new, *limits).returncode == 0


def test_a_stored_baseline_stands_for_its_runs(tmp_path: Path) -> None:
    runs(tmp_path, "old", 0.3)
    stored = tmp_path / "baseline.json"
    assert nats_harness("baseline", tmp_path / "old", "--out", stored).returncode == 0
    assert nats_harness("compare", stored, runs(tmp_path, "new", 0.4)).returncode == 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--practical", "much"), "expected a share in percent"),
        (("--practical", "failovr_time=10%"), "there is no metric 'failovr_time' to compare"),
        (("--alpha", "2"), "expected a chance between 0 and 1"),
        (("--json", "/nowhere/out.json"), "there is no folder /nowhere"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(
    tmp_path: Path, options: tuple[str, str], told: str
) -> None:
    old, new = runs(tmp_path, "old", 0.3), runs(tmp_path, "new", 0.3)
    done = nats_harness("compare", old, new, *options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_a_baseline_of_nothing_is_refused(tmp_path: Path) -> None:
    done = nats_harness("baseline", tmp_path / "nowhere", "--out", tmp_path / "b.json")
    assert done.returncode == 2
    assert not (tmp_path / "b.json").exists()
