from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import docker_images
import pytest
from pyroute2 import IPRoute

from harness.engine.connection import Engine, engine
from harness.engine.images import find_image
from harness.engine.labels import Owner, labels, this_owner
from harness.engine.sweep import SETTLE_S, leftovers, sweep
from harness.errors import EngineError


def test_no_engine_is_one_line_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(EngineError) as raised, engine():
        pass
    assert str(raised.value).startswith("there is no Docker Engine at unix:///nowhere/docker.sock;")
    assert "\n" not in str(raised.value)


def test_an_engine_that_has_gone_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    expected = r"^no Docker Engine answers at unix://.*; start it"
    with pytest.raises(EngineError, match=expected), engine():
        pass


def test_what_is_no_engine_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()

        def answer() -> None:
            asked = b""
            while not asked:  # who only knocks says nothing
                connection, _ = other.accept()
                with connection:
                    asked = connection.recv(4096)
                    if asked:
                        connection.sendall(b"HTTP/1.1 418 teapot\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        with pytest.raises(EngineError) as raised, engine():
            pass
        thread.join()
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_engine_that_lets_nobody_in_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "docker.from_env",
        lambda **_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")),
    )
    expected = "does not let this user in; add the user to the group"
    with pytest.raises(EngineError, match=expected), engine():
        pass


def test_this_process_is_alive_and_another_start_of_it_is_not() -> None:
    own = this_owner()
    assert own.alive
    assert Owner.parse(str(own)) == own
    assert not Owner(own.boot, own.space, own.pid, own.started + 1).alive
    assert not Owner(own.boot, "1", own.pid, own.started).here
    assert Owner.parse("rubbish") is None


@pytest.fixture
def reached() -> Iterator[Engine]:
    with engine() as found:
        yield found


@pytest.mark.docker
def test_an_image_is_described_by_its_configuration(reached: Engine) -> None:
    name = docker_images.build("hardened", docker_images.hardened())
    image = find_image(reached, name)
    assert (image.user, image.runs_as_root, image.entrypoint) == ("65532", False, ("/nats-server",))
    assert image.tag == name.rpartition(":")[2]
    assert image.ports == ("4222/tcp", "6222/tcp", "8222/tcp")
    assert find_image(reached, image.id).id == image.id


@pytest.mark.docker
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nats-harness-test/there-is-none:1",
            "there is no image nats-harness-test/there-is-none:1",
        ),
        ("Not An Image", "expected an image by tag or digest, found 'Not An Image'"),
    ],
)
def test_an_image_that_cannot_be_had_is_one_line(reached: Engine, name: str, message: str) -> None:
    with pytest.raises(EngineError) as raised:
        find_image(reached, name)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@pytest.mark.docker
def test_an_image_for_other_machines_is_refused(
    reached: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = docker_images.build("hardened", docker_images.hardened())
    other = Engine(reached.client, reached.version, "s390x", reached.address, reached.here, None)
    with pytest.raises(EngineError, match=r"is for amd64, and the Engine runs on s390x"):
        find_image(other, name)


@pytest.mark.docker
def test_only_what_dead_runs_left_is_swept(reached: Engine) -> None:
    api = reached.api
    own = this_owner()
    dead = Owner(own.boot, own.space, own.pid, own.started + 1)
    stranger = Owner("another-machine", own.space, 1, 1)
    before = Owner("00000000-0000-0000-0000-000000000000", "1", 1, 1)
    marks = {
        "dead": {**labels("r", "x"), "io.nats-harness.owner": str(dead)},
        "alive": dict(labels("r", "x")),
        "foreign": {"somebody": "else"},
        "unowned": {"io.nats-harness.run": "r"},
    }
    made = []
    try:
        for name, mark in marks.items():
            volume = f"nats-harness-test-sweep-{name}"
            api.create_volume(volume, labels=mark)
            made.append(volume)
        assert "volume nats-harness-test-sweep-dead (run r)" in leftovers(reached)
        swept = sweep(reached)
        assert "nats-harness-test-sweep-dead" in [one.name for one in swept.removed]
        left = {one["Name"] for one in api.volumes()["Volumes"]}
        assert left >= {
            f"nats-harness-test-sweep-{name}" for name in ("alive", "foreign", "unowned")
        }
        assert "nats-harness-test-sweep-dead" not in left
    finally:
        for volume in made[1:]:
            api.remove_volume(volume)
    assert not stranger.here
    assert not before.alive


@pytest.mark.docker
def test_what_the_engine_still_made_for_a_dead_run_is_swept_too(reached: Engine) -> None:
    api = reached.api
    own = this_owner()
    dead = str(Owner(own.boot, own.space, own.pid, own.started + 1))
    mark = {**labels("r", "x"), "io.nats-harness.owner": dead}
    first, late = (f"nats-harness-test-sweep-{name}" for name in ("first", "late"))
    api.create_volume(first, labels=mark)
    making = threading.Timer(SETTLE_S / 2, api.create_volume, [late], {"labels": mark})
    making.start()
    try:
        assert [one.name for one in sweep(reached).removed] == [first, late]
    finally:
        making.join()
    assert not {first, late} & {one["Name"] for one in api.volumes()["Volumes"] or []}


@pytest.mark.docker
@pytest.mark.parametrize("end", ["wi", "g12"], ids=["to the wire", "to a client"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root lays cables in the host's network")
def test_a_cable_that_outlived_its_bridge_is_swept_and_no_other(reached: Engine, end: str) -> None:
    loose, held = (f"nh{secrets.token_hex(3)}" for _ in range(2))
    with IPRoute() as links:
        for bridge in (loose, held):
            links.link("add", ifname=f"{bridge}{end}", kind="veth", peer={"ifname": f"{bridge}zz"})
        links.link("add", ifname=held, kind="bridge")
        try:
            assert f"interface {loose}{end}" in leftovers(reached)
            assert f"interface {held}{end}" not in leftovers(reached)
            assert f"{loose}{end}" in [one.name for one in sweep(reached).removed]
            left = {name for _, name in socket.if_nameindex()}
            assert not {f"{loose}{end}", f"{loose}zz"} & left
            assert {f"{held}{end}", f"{held}zz"} <= left
        finally:
            for name in (held, f"{held}{end}", f"{loose}{end}"):
                for index in links.link_lookup(ifname=name):
                    links.link("del", index=index)
