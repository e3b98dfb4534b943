from __future__ import annotations

import math

import pytest

from harness.cluster.shapes import Arrival, Sample, Shape, combine, includes


def sample(*numbers: int, sent: int = 10, delay_ns: int = 1000, gap_ns: int = 1_000_000) -> Sample:
    arrivals = tuple(
        Arrival(number, place * gap_ns, place * gap_ns + delay_ns)
        for place, number in enumerate(numbers)
    )
    return Sample(sent, 1000, arrivals)


def test_shapes_on_one_link_add_up() -> None:
    both = combine(
        [
            Shape(delay_s=0.01, loss=0.5, rate_bytes_s=100.0),
            Shape(delay_s=0.02, jitter_s=0.001, loss=0.5, duplicate=0.1, rate_bytes_s=50.0),
        ]
    )
    assert both.delay_s == pytest.approx(0.03)
    assert both.jitter_s == 0.001
    assert both.loss == pytest.approx(0.75)
    assert both.duplicate == pytest.approx(0.1)
    assert both.rate_bytes_s == 50.0
    assert combine([]).plain
    assert not both.plain


def test_a_shape_includes_what_it_was_combined_from() -> None:
    delay, loss, rate = Shape(delay_s=0.01), Shape(loss=0.1), Shape(rate_bytes_s=100.0)
    whole = combine([delay, loss, rate])
    for part in (delay, loss, rate, Shape()):
        assert includes(whole, part)
        assert not includes(Shape(), part) or part.plain
    assert not includes(whole, Shape(rate_bytes_s=50.0))
    assert not includes(whole, Shape(delay_s=0.02))


def test_only_a_rate_alone_is_a_rate_only() -> None:
    assert Shape(rate_bytes_s=1.0).rate_only
    assert not Shape().rate_only
    assert not Shape(rate_bytes_s=1.0, delay_s=0.1).rate_only


def test_a_sample_tells_lost_doubled_and_overtaking_probes() -> None:
    seen = sample(0, 2, 1, 3, 3, 5)
    assert seen.lost == pytest.approx(0.5)
    assert seen.duplicated == pytest.approx(0.2)
    assert seen.overtaking == 1
    assert sample(1, 2, 0).overtaking == 2
    assert sample(0, 1, 2).overtaking == 0


def test_a_rate_is_counted_after_the_first_burst() -> None:
    assert sample(*range(10)).rate_bytes_s() == pytest.approx(1e6)
    burst = Sample(
        12,
        1000,
        (
            *(Arrival(number, 0, 0) for number in range(4)),
            *(Arrival(number, 0, number * 1_000_000) for number in range(4, 12)),
        ),
    )
    assert burst.rate_bytes_s(4000) == pytest.approx(1e6)
    assert burst.rate_bytes_s() == pytest.approx(1e6)
    assert math.isnan(sample(0).rate_bytes_s())
    assert math.isnan(sample().delay())
