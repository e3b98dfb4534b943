"""Pydantic types for the quantities of a scenario.

Each reads the scenario's text ("250ms"), holds a plain number in base units
(seconds, per second, bytes, shares of one, bytes per second) and is written back as text,
so that a resolved scenario can be run again and is then equal.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from harness.units import (
    BYTES,
    format_bit_rate,
    format_duration,
    format_rate,
    format_share,
    format_size,
    parse_bit_rate,
    parse_duration,
    parse_rate,
    parse_share,
    parse_size,
)

MAX_DURATION_S = 24 * 3600.0
MIN_RATE_PER_S = 1 / 3600
MAX_SIZE_BYTES = BYTES["GiB"]
MIN_BYTES_PER_S = 1e3 / 8
MAX_BYTES_PER_S = 1e11 / 8
NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$"
DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h)$"
RATE_PATTERN = r"^[0-9]+(\.[0-9]+)?/(s|m|h)$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|kB|MB|GB)$"
SHARE_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"
BIT_RATE_PATTERN = r"^[0-9]+(\.[0-9]+)?(kbit|Mbit|Gbit)$"

_MAX_CHARACTERS = 32  # beyond it, numbers overflow or lose digits
_NS_PER_S = 1e9

_Number = TypeVar("_Number", int, float)


def read_duration(text: object) -> float:
    """Return seconds, in whole nanoseconds and at most a day; ValueError otherwise."""
    seconds = _read(parse_duration, text)
    if seconds > MAX_DURATION_S:
        raise ValueError(f"expected a duration of at most 24h, found {text!r}")
    return round(seconds * _NS_PER_S) / _NS_PER_S


def read_rate(text: object) -> float:
    """Return events per second, at least one an hour; ValueError otherwise."""
    rate = _read(parse_rate, text)
    if rate < MIN_RATE_PER_S:
        raise ValueError(f"expected a rate of at least 1/h, found {text!r}")
    return rate


def read_size(text: object) -> int:
    """Return bytes, at most 1GiB; ValueError otherwise."""
    size = _read(parse_size, text)
    if size > MAX_SIZE_BYTES:
        raise ValueError(f"expected a size of at most 1GiB, found {text!r}")
    return size


def read_share(text: object) -> float:
    """Return a share from 0 to 1; ValueError otherwise."""
    return _read(parse_share, text)


def read_bit_rate(text: object) -> float:
    """Return bytes per second, from 1kbit to 100Gbit; ValueError otherwise."""
    rate = _read(parse_bit_rate, text)
    if not MIN_BYTES_PER_S <= rate <= MAX_BYTES_PER_S:
        raise ValueError(f"expected a bit rate from 1kbit to 100Gbit, found {text!r}")
    return rate


def write_rate(rate: float) -> str:
    """Return the shortest text that `read_rate` reads back to the same value."""
    text = format_rate(rate)
    if parse_rate(text) == rate:
        return text
    return f"{Decimal(repr(rate)):f}/s"


def _read(parse: Callable[[object], _Number], text: object) -> _Number:
    if isinstance(text, str) and (len(text) > _MAX_CHARACTERS or not text.isascii()):
        parse("")  # raises, and names what is expected
    return parse(text)


def _schema(pattern: str, examples: list[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": examples})


Duration = Annotated[
    float,
    BeforeValidator(read_duration),
    PlainSerializer(format_duration, return_type=str),
    _schema(DURATION_PATTERN, ["250ms", "3s", "2m"]),
]
Rate = Annotated[
    float,
    BeforeValidator(read_rate),
    PlainSerializer(write_rate, return_type=str),
    _schema(RATE_PATTERN, ["500/s", "30/m"]),
]
Size = Annotated[
    int,
    BeforeValidator(read_size),
    PlainSerializer(format_size, return_type=str),
    _schema(SIZE_PATTERN, ["256B", "4KiB"]),
]
Share = Annotated[
    float,
    BeforeValidator(read_share),
    PlainSerializer(format_share, return_type=str),
    _schema(SHARE_PATTERN, ["20%", "0.5%"]),
]
BitRate = Annotated[
    float,
    BeforeValidator(read_bit_rate),
    PlainSerializer(format_bit_rate, return_type=str),
    _schema(BIT_RATE_PATTERN, ["10Mbit", "512kbit"]),
]
Count = Annotated[int, Field(strict=True, ge=1)]
Index = Annotated[int, Field(strict=True, ge=0)]
Flag = Annotated[bool, Field(strict=True)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=63)]
