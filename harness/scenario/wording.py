"""Say in the scenario's own words what pydantic found wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from harness.scenario.problems import KeyPath, Problem, either, expectation, nearest, suggestion
from harness.scenario.quantities import NAME_PATTERN
from harness.scenario.tree import Entries, Node, Scalar, child, describe, find

_PLAIN_EXPECTATIONS: Mapping[str, str] = {
    **dict.fromkeys(("string_type", "string_sub_type", "string_unicode"), "text"),
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"
    ),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "a list"),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
        "a mapping",
    ),
    "none_required": "nothing",
}
_BOUNDED: Mapping[str, tuple[str, str]] = {
    "greater_than": ("a value above", "gt"),
    "greater_than_equal": ("a value of at least", "ge"),
    "less_than": ("a value below", "lt"),
    "less_than_equal": ("a value of at most", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
    "too_short": ("a list with a length of at least", "min_length"),
    "too_long": ("a list with a length of at most", "max_length"),
    "string_too_short": ("text with a length of at least", "min_length"),
    "string_too_long": ("text with a length of at most", "max_length"),
}
_LENGTHS = frozenset({"too_short", "too_long"})
NAME_EXPECTATION = (
    "a name of lower-case letters, digits, '.', '_' and '-' "
    "that begins and ends with a letter or digit"
)


@dataclass(frozen=True)
class _Complaint:
    """One of pydantic's errors, placed in the document.

    `expected` is None where `message` says everything. `branch` tells that it is one
    of several alternatives that were all tried and all failed.
    """

    path: KeyPath
    expected: str | None
    message: str
    branch: bool
    at_key: bool = False


def word_errors(
    errors: Iterable[ErrorDetails], root: Node, prefix: KeyPath, model: type[BaseModel]
) -> list[Problem]:
    """Return one problem for each place that `errors` complain about.

    Args:
        errors: what pydantic found.
        root: the document.
        prefix: where in the document the validated value stands.
        model: the class it was validated with, for the names it knows.
    """
    by_path: dict[KeyPath, list[_Complaint]] = {}
    explained: set[KeyPath] = set()
    for error in errors:
        complaint = _complain(error, root, prefix, model)
        by_path.setdefault(complaint.path, []).append(complaint)
        if complaint.branch:
            explained.update(complaint.path[:length] for length in range(len(complaint.path)))
    problems: list[Problem] = []
    for path, here in by_path.items():
        if path in explained and all(complaint.branch for complaint in here):
            continue  # another alternative fits the shape and says more precisely what is wrong
        problems.extend(_merge(here, root, path))
    return problems


def _merge(here: list[_Complaint], root: Node, path: KeyPath) -> Iterator[Problem]:
    expected = [complaint.expected for complaint in here if complaint.expected is not None]
    for complaint in here:
        if complaint.expected is None:
            yield Problem(path, complaint.message, at_key=complaint.at_key)
    if expected:
        found = describe(root, path)
        yield Problem(
            path, f"expected {either(expected)}, found {found}{_hint(expected, root, path)}"
        )


def _hint(expected: list[str], root: Node, path: KeyPath) -> str:
    node = find(root, path)
    if not isinstance(node, Scalar) or node.value is None:
        return ""
    is_text = isinstance(node.value, str)
    if not is_text and any(one.startswith(("text", "a name")) for one in expected):
        return " (quote it)"
    if is_text and "a whole number" in expected and node.text.isascii() and node.text.isdigit():
        return " (without quotes)"
    words = [word for one in expected for word in one.replace(" or ", ", ").split(", ")]
    known = [word.strip("'") for word in words if word.startswith("'")]
    name = nearest(node.value, known)
    return f" (did you mean {name!r}?)" if name is not None else ""


def _complain(
    error: ErrorDetails, root: Node, prefix: KeyPath, model: type[BaseModel]
) -> _Complaint:
    path, branch = _place(error, root, prefix)
    kind = error["type"]
    if kind == "missing":
        return _Complaint(path, None, "this key is missing", branch)
    if kind == "extra_forbidden":
        known = known_keys(model, path[len(prefix) : -1])
        message = f"unknown key{suggestion(path[-1], known)}"
        return _Complaint(path, None, message, branch, at_key=True)
    expected, message = _expect(error)
    if expected is None and (key := _named_key(message, root, path)) is not None:
        return _Complaint((*path, key), None, message.partition(": ")[2], branch)
    if kind in _LENGTHS:
        found = error.get("ctx", {}).get("actual_length")
        return _Complaint(path, None, f"expected {expected}, found {found}", branch)
    return _Complaint(path, expected, message, branch)


def _named_key(message: str, root: Node, path: KeyPath) -> str | None:
    """Return the key below `path` that a message about the whole begins with."""
    key, separator, _ = message.partition(": ")
    below = find(root, path)
    known = separator and isinstance(below, Entries) and child(below, key) is not None
    return key if known else None


def _place(error: ErrorDetails, root: Node, prefix: KeyPath) -> tuple[KeyPath, bool]:
    """Return the path in the document, and whether alternatives of a union were on the way.

    Pydantic puts the names of a union's alternatives among the keys; they lead nowhere
    in the document.
    """
    path, branch = prefix, False
    node = find(root, prefix)
    steps = error["loc"]
    for index, step in enumerate(steps):
        below = None if node is None else child(node, step)
        if below is not None:
            path, node = (*path, step), below
        elif error["type"] == "missing" and index == len(steps) - 1 and isinstance(node, Entries):
            path = (*path, step)
        else:
            branch = True
    return path, branch


def _expect(error: ErrorDetails) -> tuple[str | None, str]:
    kind = error["type"]
    context = error.get("ctx", {})
    if (expected := _PLAIN_EXPECTATIONS.get(kind)) is not None:
        return expected, ""
    if kind in _BOUNDED:
        text, key = _BOUNDED[kind]
        bound = context[key]
        return f"{text} {bound if isinstance(bound, int) else format(bound, 'g')}", ""
    if kind in ("literal_error", "enum"):
        return str(context["expected"]), ""
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        is_name = pattern == NAME_PATTERN
        return (NAME_EXPECTATION if is_name else f"text that matches {pattern}"), ""
    if kind in ("value_error", "assertion_error"):
        wanted, says_found = expectation(context["error"])
        return (wanted, "") if says_found else (None, wanted)
    return f"a valid value ({kind.replace('_', ' ')})", ""


def known_keys(model: type[BaseModel], path: KeyPath) -> tuple[str, ...]:
    """Return the keys that may stand in the mapping at `path` below `model`."""
    models = {model}
    for step in path:
        models = set(_step(models, step))
    return tuple(dict.fromkeys(name for found in models for name in found.model_fields))


def _step(models: set[type[BaseModel]], step: str | int) -> Iterator[type[BaseModel]]:
    named = any(step in model.model_fields for model in models)
    for model in models:
        if isinstance(step, int) or not named:
            yield model  # an item of a list, or of a mapping by names, that was already opened
        elif (field := model.model_fields.get(step)) is not None:
            yield from _models_in(field.annotation)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
