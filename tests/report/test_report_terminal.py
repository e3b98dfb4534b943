from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import pytest
from rich.console import Console
from story import Story, tell

from harness.checks import judge
from harness.pages.words import list_worries
from harness.report.build import build
from harness.report.model import Report
from harness.report.terminal import MAX_ROWS, print_report
from harness.report.timeline import BLOCKS, draw_timeline
from harness.report.words import telling

FOLDER = Path("reports") / "a-name-that-is-long-enough-to-be-broken-over-two-lines-20260101-abcdef"


def report_on(*stories: Story, **started: Any) -> Report:
    history = tell(list(stories), seed=1, backend="lab", **started)
    return build(history, judge(history))


def printed(
    report: Report, width: int = 80, *, encoding: str = "utf-8", color: bool = False
) -> str:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    system: Literal["standard"] | None = "standard" if color else None
    console = Console(file=out, width=width, force_terminal=color, color_system=system)
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


def test_a_run_that_broke_off_in_setup_gives_its_cause_and_not_what_follows() -> None:
    story = Story(collected=False, drained=False).core(subscribers=6, traffic=False)
    story.event(1.0, "run.failed", error="WorkerError", message="no login", phase="setup")
    report = report_on(story)
    assert {"traffic"} < {one.check for one in report.findings if one.verdict == "inconclusive"}
    text = printed(report, width=120)
    assert text.count("INCONCLUSIVE ") == 2
    assert "INCONCLUSIVE completion: the run broke off in setup: WorkerError: no login" in text
    assert list_worries(report) == list(telling(report))


def test_a_run_that_broke_off_under_load_gives_all_that_it_found() -> None:
    story = Story(collected=False, drained=False).core().drop([799])
    story.event(9.0, "run.failed", error="WorkerError", message="went silent", phase="fault")
    report = report_on(story)
    found = [one for one in report.findings if one.verdict != "pass"]
    assert len(found) > 1
    assert list(telling(report)) == found


def test_reconnects_and_proof_are_shown_with_lower_bounds_marked() -> None:
    text = printed(report_on(failing_over()), width=120)
    assert "gone; back" in text
    publisher = next(one for one in text.splitlines() if one.startswith("hello-publisher-1"))
    assert publisher.split() == [
        "hello-publisher-1", "n1", ">", "n2", "UnexpectedEOF", "100", "ms", "200", "ms", "1",
    ]  # fmt: skip
    subscriber = next(one for one in text.splitlines() if one.startswith("hello-subscriber-1"))
    assert ">= 5.8 s" in subscriber


@pytest.mark.parametrize(
    ("stopped", "sign"), [(True, "only silence"), (False, "none")], ids=["silent", "unnoticed"]
)
def test_a_client_that_never_disconnected_has_nothing_to_come_back_from(
    stopped: bool, sign: str
) -> None:
    story = Story().core(1, 1).fault(action="pause")
    text = printed(report_on(story.silence(4.0, 6.0) if stopped else story), width=120)
    line = next(one for one in text.splitlines() if one.startswith("hello-subscriber-1"))
    words = line.split("  ")
    assert [one.strip() for one in words if one.strip()][1:3] == ["n1", sign]
    assert "not in " in line
    assert line.split()[-2:] == ["-", "-"]
    assert not {">", ">=", "?"} & set(line.split())


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


GUIDE = [("first", 1.5), ("second", 2.0), ("again", 3.5), ("again", 4.5)]


def guide_lines(subscribers: int = 1, width: int = 80) -> list[str]:
    story = Story().core().named(GUIDE, subscribers).fault()
    story.drop([2], sender=2, at=story.id_of("guide-subscriber-1"))
    lines = printed(report_on(story), width).splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("message  "))
    return lines[start : start + 5]


def test_each_named_message_has_a_line() -> None:
    head, first, second, again, last = guide_lines()
    assert head.split() == ["message", "due", "phase", "from", "outcome", "guide-subscriber-1"]
    assert first.split() == [
        "first",
        "2.50",
        "s",
        "steady",
        "n1",
        "accepted",
        "delivered",
        "in",
        "1",
        "ms",
        "on",
        "n1",
    ]
    assert second.startswith("second")
    assert again.split() == ["again", "4.50", "s", "fault", "n1", "accepted", "LOST"]
    assert last.split()[-6:] == ["delivered", "in", "1", "ms", "on", "n1"]


def test_many_subscribers_share_a_column() -> None:
    head, first, _, again, _ = guide_lines(5, 120)
    assert head.split()[-1] == "subscribers"
    assert first.rstrip().endswith("5 of 5 got it")
    assert again.rstrip().endswith("4 of 5 got it; guide-subscriber-1: LOST")


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("subscribers", [1, 2, 5])
def test_named_messages_fit_the_terminal(width: int, subscribers: int) -> None:
    report = report_on(Story().core().named(GUIDE, subscribers).fault())
    lines = printed(report, width).splitlines()
    assert all(len(line) <= width for line in lines[:-1])


def test_a_text_that_the_terminal_lacks_letters_for_is_printed_all_the_same() -> None:
    report = report_on(Story().core().named([("na\u00efve", 1.5), ("[bold]x", 2.0)]).fault())
    printed(report, encoding="ascii").encode("ascii")
    assert "na\\xefve" in printed(report, encoding="ascii")
    assert "na\u00efve" in printed(report)
    assert "[bold]x" in printed(report)
