from __future__ import annotations

import pytest

from harness.pages.figure import FAR, _broken, _draw_rates, _find_breaks
from harness.pages.tracks import Rates


def rates(name: str, *values: float) -> Rates:
    told = list(values)
    return Rates(name, 1.0, 0.1, told, told, told)


def test_a_peak_far_beyond_the_usual_is_a_mark_and_told_in_the_title() -> None:
    track, traces = _draw_rates(
        [rates("sent", *[100.0] * 9), rates("delivered", *[100.0] * 8, 9e3)]
    )
    assert track["title"].endswith("(▲ up to 9,000)")
    assert track["most"] == FAR / 2 * 100
    (peaks,) = [one for one in traces if one["name"] == "beyond the scale"]
    assert peaks["x"] == [pytest.approx(1.85)]
    assert peaks["hovertext"] == ["9,000/s delivered"]


def test_usual_rates_are_drawn_on_their_own_scale() -> None:
    track, traces = _draw_rates([rates("sent", 100.0, 120.0), rates("delivered", 0.0, 200.0)])
    assert "most" not in track
    assert [one["name"] for one in traces] == ["sent", "delivered"]


def test_a_line_has_a_gap_where_nothing_was_due_for_long() -> None:
    breaks = _find_breaks([0.0, 0.1, 0.2, 0.3, 2.0, 2.1])
    assert _broken([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], breaks) == [1.0, 2.0, 3.0, 4.0, None, 5.0, 6.0]
    assert _find_breaks([0.0]) == _find_breaks([]) == frozenset()
