from __future__ import annotations

import io

from rich.console import Console
from story import Story

from harness.checks import judge
from harness.report.build import build
from harness.report.model import Fault, Iteration
from harness.report.notices import MAX_LINES, describe_notices, print_notices


def iteration_of(story: Story) -> Iteration:
    history = story.history()
    return build(history, judge(history)).iterations[0]


def lines_of(story: Story) -> list[str]:
    (fault,) = iteration_of(story).faults
    return list(describe_notices(fault))


def stopped() -> Story:
    gone = {("n2", "n1"): (4.4, 6.4), ("n3", "n1"): (5.0, 6.4)}
    return Story().core().fault().watched(gone).unwatched("n1", 4.0, 6.1)


def test_a_fault_has_what_each_server_noticed() -> None:
    (fault,) = iteration_of(stopped()).faults
    assert [(one.server, one.peer, one.after_s) for one in fault.noticed] == [
        ("n2", "n1", 0.5),
        ("n3", "n1", 1.0),
    ]


def test_the_timeline_has_changes_and_no_samples() -> None:
    kinds = [one.kind for one in iteration_of(stopped()).timeline]
    assert kinds.count("server.route_lost") == 2
    assert kinds.count("server.route_back") == 2
    assert "server.sampled" not in kinds
    ats = [one.at for one in iteration_of(stopped()).timeline]
    assert ats == sorted(ats)


def test_one_line_says_who_noticed_and_between_when() -> None:
    assert lines_of(stopped()) == [
        "servers: n2, n3 noticed that n1 was gone 248 ms to 1 s after stop-seed"
    ]


def test_one_line_says_who_did_not_notice() -> None:
    assert lines_of(Story().core().fault("freeze", "pause").watched()) == [
        "servers: n2, n3 noticed nothing for 1.75 s and more after freeze"
    ]


def test_reasons_are_told_as_the_server_gave_them() -> None:
    story = Story().core().fault("duck", "lame-duck").watched()
    story.sample("n1", 5.1, ["n2", "n3"], [("hello-publisher-1", "Server Shutdown", 5.0)])
    assert "servers: n1 closed 1 client (Server Shutdown) 1 s after duck" in lines_of(story)


def test_nothing_to_say_is_nothing_said() -> None:
    assert lines_of(Story().core().fault()) == []


def test_many_lines_are_cut_with_a_word_about_the_rest() -> None:
    (fault,) = iteration_of(stopped()).faults
    faults: list[Fault] = [fault] * (MAX_LINES + 3)
    out = io.StringIO()
    print_notices(faults, Console(file=out, width=100))
    assert len(out.getvalue().splitlines()) == MAX_LINES + 1
    assert "and 3 more in report.json" in out.getvalue()
