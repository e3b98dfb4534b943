"""Thresholds: ``metric{label:value}`` with a list of ``statistic operator limit``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.scenario.metrics import Metric
from harness.scenario.problems import show, suggestion
from harness.scenario.quantities import read_duration
from harness.units import human_duration

OPERATORS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
)
_SELECTOR = re.compile(r"(?P<metric>[a-z0-9_]+)(?:\{(?P<labels>[^{}]*)\})?")
_CONDITION = re.compile(r"(?P<statistic>[a-z0-9.]+)\s*(?P<operator><=|>=|==|<|>)\s*(?P<limit>\S+)")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_PERCENT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)%")


@dataclass(frozen=True)
class Selector:
    """A metric and the labels that narrow it; `text` is what the user wrote."""

    text: str
    metric: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Threshold:
    """One condition on one statistic; `limit` is in the metric's base unit.

    Durations are seconds, ratios are shares of one, counts and attempts are plain.
    """

    selector: Selector
    statistic: str
    operator: str
    limit: float
    text: str

    def holds(self, value: float) -> bool:
        """Tell whether `value` meets the condition."""
        return OPERATORS[self.operator](value, self.limit)

    def margin(self, value: float) -> float:
        """Return the room left before the limit in base units; negative when broken.

        An equality has no room: its margin is minus the distance.
        """
        if self.operator in ("<", "<="):
            return self.limit - value
        if self.operator in (">", ">="):
            return value - self.limit
        return -abs(value - self.limit)


def parse_selector(text: str) -> Selector:
    """Return the selector for text such as ``lost{phase:steady}``; ValueError otherwise."""
    match = _SELECTOR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected metric or metric{{label:value}}, found {show(text)}")
    labels: dict[str, str] = {}
    for part in (match["labels"] or "").split(",") if match["labels"] is not None else ():
        label, separator, value = (piece.strip() for piece in part.partition(":"))
        if not (label and separator and value):
            raise ValueError(f"expected label:value inside the braces, found {show(part.strip())}")
        if label in labels:
            raise ValueError(f"label {show(label)} is given twice")
        labels[label] = value
    return Selector(text, match["metric"], MappingProxyType(labels))


def selectors_on(thresholds: Mapping[str, object] | None, metric: str) -> tuple[Selector, ...]:
    """Return the selectors of a scenario's thresholds that name a metric."""
    found = []
    for text in thresholds or ():
        try:
            selector = parse_selector(text)
        except ValueError:
            continue  # the check of thresholds says so
        if selector.metric == metric:
            found.append(selector)
    return tuple(found)


def parse_threshold(selector: Selector, condition: str, metric: Metric) -> Threshold:
    """Return the threshold for a condition such as ``p99 < 3s``; ValueError otherwise."""
    match = _CONDITION.fullmatch(condition.strip())
    if match is None:
        raise ValueError(
            f"expected 'statistic operator limit', such as {_example(metric)!r}, "
            f"found {show(condition)}"
        )
    statistic = match["statistic"]
    if statistic not in metric.statistics:
        hint = suggestion(statistic, metric.statistics)
        raise ValueError(f"{metric.name} has no statistic {show(statistic)}{hint}")
    limit = _parse_limit(match["limit"], statistic, metric)
    return Threshold(selector, statistic, match["operator"], limit, condition.strip())


def format_value(value: float, statistic: str, metric: Metric) -> str:
    """Return a statistic's value for people, in the form its thresholds are written."""
    if statistic == "ratio":
        return f"{value * 100:.3g}%"
    if statistic in ("count", "n", "censored") or metric.unit == "attempts":
        return f"{value:g}"
    return human_duration(value)


def _parse_limit(text: str, statistic: str, metric: Metric) -> float:
    if statistic == "ratio":
        if (percent := _PERCENT.fullmatch(text)) is not None:
            return float(percent[1]) / 100
        if _NUMBER.fullmatch(text):
            return float(text)
        raise ValueError(f"expected a share such as 1% or 0.01 for ratio, found {show(text)}")
    if statistic in ("count", "n", "censored") or metric.unit == "attempts":
        if _NUMBER.fullmatch(text) is None:
            raise ValueError(f"expected a plain number for {statistic}, found {show(text)}")
        return float(text)
    return read_duration(text)


def _example(metric: Metric) -> str:
    if metric.kind == "counter":
        return "count == 0"
    return "p99 < 3s" if metric.unit == "s" else "max < 5"
