"""Thousands of damaged Compose files: each is read or refused with a place, and nothing else."""

from __future__ import annotations

import re
from contextlib import suppress
from random import Random

import pytest
from damage import mutate
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.scenario.compose.model import ComposeProject
from harness.scenario.compose.project import Outcome, read_compose, read_file
from harness.scenario.compose.redaction import plain_project
from harness.scenario.compose.server_config import ConfigurationError, parse_configuration
from harness.scenario.compose.substitution import Substitution, SubstitutionError, parse_variables
from harness.scenario.dump import dump_yaml
from harness.scenario.load import loads
from harness.vocabulary import VOCABULARY

pytestmark = pytest.mark.no_cover  # thousands of times the same lines

SEED = 20261123
MUTANTS = 600
VARIABLES = {"ROUTE_PASSWORD": "RSECRET", "NATS_TAG": "2.12"}
JARGON = re.compile(r"pydantic|NoneType|<class|Value error|Traceback|object at|validation error")


def check(outcome: Outcome, text: str) -> None:
    """Fail unless the text was read, or refused in one clear line for each problem."""
    if outcome.project is not None:
        assert outcome.problems == ()
        data = plain_project(outcome.project)
        assert ComposeProject.model_validate(data).nodes == outcome.project.nodes
        assert "RSECRET" not in str(data)
        return
    assert outcome.problems
    last = text.count("\n") + text.count("\r") + 2
    for problem in outcome.problems:
        assert problem.source is not None, (problem, text)
        assert problem.position is not None, (problem, text)
        if problem.source == "c.yaml":
            assert 1 <= problem.position.line <= last, (problem, text)
        assert problem.position.column >= 1
        assert problem.message.isprintable(), (problem, text)
        assert not JARGON.search(problem.message), (problem, text)
        assert "RSECRET" not in problem.message


def test_damaged_files_are_read_or_refused_with_a_place(realistic, guide, single, tmp_path):
    random = Random(SEED)
    originals = [realistic, realistic, guide, single]
    read = 0
    for _ in range(MUTANTS):
        text = mutate(random.choice(originals), random)
        outcome = read_compose(text, "c.yaml", tmp_path, None, VARIABLES)
        check(outcome, text)
        read += outcome.project is not None
    assert MUTANTS // 20 < read < MUTANTS * 3 // 4


def test_damaged_bytes_are_read_or_refused(guide, tmp_path):
    random = Random(SEED)
    path = tmp_path / "c.yaml"
    for _ in range(200):
        damaged = bytearray(guide.encode())
        for _ in range(random.randint(1, 4)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        path.write_bytes(damaged[: random.choice([len(damaged), random.randrange(len(damaged))])])
        check(read_file(path, "c.yaml", None, VARIABLES), damaged.decode("utf-8", "replace"))


KEYS = [
    "image", "command", "entrypoint", "environment", "env_file", "ports", "expose", "networks",
    "volumes", "tmpfs", "configs", "secrets", "deploy", "ulimits", "labels", "sysctls", "profiles",
    "depends_on", "mem_limit", "cpus", "init", "user", "cap_drop", "stop_grace_period", "scale",
    "hostname", "privileged", "healthcheck", "x-a", "shm_size", "pids_limit",
]  # fmt: skip
WORDS = [
    "nats", "-m 8222", "a=b", "4222:4222", "./x:/x:ro", "v:/v", "512m", "$A", "${A:-${B}}", "type",
    "source", "target", "bind", "limits", "resources", "soft", "hard", "file", "~nobody/x:/y", "-p",
    "\0", "-c /x", "nats-server -p -m", "--routes nats://[::1:6222", "-p 0", "sh -c 'nats-server",
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(WORDS),
    lambda below: st.lists(below, max_size=3)
    | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), below, max_size=3),
    max_leaves=8,
)  # fmt: skip


def flow(value: object) -> str:
    """Write plain data as YAML in flow style, faithfully enough for any of it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        escaped = "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08X}" for c in value)
        return f'"{escaped}"'
    if value is None:
        return "null"
    return re.sub("inf|nan", r".\g<0>", str(value).lower())  # a boolean or a number


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    st.dictionaries(st.sampled_from(["networks", "volumes", "configs", "secrets"]), VALUES),
)
def test_any_shape_of_data_is_read_or_refused(tmp_path_factory, service, sections):
    folder = tmp_path_factory.getbasetemp()
    text = flow({"services": {"nats": {"image": "nats", **service}}, **sections})
    check(read_compose(text, "c.yaml", folder, None, VARIABLES), text)


@settings(max_examples=300, deadline=None)
@given(st.text("${}:-?+AB\"'\\=\n #", max_size=20))
def test_any_variables_are_read_or_refused(text):
    with suppress(SubstitutionError):
        assert isinstance(Substitution(VARIABLES).apply(text), str)
    complaints: list[int] = []
    parse_variables(text, {}, lambda line, _: complaints.append(line))
    assert all(1 <= line <= text.count("\n") + 1 for line in complaints)


@settings(max_examples=300, deadline=None)
@given(st.text("{}[]:=,;#/\"'\\$ \nabP1", max_size=30))
def test_any_configuration_is_read_or_refused(text):
    with suppress(ConfigurationError):
        assert isinstance(parse_configuration(text, {}), dict)


INLINE = """\
name: x
cluster:
  services: [nats, nats-1]
  compose:
    services:
      nats: {image: nats:2, command: -m 8222 --cluster nats://0.0.0.0:6222}
      nats-1:
        image: nats:2
        command: [--cluster, "nats://0.0.0.0:6222", --routes, "nats://nats:6222"]
        volumes: ["d:/data"]
    volumes: {d: }
client: {options: {ping_interval: 1s}}
workloads: [{name: hello, kind: core, rate: 10/s, attach: {publishers: nats-1}}]
faults:
  - {name: stop, action: stop, at: 0s, duration: 3s}
  - {name: cut, action: partition, topology: custom, drop: [[hello, nats]], at: 5s, duration: 3s}
"""


def test_damaged_scenarios_with_a_project_in_them_are_loaded_or_refused():
    random = Random(SEED)
    resolved = dump_yaml(loads(INLINE, "s.yaml", VOCABULARY).scenario)
    loaded = 0
    for _ in range(400):
        text = mutate(random.choice([INLINE, resolved]), random)
        try:
            scenario = loads(text, "s.yaml", VOCABULARY).scenario
        except ScenarioError as error:
            lines = str(error).split("\n")
            assert all(re.match(r"s\.yaml:[0-9]+:[0-9]+: ", line) for line in lines)
            assert not JARGON.search(str(error))  # noqa: PT017 - the same
            continue
        loaded += 1
        assert loads(dump_yaml(scenario), "d.yaml", VOCABULARY).scenario == scenario
    assert loaded > 10


def test_the_check_sees_what_is_wrong(single):
    with pytest.raises(AssertionError):
        check(Outcome(None, ()), single)
