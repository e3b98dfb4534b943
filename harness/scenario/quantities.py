"""Pydantic types for the quantities of a scenario.

Each reads the scenario's text ("250ms"), holds a plain number in base units
(seconds, per second, bytes) and is written back as text, so that a resolved
scenario can be run again.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from harness.units import (
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)


def _reads(parse: Any) -> BeforeValidator:
    """Accept text; accept numbers only from code, where units are in the names."""
    return BeforeValidator(parse)


def _text(pattern: str, examples: list[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": examples})


Duration = Annotated[
    float,
    _reads(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    _text(r"^\d+(\.\d+)?(ns|us|ms|s|m|h)$", ["250ms", "3s", "2m"]),
]
Rate = Annotated[
    float,
    _reads(parse_rate),
    PlainSerializer(format_rate, return_type=str),
    _text(r"^\d+(\.\d+)?/(s|m|h)$", ["500/s", "30/m"]),
]
Size = Annotated[
    int,
    _reads(parse_size),
    PlainSerializer(format_size, return_type=str),
    _text(r"^\d+(\.\d+)?(B|KiB|MiB|GiB|kB|MB|GB)$", ["256B", "4KiB"]),
]
Count = Annotated[int, Field(strict=True, ge=1)]
Index = Annotated[int, Field(strict=True, ge=0)]
Flag = Annotated[bool, Field(strict=True)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$", max_length=63)]
