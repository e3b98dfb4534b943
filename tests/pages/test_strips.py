from __future__ import annotations

import pytest
from told_pages import eventful, judged

from harness.pages.strips import (
    FIRST,
    LAST,
    MOST_DOTS,
    Strip,
    Typical,
    Values,
    lay_out,
    strip_metrics,
)
from harness.stats.distribution import Distribution


def laid(*sides: Values, name: str = "failover_time", statistic: str = "max") -> Strip:
    return lay_out(name, statistic, "every value", sides)


def test_every_value_has_a_dot_in_its_order_and_the_median_a_line() -> None:
    (row,) = laid(Values("a", [0.3, 0.1, 0.2])).rows
    assert [dot.text for dot in row.dots] == ["100 ms", "200 ms", "300 ms"]
    assert [dot.x for dot in row.dots] == sorted(dot.x for dot in row.dots)
    assert row.median == row.dots[1].x
    assert (row.median_text, row.range_text, row.n) == ("200 ms", "100 ms to 300 ms", 3)


def test_sides_share_one_axis() -> None:
    strip = laid(Values("a", [1.0, 2.0]), Values("b", [2.0, 4.0]))
    assert strip.rows[0].dots[1].x == strip.rows[1].dots[0].x
    assert all(FIRST <= dot.x <= LAST for row in strip.rows for dot in row.dots)


def test_a_lower_bound_is_marked_as_one_and_counts_as_longest() -> None:
    (row,) = laid(Values("a", [1.0], [0.5, None])).rows
    assert [dot.bound for dot in row.dots] == [False, True, True]
    assert row.median_text == "≥ 1 s"
    assert row.bounds == 2


def test_what_a_comparison_says_is_typical_is_shown_in_place_of_the_median() -> None:
    (row,) = laid(Values("a", [0.1, 0.2, 0.4], typical=Typical("mean", 0.233))).rows
    assert (row.middle, row.median_text) == ("mean", "233 ms")
    assert row.median is not None
    assert row.dots[1].x < row.median < row.dots[2].x
    (endless,) = laid(Values("a", [0.1], [None], Typical("median", None))).rows
    assert (endless.median, endless.median_text) == (None, "not known")


def test_values_of_very_different_size_get_a_logarithmic_axis() -> None:
    strip = laid(Values("a", [0.001, 0.01, 10.0]))
    assert strip.log
    assert [text for _, text in strip.ticks] == ["1 ms", "10 ms", "100 ms", "1 s", "10 s"]


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [5.0], [5.0, 5.0], [-1.0, 1.0]])
def test_values_without_spread_or_of_zero_have_a_place(values: list[float]) -> None:
    (row,) = laid(Values("a", values)).rows
    assert all(FIRST <= dot.x <= LAST for dot in row.dots)


def test_counts_have_whole_ticks() -> None:
    strip = laid(Values("a", [0.0, 1.0, 2.0]), name="lost", statistic="count")
    assert [text for _, text in strip.ticks] == ["0", "1", "2"]


def test_too_many_values_are_thinned_but_not_their_extremes() -> None:
    (row,) = laid(Values("a", [1 + place / 1e6 for place in range(10 * MOST_DOTS)] + [7.0])).rows
    assert len(row.dots) == MOST_DOTS
    assert row.left_out == 9 * MOST_DOTS + 1
    assert {"1 s", "7 s"} <= {dot.text for dot in row.dots}


def test_a_run_has_a_strip_for_each_metric_with_values() -> None:
    report, _ = judged(eventful())
    strips = {one.metric: one for one in strip_metrics({"": report.iterations})}
    assert len(strips["failover_time"].rows[0].dots) == report.metrics["failover_time"].n == 3
    assert strips["lost"].rows[0].dots[0].text == "3"
    assert "duplicates" not in strips  # zero throughout
    assert strips["e2e_latency"].what == "p99 of each iteration"


@pytest.mark.parametrize(
    ("exact", "bounds", "said"),
    [
        ([5.0], [1.0], "≥ 1 s"),
        ([5.0], [6.0], "5 s"),
        ([1.0, 5.0], [0.5], "≥ 1 s"),
        ([1.0, 2.0, 3.0], [], "2 s"),
        ([], [0.5], "≥ 500 ms"),
        ([1.0], [None, None], "not known"),
        ([], [], "not known"),
    ],
)
def test_the_median_is_that_of_the_report(
    exact: list[float], bounds: list[float | None], said: str
) -> None:
    (row,) = laid(Values("a", exact, bounds)).rows
    assert row.median_text == said
    assert (row.median is None) is (said in ("not known", f"≥ {said[2:]}"))
    if exact and None not in bounds:
        known = [one for one in bounds if one is not None]
        told = Distribution.of([*exact, *known], [False] * len(exact) + [True] * len(known))
        median = told.statistic("p50")
        assert median is not None
        assert (row.median is not None) is median.exact
