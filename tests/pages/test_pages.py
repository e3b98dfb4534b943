from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from story import Story
from told_pages import compared, eventful, judged

from harness.history.model import History
from harness.pages.run import MOST_ROWS, render_run
from harness.pages.runs import render_set
from harness.pages.templating import digest, json_block, timeline_scripts
from harness.report.model import NamedMessage, Proof, Report

NASTY = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>&amp;"


class Reader(HTMLParser):
    """Read a page as a browser would: which elements there are, and what scripts hold."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            facts, text = self.scripts.pop()
            self.scripts.append((facts, text + data))
        elif self.cdata_elem is None:
            self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def page_of(*stories: Story) -> str:
    report, history = judged(*stories)
    return render_run(report, history)


def hostile() -> tuple[Report, History]:
    """Return a run whose every name and text was written by somebody with bad intentions."""
    story = eventful()
    report, history = judged(story, reproduce=f"nats-harness run {NASTY}")
    text = json.dumps([*history.events])
    for name in ("hello-subscriber-1", "stop-seed", "SIGTERM", "n2"):
        text = text.replace(json.dumps(name), json.dumps(f"{name}{NASTY}"))
    scenario = {**history.scenario, "name": NASTY, "description": NASTY, NASTY: NASTY}
    events = json.loads(text)
    again = History.of(scenario, events, {0: story.columns()})
    told = report.model_dump()
    told["scenario"] = scenario
    told["warnings"] = [NASTY]
    told["environment"]["client"]["options"] = {NASTY: NASTY}
    for one in told["findings"]:
        one["detail"] = one["advice"] = NASTY
    return Report.model_validate(told), again


def test_nothing_that_was_written_in_a_scenario_becomes_markup_or_script() -> None:
    plain, found = read(page_of(eventful())), read(render_run(*hostile()))
    kinds = [{tag for tag, _ in one.elements} for one in (plain, found)]
    assert kinds[1] - kinds[0] <= {"p", "b", "ul", "li"}
    assert len(found.scripts) == len(plain.scripts)
    assert not any(name.startswith("on") for _, facts in found.elements for name in facts)
    assert found.text.count("alert(1)") > 5
    figure = json.loads(next(text for facts, text in found.scripts if facts.get("id")))
    assert f"hello-subscriber-1{NASTY}" in json.dumps(figure, ensure_ascii=False)


def test_what_the_plot_would_read_as_markup_is_escaped_in_its_texts() -> None:
    found = read(render_run(*hostile()))
    figure = json.loads(next(text for facts, text in found.scripts if facts.get("id")))
    texts = [
        text
        for trace in figure["data"]
        for key in ("text", "hovertext")
        for text in trace.get(key, ())
    ]
    assert any("&lt;script" in text for text in texts)
    assert not any("<" in text for text in texts)


def test_a_set_and_a_comparison_escape_names_as_well() -> None:
    report, _ = hostile()
    page = render_set([report], compared(), [f"a/{NASTY}/report.html"])
    assert "<script>alert" not in page
    assert "<img" not in page


def test_the_policy_names_each_script_and_forbids_all_else() -> None:
    page = page_of(eventful())
    reader = read(page)
    (policy,) = [
        facts["content"] or ""
        for tag, facts in reader.elements
        if tag == "meta" and facts.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    run = [text for facts, text in reader.scripts if "type" not in facts]
    assert len(run) == 3
    for text in run:
        assert digest(text) in policy
    assert "unsafe" not in policy.partition("script-src")[2].partition(";")[0]
    assert page.index("Content-Security-Policy") < page.index("<script")


@pytest.mark.parametrize("kind", ["run", "set", "comparison"])
def test_no_page_refers_to_anything_outside_itself(kind: str) -> None:
    report, history = judged(eventful())
    pages = {
        "run": lambda: render_run(report, history),
        "set": lambda: render_set([report]),
        "comparison": lambda: render_set([report], compared()),
    }
    for tag, facts in read(pages[kind]()).elements:
        for name in ("src", "href", "action", "data"):
            value = facts.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, value)


@pytest.mark.parametrize("kind", ["run", "set"])
def test_tables_have_captions_and_scopes_and_headings_do_not_skip(kind: str) -> None:
    report, history = judged(eventful(), eventful(1))
    page = render_run(report, history) if kind == "run" else render_set([report], compared())
    reader = read(page)
    tags = [tag for tag, _ in reader.elements]
    assert tags.count("table") == tags.count("caption") > 0
    assert all("scope" in facts for tag, facts in reader.elements if tag == "th")
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [facts["id"] for _, facts in reader.elements if "id" in facts]
    assert len(ids) == len(set(ids))


def test_the_page_is_the_same_each_time() -> None:
    assert page_of(eventful()) == page_of(eventful())


def test_a_page_is_small_beside_plotly_however_many_iterations_there_are() -> None:
    stories = [eventful(index) for index in range(20)]
    size = len(page_of(*stories)) - sum(len(one) for one in timeline_scripts())
    assert size < 2_000_000


def test_a_run_without_any_iteration_has_a_page() -> None:
    report, history = judged(Story().core())
    empty = History(history.scenario, history.events, ())
    told = {**report.model_dump(), "iterations": []}
    page = render_run(Report.model_validate(told), empty)
    assert "No iteration was begun" in page


def test_an_iteration_whose_columns_make_no_sense_has_no_timeline_and_says_so() -> None:
    story = eventful()
    story.sent[5].sequence = 10**12
    page = page_of(story)
    assert "no timeline: sequence numbers reach" in page


def test_a_comparison_lists_what_changed_first() -> None:
    page = render_set([], compared())
    found = re.findall(r'data-metric="(\w+)" data-change="([\w-]+)"', page)
    assert found == [
        ("failover_time", "regressed"),
        ("e2e_latency", "improved"),
        ("recovery_time", "too-few-runs"),
        ("outage_window", "unchanged"),
    ]
    assert "1 of 4 compared metrics got worse, 1 better." in page
    assert "halves: only in the baseline" in page


def test_a_set_lists_each_run_with_its_verdict_and_its_iterations() -> None:
    good, _ = judged(Story().core())
    bad, _ = judged(eventful(), eventful(1))
    page = render_set([good, bad], links=["a%20b/report.html", None])
    assert page.count('<tr data-run="') == 2
    assert '<a href="a%20b/report.html">story</a>' in page
    assert page.count('class="mini fail"') == 2
    assert "1 fail, 1 pass." in page


def test_json_in_a_page_can_be_read_back_and_ends_no_element() -> None:
    value = {NASTY: ["\u2028\u2029", 1.5, None]}
    text = str(json_block(value))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_the_templates_are_in_the_wheel() -> None:
    from hatchling.builders.wheel import WheelBuilder

    builder = WheelBuilder(str(Path(__file__).parents[2]))
    names = {one.distribution_path for one in builder.recurse_included_files()}
    here = Path(__file__).parents[2] / "harness" / "pages" / "templates"
    assert {f"harness/pages/templates/{one.name}" for one in here.iterdir()} <= names


def changed(report: Report, **changes: Any) -> Report:
    """Return the report with its only fault changed."""
    (iteration,) = report.iterations
    (fault,) = iteration.faults
    faults = [fault.model_copy(update=changes)]
    return report.model_copy(
        update={"iterations": [iteration.model_copy(update={"faults": faults})]}
    )


@pytest.mark.parametrize(("proven", "times"), [(False, 2), (True, 0), (None, 0)])
def test_what_is_not_proven_says_so_wherever_the_fault_is_told(
    proven: bool | None, times: int
) -> None:
    report, history = judged(eventful())
    page = render_run(changed(report, proven=proven), history)
    assert page.count("</span> not proven</span>") == times


def test_failures_are_never_cut_and_every_cut_is_told() -> None:
    report, history = judged(eventful())
    proof = [
        Proof(at=4.0, node="n1", kind="effect", what=f"seen {n}") for n in range(MOST_ROWS + 2)
    ]
    failure = Proof(at=9.0, node="n1", kind="failure", what="it came back to life")
    page = render_run(changed(report, proof=[*proof, failure]), history)
    assert "it came back to life" in page
    assert '<p class="note">3 more in report.json</p>' in page
    whole = render_run(changed(report, proof=[*proof[:-3], failure]), history)
    assert "more in report.json" not in whole


def test_cuts_of_disconnects_named_messages_and_checks_are_told() -> None:
    report, history = judged(eventful())
    (iteration,) = report.iterations
    client = next(one for one in iteration.clients if one.disconnects)
    many = client.model_copy(update={"disconnects": client.disconnects * (MOST_ROWS + 1)})
    named = NamedMessage(
        workload="w", text="t", publisher="p", server=None, due=1.0, phase=None,
        attempted=None, outcome="not-attempted", subscribers=[],
    )  # fmt: skip
    held = next(one for one in report.findings if one.verdict == "pass")
    told = report.model_copy(
        update={
            "iterations": [
                iteration.model_copy(update={"clients": [many], "named": [named] * (MOST_ROWS + 2)})
            ],
            "findings": [held.model_copy(update={"check": "order"})] * (MOST_ROWS + 3),
        }
    )
    page = render_run(told, history)
    for line in (f"{many.name}: 1 more", ">2 more", ">3 more"):
        assert f"{line} in report.json</p>" in page


def test_an_interrupted_run_is_marked_in_the_table_of_runs() -> None:
    report, _ = judged(eventful())
    cut = report.model_copy(update={"interrupted": True})
    assert render_set([report, cut]).count(">interrupted</span>") == 1
