from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from story import Story, tell

from harness.checks import judge
from harness.report.build import build
from harness.report.model import Report
from harness.report.terminal import MAX_ROWS, print_report
from harness.report.timeline import BLOCKS, draw_timeline

FOLDER = Path("reports") / "a-name-that-is-long-enough-to-be-broken-over-two-lines-20260101-abcdef"


def report_on(*stories: Story, **started: Any) -> Report:
    history = tell(list(stories), seed=1, backend="lab", **started)
    return build(history, judge(history))


def printed(
    report: Report, width: int = 80, *, encoding: str = "utf-8", color: bool = False
) -> str:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    system = "standard" if color else None
    console = Console(file=out, width=width, force_terminal=color, color_system=system)  # type: ignore[arg-type]  # one of rich's literals
    print_report(report, FOLDER, console)
    out.flush()
    return raw.getvalue().decode(encoding)


def failing_over() -> Story:
    story = Story(
        thresholds={
            "lost{phase:steady,workload:hello}": ["count == 0", "ratio < 1%"],
            "failover_time": ["p99 < 3s", "max < 100ms"],
            "reconnect_attempts": ["max < 5"],
        }
    )
    story.core(1, 1).fault().drop(range(120, 130))
    story.failover("hello-publisher-1", 4.1, 4.3)
    return story.failover("hello-subscriber-1", 4.2, None, attempts=9)


def test_the_verdict_comes_first_and_the_path_last_on_a_line_of_its_own() -> None:
    lines = printed(report_on(failing_over())).splitlines()
    assert lines[0].startswith("FAIL  story  (seed 1; lab")
    assert lines[-1] == str((FOLDER / "report.json").absolute())


def test_each_threshold_has_a_line_with_value_limit_and_margin() -> None:
    text = printed(report_on(failing_over()), width=120)
    line = next(one for one in text.splitlines() if "max < 100ms" in one)
    assert line.split() == [
        "FAIL", "failover_time", "max", "<", "100ms", ">=", "6", "s", "-5.9", "s", "2",
    ]  # fmt: skip
    attempts = next(one for one in text.splitlines() if "max < 5" in one)
    assert attempts.split()[-3:] == ["9", "-4", "2"]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_but_the_path_is_wider_than_the_terminal(width: int) -> None:
    for line in printed(report_on(failing_over()), width).splitlines()[:-1]:
        assert len(line) <= max(width, 40), line


def test_a_pipe_gets_no_colour_and_a_terminal_does() -> None:
    report = report_on(failing_over())
    assert "\x1b" not in printed(report)
    assert "\x1b" in printed(report, color=True)


def test_a_terminal_without_blocks_gets_plain_characters() -> None:
    printed(report_on(failing_over()), encoding="ascii").encode("ascii")


def test_an_inconclusive_finding_says_what_to_do() -> None:
    story = Story(drained=False).core().drop([799])
    text = printed(report_on(story), width=200)
    assert "INCONCLUSIVE accounting: drain ended before 1 message(s)" in text
    assert "what to do: give drain more time" in text


def test_an_interrupted_run_says_so_at_once() -> None:
    story = Story().core()
    story.event(9.9, "run.interrupted", by="SIGINT")
    assert printed(report_on(story)).startswith("INCONCLUSIVE (INTERRUPTED)  story")


def test_a_run_that_was_cut_short_gives_its_reason_once() -> None:
    story = Story(collected=False, thresholds={"duplicates": ["count == 0", "ratio < 1%"]}).core()
    story.event(9.9, "run.interrupted", by="SIGINT")
    text = printed(report_on(story), width=120)
    assert text.count("INCONCLUSIVE  duplicates") == 2
    assert "INCONCLUSIVE thresholds" not in text


def test_reconnects_and_proof_are_shown_with_lower_bounds_marked() -> None:
    text = printed(report_on(failing_over()), width=120)
    assert "gone; back" in text
    publisher = next(one for one in text.splitlines() if one.startswith("hello-publisher-1"))
    assert publisher.split() == [
        "hello-publisher-1", "n1", ">", "n2", "UnexpectedEOF", "100", "ms", "200", "ms", "1",
    ]  # fmt: skip
    subscriber = next(one for one in text.splitlines() if one.startswith("hello-subscriber-1"))
    assert ">= 5.8 s" in subscriber


def test_a_fault_that_failed_says_so() -> None:
    story = Story().core().fault()
    story.event(6.0, "fault.failed", fault="stop-seed", message="stays away", edge="undo")
    assert "FAILED: stays away" in printed(report_on(story), width=120)


def test_many_reconnects_are_cut_with_a_word_about_the_rest() -> None:
    story = Story().core(12, 12, 120).fault()
    for client in story.clients:
        story.failover(client["name"], 4.1, 4.2)
    assert f"and {24 - MAX_ROWS} more in report.json" in printed(report_on(story))


def test_messages_are_shown_by_phase() -> None:
    text = printed(report_on(failing_over()))
    steady = next(one for one in text.splitlines() if one.startswith("steady"))
    assert steady.split() == ["steady", "200", "200", "190", "10", "0", "0"]


def test_of_several_iterations_the_worst_is_shown() -> None:
    stories = [Story(index=index).core() for index in range(3)]
    stories[1].silent_workers.add("hello-publishers")
    text = printed(report_on(*stories))
    assert "3 iterations: 2 pass, 1 inconclusive; number 1 in detail:" in text


def test_brackets_in_what_others_said_are_no_markup() -> None:
    story = Story().core().fault()
    story.failover("hello-publisher-1", 4.1, 4.2, sign="[bold]odd[/nonsense]")
    assert "[bold]odd[/nonsense]" in printed(report_on(story), width=120)


def test_a_run_without_iterations_or_thresholds_is_still_told() -> None:
    report = report_on(Story().core()).model_copy(update={"iterations": [], "findings": []})
    assert "no thresholds" in printed(report)


def test_the_timeline_lays_out_phases_faults_and_arrivals() -> None:
    (iteration,) = report_on(Story().core().fault(heal=6.5).silence(4.5, 5.5)).iterations
    phases, fault, arrivals, axis = draw_timeline(iteration, 100, unicode=True)
    assert phases[10:].startswith("|warmup")
    assert phases.index("|recovery") == 10 + 50
    assert fault[10 + 30 : 10 + 33] == "!" + "=="
    assert fault.rstrip().endswith("~")
    assert arrivals[10 + 37 : 10 + 42].strip() == ""
    assert arrivals[12] == BLOCKS[-1]
    assert "peak" in axis
    assert axis.endswith("10.0 s")


def test_a_burst_does_not_press_the_rest_to_the_ground() -> None:
    story = Story().core()
    for one in story.delivered[300:400]:
        one.received = 5.05
    (iteration,) = report_on(story).iterations
    arrivals = draw_timeline(iteration, 100, unicode=True)[1]
    assert arrivals[12] == BLOCKS[4]
    assert BLOCKS[-1] in arrivals


def test_no_load_is_no_timeline() -> None:
    (iteration,) = report_on(Story().core()).iterations
    rate = iteration.rate.model_copy(update={"delivered": []})
    assert draw_timeline(iteration.model_copy(update={"rate": rate}), 80, unicode=True) == []


def test_a_threshold_without_values_from_every_iteration_is_noted() -> None:
    stories = [Story(index=index, thresholds={"failover_time": ["max < 1s"]}) for index in (0, 1)]
    for story in stories:
        story.core().fault()
    stories[0].failover("hello-publisher-1", 4.1, 4.2).failover("hello-subscriber-1", 4.1, 4.2)
    for event in stories[1].events:
        if event["kind"] == "client.connected":
            event["server"] = "n2"
    said = " ".join(printed(report_on(*stories)).split())
    assert "note: failover_time: max < 1s: values from 1 of 2 iterations" in said
