"""The pages as a browser shows them: what is seen is what report.json says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, Page, start
from story import Story
from told_pages import compared, eventful, judged, write_told

from harness.pages.run import render_run
from harness.pages.runs import render_set
from harness.report.model import Report

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

DRAWN = "!!document.querySelector('.plot[data-drawn]')"
TAB, ENTER = 9, 13
# The least contrast of text with what is behind it, as WCAG 2.2 counts it.
LEAST_CONTRAST = """(() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map((one) => Number(one) / 255)
      .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!colour.endsWith(", 0)") && colour !== "transparent") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = document.querySelectorAll(
    "main p, main .note, main .badge, main th, main td, main summary");
  return Math.min(...[...texts].map((one) => {
      const [a, b] = [light(getComputedStyle(one).color), light(ground(one))];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }));
})()"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start() as started:
        yield started


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    report, history = judged(eventful(), eventful(1), reproduce="nats-harness run story")
    path = tmp_path_factory.mktemp("page") / "report.html"
    return report, write_told(render_run(report, history), path)


def opened(browser: Browser, path: Path, *, width: int = 1366, theme: str = "light") -> Page:
    page = browser.page()
    page.theme(theme)
    page.size(width, 900 if width > 600 else 844, mobile=width < 600)
    page.open(path)
    if page.evaluate("!!document.querySelector('.plot')"):
        page.until(DRAWN)
    return page


@pytest.fixture(scope="module")
def page(browser: Browser, told: tuple[Report, Path]) -> Page:
    """Return an open page that is only looked at."""
    return opened(browser, told[1])


@pytest.fixture
def fresh(browser: Browser, told: tuple[Report, Path]) -> Iterator[Page]:
    """Return an open page that may be changed."""
    page = opened(browser, told[1])
    yield page
    page.close()


def test_the_verdict_and_each_threshold_are_those_of_the_report(
    page: Page, told: tuple[Report, Path]
) -> None:
    report, _ = told
    assert page.evaluate("document.querySelector('.hero .badge').textContent").endswith(
        report.verdict
    )
    shown = page.evaluate(
        "[...document.querySelectorAll('.threshold')].map(one =>"
        " [one.dataset.metric, one.dataset.condition, one.dataset.verdict, +one.dataset.value])"
    )
    judged_ones = [one for one in report.findings if one.check == "thresholds"]
    assert sorted(shown) == sorted(
        [one.metric, one.condition, one.verdict, one.value] for one in judged_ones
    )


def test_message_counts_are_those_of_the_report(page: Page, told: tuple[Report, Path]) -> None:
    for iteration in told[0].iterations:
        shown = page.evaluate(
            f"Object.fromEntries([...document.querySelectorAll('#messages-{iteration.index} "
            "tfoot [data-count]')].map(one => [one.dataset.count, one.textContent]))"
        )
        assert iteration.messages is not None
        assert shown["lost"] == "3"
        for name, text in shown.items():
            assert int(text.replace(",", "")) == getattr(iteration.messages, name)


def test_there_is_a_mark_for_each_lost_message(page: Page, told: tuple[Report, Path]) -> None:
    messages = told[0].iterations[0].messages
    assert messages is not None
    lost = "document.querySelector('.plot').data.find(one => one.name === 'lost')"
    assert page.evaluate(f"{lost}.customdata.reduce((a, b) => a + b)") == messages.lost
    assert page.evaluate(f"{lost}.x") == pytest.approx([4.1, 4.11, 4.3])
    drawn = page.evaluate(
        "[...document.querySelectorAll('.plot .scatterlayer .points path')]"
        ".filter(one => one.style.fill === 'rgb(213, 94, 0)').length"
    )
    assert drawn >= messages.lost


def test_disconnects_are_drawn_and_listed_at_the_times_of_the_report(
    page: Page, told: tuple[Report, Path]
) -> None:
    gone = [one.at for client in told[0].iterations[0].clients for one in client.disconnects]
    listed = page.evaluate(
        "[...document.querySelectorAll('.disconnects[data-index=\"0\"] tr[data-at]')]"
        ".map(one => +one.dataset.at)"
    )
    assert listed == gone
    drawn = page.evaluate(
        "document.querySelector('.plot').data.find(one => one.name === 'disconnected').base"
    )
    assert sorted(drawn) == pytest.approx(sorted(gone), abs=1e-5)


@pytest.mark.parametrize("width", [390, 1366])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_complains_asks_the_network_is_too_wide_or_hard_to_read(
    browser: Browser, told: tuple[Report, Path], tmp_path: Path, width: int, theme: str
) -> None:
    several = write_told(render_set([told[0]], compared()), tmp_path / "set.html")
    for path in (told[1], several):
        page = opened(browser, path, width=width, theme=theme)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        page.until("[...document.querySelectorAll('.plot')].every(one => one.dataset.drawn)")
        assert page.complaints == []
        assert all(url.startswith(("file:", "data:")) for url in page.requests), page.requests
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.evaluate(LEAST_CONTRAST) >= 4.5  # WCAG 2.2, 1.4.3
        page.close()


def test_a_page_that_does_complain_is_heard(browser: Browser, tmp_path: Path) -> None:
    report, history = judged(Story().core())
    text = render_run(report, history)
    spoiled = text.replace(
        "</body>", "<script>alert(1)</script><img src=https://example.com/x.png></body>"
    )
    page = opened(browser, write_told(spoiled, tmp_path / "spoiled.html"))
    assert len(page.complaints) >= 2
    assert all("Content Security Policy" in one for one in page.complaints)


def test_zooming_one_track_zooms_all_and_the_whole_run_comes_back(fresh: Page) -> None:
    page = fresh
    page.evaluate("document.querySelector('.plot').scrollIntoView()")
    span = "document.querySelector('.plot')._fullLayout.xaxis.range"
    before = page.evaluate(span)
    box = page.evaluate(
        "(() => { const one = document.querySelector('.plot .xy4 .bg, .plot .draglayer .xy4 rect')"
        ".getBoundingClientRect(); return [one.x, one.y, one.width, one.height]; })()"
    )
    middle = box[1] + box[3] / 2
    page.drag((box[0] + 0.4 * box[2], middle), (box[0] + 0.6 * box[2], middle))
    page.until(f"{span}[0] > {before[0]} + 1")
    after = page.evaluate(span)
    assert after[1] - after[0] == pytest.approx((before[1] - before[0]) / 5, rel=0.1)
    axes = page.evaluate(
        "Object.values(document.querySelector('.plot')._fullLayout._plots)"
        ".map(one => one.xaxis._id)"
    )
    assert set(axes) == {"x"}
    assert len(axes) >= 6
    page.evaluate("document.querySelector('[data-zoom=view]').click()")
    page.until(f"{span}[0] === {before[0]}")


def test_the_keyboard_reaches_the_theme_the_zoom_and_the_details(fresh: Page) -> None:
    page = fresh
    reached: list[str] = []
    for _ in range(40):
        page.press("Tab", TAB)
        reached.append(
            page.evaluate(
                "(one => one.id || one.dataset.zoom || one.className || one.tagName)"
                "(document.activeElement)"
            )
        )
        assert page.evaluate(
            "getComputedStyle(document.activeElement).outlineStyle"
            " !== 'none' || document.activeElement === document.body"
        )
    assert reached[:2] == ["skip", "theme"]
    assert {"faults", "view", "in", "SUMMARY"} <= set(reached)


def test_the_theme_and_details_answer_to_keys_and_text_changes_with_the_theme(fresh: Page) -> None:
    page = fresh
    ink = "document.querySelector('.plot').layout.font.color"
    light = page.evaluate(ink)
    page.evaluate("document.getElementById('theme').focus()")
    page.press("Enter", ENTER, "\r")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("document.getElementById('theme').getAttribute('aria-pressed')") == "true"
    page.until(f"{ink} !== {light!r}")
    page.evaluate("document.querySelector('.fold:not([open]) > summary').focus()")
    page.press("Enter", ENTER, "\r")
    assert page.evaluate("document.activeElement.parentElement.open")


def test_an_iteration_is_drawn_when_it_is_opened(fresh: Page) -> None:
    page = fresh
    second = "document.querySelector('.timeline[data-index=\"1\"]')"
    assert page.evaluate(f"{second}.querySelector('.plot').dataset.drawn === undefined")
    page.evaluate(f"{second}.open = true")
    page.until(f"{second}.querySelector('.plot').dataset.drawn === 'yes'")
