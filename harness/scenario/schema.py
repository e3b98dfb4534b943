"""The JSON Schema of scenarios, for editors: completion, hints and most of the refusals.

What spans keys (names of nodes, overlapping faults, ...) is for the loader alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from harness.scenario.client_options import OPTIONS, Option
from harness.scenario.compose.model import ComposeProject
from harness.scenario.metrics import LABEL_VALUES, Metric
from harness.scenario.model import ClientSpec, Scenario
from harness.scenario.quantities import (
    DURATION_PATTERN,
    RATE_PATTERN,
    SIGNED_DURATION_PATTERN,
    SIZE_PATTERN,
    write_rate,
)
from harness.scenario.random_step import DRAWN_KEYS, RANDOM
from harness.scenario.vocabulary import Vocabulary
from harness.units import format_duration, format_signed_duration, format_size

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_OPERATOR = "(<=|>=|==|<|>)"
_NUMBER = r"[0-9]{1,15}(\.[0-9]{1,15})?"
_DURATION = DURATION_PATTERN.removeprefix("^").removesuffix("$")
_LABEL_VALUE = r"[^{},\s]+"  # with colons: groups are called stream:S
_VERSION_PATTERN = r"^(bundled|[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}|[^\n]*/[^\n]*)$"
_COMPOSE = {
    "description": "A Compose file by its path, or written here; its NATS services are the nodes.",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "object", "required": ["services"]},
        {"type": "null"},
    ],
    "default": None,
}
_OF_PROJECTS = frozenset(ComposeProject.model_json_schema()["$defs"]) | {ComposeProject.__name__}
_WRITERS: Mapping[str, Callable[[Any], str]] = {
    DURATION_PATTERN: format_duration,
    SIGNED_DURATION_PATTERN: format_signed_duration,
    RATE_PATTERN: write_rate,
    SIZE_PATTERN: format_size,
}


def scenario_schema(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the scenarios that `vocabulary` allows."""
    schema = Scenario.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    for base in ("WorkloadSpec", "FaultStep", "Step"):
        definitions.pop(base, None)
    properties = schema["properties"]
    properties["workloads"]["items"] = _one_of("kind", vocabulary.workloads, definitions)
    properties["faults"]["items"] = _one_of("action", vocabulary.steps, definitions)
    _describe_draw(vocabulary, definitions)
    properties["thresholds"] = _thresholds(vocabulary.metrics)
    version = {"type": "string", "pattern": _VERSION_PATTERN}
    definitions["ClusterSpec"]["properties"]["version"] = {
        "default": "bundled",
        "anyOf": [version, {"type": "object", "additionalProperties": version}],
    }
    definitions["ClusterSpec"]["properties"]["compose"] = _COMPOSE
    for name in [name for name in definitions if name in _OF_PROJECTS]:
        del definitions[name]
    adapter = ClientSpec.model_fields["adapter"].default
    definitions["ClientSpec"]["properties"]["options"] = _options(OPTIONS[adapter])
    return {
        "$schema": DIALECT,
        "title": "nats-harness scenario",
        **_tidy({key: value for key, value in schema.items() if key != "title"}),
        "$defs": {name: _tidy(definition) for name, definition in sorted(definitions.items())},
    }


def _one_of(
    chooser: str, classes: Mapping[str, type[BaseModel]], definitions: dict[str, Any]
) -> dict[str, Any] | bool:
    """Add a definition for each class and return the choice between them by `chooser`."""
    references = []
    for name, cls in sorted(classes.items()):
        definition = cls.model_json_schema()
        definitions.update(definition.pop("$defs", {}))
        definition["properties"][chooser] = {"const": name}
        definition["required"] = sorted({*definition.get("required", ()), chooser})
        definitions[f"{chooser}:{name}"] = definition
        references.append({"$ref": f"#/$defs/{chooser}:{name}"})
    return {"oneOf": references} if references else False


def _describe_draw(vocabulary: Vocabulary, definitions: dict[str, Any]) -> None:
    """Say of a random step's actions: a name, or what the fault of that name takes but is drawn."""
    definitions.pop("FaultStep", None)
    if not vocabulary.faults:
        return
    choices: list[dict[str, Any]] = [{"enum": sorted(vocabulary.faults)}]
    for name in sorted(vocabulary.faults):
        whole = definitions[f"action:{name}"]
        left = {key: one for key, one in whole["properties"].items() if key not in DRAWN_KEYS}
        required = [key for key in whole["required"] if key in left]
        definitions[f"drawn:{name}"] = {**whole, "properties": left, "required": required}
        choices.append({"$ref": f"#/$defs/drawn:{name}"})
    actions = definitions[f"action:{RANDOM}"]["properties"]["actions"]
    actions["items"] = {"oneOf": choices}


def _tidy(schema: Any) -> Any:
    """Return a schema without generated titles, and with the defaults of quantities as text."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidy: dict[str, Any] = {
        key: {name: _tidy(below) for name, below in value.items()}
        if key in ("properties", "patternProperties")
        else _tidy(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }
    default = tidy.get("default")
    patterns = [choice.get("pattern") for choice in (tidy, *tidy.get("anyOf", ()))]
    writers = [_WRITERS[pattern] for pattern in patterns if pattern in _WRITERS]
    if writers and isinstance(default, int | float):
        tidy["default"] = writers[0](default)
    elif writers and isinstance(default, list | tuple):
        tidy["default"] = [writers[0](end) for end in default]
    return tidy


def _thresholds(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": "What must hold: metric or metric{label:value}, with a list of conditions.",
        "additionalProperties": False,
        "patternProperties": {
            _selector_pattern(metric): {
                "type": "array",
                "minItems": 1,
                "description": f"{metric.summary} ({metric.unit})",
                "items": {"type": "string", "pattern": _condition_pattern(metric)},
            }
            for metric in metrics.values()
        },
    }


def _selector_pattern(metric: Metric) -> str:
    label = "|".join(rf"{name}\s*:\s*{_values(name)}" for name in metric.labels)
    return rf"^\s*{metric.name}(\{{\s*({label})\s*(,\s*({label})\s*)*\}})?\s*$"


def _values(label: str) -> str:
    values = LABEL_VALUES[label]
    return _LABEL_VALUE if values is None else f"({'|'.join(values)})"


def _condition_pattern(metric: Metric) -> str:
    if metric.kind == "counter":
        forms = [("count", _NUMBER), ("ratio", f"{_NUMBER}%?")]
    else:
        rest = "|".join(name for name in metric.statistics if name not in ("n", "censored"))
        forms = [
            ("n|censored", _NUMBER),
            (rest, _DURATION if metric.unit == "s" else _NUMBER),
        ]
    choices = "|".join(rf"({names})\s*{_OPERATOR}\s*{limit}" for names, limit in forms)
    return rf"^\s*({choices})\s*$"


def _options(options: Mapping[str, Option]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": "Options of the client library, by its own names.",
        "additionalProperties": False,
        "properties": {name: _option(option) for name, option in options.items()},
    }


def _option(option: Option) -> dict[str, Any]:
    default = {} if option.default is None else {"default": option.default}
    match option.kind:
        case "duration":
            return {"type": "string", "pattern": DURATION_PATTERN, **default}
        case "size":
            return {"type": "string", "pattern": SIZE_PATTERN, **default}
        case "integer":
            return {"type": "integer", "minimum": option.least, "maximum": option.most, **default}
        case "boolean":
            return {"type": "boolean", **default}
