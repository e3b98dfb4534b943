"""The page of a release check, as a browser shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, start
from rich.console import Console
from told_release import comparison, run, side, sides

from harness.release.decide import decide
from harness.release.judge import (
    SIDES,
    Judged,
    find_broken,
    settings_of,
    sum_proofs,
    sum_thresholds,
)
from harness.release.markdown import render_summary
from harness.release.model import ReleaseCheck, RunLine
from harness.release.page import render_check
from harness.release.terminal import print_check

SPOILED = "</script><script>document.title = 'spoiled'</script>"


def checked(runs: list[Judged], change: str = "unchanged") -> ReleaseCheck:
    told = comparison(change)
    broken, thresholds, proofs = find_broken(runs), sum_thresholds(runs), sum_proofs(runs)
    decision, code, reasons = decide(
        broken, thresholds, told, proofs, runs=runs, expected=dict.fromkeys(SIDES, 3)
    )
    lines = [
        RunLine(
            scenario=one.scenario, side=one.side, seed=number, disturbed=number == 1,
            verdict="none" if one.report is None else one.report.verdict,
            report=f"runs/{number}/report.json", trouble="" if one.report else SPOILED,
            reproduce=f"nats-harness run story --seed {number}",
        )
        for number, one in enumerate(runs)
    ]  # fmt: skip
    return ReleaseCheck(
        nats_harness_version="0", decision=decision, exit_code=code, reasons=reasons,
        candidate=side(), baseline=side(), suite=["story"], runs_each=3, broken=broken,
        thresholds=thresholds, comparison=told, proofs=proofs, runs=lines,
        settings=settings_of(runs), started_at="2026-01-01T00:00:00Z", took_s=61.0,
        reproduce="nats-harness release-check --candidate x --baseline x",
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start() as started:
        yield started


def cases() -> dict[str, ReleaseCheck]:
    return {
        "go": checked(sides()),
        "no-go": checked(
            sides(candidate=[run(0, twice=1), run(1, back_s=5.6), run(2)]), "regressed"
        ),
        "not-enough-evidence": checked(
            sides(candidate=[run(0), run(1, observed=False), None]), "too-few-runs"
        ),
    }


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_the_page_shows_what_the_check_says(browser: Browser, tmp_path: Path) -> None:
    for decision, check in cases().items():
        assert check.decision == decision
        path = tmp_path / f"{decision}.html"
        path.write_text(render_check(check, {"runs/1/report.json": "runs/1/report.html"}))
        for width in (390, 1366):
            page = browser.page()
            page.size(width, 900, mobile=width < 600)
            page.open(path)
            page.evaluate(
                "document.querySelectorAll('details').forEach(one => { one.open = true })"
            )
            badge = page.evaluate("document.querySelector('.hero .badge').textContent")
            assert decision.replace("-", " ") == badge.strip(" ✓✗?").lower().replace("-", " ")
            shown = page.evaluate(
                "[...document.querySelectorAll('.reasons li')].map(one => one.textContent)"
            )
            assert shown == check.reasons[:8]
            assert page.evaluate("document.querySelectorAll('[data-run]').length") == len(
                check.runs
            )
            assert page.evaluate(
                "[...document.querySelectorAll('.threshold')]"
                ".map(one => one.dataset.verdict).sort()"
            ) == sorted(one.worst.verdict for one in check.thresholds)
            assert page.evaluate("document.querySelectorAll('[data-run] a').length") == 1
            assert page.evaluate("document.title") != "spoiled"
            assert page.complaints == []
            assert all(url.startswith(("file:", "data:")) for url in page.requests)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            page.close()


@pytest.mark.parametrize("decision", ["go", "no-go", "not-enough-evidence"])
def test_the_terminal_says_the_decision_and_why(decision: str) -> None:
    check = cases()[decision]
    console = Console(width=100, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        print_check(check, console)
    said = captured.get()
    assert said.startswith(
        decision.upper().replace("-", " ") if "-e" in decision else decision.upper()
    )
    for reason in check.reasons:
        assert reason in said.replace("\n", "")
    assert check.reproduce in said


def test_the_summary_for_a_pull_request_says_the_same_without_markup_from_outside() -> None:
    told = cases()
    assert render_summary(told["go"]).startswith("### GO: nats-server x against x\n")
    text = render_summary(told["no-go"])
    assert text.startswith("### NO-GO: ")
    assert "| story | failover\\_time max &lt; 1s | 1 of 3 | 0 of 3 |" in text
    assert "| story | regressed | it is as it is |" in text
    assert told["no-go"].reproduce in text
    hostile = told["go"].model_copy(update={"reasons": ["<script>alert(1)</script> | @everyone"]})
    assert "<script>" not in render_summary(hostile)
    assert "@everyone" not in render_summary(hostile)
