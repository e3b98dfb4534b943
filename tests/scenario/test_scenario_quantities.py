from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from harness.scenario.quantities import (
    BIT_RATE_PATTERN,
    DURATION_PATTERN,
    MAX_BYTES_PER_S,
    MAX_DURATION_S,
    MAX_SIGNED_DURATION_S,
    MAX_SIZE_BYTES,
    MIN_BYTES_PER_S,
    MIN_RATE_PER_S,
    RATE_PATTERN,
    SHARE_PATTERN,
    SIGNED_DURATION_PATTERN,
    SIZE_PATTERN,
    BitRate,
    Duration,
    Rate,
    Share,
    SignedDuration,
    Size,
    read_bit_rate,
    read_duration,
    read_rate,
    read_share,
    read_signed_duration,
    read_size,
)
from harness.units import (
    parse_bit_rate,
    parse_duration,
    parse_rate,
    parse_share,
    parse_signed_duration,
    parse_size,
)

pytestmark = pytest.mark.no_cover  # thousands of times the same lines

QUANTITIES = {
    "duration": (Duration, read_duration, parse_duration, DURATION_PATTERN),
    "signed duration": (
        SignedDuration,
        read_signed_duration,
        parse_signed_duration,
        SIGNED_DURATION_PATTERN,
    ),
    "rate": (Rate, read_rate, parse_rate, RATE_PATTERN),
    "size": (Size, read_size, parse_size, SIZE_PATTERN),
    "share": (Share, read_share, parse_share, SHARE_PATTERN),
    "bit rate": (BitRate, read_bit_rate, parse_bit_rate, BIT_RATE_PATTERN),
}
LIMITS = {
    "duration": lambda value: value <= MAX_DURATION_S,
    "signed duration": lambda value: abs(value) <= MAX_SIGNED_DURATION_S,
    "rate": lambda value: value >= MIN_RATE_PER_S,
    "size": lambda value: value <= MAX_SIZE_BYTES,
    "share": lambda value: value <= 1,
    "bit rate": lambda value: MIN_BYTES_PER_S <= value <= MAX_BYTES_PER_S,
}
NEAR_MISSES = st.text(alphabet="0123456789.,/ +-esmhnuBkKiMG٣\n", max_size=12)


def accepts(read, text) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", QUANTITIES)
def test_what_is_read_is_written_back_to_an_equal_value(name):
    kind, read, _, pattern = QUANTITIES[name]
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    @settings(max_examples=400, deadline=None)
    @given(st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="ascii")))
    def check(text):
        text = text.rstrip("\n")
        try:
            value = adapter.validate_python(text)
        except ValidationError:
            return
        written = adapter.dump_python(value)
        assert re.fullmatch(pattern, written)
        assert adapter.validate_python(written) == value
        assert read(written) == value

    check()


@pytest.mark.parametrize("name", QUANTITIES)
def test_the_pattern_agrees_with_the_parser(name):
    _, read, parse, pattern = QUANTITIES[name]
    fitting = st.from_regex(pattern, fullmatch=True, alphabet=st.characters(codec="ascii"))

    @settings(max_examples=600, deadline=None)
    @given(st.one_of(fitting, NEAR_MISSES))
    def check(text):
        fits = re.fullmatch(pattern, text) is not None and not text.endswith("\n")
        if not fits:
            assert not accepts(read, text)
            return
        whole = name not in ("size", "share") or accepts(parse, text)
        usable = len(text) <= 32 and whole and LIMITS[name](parse(text))
        assert accepts(read, text) == usable

    check()


def test_durations_are_whole_nanoseconds_so_that_they_survive_writing():
    assert read_duration("0.3ms") == 0.0003
    assert read_duration("0.0003s") == read_duration("300us")


@pytest.mark.parametrize(
    "text", ["9" * 400 + "s", "9" * 400 + "B", "9" * 400 + "/s", "٣s", 5, None]
)
def test_text_that_would_overflow_is_refused_as_any_other(text):
    for _, read, _, _ in QUANTITIES.values():
        with pytest.raises(ValueError, match="expected a"):
            read(text)


@pytest.mark.parametrize(
    ("text", "bytes_per_s"), [("10Mbit", 1_250_000), ("512kbit", 64_000), ("0.1Gbit", 12_500_000)]
)
def test_bit_rates_are_in_powers_of_ten(text, bytes_per_s):
    assert read_bit_rate(text) == bytes_per_s


@pytest.mark.parametrize("text", ["10 Mbit", "10mbit", "10MBit", "10Mbps", "0kbit", "101Gbit", "5"])
def test_a_bit_rate_without_a_known_unit_or_out_of_bounds_is_refused(text):
    with pytest.raises(ValueError, match="expected a bit rate"):
        read_bit_rate(text)


@pytest.mark.parametrize("text", ["101%", "20", "0.2", "-1%", "% 20"])
def test_a_share_is_in_percent_and_at_most_all(text):
    with pytest.raises(ValueError, match="expected a share"):
        read_share(text)


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [("30s", 30, "30s"), ("+30s", 30, "30s"), ("-2h", -7200, "-2h"), ("-0s", 0, "0s")],
)
def test_a_signed_duration_is_ahead_or_behind(text, seconds, written):
    assert read_signed_duration(text) == seconds
    assert TypeAdapter(SignedDuration).dump_python(read_signed_duration(text)) == written


@pytest.mark.parametrize("text", ["--2h", "- 2h", "-2", "8760.1h", "2 h", "−2h"])  # noqa: RUF001 - a minus sign of typesetting
def test_what_is_no_signed_duration_is_refused(text):
    with pytest.raises(ValueError, match="expected a duration"):
        read_signed_duration(text)
