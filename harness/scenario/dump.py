"""Write a resolved scenario as YAML that loads back to an equal one, without its secrets."""

from __future__ import annotations

import io
import re
from typing import Any

from pydantic import SecretStr
from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from harness.scenario.attach_rules import ATTACHED_KEYS
from harness.scenario.compose.redaction import plain_project, whole_project
from harness.scenario.compose_rules import COMPOSE_KEYS
from harness.scenario.model import ClusterSpec, Scenario, Step
from harness.scenario.problems import REDACTED, holds_secret
from harness.scenario.reading import resolve

_LINE_WIDTH = 110
_ALWAYS_SHOWN = ("name", "action", "target", "at")
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_FLAG = re.compile(r"--?(?:pass|password|auth|token)", re.IGNORECASE)  # of a command line
_SECRET_OF_FLAG = re.compile(
    rf"(?<!\S)({_FLAG.pattern}(?:=|\s+))(?:\"[^\"]*\"|'[^']*'|\S+)", re.IGNORECASE
)


def dump_yaml(scenario: Scenario, *, reveal: bool = False) -> str:
    """Return the scenario with all defaults filled in; passwords and the like read ``***``.

    With `reveal` they are as they are: for what is handed on to another process only.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment] # typed as None
    yaml.width = _LINE_WIDTH
    stream = io.StringIO()
    yaml.dump(plain_scenario(scenario, reveal=reveal), stream)
    return stream.getvalue()


def plain_scenario(scenario: Scenario, *, reveal: bool = False) -> dict[str, Any]:
    """Return the scenario as JSON could hold it, without its secrets unless they are revealed."""
    data: dict[str, Any] = scenario.model_dump(mode="json")
    cluster = scenario.cluster
    for key in ("authorization", "route_authorization"):
        if (login := getattr(cluster, key)) is not None:
            password = login.password.get_secret_value() if reveal else REDACTED
            data["cluster"][key]["password"] = password
    for key in () if reveal else ("config", "container"):
        data["cluster"][key] = redact(data["cluster"][key])
    data["cluster"] = _plain_cluster(data["cluster"], cluster, reveal=reveal)
    return data


def _plain_cluster(data: dict[str, Any], cluster: ClusterSpec, *, reveal: bool) -> dict[str, Any]:
    """Return the cluster without keys that do not go with how its servers are described."""
    if cluster.attach is not None:
        return {key: value for key, value in data.items() if key in ATTACHED_KEYS}
    if cluster.compose is None:
        others = {"attach", *COMPOSE_KEYS}
        return {key: value for key, value in data.items() if key not in others}
    named = {} if cluster.services is None else {"services": data["services"]}
    whole = whole_project if reveal else plain_project
    return {"compose": whole(cluster.compose), **named}


def plain_step(step: Step) -> dict[str, Any]:
    """Return a step as a user would write it: its defaults are left out."""
    written: dict[str, Any] = step.model_dump(mode="json", exclude_defaults=True)
    whole: dict[str, Any] = step.model_dump(mode="json")
    shown = {key: whole[key] for key in _ALWAYS_SHOWN if key in whole}
    return {**shown, **written}


def redact(value: Any, path: tuple[str, ...] = ()) -> Any:
    """Return a copy without secrets at any depth, by the paths of keys and by flags.

    A command line is a text or a list of words. `path` leads to the value.
    """
    if isinstance(value, dict):
        return {
            key: REDACTED if holds_secret((*path, str(key))) else redact(below, (*path, str(key)))
            for key, below in value.items()
        }
    if isinstance(value, list | tuple):
        before = [None, *value]
        return [
            REDACTED if isinstance(flag, str) and _FLAG.fullmatch(flag) else redact(item, path)
            for flag, item in zip(before, value, strict=False)
        ]
    if isinstance(value, SecretStr):
        return REDACTED
    if not isinstance(value, str):
        return value
    return _SECRET_OF_FLAG.sub(rf"\1{REDACTED}", _USER_IN_URL.sub(REDACTED, value))


class _Representer(SafeRepresenter):
    """Quote every text that would read back as something else; never use aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return True

    def represent_text(self, data: str) -> ScalarNode:
        style = None if _reads_as_text(data) else '"'
        node: ScalarNode = self.represent_scalar("tag:yaml.org,2002:str", data, style=style)
        return node


_Representer.add_representer(str, _Representer.represent_text)


def _reads_as_text(text: str) -> bool:
    try:
        return resolve(text) == text
    except ValueError:
        return False
