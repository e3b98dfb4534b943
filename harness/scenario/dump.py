"""Write a resolved scenario as YAML that loads back to an equal one, without its secrets."""

from __future__ import annotations

import io
import re
from typing import Any

from pydantic import SecretStr
from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from harness.scenario.model import Scenario
from harness.scenario.problems import REDACTED, SECRET_KEYS
from harness.scenario.reading import resolve

_LINE_WIDTH = 110
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def dump_yaml(scenario: Scenario) -> str:
    """Return the scenario with all defaults filled in; passwords and the like read ``***``."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment] # typed as None
    yaml.width = _LINE_WIDTH
    stream = io.StringIO()
    yaml.dump(plain_scenario(scenario), stream)
    return stream.getvalue()


def plain_scenario(scenario: Scenario) -> dict[str, Any]:
    """Return the scenario as JSON could hold it, without its secrets."""
    data: dict[str, Any] = scenario.model_dump(mode="json")
    cluster = scenario.cluster
    for key in ("authorization", "route_authorization"):
        if getattr(cluster, key) is not None:
            data["cluster"][key]["password"] = REDACTED
    data["cluster"]["config"] = redact(data["cluster"]["config"])
    return data


def redact(value: Any) -> Any:
    """Return a copy in which nothing at any depth is a secret, going by the names of keys."""
    if isinstance(value, dict):
        return {
            key: REDACTED if str(key).lower() in SECRET_KEYS else redact(below)
            for key, below in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    if isinstance(value, SecretStr):
        return REDACTED
    return _USER_IN_URL.sub(REDACTED, value) if isinstance(value, str) else value


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
