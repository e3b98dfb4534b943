"""Scenarios on Compose files: nodes are services, and the run folder needs no Compose file."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from rich.console import Console

from harness.backends.choose import name_backend
from harness.cli import command
from harness.cluster.protocols import Address
from harness.cluster.targets import resolve
from harness.errors import EXIT_PASS, EXIT_USAGE, CapabilityError, ScenarioError, UsageError
from harness.placement import plan_workers
from harness.scenario.dump import dump_yaml
from harness.scenario.load import Loaded, load
from harness.scenario.model import ClusterSpec
from harness.session import Options, _require_images, _require_secrets, validate_all
from harness.vocabulary import VOCABULARY

SCENARIO = """\
name: guide
cluster: {compose: nats-cluster.yaml}
client: {options: {ping_interval: 1s}}
workloads:
  - {name: hello, kind: core, rate: 10/s, attach: {publishers: nats-1, subscribers: seed}}
phases: {fault: 9s}
faults:
  - {name: stop-seed, action: stop, at: 0s, duration: 3s}
  - {name: cut, action: partition, topology: custom, drop: [[nats-1, nats-2]], at: 5s, duration: 1s}
thresholds: {lost: ["ratio < 50%"]}
"""

Loads = Callable[..., Loaded]


@pytest.fixture
def loads(tmp_path: Path, guide: str) -> Loads:
    """Load the scenario with (old, new) pairs replaced; the Compose file lies beside it."""
    tmp_path.joinpath("nats-cluster.yaml").write_text(guide, encoding="utf-8")

    def read(*pairs: tuple[str, str]) -> Loaded:
        text = SCENARIO
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path, VOCABULARY)

    return read


@pytest.fixture
def refusal(loads: Loads, tmp_path: Path) -> Callable[..., list[str]]:
    def read(*pairs: tuple[str, str]) -> list[str]:
        with pytest.raises(ScenarioError) as caught:
            loads(*pairs)
        return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]

    return read


def test_services_are_the_nodes_and_the_seed_is_first(loads):
    scenario = loads().scenario
    assert scenario.cluster.nodes == ("nats", "nats-1", "nats-2")
    assert scenario.cluster.seed == "nats"
    assert scenario.cluster.in_containers
    assert scenario.client.servers == ("nats",)
    stop, cut = scenario.faults
    nodes = scenario.cluster.nodes
    assert resolve(stop, nodes, lambda *_: frozenset(), Random(1)) == ("nats",)
    assert cut.target == ("nats-1", "nats-2")
    assert not cut.strikes_clients


def test_a_cut_of_clients_is_told_from_one_of_services(loads):
    cut = loads(("[[nats-1, nats-2]]", "[[nats-1, hello]]")).scenario.faults[1]
    assert cut.target == ("nats-1",)
    assert cut.strikes_clients


def test_clients_are_placed_at_services(loads, tmp_path):
    scenario = loads(
        ("name: hello,", "name: hello, publishers: 2, subscribers: 2,"),
        ("publishers: nats-1,", "publishers: [nats-1, nats-2],"),
    ).scenario
    addresses = {
        name: Address("10.0.0.1", port) for port, name in enumerate(scenario.cluster.nodes, 1)
    }
    plans = plan_workers(scenario, addresses, tmp_path, run=1, seed="1")
    servers = [client.servers for plan in plans for client in plan.clients]
    assert servers == [
        ("nats://10.0.0.1:2",),
        ("nats://10.0.0.1:3",),
        ("nats://10.0.0.1:1",),
        ("nats://10.0.0.1:1",),
    ]


def test_clients_log_in_as_the_servers_ask(loads, tmp_path):
    path = tmp_path / "nats-cluster.yaml"
    text = path.read_text(encoding="utf-8").replace("--cluster_name", "--user u --pass S -n")
    loaded = loads()
    path.write_text(text, encoding="utf-8")
    scenario = load(tmp_path / "s.yaml", VOCABULARY).scenario
    assert loaded.scenario.cluster.login is None
    addresses = dict.fromkeys(scenario.cluster.nodes, Address("10.0.0.1", 4222))
    plans = plan_workers(scenario, addresses, tmp_path, run=1, seed="1")
    assert {(plan.user, plan.password) for plan in plans} == {("u", "S")}
    assert "user: u" not in dump_yaml(scenario)


def test_the_resolved_scenario_needs_no_compose_file(loads, tmp_path):
    scenario = loads(("drop: [[nats-1, nats-2]]", "drop: [[hello, nats-2]]")).scenario
    text = dump_yaml(scenario)
    assert "T0pS3cr3t" not in text
    assert "ruser" not in text
    tmp_path.joinpath("nats-cluster.yaml").unlink()
    path = tmp_path / "resolved.yaml"
    path.write_text(text, encoding="utf-8")
    again = load(path, VOCABULARY)
    assert again.scenario.cluster.nodes == scenario.cluster.nodes
    assert dump_yaml(again.scenario) == text
    assert again.notes == scenario.cluster.compose.notes
    assert again.scenario.faults == scenario.faults


def test_a_resolved_scenario_without_secrets_is_equal(loads, tmp_path, guide):
    plain = guide.replace("ruser:T0pS3cr3t@", "")
    tmp_path.joinpath("plain.yaml").write_text(plain, encoding="utf-8")
    scenario = loads(("nats-cluster", "plain")).scenario
    other = tmp_path / "resolved.yaml"
    other.write_text(dump_yaml(scenario), encoding="utf-8")
    assert load(other, VOCABULARY).scenario == scenario


def test_other_scenarios_are_dumped_as_before(loads):
    text = dump_yaml(loads(("{compose: nats-cluster.yaml}", "{servers: 3}"),
                           ("publishers: nats-1", "publishers: n2"),
                           ("[[nats-1, nats-2]]", "[[n1, n2]]")).scenario)  # fmt: skip
    assert "compose" not in text
    assert "services" not in text


def test_a_compose_file_can_be_written_into_the_scenario(loads):
    inline = "{compose: {services: {solo: {image: 'nats:2', command: -m 8222}}}}"
    loaded = loads(
        ("{compose: nats-cluster.yaml}", inline),
        ("publishers: nats-1,", "publishers: solo,"),
        ("[[nats-1, nats-2]]", "[[hello, solo]]"),
    )
    assert loaded.scenario.cluster.nodes == ("solo",)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("nats-1,", "n2,", "s.yaml:5:64: workloads[0].attach.publishers: unknown node 'n2' (known"),
        ("stop, at", "stop, target: n1, at", "s.yaml:8:45: faults[0].target: unknown target 'n1'"),
        ("nats-cluster", "no", "s.yaml:2:20: cluster.compose: 'no.yaml' cannot be read: No such f"),
        ("nats-cluster.yaml", ".", "s.yaml:2:20: cluster.compose: '.' cannot be read: Is a direc"),
        ("nats-cluster.yaml", "[a]", "s.yaml:2:20: cluster.compose: expected a path, found a list"),
        (".yaml}", ".yaml, services: [nats, x]}", "s.yaml:2:56: cluster.services[1]: "),
        (".yaml}", ".yaml, servers: 3}", "s.yaml:2:39: cluster.servers: remove this key: with cl"),
        (".yaml}", ".yaml, version: bundled}", "s.yaml:2:39: cluster.version: remove this key"),
        (".yaml}", ".yaml, config: {}}", "s.yaml:2:39: cluster.config: remove this key"),
        (".yaml}", ".yaml, jetstream: true}", "s.yaml:2:39: cluster.jetstream: remove this key"),
        (
            ".yaml}",
            ".yaml, authorization: {user: u, password: p}}",
            "s.yaml:2:39: cluster.authorization: remove this key",
        ),
        ("name: hello", "name: nats", "s.yaml:2:20: cluster.compose: a service and a workload are"),
    ],
)
def test_what_does_not_go_with_a_compose_file_is_refused(refusal, old, new, line):
    (only,) = refusal((old, new))
    assert only.startswith(line), only


def test_services_need_a_compose_file(refusal):
    lines = refusal(("{compose: nats-cluster.yaml}", "{services: [nats]}"))
    assert lines[0].startswith("s.yaml:2:11: cluster.services: this names services of a Compose")


@pytest.mark.parametrize(
    ("name", "refused"), [("seed", False), ("all", True), ("spread", True), ("one", True)]
)
def test_services_are_not_called_like_keywords(tmp_path, name, refused):
    text = f"services: {{{name}: {{image: nats, command: -m 8222}}}}"
    tmp_path.joinpath("c.yaml").write_text(text, encoding="utf-8")
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: x\ncluster: {compose: c.yaml}\nworkloads: [{name: w, kind: core, rate: 1/s}]\n",
        encoding="utf-8",
    )
    if refused:
        with pytest.raises(ScenarioError, match="cannot be told from the keyword"):
            load(path, VOCABULARY)
    else:
        assert load(path, VOCABULARY).scenario.cluster.seed == name


def test_problems_of_the_compose_file_are_told_with_its_name(refusal, tmp_path, guide, loads):
    path = tmp_path / "bad.yaml"
    path.write_text(guide.replace("networks:\n  nats", "networks:\n  lan"), encoding="utf-8")
    lines = refusal(("nats-cluster", "bad"), ("rate: 10/s", "rate: 10"))
    assert lines[0].startswith("s.yaml:5:37: workloads[0].rate: ")
    assert lines[1].startswith(
        "bad.yaml:8:16: services.nats.networks[0]: 'nats' is not defined under networks"
    )


def test_bytes_that_are_no_text_are_placed(refusal, tmp_path):
    tmp_path.joinpath("bad.yaml").write_bytes(b"services:\n  a: \xff\n")
    assert refusal(("nats-cluster", "bad")) == [
        "bad.yaml:2:6: expected UTF-8 text, found the byte 0xFF"
    ]


def options(**changes: Any) -> Options:
    given: dict[str, Any] = {
        "backend": "auto", "server": None, "image": None, "seed": None, "repeat": None,
        "reports": Path(), "quiet": True,
    }  # fmt: skip
    return Options(**{**given, **changes})


def test_the_command_line_replaces_the_images(loads):
    scenario = loads().scenario
    replaced = options(image="example/nats:2.15.1").apply(scenario).cluster.compose
    assert replaced is not None
    assert {service.image for service in replaced.services} == {"example/nats:2.15.1"}
    assert options().apply(scenario).cluster == scenario.cluster
    command = options(image="example/nats:2").reproduce("s.yaml", "docker", 1)
    assert command == "nats-harness run s.yaml --backend docker --seed 1 --image example/nats:2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"server": "2.14.0"}, "run from images: --image, not --server"),
        ({"image": "a b"}, "--image: expected an image's name, found 'a b'"),
        ({"image": "nats:<tag>"}, "--image: expected an image's name, found 'nats:<tag>'"),
    ],
)
def test_what_cannot_replace_an_image_is_refused(loads, changes, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        options(**changes).apply(loads().scenario)


def test_a_compose_file_needs_docker(loads):
    compose = loads().scenario.cluster
    plain = ClusterSpec()
    assert name_backend("auto", [plain, compose]) == "docker"
    assert name_backend("docker", [compose]) == "docker"
    assert name_backend("lab", [plain]) == "lab"
    for backend in ("lab", "local"):
        with pytest.raises(CapabilityError, match=f"backend {backend} runs no images; docker does"):
            name_backend(backend, [plain, compose])


def test_the_command_line_tells_what_a_compose_file_lacks(loads, tmp_path, monkeypatch, capsys):
    loads()
    monkeypatch.chdir(tmp_path)
    for arguments, said in [
        (["--backend", "lab"], "backend lab runs no images; docker does: --backend docker"),
        (["--server", "2.14.0"], "run from images: --image, not --server"),
    ]:
        monkeypatch.setattr("sys.argv", ["nats-harness", "run", "s.yaml", *arguments])
        assert command() == EXIT_USAGE
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert said in lines[0]


def test_a_placeholder_is_not_run(loads):
    compose = loads().scenario.cluster.compose
    with pytest.raises(
        UsageError, match=r"nats-cluster.yaml:2:3: services.nats.image \(also nats-1"
    ):
        _require_images(compose)
    _require_images(compose.with_image("nats:2"))


def test_validating_says_what_is_done_otherwise(loads, tmp_path, monkeypatch):
    loads()
    monkeypatch.chdir(tmp_path)
    console = Console(file=StringIO(), width=80)
    assert validate_all(["s.yaml"], console) == EXIT_PASS
    assert isinstance(console.file, StringIO)
    out = console.file.getvalue()
    assert "note: nats-cluster.yaml:2:3: services.nats.image (also nats-1, nats-2): 'dhi" in out
    assert "note: nats-cluster.yaml:4:5: services.nats.ports: nothing is published" in out
    assert "note: nats-cluster.yaml:11:14: services.nats-1.command (also nats-2): --http" in out
    assert out.splitlines()[-1] == "s.yaml: valid"
    assert "T0pS3cr3t" not in out


def test_what_was_left_out_as_secret_cannot_be_run_and_what_was_revealed_can(loads, tmp_path):
    scenario = loads().scenario
    path = tmp_path / "resolved.yaml"
    path.write_text(dump_yaml(scenario), encoding="utf-8")
    assert "T0pS3cr3t" not in path.read_text(encoding="utf-8")
    written = load(path, VOCABULARY).scenario.cluster.compose
    assert written is not None
    with pytest.raises(UsageError, match=r"services.nats-1: its secrets were left out here"):
        _require_secrets(written)
    path.write_text(dump_yaml(scenario, reveal=True), encoding="utf-8")
    again = load(path, VOCABULARY).scenario
    assert again.cluster.compose is not None
    _require_secrets(again.cluster.compose)
    assert again.cluster == scenario.cluster
