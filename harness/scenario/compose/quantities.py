"""Sizes, durations and numbers as Compose writes them; ValueError says what was expected."""

from __future__ import annotations

import re

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_DURATION_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(h|ms|m|us|s|ns)")
_FACTORS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_DECIMAL = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")
_WHOLE = re.compile(r"-?[0-9]{1,15}")


def to_bytes(text: str) -> int:
    """Return the bytes of a size such as ``512m``, ``1.5gb`` or ``1048576``."""
    match = _SIZE.fullmatch(text.strip())
    size = 0 if match is None else int(float(match[1]) * _FACTORS[match[2].lower()])
    if size <= 0:
        raise ValueError("expected a size such as 512m or 1gb")
    return size


def to_seconds(text: str) -> float:
    """Return the seconds of a duration such as ``10s`` or ``1m30s``."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text.strip():
        raise ValueError("expected a duration such as 10s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def to_cpus(text: str) -> float:
    """Return how many processors, such as ``0.5``."""
    cpus = float(text) if _DECIMAL.fullmatch(text.strip()) else 0.0
    if cpus <= 0:
        raise ValueError("expected a number of processors above 0, such as 0.5")
    return cpus


def to_whole(text: str) -> int:
    """Return a whole number; -1 stands for no limit where there is one."""
    if _WHOLE.fullmatch(text.strip()) is None:
        raise ValueError("expected a whole number")
    return int(text)


def to_flag(text: str) -> bool:
    """Return true or false."""
    known = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
    if text.lower() not in known:
        raise ValueError("expected true or false")
    return known[text.lower()]
