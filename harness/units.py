"""Read and write the quantities of a scenario: durations, rates, sizes, shares, bit rates."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

_NUMBER = r"(?P<number>\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"{_NUMBER}(?P<unit>ns|us|ms|s|m|h)")
_SIGNED_DURATION = re.compile(r"(?P<number>[+-]?\d+(?:\.\d+)?)(?P<unit>ns|us|ms|s|m|h)")
_RATE = re.compile(rf"{_NUMBER}/(?P<unit>s|m|h)")
_SIZE = re.compile(rf"{_NUMBER}(?P<unit>B|KiB|MiB|GiB|kB|MB|GB)")
_SHARE = re.compile(rf"{_NUMBER}(?P<unit>%)")
_BIT_RATE = re.compile(rf"{_NUMBER}(?P<unit>kbit|Mbit|Gbit)")

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
BYTES = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
BITS_EXPONENT = {"kbit": 3, "Mbit": 6, "Gbit": 9}  # as networks count: powers of ten
BITS = 8  # of a byte


def _parse(pattern: re.Pattern[str], text: object, expected: str) -> tuple[float, str]:
    match = pattern.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"expected {expected}, found {_shown(text)}")
    return float(match["number"]), match["unit"]


def _shown(value: object) -> str:
    return f"{value!r}" if isinstance(value, str) else f"{value!r} (no unit)"


def parse_duration(text: object) -> float:
    """Return seconds for text such as ``250ms``, ``3s`` or ``1.5m``; ValueError otherwise."""
    number, unit = _parse(_DURATION, text, "a duration with its unit, such as 250ms, 3s or 2m")
    return number * SECONDS[unit]


def parse_signed_duration(text: object) -> float:
    """Return seconds for text such as ``30s``, ``+30s`` or ``-2h``; ValueError otherwise."""
    expected = "a duration with its unit, ahead or behind, such as 30s or -2h"
    number, unit = _parse(_SIGNED_DURATION, text, expected)
    return number * SECONDS[unit]


def parse_rate(text: object) -> float:
    """Return events per second for text such as ``500/s`` or ``30/m``; ValueError otherwise."""
    number, unit = _parse(_RATE, text, "a rate with its unit, such as 500/s or 30/m")
    return number / SECONDS[unit]


def parse_size(text: object) -> int:
    """Return bytes for text such as ``256B``, ``4KiB`` or ``1MB``; ValueError otherwise."""
    _, unit = _parse(_SIZE, text, "a size with its unit, such as 256B, 4KiB or 1MB")
    size = Fraction(str(text)[: -len(unit)]) * BYTES[unit]
    if size.denominator != 1:
        raise ValueError(f"expected a whole number of bytes, found {text!r}")
    return int(size)


def parse_share(text: object) -> float:
    """Return a share from 0 to 1 for text such as ``20%`` or ``0.5%``; ValueError otherwise."""
    _parse(_SHARE, text, "a share in percent, such as 20%")
    share = Fraction(str(text)[:-1]) / 100
    if share > 1:
        raise ValueError(f"expected a share of at most 100%, found {text!r}")
    return float(share)


def parse_bit_rate(text: object) -> float:
    """Return bytes per second for text such as ``10Mbit``; ValueError otherwise.

    The units are kbit, Mbit and Gbit per second, in powers of ten as networks count.
    """
    _, unit = _parse(_BIT_RATE, text, "a bit rate with its unit, such as 512kbit or 10Mbit")
    return float(Fraction(str(text)[: -len(unit)]) * 10 ** BITS_EXPONENT[unit] / BITS)


def format_duration(seconds: float) -> str:
    """Return the shortest exact text that `parse_duration` reads back to the same value."""
    decimal = f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        number = seconds / SECONDS[unit]
        text = f"{round(number)}{unit}"
        if number >= 1 and parse_duration(text) == seconds:
            tiny = unit in ("us", "ns") and parse_duration(decimal) == seconds
            return decimal if tiny and len(decimal) <= len(text) else text
    return decimal


def format_signed_duration(seconds: float) -> str:
    """Return the shortest exact text that `parse_signed_duration` reads back to the same value."""
    text = format_duration(abs(seconds))
    return f"-{text}" if seconds < 0 else text


def format_rate(per_second: float) -> str:
    """Return text that `parse_rate` reads."""
    return f"{per_second:.9f}".rstrip("0").rstrip(".") + "/s"


def format_size(size_bytes: int) -> str:
    """Return the shortest exact text that `parse_size` reads back to the same value."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % BYTES[unit] == 0:
            return f"{size_bytes // BYTES[unit]}{unit}"
    return f"{size_bytes}B"


def format_share(share: float) -> str:
    """Return the exact text that `parse_share` reads back to the same value."""
    return f"{_plain(Decimal(repr(share)) * 100)}%"


def format_bit_rate(bytes_per_s: float) -> str:
    """Return the shortest exact text that `parse_bit_rate` reads back to the same value."""
    bits = Decimal(repr(bytes_per_s)) * BITS
    fitting = [unit for unit, exponent in BITS_EXPONENT.items() if bits >= 10**exponent]
    unit = fitting[-1] if fitting else "kbit"
    return f"{_plain(bits.scaleb(-BITS_EXPONENT[unit]))}{unit}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def human_duration(seconds: float) -> str:
    """Return a duration for people: three significant digits and the unit that fits."""
    magnitude = abs(seconds)
    if magnitude >= 60:  # noqa: PLR2004 - a minute has sixty seconds
        return f"{seconds / 60:.3g} min"
    if magnitude >= 1 or magnitude == 0:
        return f"{seconds:.3g} s"
    if magnitude >= 1e-3:  # noqa: PLR2004 - one millisecond
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.3g} us"
