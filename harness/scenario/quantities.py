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

from harness.scenario.problems import expectation, show
from harness.units import (
    BYTES,
    format_bit_rate,
    format_duration,
    format_rate,
    format_share,
    format_signed_duration,
    format_size,
    parse_bit_rate,
    parse_duration,
    parse_rate,
    parse_share,
    parse_signed_duration,
    parse_size,
)

MAX_DURATION_S = 24 * 3600.0
MAX_SIGNED_DURATION_S = 8760 * 3600.0
MIN_RATE_PER_S = 1 / 3600
MAX_SIZE_BYTES = BYTES["GiB"]
MIN_BYTES_PER_S = 1e3 / 8
MAX_BYTES_PER_S = 1e11 / 8
MAX_COUNT = 1_000_000_000  # of what servers are told, such as max_msgs
MAX_INDEX = 2**63 - 1
MAX_CLIENTS = 10_000  # of a scenario in all, and so of a role
MAX_IN_FLIGHT = 1_000_000  # of a client
MAX_REPEAT = 10_000
MAX_RETRIES = 1000
NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$"
DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h)$"
SIGNED_DURATION_PATTERN = r"^[+-]?[0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h)$"
RATE_PATTERN = r"^[0-9]+(\.[0-9]+)?/(s|m|h)$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|kB|MB|GB)$"
SHARE_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"
BIT_RATE_PATTERN = r"^[0-9]+(\.[0-9]+)?(kbit|Mbit|Gbit)$"

SPAN_ENDS = 2

_MAX_CHARACTERS = 32  # beyond it, numbers overflow or lose digits
_NS_PER_S = 1e9
_US_PER_S = 1e6

_Number = TypeVar("_Number", int, float)


def read_duration(text: object) -> float:
    """Return seconds, in whole nanoseconds and at most a day; ValueError otherwise."""
    seconds = _read(parse_duration, text)
    if seconds > MAX_DURATION_S:
        raise ValueError(f"expected a duration of at most 24h, found {show(text)}")
    return round(seconds * _NS_PER_S) / _NS_PER_S


def read_signed_duration(text: object) -> float:
    """Return seconds, in whole microseconds, at most a year each way; ValueError otherwise."""
    seconds = _read(parse_signed_duration, text)
    if abs(seconds) > MAX_SIGNED_DURATION_S:
        raise ValueError(f"expected a duration of at most 8760h either way, found {show(text)}")
    return round(seconds * _US_PER_S) / _US_PER_S


def read_rate(text: object) -> float:
    """Return events per second, at least one an hour; ValueError otherwise."""
    rate = _read(parse_rate, text)
    if rate < MIN_RATE_PER_S:
        raise ValueError(f"expected a rate of at least 1/h, found {show(text)}")
    return rate


def read_size(text: object) -> int:
    """Return bytes, at most 1GiB; ValueError otherwise."""
    size = _read(parse_size, text)
    if size > MAX_SIZE_BYTES:
        raise ValueError(f"expected a size of at most 1GiB, found {show(text)}")
    return size


def read_share(text: object) -> float:
    """Return a share from 0 to 1; ValueError otherwise."""
    return _read(parse_share, text)


def read_cpus(value: object) -> float:
    """Return a share of one CPU, more than 0 and at most 1; ValueError otherwise.

    It may be a share (``10%``), or a number as `docker run --cpus` takes it (0.1).
    """
    if isinstance(value, str):
        return read_share(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"expected a share of one CPU, such as 10% or 0.1, found {show(value)}")
    return float(value)


def read_offset(value: object) -> int | float:
    """Return bytes from the start of a file, or a share of its size as a float; else ValueError."""
    if isinstance(value, str) and value.endswith("%"):
        return read_share(value)
    if isinstance(value, str):
        return read_size(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SIZE_BYTES:
        raise ValueError(
            f"expected a number of bytes, such as 512 or 4KiB, or a share of the file's size, "
            f"such as 50%, found {show(value)}"
        )
    return value


def write_offset(offset: float) -> int | str:
    """Return what `read_offset` reads back to the same offset."""
    return format_share(offset) if isinstance(offset, float) else offset


def read_bit_rate(text: object) -> float:
    """Return bytes per second, from 1kbit to 100Gbit; ValueError otherwise."""
    rate = _read(parse_bit_rate, text)
    if not MIN_BYTES_PER_S <= rate <= MAX_BYTES_PER_S:
        raise ValueError(f"expected a bit rate from 1kbit to 100Gbit, found {show(text)}")
    return rate


def read_span(value: object) -> tuple[float, float]:
    """Return the shortest and the longest of a range, or one duration twice; else ValueError."""
    if isinstance(value, list | tuple):
        if len(value) != SPAN_ENDS:
            raise ValueError(f"expected a range of two durations, found {len(value)}")
        shortest, longest = (read_duration(end) for end in value)
    else:
        shortest = longest = read_duration(value)
    if shortest > longest:
        raise ValueError("expected a range from the shorter duration to the longer one")
    return shortest, longest


def write_span(span: tuple[float, float]) -> str | list[str]:
    """Return what `read_span` reads back to the same range."""
    shortest, longest = (format_duration(end) for end in span)
    return shortest if shortest == longest else [shortest, longest]


def write_rate(rate: float) -> str:
    """Return the shortest text that `read_rate` reads back to the same value."""
    text = format_rate(rate)
    if parse_rate(text) == rate:
        return text
    return f"{Decimal(repr(rate)):f}/s"


def _read(parse: Callable[[object], _Number], text: object) -> _Number:
    if isinstance(text, str) and (len(text) > _MAX_CHARACTERS or not text.isascii()):
        try:
            parse("")  # names what is expected
        except ValueError as error:
            raise ValueError(f"expected {expectation(error)[0]}, found {show(text)}") from None
    return parse(text)


def _schema(pattern: str, examples: list[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": examples})


Duration = Annotated[
    float,
    BeforeValidator(read_duration),
    PlainSerializer(format_duration, return_type=str),
    _schema(DURATION_PATTERN, ["250ms", "3s", "2m"]),
]
Span = Annotated[
    tuple[float, float],
    BeforeValidator(read_span),
    PlainSerializer(write_span),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": DURATION_PATTERN},
                {
                    "type": "array",
                    "minItems": SPAN_ENDS,
                    "maxItems": SPAN_ENDS,
                    "items": {"type": "string", "pattern": DURATION_PATTERN},
                },
            ],
            "examples": ["3s", ["500ms", "2s"]],
        }
    ),
]
SignedDuration = Annotated[
    float,
    BeforeValidator(read_signed_duration),
    PlainSerializer(format_signed_duration, return_type=str),
    _schema(SIGNED_DURATION_PATTERN, ["30s", "-2h"]),
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
Offset = Annotated[
    int | float,
    BeforeValidator(read_offset),
    PlainSerializer(write_offset),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_SIZE_BYTES},
                {"type": "string", "pattern": SIZE_PATTERN},
                {"type": "string", "pattern": SHARE_PATTERN},
            ],
            "examples": [512, "4KiB", "50%"],
        }
    ),
]
Cpus = Annotated[
    float,
    BeforeValidator(read_cpus),
    PlainSerializer(format_share, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": SHARE_PATTERN},
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            ],
            "examples": ["10%", 0.1],
        }
    ),
]
BitRate = Annotated[
    float,
    BeforeValidator(read_bit_rate),
    PlainSerializer(format_bit_rate, return_type=str),
    _schema(BIT_RATE_PATTERN, ["10Mbit", "512kbit"]),
]
Count = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]
Index = Annotated[int, Field(strict=True, ge=0, le=MAX_INDEX)]
Clients = Annotated[int, Field(strict=True, ge=1, le=MAX_CLIENTS)]
NoClients = Annotated[int, Field(strict=True, ge=0, le=MAX_CLIENTS)]
InFlight = Annotated[int, Field(strict=True, ge=1, le=MAX_IN_FLIGHT)]
Repeat = Annotated[int, Field(strict=True, ge=1, le=MAX_REPEAT)]
Retries = Annotated[int, Field(strict=True, ge=1, le=MAX_RETRIES)]
Flag = Annotated[bool, Field(strict=True)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=63)]
