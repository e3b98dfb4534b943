from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML
from typer.core import TyperGroup

from harness.cli import app
from harness.cluster.binaries import default_cache
from harness.scenario.releases import misread_version

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "nats-harness.yml"
GUIDE = ROOT / "docs" / "github-actions.md"
OTHERS = {"sudo", "python"}


def workflow() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(EXAMPLE)
    return loaded


def job() -> dict[str, Any]:
    (only,) = workflow()["jobs"].values()
    assert isinstance(only, dict)
    return only


def commands(server: str) -> list[list[str]]:
    """Return the words of every command of the workflow, as the runner's shell would see them."""
    variables = workflow()["env"]
    found = []
    for step in job()["steps"]:
        for line in step.get("run", "").strip().splitlines():
            text = line.replace("${{ matrix.server }}", server)
            text = re.sub(r"\$([A-Z]+)", lambda match: variables[match[1]], text)
            assert "$" not in text
            found.append(shlex.split(text))
    return found


def offered() -> Mapping[str, Any]:
    """Return the commands of the command line by name."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group.commands


def parse(words: list[str]) -> dict[str, Any]:
    """Let the command line take the words, without running anything; raise where it refuses."""
    program, name, *rest = words
    assert program == "nats-harness"
    return dict(offered()[name].make_context(name, rest).params)


@pytest.mark.parametrize("server", job()["strategy"]["matrix"]["server"])
def test_the_workflow_says_only_what_the_command_line_knows(server: str) -> None:
    ours = [words for words in commands(server) if words[0] not in OTHERS]
    said = [parse(words) for words in ours]
    assert [words[1] for words in ours] == ["doctor", "validate", "run"]
    assert said[-1]["server"] == server
    assert str(said[-1]["junit"]) == "results/junit.xml"
    assert misread_version(server) is None


def test_the_parser_refuses_what_there_is_not() -> None:
    for words in (["run", "x", "--nope"], ["run", "x", "--backend", "nope"], ["run"]):
        with pytest.raises(typer.TyperException):
            parse(["nats-harness", *words])
    with pytest.raises(KeyError):
        parse(["nats-harness", "nope"])


def test_the_scenarios_of_the_workflow_ship_and_are_valid() -> None:
    from rich.console import Console

    from harness.session import validate_all

    names = workflow()["env"]["SCENARIOS"].split()
    assert validate_all(names, Console(quiet=True)) == 0


def test_what_is_uploaded_is_where_the_run_writes_also_after_a_failure() -> None:
    (upload,) = (one for one in job()["steps"] if "upload-artifact" in one.get("uses", ""))
    assert upload["with"]["path"] == "results"
    assert upload["if"] == "always()"
    (run,) = (words for words in commands("bundled") if words[:2] == ["nats-harness", "run"])
    said = parse(run)
    assert str(said["reports"]).startswith("results/")
    assert str(said["junit"]).startswith("results/")


def test_the_cache_is_where_servers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (cache,) = (one for one in job()["steps"] if one.get("uses", "").startswith("actions/cache"))
    assert Path(cache["with"]["path"]).expanduser() == default_cache()


def test_the_lab_is_asked_for_after_it_was_allowed() -> None:
    words = commands("bundled")
    allow = next(i for i, one in enumerate(words) if one[0] == "sudo")
    first = next(i for i, one in enumerate(words) if one[0] == "nats-harness")
    assert allow < first
    assert " ".join(words[allow]) in GUIDE.read_text()
    assert parse(words[-1])["backend"] == "lab"


def test_commands_and_options_that_the_guide_names_exist() -> None:
    text = GUIDE.read_text()
    for name in re.findall(r"`nats-harness ([a-z]+)", text):
        assert name in offered()
    run = offered()["run"]
    known = {option for one in run.params for option in one.opts}
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= known
