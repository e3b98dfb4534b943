"""The options of each client library that a scenario may set, with the library's defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from harness.errors import ScenarioError, UsageError
from harness.scenario.problems import expectation, show, suggestion
from harness.scenario.quantities import MAX_COUNT, read_duration, read_size

OptionKind = Literal["duration", "integer", "boolean", "size"]
OptionValue = float | int | bool | str


@dataclass(frozen=True)
class Option:
    """An option's kind, its default in base units, and the range that makes sense."""

    kind: OptionKind
    default: OptionValue | None
    least: float = 0
    most: float = MAX_COUNT  # of integers; quantities have bounds of their own


OPTIONS: Mapping[str, Mapping[str, Option]] = MappingProxyType(
    {
        # nats-py 2.16, Client.connect; callbacks, credentials, TLS and names are the harness's
        "nats-py": MappingProxyType(
            {
                "allow_reconnect": Option("boolean", default=True),
                "connect_timeout": Option("duration", 2.0, least=0.001),
                "dont_randomize": Option("boolean", default=False),
                "drain_timeout": Option("duration", 30.0),
                "flush_timeout": Option("duration", None, least=0.001),
                "flusher_queue_size": Option("integer", 1024, least=1),
                "max_outstanding_pings": Option("integer", 2, least=1),
                "max_reconnect_attempts": Option("integer", 60, least=-1),  # -1: for ever
                "no_echo": Option("boolean", default=False),
                "pedantic": Option("boolean", default=False),
                "pending_size": Option("size", 2 * 1024 * 1024, least=1),
                "ping_interval": Option("duration", 120.0, least=0.001),
                "reconnect_time_wait": Option("duration", 2.0),
                "skip_subject_validation": Option("boolean", default=False),
                "verbose": Option("boolean", default=False),
            }
        )
    }
)


def parse_option(adapter: str, name: str, raw: Any) -> OptionValue:
    """Return an option's value in base units; ValueError says what was expected."""
    known = OPTIONS[adapter]
    if name not in known:
        raise ValueError(f"unknown option of {adapter}{suggestion(name, known)}")
    option = known[name]
    value = _READERS[option.kind](raw)
    if not isinstance(value, bool | str) and value < option.least:
        raise ValueError(f"expected at least {_least(option)}, found {show(raw)}")
    if option.kind == "integer" and not isinstance(value, bool | str) and value > option.most:
        raise ValueError(f"expected at most {option.most}, found {show(raw)}")
    return value


def parse_options(adapter: str, raw: Mapping[str, Any]) -> dict[str, OptionValue]:
    """Return the options that were set, durations in seconds and sizes in bytes.

    Raises:
        ScenarioError: one line for each option that is unknown or has no usable value.
    """
    values: dict[str, OptionValue] = {}
    problems: list[str] = []
    for name, text in raw.items():
        try:
            values[name] = parse_option(adapter, name, text)
        except ValueError as error:
            problems.append(f"client.options.{name}: {error}")
    if problems:
        raise ScenarioError("\n".join(problems))
    return values


def option_of_text(adapter: str, text: str) -> tuple[str, OptionValue]:
    """Return name and value, as a scenario would hold it, of an option such as ``no_echo=true``.

    Raises:
        UsageError: it is not of that form, unknown, or has no usable value.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--client-option: expected NAME=VALUE, found {text!r}")
    known = OPTIONS[adapter].get(name)
    raw: OptionValue = value
    if known is not None and known.kind == "boolean":
        raw = {"true": True, "false": False}.get(value, value)
    elif known is not None and known.kind == "integer" and re.fullmatch(r"-?\d+", value):
        raw = int(value)
    try:
        parse_option(adapter, name, raw)
    except ValueError as error:
        raise UsageError(f"--client-option {name}: {error}") from error
    return name, raw


def effective_options(adapter: str, raw: Mapping[str, Any]) -> dict[str, OptionValue | None]:
    """Return every option as the library will have it: what was set, else its default."""
    defaults = {name: option.default for name, option in OPTIONS[adapter].items()}
    return {**defaults, **parse_options(adapter, raw)}


def _least(option: Option) -> str:
    return f"{option.least * 1000:g}ms" if option.kind == "duration" else f"{option.least:g}"


def _read_quantity(read: Callable[[object], float | int], raw: Any) -> float | int:
    try:
        return read(raw)
    except ValueError as error:
        expected, says_found = expectation(error)
        if not says_found:
            raise
        raise ValueError(f"expected {expected}, found {show(raw)}") from error


def _read_integer(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise ValueError(f"expected a whole number, found {show(raw)}")  # noqa: TRY004 - as all
    return raw


def _read_boolean(raw: Any) -> bool:
    if not isinstance(raw, bool):
        raise ValueError(f"expected true or false, found {show(raw)}")  # noqa: TRY004 - as all
    return raw


_READERS: Mapping[OptionKind, Callable[[Any], OptionValue]] = {
    "duration": lambda raw: _read_quantity(read_duration, raw),
    "integer": _read_integer,
    "boolean": _read_boolean,
    "size": lambda raw: _read_quantity(read_size, raw),
}
