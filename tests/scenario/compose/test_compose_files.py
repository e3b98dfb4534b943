"""Whole Compose files: the guide's example as it stands, and what teams have."""

from __future__ import annotations

import pytest

from harness.scenario.compose.model import Attachment, Limits, Mount, Ports, Ulimit
from harness.scenario.compose.redaction import plain_project


def test_the_guides_example_is_read_as_it_stands(project, guide):
    cluster = project(guide)
    assert cluster.nodes == ("nats", "nats-1", "nats-2")
    assert cluster.seed == "nats"
    assert cluster.login is None
    seed, first, _ = cluster.services
    assert seed.ports == first.ports == Ports(client=4222, route=6222, monitor=8222)
    flags = ("--cluster_name", "NATS", "--cluster", "nats://0.0.0.0:6222")
    assert seed.command == (*flags, "--http_port", "8222", "--name", "nats")
    assert seed.added == ("--name", "nats")
    routes = "--routes=nats://ruser:T0pS3cr3t@nats:6222"
    assert first.command == (*flags, routes, "--http_port", "8222", "--name", "nats-1")
    assert first.depends_on == ("nats",)
    assert first.names == ("nats-1",)
    assert seed.networks == (Attachment(network="nats"),)
    assert [service.name for service in cluster.placeholders] == ["nats", "nats-1", "nats-2"]


def test_what_the_guides_example_lacks_is_added_and_said(project, guide):
    cluster = project(guide)
    added = ("--http_port", "8222", "--name", "nats-1")
    assert cluster.by_name["nats-1"].added == added
    ports, names, monitoring = cluster.notes
    assert names.startswith(
        "c.yaml:7:14: services.nats.command (also nats-1, nats-2): --name, with the service's name"
    )
    assert ports.startswith("c.yaml:4:5: services.nats.ports: nothing is published")
    assert monitoring.startswith(
        "c.yaml:11:14: services.nats-1.command (also nats-2): --http_port 8222 is added"
    )


def test_an_image_takes_the_placeholders_place(project, guide):
    cluster = project(guide).with_image("example/nats:2.15.1")
    assert {service.image for service in cluster.services} == {"example/nats:2.15.1"}
    assert cluster.placeholders == ()


def test_a_realistic_file_is_read_in_full(project, realistic, tmp_path):
    cluster = project(realistic, ROUTE_PASSWORD="RSECRET")
    assert cluster.nodes == ("nats-a", "nats-b")
    one, other = cluster.services
    assert one.image == "docker.io/library/nats:2.12.3"
    assert one.ports == other.ports == Ports(client=4223, route=6333, monitor=8333)
    assert one.added == ()
    assert one.names == ("nats-a", "shop-nats-a")
    assert other.names == ("nats-b", "b", "backup")
    assert one.hostname == "a.shop.internal"
    assert other.command == ("-c", "/etc/nats/nats.conf", "--name", "b", "--js", "-sd", "/data")
    assert one.environment == {"GOMEMLIMIT": "400MiB", "ROUTE_PASSWORD": "RSECRET", "TZ": "UTC"}
    assert other.environment["ROUTE_PASSWORD"] == "RSECRET"
    conf = Mount(
        kind="bind",
        source=str(tmp_path / "nats.conf"),
        target="/etc/nats/nats.conf",
        read_only=True,
    )
    scratch = Mount(kind="tmpfs", target="/tmp", size_bytes=64 * 1024**2, mode=0o1777)
    assert one.mounts == (Mount(kind="volume", source="data-a", target="/data"), conf, scratch)
    assert other.mounts[:2] == (Mount(kind="volume", source="data-b", target="/data"), conf)
    assert one.read_only
    assert one.cap_drop == ("ALL",)
    assert one.security_opt == ("no-new-privileges:true",)
    assert one.user == "65532:65532"
    assert (one.stop_signal, one.stop_grace_s) == ("SIGUSR2", 90.0)
    assert one.limits == Limits(memory_bytes=512 * 1024**2, cpus=0.5, pids=200)
    assert one.ulimits == (
        Ulimit(name="nofile", soft=65536, hard=65536),
        Ulimit(name="nproc", soft=512, hard=512),
    )
    assert one.labels == {"team": "shop"}
    assert cluster.login is not None
    assert cluster.login.user == "shop"
    assert cluster.login.password.get_secret_value() == "CSECRET"


def test_everything_that_is_not_used_is_said(project, realistic):
    said = "\n".join(project(realistic, ROUTE_PASSWORD="x").notes)
    for words in (
        "version: not used: it is obsolete",
        "name: not used",
        "services.nats-a.restart (also nats-b): not used: the harness starts and stops",
        "services.nats-a.logging (also nats-b): not used",
        "services.nats-a.healthcheck (also nats-b): not used",
        "services.nats-a.ports: nothing is published",
        "deploy.resources.reservations (also nats-b): not used",
        "services.box (also orders, exporter): not started",
        "networks.backplane: the harness makes a network of its own, without ipam",
        "volumes.data-b: the harness makes a fresh, plain volume; yours is not touched (labels)",
    ):
        assert words in said, said


def test_no_secret_of_a_file_can_be_shown(project, realistic, guide):
    for cluster in (project(realistic, ROUTE_PASSWORD="RSECRET"), project(guide)):
        shown = f"{plain_project(cluster)} {cluster!r} {cluster.notes}"
        for secret in ("RSECRET", "CSECRET", "T0pS3cr3t", "ruser"):
            assert secret not in shown
        assert "400MiB" in shown or cluster.seed == "nats"


@pytest.mark.parametrize(
    ("commands", "seed"),
    [
        (["--routes nats://c:6222", "--routes nats://c:6222", ""], "c"),
        (["--routes nats://a:6222,nats://b:6222,nats://c:6222"] * 3, "a"),
        (["-routes=nats://b:6222", "-routes nats://a:6222", "--routes nats-route://b:6222"], "b"),
    ],
)
def test_the_seed_is_the_one_that_the_others_know(project, commands, seed):
    services = "\n".join(
        f"  {name}:\n    image: nats\n    command: -cluster nats://0.0.0.0:6222 -m 8222 {command}"
        for name, command in zip("abc", commands, strict=True)
    )
    cluster = project(f"services:\n{services}\n")
    assert cluster.seed == seed
    assert cluster.nodes[0] == seed
    assert [service.name for service in cluster.services] == ["a", "b", "c"]


def test_the_servers_are_those_that_are_named(project, guide):
    cluster = project(guide, ["nats", "nats-2"])
    assert cluster.nodes == ("nats", "nats-2")
    assert any("services.nats-1: not started" in note for note in cluster.notes)


def test_a_service_whose_profile_is_not_active_is_left_out(project, guide):
    text = guide.replace("  nats-2:\n", "  nats-2:\n    profiles: [big]\n")
    small = project(text)
    assert small.nodes == ("nats", "nats-1")
    assert any("nats-2: not started: its profiles are not active" in one for one in small.notes)
    assert project(text, COMPOSE_PROFILES="big").nodes == ("nats", "nats-1", "nats-2")
    assert project(text, ["nats", "nats-2"]).nodes == ("nats", "nats-2")


def test_an_image_without_a_command_listens_as_the_official_one(project, guide):
    text = guide.replace(
        '    command: "--cluster_name NATS --cluster nats://0.0.0.0:6222 --http_port 8222"\n', ""
    )
    seed = project(text).by_name["nats"]
    assert seed.command is None
    assert seed.ports == Ports(client=4222, route=6222, monitor=8222)
    assert any(
        "services.nats: the image's own command is taken to" in n for n in project(text).notes
    )


@pytest.mark.parametrize(
    ("command", "ports"),
    [
        ("-p 5222 -m 9222", (5222, None, 9222)),
        ("--port=5222 --http_port=9222", (5222, None, 9222)),
        ("-js -p 8222", (8222, None, 8223)),
        ("nats-server --cluster_listen nats://:7222", (4222, 7222, 8222)),
        ("-DV --cluster nats://u:p@0.0.0.0:7222 -m 8222", (4222, 7222, 8222)),
        ("-m 0", (4222, None, 8222)),
    ],
)
def test_ports_are_those_of_the_flags(project, command, ports):
    service = project(f"services: {{nats: {{image: nats, command: '{command}'}}}}").services[0]
    found = service.ports
    assert (found.client, found.route, found.monitor) == ports


def test_other_peoples_images_are_told_from_servers(project):
    others = ("natsio/nats-box", "synadia/nats-surveyor", "nats-streaming", "redis", "x/nats-top")
    servers = ("nats", "dhi.io/nats:2", "me/dhi-nats@sha256:" + "0" * 64, "h:5000/a/nats-server:1")
    for image in servers:
        extra = "".join(f"  o{i}: {{image: {other}}}\n" for i, other in enumerate(others))
        text = f"services:\n  s: {{image: '{image}', command: -m 8222}}\n{extra}"
        assert project(text).nodes == ("s",)


def test_a_server_is_known_by_its_flags(project):
    text = "services: {bus: {image: my/bus, command: --http_port 8222 --cluster_name x}}"
    assert project(text).nodes == ("bus",)
    assert project("services: {x: {image: my/bus, command: /bin/nats-server -p 1}}").nodes == ("x",)


def test_what_lies_on_this_machine_is_never_mounted_writable(project, tmp_path):
    tmp_path.joinpath("store").mkdir()
    tmp_path.joinpath("store", "stream").write_text("dear", encoding="utf-8")
    tmp_path.joinpath("certs").mkdir()
    tmp_path.joinpath("certs", "ca.pem").write_text("x", encoding="utf-8")
    tmp_path.joinpath("nats.conf").write_text("http: 8222", encoding="utf-8")
    cluster = project(
        "services:\n  nats:\n    image: nats\n    command: -c /nats.conf -js -sd /data/js\n"
        "    volumes: [./store:/data, ./certs:/certs, ./nats.conf:/nats.conf, ./new:/log]\n"
    )
    store, certs, conf, new = cluster.services[0].mounts
    assert store == Mount(kind="volume", target="/data")
    assert (certs.kind, certs.read_only) == ("bind", True)
    assert (conf.kind, conf.read_only) == ("bind", True)
    assert new == Mount(kind="volume", target="/log")
    assert len([note for note in cluster.notes if ".volumes" in note]) == 4


def test_a_configuration_written_into_the_file_is_read(project):
    cluster = project(
        "services:\n  nats:\n    image: nats\n    command: [-c, /nats.conf]\n"
        "    configs: [{source: conf, target: /nats.conf}]\n"
        'configs: {conf: {content: "port: 5333\\nhttp: 9333"}}\n'
    )
    service = cluster.services[0]
    assert (service.ports.client, service.ports.monitor) == (5333, 9333)
    assert service.mounts[0].content is not None
    assert service.mounts[0].content.get_secret_value() == "port: 5333\nhttp: 9333"
    assert "5333\\n" not in str(plain_project(cluster))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("listen: 127.0.0.1:4222", "listens on its own loopback only"),
        ("host: localhost", "listens on its own loopback only"),
        ("http: 127.0.0.1:8222", "monitoring is on the server's own loopback only"),
        ("https: 8222", "monitoring is by HTTPS"),
        ("port: -1", "not a fixed one from 1 to 65535"),
        ("tls {cert_file: x}", "the server asks clients for TLS"),
        ("authorization {token: SECRET}", "clients have to log in with a token"),
    ],
)
def test_a_configuration_that_hides_the_server_is_refused(refused, content, found):
    (line,) = refused(
        "services:\n  nats:\n    image: nats\n    command: [-c, /n]\n"
        f"    configs: [{{source: c, target: /n}}]\nconfigs: {{c: {{content: '{content}'}}}}\n"
    )
    assert line.startswith("4:14: services.nats.command: ")
    assert found in line
    assert "SECRET" not in line


def test_a_configuration_that_is_missing_is_refused(refused):
    (line,) = refused(
        "services:\n  nats:\n    image: nats\n    command: -c /n.conf\n"
        "    volumes: [./n.conf:/n.conf]\n"
    )
    assert line.startswith("5:15: services.nats.volumes.0: the configuration '/n.conf' is to be")


def test_a_configuration_inside_the_image_is_said_to_be_unread(project):
    cluster = project("services: {nats: {image: nats, command: -c /etc/nats.conf}}")
    assert any("'/etc/nats.conf' is not read (it is in the image)" in n for n in cluster.notes)
    assert cluster.services[0].added == ("--http_port", "8222", "--name", "nats")


@pytest.mark.parametrize("given", ["-n own", "--name=own", "--server_name own", "-c own.conf"])
def test_a_name_that_is_known_is_left_as_it_is(project, tmp_path, given):
    tmp_path.joinpath("own.conf").write_text("server_name: own\n", encoding="utf-8")
    cluster = project(
        f"services: {{nats: {{image: nats, command: -m 8222 {given}, "
        "volumes: ['./own.conf:/own.conf:ro']}}"
    )
    assert cluster.services[0].added == ()


def test_servers_whose_settings_are_in_their_image_may_be_a_cluster(project):
    cluster = project(
        "services:\n  a: {image: my/nats, command: -c /in/image.conf}\n"
        "  b: {image: my/nats, command: -c /in/image.conf}\n"
    )
    assert [service.ports.route for service in cluster.services] == [6222, 6222]


def test_an_advertised_address_is_said(project):
    command = "-m 8222 --client_advertise localhost:4222"
    (note,) = project(f"services: {{nats: {{image: nats, command: -n a {command}}}}}").notes
    assert "clients are told another address to come back to" in note


def test_env_files_and_the_environment_fill_in_variables(project, tmp_path):
    tmp_path.joinpath(".env").write_text("TAG=2.11 # old\nPORT='5222'\n", encoding="utf-8")
    tmp_path.joinpath("nats.env").write_text('export A=1\nB="x ${A}"\nC\n', encoding="utf-8")
    cluster = project(
        "services:\n  nats:\n    image: nats:${TAG:-2.15}\n    command: -p $PORT -m 8222\n"
        "    env_file: nats.env\n    environment: [A=2, D, E]\n",
        D="d",
        PORT="6333",
    )
    service = cluster.services[0]
    assert service.image == "nats:2.11"
    assert service.ports.client == 6333
    assert service.environment == {"A": "2", "B": "x 1", "D": "d"}


def test_an_unset_variable_is_said_to_be_empty(project):
    cluster = project("services: {nats: {image: 'nats${TAG}', command: -m 8222, user: '$UID'}}")
    assert cluster.services[0].image == "nats"
    assert sum("is not set; it counts as empty" in note for note in cluster.notes) == 2
