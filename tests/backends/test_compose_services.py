"""What containers are made from, when a Compose file says so; no Engine is needed."""

from __future__ import annotations

import signal
from pathlib import Path, PurePosixPath

import pytest

from harness.backends.docker.compose_services import (
    compose_services,
    project_volumes,
    question,
)
from harness.backends.docker.network import endpoints_at
from harness.backends.docker.service import Service, read_signal
from harness.cluster.protocols import Address, Endpoints
from harness.engine.images import Image
from harness.errors import EngineError
from harness.scenario.compose.project import read_compose

FILE = """
services:
  a:
    image: nats:2
    command: -n a -m 8222 --cluster nats://:6222 --routes nats://b:6222 --user u --pass SECRET
    volumes: [shared:/data, /own, "./here.conf:/etc/here.conf"]
    configs: [{source: own, target: /etc/own.conf}]
    security_opt: ["seccomp:unconfined"]
  b:
    image: nats:2
    command: -n b -p 5222 -m 9222 --cluster nats://:7222 --routes nats://a:6222
    volumes: [shared:/data]
    stop_signal: usr2
    stop_grace_period: 2s
  c: {image: nats:2}
configs: {own: {content: SECRET}}
volumes: {shared: {}}
"""
IMAGE = Image(
    "nats:2", "sha256:1", (), "amd64", "65532", ("/nats-server",), ("-c", "/in/image.conf"),
    {}, (), (), "/", {}, "SIGINT",
)  # fmt: skip


def made(tmp_path: Path, *, here: bool = True, text: str = FILE, **published: Endpoints):
    tmp_path.joinpath("here.conf").write_text("debug: false\n", encoding="utf-8")
    project = read_compose(text, "c.yaml", tmp_path).project
    assert project is not None
    addresses = {node: f"10.0.0.{index}" for index, node in enumerate(project.nodes, 1)}
    endpoints = endpoints_at(addresses, {one.name: one.ports for one in project.services})
    volumes = {key: f"v{index}" for index, key in enumerate(project_volumes(project))}
    images = dict.fromkeys(project.nodes, IMAGE)
    services = compose_services(project, images, {**endpoints, **published}, volumes, here=here)
    return services, endpoints, volumes


def test_volumes_of_one_name_are_shared_and_others_are_the_services_own(tmp_path: Path) -> None:
    services, _, volumes = made(tmp_path)
    assert set(volumes) == {"shared", "a:/own"}
    places = {
        node: {mount["Target"]: mount["Source"] for mount in service.container.mounts}
        for node, service in services.items()
    }
    assert places["a"]["/data"] == places["b"]["/data"] == volumes["shared"]
    assert places["a"]["/own"] == volumes["a:/own"]
    assert services["a"].container.owned == (PurePosixPath("/data"), PurePosixPath("/own"))


def test_files_of_this_machine_are_mounted_read_only(tmp_path: Path) -> None:
    (mount,) = [one for one in made(tmp_path)[0]["a"].container.mounts if one["Type"] == "bind"]
    assert mount["Source"] == str(tmp_path / "here.conf")
    assert mount["ReadOnly"]
    with pytest.raises(EngineError, match=r"c.yaml:3:3: services.a: .* an Engine that is elsewh"):
        made(tmp_path, here=False)


def test_contents_are_files_and_never_shown(tmp_path: Path) -> None:
    service: Service = made(tmp_path)[0]["a"]
    assert service.container.files == {PurePosixPath("/etc/own.conf"): b"SECRET"}
    assert "SECRET" not in str(service.config)
    assert "SECRET" not in str(service.config.effective)
    assert service.config.effective["id"] == "sha256:1"


def test_the_ports_are_those_of_each_service(tmp_path: Path) -> None:
    _, endpoints, _ = made(tmp_path)
    one = endpoints["b"]
    assert [str(address) for address in (one.client, one.route, one.monitor)] == [
        "10.0.0.2:5222",
        "10.0.0.2:7222",
        "10.0.0.2:9222",
    ]


def test_an_images_own_command_is_completed(tmp_path: Path) -> None:
    container = made(tmp_path)[0]["c"].container
    assert container.arguments == ("-c", "/in/image.conf", "--name", "c")
    assert container.entrypoint is None


def test_the_stop_signal_is_the_services_else_the_images(tmp_path: Path) -> None:
    services, _, _ = made(tmp_path)
    stoppings = {
        node: (one.stopping.signal, one.stopping.grace_s) for node, one in services.items()
    }
    assert stoppings["b"] == (signal.SIGUSR2, 2.0)
    assert stoppings["a"] == (signal.SIGINT, 10.0)
    with pytest.raises(EngineError, match=r"services.b.stop_signal: expected a signal such as SIG"):
        made(tmp_path, text=FILE.replace("usr2", "usr9"))


def test_security_options_are_written_as_the_engine_wants_them(tmp_path: Path) -> None:
    assert made(tmp_path)[0]["a"].container.options["security_opt"] == ["seccomp=unconfined"]


def test_a_published_server_tells_clients_where(tmp_path: Path) -> None:
    at = Endpoints(
        client=Address("192.0.2.1", 20001),
        route=Address("10.0.0.2", 7222),
        monitor=Address("192.0.2.1", 20002),
        server=Address("10.0.0.2", 5222),
    )
    container = made(tmp_path, b=at)[0]["b"].container
    assert container.arguments[-2:] == ("--client_advertise", "192.0.2.1:20001")
    assert container.published == {5222: 20001, 9222: 20002}
    assert container.address == "10.0.0.2"


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        ("command: -m 8222", (None, ("--version",))),
        ("command: nats-server -m 8222", (None, ("nats-server", "--version"))),
        ("entrypoint: /nats-server -m 8222", (("/nats-server",), ("--version",))),
        ("command: [sh, -c, 'nats-server -n a -m 8222']", (None, ("--version",))),
    ],
)
def test_the_version_is_asked_of_the_program_that_will_run(
    tmp_path: Path, keys: str, asked: object
) -> None:
    text = f"services:\n  a:\n    image: nats\n    {keys}\n"
    project = read_compose(text, "c.yaml", tmp_path).project
    assert project is not None
    assert question(project.services[0]) == asked


@pytest.mark.parametrize("text", ["SIGUSR2", "usr2", " 12 "])
def test_signals_are_read_as_the_engine_reads_them(text: str) -> None:
    assert read_signal(text) is signal.SIGUSR2
