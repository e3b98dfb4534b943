from __future__ import annotations

import html
import re

import pytest
from markdown_it import MarkdownIt
from story import Story
from told_reports import (
    HOSTILE,
    NO_REPORT,
    NOT_RUN,
    failing_over,
    finding,
    good,
    report_on,
    with_findings,
)

from harness.report.markdown import MAX_POINTS, MAX_ROWS, escape, render_markdown

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def rendered(text: str) -> str:
    return PARSER.render(text)


def cells(text: str) -> list[str]:
    return [html.unescape(one) for one in re.findall(r"<td[^>]*>(.*?)</td>", rendered(text))]


def test_the_verdict_comes_first() -> None:
    assert render_markdown([failing_over()]).startswith("### FAIL: story\n")
    assert render_markdown([good()]).startswith("### PASS: story\n")


def test_thresholds_stand_in_a_table_with_their_margins() -> None:
    found = cells(render_markdown([failing_over()]))
    at = found.index("max < 100ms")
    assert found[at - 2 : at] == ["<strong>FAIL</strong>", "failover_time"]
    assert found[at + 1].startswith(">= ")
    assert found[at + 2].startswith("-")
    assert found[at + 3] == "2"


def test_faults_have_their_proof_and_messages_their_phases() -> None:
    found = cells(render_markdown([failing_over()]))
    assert "gone; back" in found
    assert found[found.index("steady") + 1 : found.index("steady") + 3] == ["200", "200"]


def test_what_to_do_stands_beside_what_is_inconclusive() -> None:
    text = render_markdown([report_on(Story(drained=False).core().drop([799]))])
    assert "**INCONCLUSIVE** accounting: drain ended before 1 message(s)" in text
    assert "give drain more time" in text


def test_how_to_run_it_again_is_in_a_block_that_nothing_breaks_out_of() -> None:
    command = "nats-harness run '```\n</code># x'"
    page = rendered(render_markdown([good().model_copy(update={"reproduce": command})]))
    assert "<pre><code>nats-harness run '``` &lt;/code&gt;# x'\n</code></pre>" in page


def test_an_interrupted_run_says_so() -> None:
    story = Story(collected=False).core()
    story.event(9.9, "run.interrupted", by="SIGINT")
    assert render_markdown([report_on(story)]).startswith("### INCONCLUSIVE (INTERRUPTED): story")


@pytest.mark.parametrize(
    "hostile",
    [HOSTILE, "# head", "- point", "1. one", "--- ", "a|b|c", "<b>x</b>", "**x** _y_ ~~z~~", "=="],
)
def test_what_others_said_is_shown_as_it_is(hostile: str) -> None:
    unreported = NO_REPORT.__class__("third", hostile, run=True, at="")
    page = rendered(render_markdown([unreported]))
    shown = re.search(r"<p>(.*?)</p>\s*$", page, re.DOTALL)
    assert shown is not None, page
    assert "<" not in shown[1]
    unseen = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u200b\ud800-\udfff ]+")
    said = unseen.sub("", html.unescape(shown[1]))
    assert said == unseen.sub("", hostile)


def test_a_hostile_finding_neither_breaks_the_table_nor_calls_anybody() -> None:
    one = finding(
        check="thresholds", metric=HOSTILE, condition=HOSTILE, detail=HOSTILE, n=1, statistic=None
    )
    text = render_markdown([with_findings(good(), one, verdict="fail", exit_code=1)])
    (row,) = (line for line in text.splitlines() if line.startswith("| **FAIL**"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 7
    assert "@team" not in text
    text.encode()


def test_what_is_long_is_cut() -> None:
    assert len(escape("x" * 1000)) < 300


def test_of_many_thresholds_those_that_are_broken_are_kept() -> None:
    many = [
        finding("fail" if n == 99 else "pass", check="thresholds", metric="lost", condition=f"c{n}")
        for n in range(100)
    ]
    text = render_markdown([with_findings(good(), *many, verdict="fail", exit_code=1)])
    assert "| c99 |" in text
    assert f"and {100 - MAX_ROWS} more in report.json" in text


def test_several_runs_begin_with_a_table_of_them() -> None:
    text = render_markdown([good(), failing_over(), NOT_RUN])
    assert text.startswith("### nats-harness: 1 of 3 scenarios pass\n")
    assert "| **NOT RUN** | second | the session ended |" in text
    assert text.index("### PASS: story") < text.index("### FAIL: story") < text.index("### NOT RUN")


def test_what_does_not_fit_is_left_out_whole_and_said() -> None:
    outcomes = [good() for _ in range(10)]
    whole = render_markdown(outcomes)
    for limit in (0, 100, 3000, len(whole.encode()) - 1, len(whole.encode())):
        text = render_markdown(outcomes, limit)
        assert len(text.encode()) <= limit
        assert text.count("Run it again:") == text.count("### PASS: story")
        assert not text or text == whole or "left out for their size" in text
    assert render_markdown(outcomes, 3000).count("### PASS: story") >= 1


def test_of_many_thresholds_failures_are_kept_before_doubts() -> None:
    many = [
        finding(verdict, check="thresholds", metric="lost", condition=f"{verdict} {n}")
        for verdict in ("pass", "inconclusive", "fail")
        for n in range(MAX_ROWS)
    ]
    text = render_markdown([with_findings(good(), *many, verdict="fail", exit_code=1)])
    assert text.count("| fail ") == MAX_ROWS
    assert "| inconclusive " not in text


def test_a_failure_is_not_hidden_behind_many_doubts() -> None:
    doubts = [finding("inconclusive", detail=f"doubt {n}") for n in range(MAX_POINTS)]
    broken = finding("fail", check="integrity", detail="two messages were changed")
    text = render_markdown([with_findings(good(), *doubts, broken, verdict="fail", exit_code=1)])
    assert text.index("two messages were changed") < text.index("doubt 0")
    assert "- and 1 more in report.json" in text
